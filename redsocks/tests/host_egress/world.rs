//! Servers on the far side: they remember who came.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::{Lab, WEB, spawn_within};

/// Who came to a server.
#[derive(Clone, Default)]
pub(crate) struct Visitors(Arc<Mutex<Vec<IpAddr>>>);

impl Visitors {
    pub(crate) fn all(&self) -> Vec<IpAddr> {
        self.0.lock().unwrap().clone()
    }
}

/// Serves every connection to `listen` with `talk`, inside the far namespace.
pub(crate) fn serve<F>(
    lab: &Lab,
    listen: SocketAddr,
    talk: impl Fn(TcpStream) -> F + Send + 'static,
) -> Visitors
where
    F: Future<Output = ()> + Send + 'static,
{
    let visitors = Visitors::default();
    let seen = visitors.clone();
    let (ready, up) = mpsc::channel();
    spawn_within(&lab.far, move || async move {
        let listener = TcpListener::bind(listen).await.unwrap();
        ready.send(()).unwrap();
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            seen.0.lock().unwrap().push(peer.ip());
            tokio::spawn(talk(stream));
        }
    });
    up.recv().unwrap();
    visitors
}

/// A web server that says `page` to one request after the other.
pub(crate) fn web(lab: &Lab) -> Visitors {
    serve(lab, WEB.into(), |mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            let page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
            if stream.write_all(page).await.is_err() {
                return;
            }
        }
    })
}

/// Up to the empty line; `None` when the client has gone.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
