//! Connections that are kept open, to see what becomes of them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

/// How long one connection may take to be opened or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many are opened at once.
const TOGETHER: usize = 32;

/// Connections to a web server, each with whether its last request was answered.
#[derive(Debug)]
pub struct Held(Vec<(Option<TcpStream>, bool)>);

impl Held {
    /// Opens `count` connections to `to` and asks for a page on each.
    #[must_use]
    pub fn open(to: SocketAddr, count: usize) -> Self {
        let mut held: Vec<_> = (0..count).map(|_| (None, false)).collect();
        each(&mut held, |(stream, answered)| {
            *stream = TcpStream::connect_timeout(&to, PATIENCE).ok();
            *answered = stream
                .as_mut()
                .is_some_and(|stream| ask(stream, "held").is_ok());
        });
        Self(held)
    }

    /// Asks for another page on each of them.
    pub fn use_again(&mut self) {
        each(&mut self.0, |(stream, answered)| {
            *answered = stream
                .as_mut()
                .is_some_and(|stream| ask(stream, "again").is_ok());
        });
    }

    /// Closes them all. Every second one first leaves words behind that leave with its FIN, in
    /// one packet.
    ///
    /// # Errors
    /// A connection was reset before.
    pub fn close_late(self) -> io::Result<()> {
        for (n, (stream, _)) in self.0.iter().enumerate() {
            if let Some(stream) = stream.as_ref().filter(|_| n % 2 == 1) {
                SockRef::from(stream).send_with_flags(b"late words", libc::MSG_MORE)?;
            }
        }
        Ok(())
    }

    /// How many were answered the last time.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.0.iter().filter(|(_, answered)| *answered).count()
    }
}

fn each<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let share = items.len().div_ceil(TOGETHER).max(1);
    std::thread::scope(|scope| {
        for part in items.chunks_mut(share) {
            scope.spawn(|| part.iter_mut().for_each(&work));
        }
    });
}

/// One request and its whole answer, which the page server ends with a newline.
fn ask(stream: &mut TcpStream, page: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{page} HTTP/1.1\r\nHost: held\r\n\r\n")?;
    let end = format!("page /{page}\n");
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with(end.as_bytes()) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => answer.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::httpd::Httpd;

    #[test]
    fn held_connections_are_used_again() {
        let pages = Httpd::start().unwrap();
        let mut held = Held::open(pages.addr(), 40);
        assert_eq!(held.alive(), 40);
        held.use_again();
        assert_eq!(held.alive(), 40);
        assert_eq!(pages.log().entries().len(), 80);
        drop(pages);
        held.use_again();
        assert_eq!(held.alive(), 0);
    }
}
