//! `cib-init relay`: joins standard input and output with a port of the box's loopback, for a
//! person whose engine is on another machine and publishes no port on theirs.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;

use crate::exit;

/// Bytes that are passed on at once.
const PIECE: usize = 64 * 1024;

/// Relays until the port's side closes; the exit code.
#[must_use]
pub fn relay(port: u16) -> u8 {
    let joined = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|socket| {
        // What is typed is not to wait for more.
        socket.set_nodelay(true)?;
        let other = socket.try_clone()?;
        thread::spawn(move || {
            // Whoever speaks may end before who answers.
            let _ = pass(io::stdin().lock(), &other);
            let _ = other.shutdown(Shutdown::Write);
        });
        pass(&socket, io::stdout().lock())
    });
    match joined {
        Ok(()) => exit::OK,
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "cib-init: relay {port}: {error}");
            1
        }
    }
}

/// Passes on every piece as it comes.
fn pass(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        to.write_all(bytes)?;
        to.flush()?;
    }
}
