//! A relay on the box's loopback to an upstream that the redirector cannot reach itself:
//! redsocks 0.5 supports IPv4 only.
//!
//! The relay only passes bytes, so the redirector still does the handshake. When the upstream is
//! dead, the relay closes the redirector's connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::client::Dialer;

/// The port that the relay listens on unless told otherwise.
pub const RELAY_PORT: u16 = 12347;
/// Bytes held for each direction of a connection.
const BUFFER: usize = 16 * 1024;
/// How long to wait when the kernel has no file for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the relay listens and how much it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// On the box's loopback.
    pub listen: SocketAddr,
    /// How many connections at once; each takes two files. The others wait in the kernel.
    pub connections: usize,
}

/// Carries connections to the upstream for ever.
pub async fn serve(listener: TcpListener, dialer: Arc<Dialer>, connections: usize) {
    let places = Arc::new(Semaphore::new(connections.max(1)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let dialer = Arc::clone(&dialer);
        tokio::spawn(async move {
            carry(stream, &dialer).await;
            drop(place);
        });
    }
}

async fn carry(mut near: TcpStream, dialer: &Dialer) {
    let Ok(mut far) = dialer.reach().await else {
        return;
    };
    // Either side may close at any time; the other one then sees its stream close.
    let _ = near.set_nodelay(true);
    let _ = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await;
}
