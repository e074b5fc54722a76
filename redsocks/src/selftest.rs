//! Proves that the redirect works, by a connection and not by reading the rules.
//!
//! A listener takes the redirector's place, and a client connects to an address that nobody owns.
//! The client must get the listener's random token. linkerd's network validator does the same.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// The address that the client connects to. It is in TEST-NET-1 (RFC 5737), which is routed
/// nowhere, so only the redirect can answer.
pub const TARGET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 1404);

/// Why the redirect is not proved.
#[derive(Debug, Error)]
pub enum EchoFault {
    /// The redirector's port is taken.
    #[error("cannot listen on {listen}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No random token could be had.
    #[error("cannot draw a random token")]
    Random(#[source] io::Error),
    /// The connection did not come to us.
    #[error("a connection to {target} was not redirected to {listen}")]
    NotRedirected {
        /// What was connected to.
        target: SocketAddr,
        /// Where it should have come out.
        listen: SocketAddr,
        /// What happened to it.
        #[source]
        source: io::Error,
    },
    /// The connection came to somebody else.
    #[error("a connection to {target} was answered by something other than {listen}")]
    Stranger {
        /// What was connected to.
        target: SocketAddr,
        /// Where it should have come out.
        listen: SocketAddr,
    },
    /// Nothing happened.
    #[error("a connection to {target} was not answered within {} s", after.as_secs_f32())]
    TimedOut {
        /// What was connected to.
        target: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
}

/// Listens on `listen`, connects to `target`, and expects its own token; gives the time that
/// took. `listen` must be free, so at boot this runs before the redirector is started, and
/// later on a port of its own to which the rules redirect [`TARGET`].
///
/// # Errors
///
/// An [`EchoFault`] that says where the connection went.
pub async fn token_echo(
    listen: SocketAddr,
    target: SocketAddr,
    within: Duration,
) -> Result<Duration, EchoFault> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|source| EchoFault::Listen { listen, source })?;
    let mut token = [0; 16];
    getrandom::fill(&mut token).map_err(|e| EchoFault::Random(io::Error::other(e)))?;
    let start = Instant::now();
    let answer = async {
        loop {
            // Other connections may be redirected here meanwhile. They get the token too, and can
            // do nothing with it.
            match listener.accept().await {
                Ok((mut stream, _)) => drop(stream.write_all(&token).await),
                Err(error) => return error,
            }
        }
    };
    let ask = async {
        let mut stream = TcpStream::connect(target).await?;
        let mut heard = [0; 16];
        stream.read_exact(&mut heard).await?;
        Ok::<_, io::Error>(heard)
    };
    let both = async {
        tokio::select! {
            heard = ask => heard,
            failed = answer => Err(failed),
        }
    };
    match timeout(within, both).await {
        Ok(Ok(heard)) if heard == token => Ok(start.elapsed()),
        Ok(Ok(_)) => Err(EchoFault::Stranger { target, listen }),
        Ok(Err(source)) => Err(EchoFault::NotRedirected {
            target,
            listen,
            source,
        }),
        Err(_) => Err(EchoFault::TimedOut {
            target,
            after: within,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn free_port() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_comes_out_at_the_listener_proves_the_redirect() {
        let port = free_port();
        token_echo(port, port, SOON).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_from_elsewhere_is_told_from_the_listeners_own() {
        let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = stranger.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = stranger.accept().await.unwrap();
            stream.write_all(&[7; 16]).await.unwrap();
        });
        let fault = token_echo(free_port(), target, SOON).await.unwrap_err();
        assert!(matches!(fault, EchoFault::Stranger { .. }), "{fault}");
    }

    #[tokio::test]
    async fn a_connection_that_goes_nowhere_proves_nothing() {
        let nobody = "127.0.0.1:1".parse().unwrap();
        let fault = token_echo(free_port(), nobody, SOON).await.unwrap_err();
        assert!(matches!(fault, EchoFault::NotRedirected { .. }), "{fault}");
    }
}
