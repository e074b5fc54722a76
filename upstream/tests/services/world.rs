//! A SOCKS5 upstream that connects to wherever the test says, and counts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cib_upstream::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A loopback address that no other test of this program uses, so that fixed ports are free.
pub(crate) fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [.., middle, low] = std::process::id().to_be_bytes();
    let mine = 64 + NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, mine, middle, low).into()
}

/// What becomes of a target.
#[derive(Clone, Copy)]
pub(crate) enum Route {
    /// It is there.
    To(SocketAddr),
    /// The upstream answers with this reply code.
    Refuse(u8),
    /// The upstream never answers.
    Hang,
}

#[derive(Default)]
struct State {
    routes: Mutex<HashMap<String, Route>>,
    targets: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

/// The upstream, until it is dropped.
pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) address: IpAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl World {
    /// One with no target at all.
    pub(crate) async fn start() -> Self {
        let address = own_address();
        Self::at((address, 1080).into()).await
    }

    /// One at an address where another may have been before.
    pub(crate) async fn at(listen: SocketAddr) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::Relaxed);
                clients.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        let upstream = Upstream::parse(&format!("socks5://{listen}")).unwrap();
        Self {
            upstream,
            address: listen.ip(),
            state,
            task,
        }
    }

    pub(crate) fn route(&self, target: &str, route: Route) {
        self.state
            .routes
            .lock()
            .unwrap()
            .insert(target.to_owned(), route);
    }

    /// How many connections it took.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// What it was asked to connect to, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.state.targets.lock().unwrap().clone()
    }

    /// Closes its port and every connection.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The least of SOCKS5 that a strict client needs.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut greeting = [0; 3];
    if stream.read_exact(&mut greeting).await.is_err() {
        return;
    }
    stream.write_all(&[5, 0]).await.unwrap();
    let mut head = [0; 4];
    if stream.read_exact(&mut head).await.is_err() {
        return;
    }
    let host = match head[3] {
        1 => {
            let mut octets = [0; 4];
            stream.read_exact(&mut octets).await.unwrap();
            Ipv4Addr::from(octets).to_string()
        }
        3 => {
            let mut name = vec![0; stream.read_u8().await.unwrap().into()];
            stream.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
        other => panic!("address type {other}"),
    };
    let target = format!("{host}:{}", stream.read_u16().await.unwrap());
    state.targets.lock().unwrap().push(target.clone());
    let route = state.routes.lock().unwrap().get(&target).copied();
    let reply = |code| [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    match route.unwrap_or(Route::Refuse(4)) {
        Route::To(address) => match TcpStream::connect(address).await {
            Ok(mut far) => {
                stream.write_all(&reply(0)).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut far).await;
            }
            Err(_) => stream.write_all(&reply(5)).await.unwrap(),
        },
        Route::Refuse(code) => stream.write_all(&reply(code)).await.unwrap(),
        Route::Hang => std::future::pending().await,
    }
}
