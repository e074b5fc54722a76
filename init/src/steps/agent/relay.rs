//! Connections of a relay, each of which may be coder's attempt to keep init busy.
//!
//! A place is free the moment its client is gone, whatever the agent does; whoever comes while
//! none is left is turned away; and neither connections nor bytes come faster than an agent is
//! ever used.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::place::{Place, PlaceError};
use super::{Notice, Relay};
use crate::pace::Pace;
use crate::steps::files::reason;
use crate::sys::ready;

/// Connections that are served at once. Each takes two buffers in PID 1.
pub(super) const CONNECTIONS: usize = 64;
/// New connections: so many at once, and so many a second. One takes PID 1 a tenth of a
/// millisecond.
const ARRIVALS: (u32, u32) = (256, 100);
/// Pieces of all connections together: so many at once, and so many a second. Whoever signs or
/// lists keys needs a handful.
const PIECES: (u32, u32) = (2048, 1024);
/// Requests and answers of agents are small; larger ones pass in pieces.
const BUFFER: usize = 4096;
/// How long the mounted agent may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// A person may have to find a password or touch a token; after this long nobody will.
const SILENCE: Duration = Duration::from_secs(600);
/// Pause when no descriptor is left to accept with, and between two attempts to connect.
const BREATH: Duration = Duration::from_millis(50);
/// So long those who hung up have to be noticed before somebody is turned away.
const MOMENT: Duration = Duration::from_millis(10);

impl Relay {
    /// Serves connections for ever. `say` is told when the mounted agent is lost and found.
    pub async fn serve(self, say: impl Fn(Notice) + 'static) {
        let service = Rc::new(Service {
            place: self.upstream,
            taken: Cell::new(0),
            pieces: Pace::new(PIECES.0, PIECES.1),
            lost: Cell::new(false),
            full: Cell::new(false),
            say,
        });
        let arrivals = Pace::new(ARRIVALS.0, ARRIVALS.1);
        let tasks = tokio::task::LocalSet::new();
        let accepting = async {
            loop {
                let Ok((client, _)) = self.listener.accept().await else {
                    sleep(BREATH).await;
                    continue;
                };
                arrivals.wait().await;
                if service.taken.get() >= CONNECTIONS {
                    sleep(MOMENT).await;
                }
                if let Some(seat) = Service::seat(&service) {
                    tasks.spawn_local(async move { seat.0.connection(client).await });
                }
            }
        };
        tasks.run_until(accepting).await;
    }
}

/// What the connections of a relay share.
struct Service<S> {
    place: Place,
    taken: Cell<usize>,
    pieces: Pace,
    /// Whether the mounted agent could not be reached the last time.
    lost: Cell<bool>,
    /// Whether somebody was turned away, and nobody found a place since.
    full: Cell<bool>,
    say: S,
}

/// One of the places; free when it goes.
struct Seat<S>(Rc<Service<S>>);

impl<S> Drop for Seat<S> {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
    }
}

impl<S: Fn(Notice)> Service<S> {
    fn seat(service: &Rc<Self>) -> Option<Seat<S>> {
        if service.taken.get() >= CONNECTIONS {
            if !service.full.replace(true) {
                (service.say)(Notice::Full);
            }
            return None;
        }
        service.full.set(false);
        service.taken.set(service.taken.get() + 1);
        Some(Seat(Rc::clone(service)))
    }

    async fn connection(&self, client: UnixStream) {
        let connected = tokio::select! {
            biased;
            () = hung_up(&client) => return,
            connected = reached(&self.place) => connected,
        };
        match connected {
            Ok(agent) => {
                if self.lost.replace(false) {
                    (self.say)(Notice::Back);
                }
                pass(client, agent, &self.pieces).await;
            }
            Err(error) => {
                if !self.lost.replace(true) {
                    (self.say)(Notice::Lost(why(&self.place, &error)));
                }
            }
        }
    }
}

/// Connects to the agent, which may have a full queue for a while.
async fn reached(place: &Place) -> Result<UnixStream, PlaceError> {
    let attempts = async {
        loop {
            match place.connect() {
                Err(PlaceError::Kernel(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    sleep(BREATH).await;
                }
                other => return other,
            }
        }
    };
    let stream = timeout(CONNECT, attempts)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(UnixStream::from_std(stream)?)
}

/// Carries bytes until either side is gone or both are silent for too long. Then both are
/// closed, which the other side sees.
async fn pass(mut client: UnixStream, mut agent: UnixStream, pieces: &Pace) {
    // Descriptors of their own: the ends are watched while the streams are at work.
    let (client_end, agent_end) = (watch(&client), watch(&agent));
    let (Ok(client_end), Ok(agent_end)) = (client_end, agent_end) else {
        return;
    };
    let active = Cell::new(Instant::now());
    let (mut from_client, mut to_client) = client.split();
    let (mut from_agent, mut to_agent) = agent.split();
    let both = async {
        tokio::try_join!(
            carry(&mut from_client, &mut to_agent, pieces, &active),
            carry(&mut from_agent, &mut to_client, pieces, &active),
        )
    };
    tokio::select! {
        biased;
        _ = both => {}
        () = ended(&client_end) => {}
        // What the agent said last is still delivered, for as long as somebody listens.
        () = async { ended(&agent_end).await; sleep(BREATH).await } => {}
        () = silence(&active) => {}
    }
}

/// One direction, to its end, which is passed on.
async fn carry(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    pieces: &Pace,
    active: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        active.set(Instant::now());
        if count == 0 {
            return to.shutdown().await;
        }
        pieces.wait().await;
        to.write_all(&buffer[..count]).await?;
    }
}

async fn silence(active: &Cell<Instant>) {
    loop {
        let last = active.get();
        sleep_until(last + SILENCE).await;
        if active.get() == last {
            return;
        }
    }
}

type Watch = tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>;

fn watch(stream: &UnixStream) -> io::Result<Watch> {
    let own = stream.as_fd().try_clone_to_owned()?;
    // Not for reading: a peer that only says no more would be told of for ever.
    ready::watch(own, Interest::WRITABLE)
}

async fn hung_up(stream: &UnixStream) {
    match watch(stream) {
        Ok(watch) => ended(&watch).await,
        Err(_) => std::future::pending().await,
    }
}

/// Waits until the peer has closed both directions. One that only says no more still listens.
async fn ended(watch: &Watch) {
    while let Ok(mut guard) = watch.writable().await {
        if guard.ready().is_write_closed() || is_over(watch.get_ref()) {
            return;
        }
        guard.clear_ready();
    }
}

fn is_over(stream: impl AsFd) -> bool {
    let mut look = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let is_over = |seen: PollFlags| seen.contains(PollFlags::POLLHUP);
    poll(&mut look, PollTimeout::ZERO).is_ok() && look[0].revents().is_some_and(is_over)
}

/// Why an agent cannot be reached, and what helps.
fn why(place: &Place, error: &PlaceError) -> String {
    let shown = place.path.display();
    let PlaceError::Kernel(error) = error else {
        return format!("{shown}: {error}");
    };
    let hint = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "; if it was started again, its socket is a new file: mount the folder that holds it"
        }
        io::ErrorKind::PermissionDenied => {
            "; coder can change the folder that it is in, so it is connected to with coder's \
             rights alone: mount it in a folder of root's, such as /run/ssh-agent"
        }
        _ => "",
    };
    format!("{shown}: {}{hint}", reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time that nobody waits for: it passes while everybody does.
    #[tokio::test(start_paused = true)]
    async fn both_ends_that_are_silent_for_too_long_are_let_go() {
        let (mut client, relayed) = UnixStream::pair().unwrap();
        let (to_agent, mut agent) = UnixStream::pair().unwrap();
        let began = Instant::now();
        let passing = async { pass(relayed, to_agent, &Pace::new(PIECES.0, PIECES.1)).await };
        let talk = async {
            // Whoever says something in time is given that time again.
            for _ in 0..3 {
                sleep(SILENCE / 2).await;
                client.write_all(b"x").await.unwrap();
                agent.read_exact(&mut [0]).await.unwrap();
            }
            let spoke = Instant::now();
            let (mut one, mut other) = ([0], [0]);
            let ends = tokio::join!(client.read(&mut one), agent.read(&mut other));
            assert_eq!((ends.0.unwrap(), ends.1.unwrap()), (0, 0));
            spoke.elapsed()
        };
        let both = async { tokio::join!(talk, passing) };
        let (silent, ()) = timeout(9 * SILENCE, both).await.unwrap();
        assert!(began.elapsed() > 2 * SILENCE, "it was cut while it spoke");
        assert!(silent >= SILENCE && silent < 2 * SILENCE, "{silent:?}");
    }
}
