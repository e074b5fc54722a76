//! The sockets that queries come in at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cib_upstream::service::Sockets;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::handler::{Handled, Handler};
use crate::policy::Door;
use crate::wire::Medium;

/// The longest query that is read. No real query is nearly as long.
const QUERY_MAX: usize = 4096;
/// How many TCP clients each address serves at once; the others wait in the kernel.
const CLIENTS: usize = 64;
/// How long such a client may send nothing, or not read its answer.
const IDLE: Duration = Duration::from_secs(10);
/// How long to wait when this process may open no more files.
const PAUSE: Duration = Duration::from_millis(100);

/// One address, UDP and TCP.
#[derive(Debug)]
pub(crate) struct Listener {
    udp: UdpSocket,
    tcp: TcpListener,
    door: Door,
}

impl Listener {
    /// Binds both, or takes them from `sockets`.
    ///
    /// # Errors
    ///
    /// Those of binding.
    pub(crate) async fn bind(
        address: SocketAddr,
        door: Door,
        sockets: &mut Sockets,
    ) -> io::Result<Self> {
        let tcp = sockets.tcp(address).await?;
        // The same port for both, also when the kernel was asked to choose.
        let udp = sockets.udp(tcp.local_addr()?).await?;
        Ok(Self { udp, tcp, door })
    }

    /// Begins to answer.
    pub(crate) fn spawn(self, handler: &Arc<Handler>) {
        tokio::spawn(serve_udp(self.udp, self.door, Arc::clone(handler)));
        tokio::spawn(serve_tcp(self.tcp, self.door, Arc::clone(handler)));
    }
}

async fn serve_udp(socket: UdpSocket, door: Door, handler: Arc<Handler>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; QUERY_MAX];
    loop {
        // An error here is an ICMP message about an answer sent earlier.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        match handler.handle(&buffer[..length], Medium::Udp, door) {
            Handled::Ignore => {}
            Handled::Reply(reply) => {
                // Never waits: a client whose buffer is full asks again.
                let _ = socket.try_send_to(&reply, client);
            }
            Handled::Pending(lookup) => {
                let (socket, handler) = (Arc::clone(&socket), Arc::clone(&handler));
                tokio::spawn(async move {
                    let reply = handler.look_up(lookup).await;
                    let _ = socket.send_to(&reply, client).await;
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, door: Door, handler: Arc<Handler>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            // A client that closes early needs no answer.
            let _ = serve_client(stream, door, &handler).await;
            drop(place);
        });
    }
}

/// Answers one query after the other, in order.
async fn serve_client(mut stream: TcpStream, door: Door, handler: &Handler) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await?);
            if length > QUERY_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            buffer.resize(length, 0);
            stream.read_exact(&mut buffer).await
        };
        timeout(IDLE, read).await??;
        let reply = match handler.handle(&buffer, Medium::Tcp, door) {
            Handled::Ignore => return Ok(()),
            Handled::Reply(reply) => reply,
            Handled::Pending(lookup) => handler.look_up(lookup).await,
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&reply);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
