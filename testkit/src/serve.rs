//! Runs a server on a thread of its own, for as long as the test holds it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// A server's work, until it is dropped.
pub type Work = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A server running on its own thread; dropping it ends the server and closes its sockets.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Calls `bind` on a new runtime, then polls the work it returns until dropped.
    ///
    /// # Errors
    /// The thread or runtime cannot be made, or `bind` fails.
    pub fn start<F>(bind: F) -> io::Result<Self>
    where
        F: FnOnce() -> io::Result<(SocketAddr, Work)> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let (bound, addr) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("testkit-server".into())
            .spawn(move || {
                let outcome = runtime().and_then(|runtime| {
                    let _inside = runtime.enter();
                    bind().map(|(addr, work)| (runtime, addr, work))
                });
                match outcome {
                    Ok((runtime, addr, work)) => {
                        let _ = bound.send(Ok(addr));
                        runtime.block_on(async {
                            tokio::select! {
                                _ = work => {}
                                _ = stopped => {}
                            }
                        });
                    }
                    Err(error) => {
                        let _ = bound.send(Err(error));
                    }
                }
            })?;
        let addr = addr
            .recv()
            .map_err(|_| io::Error::other("the server's thread died"))??;
        Ok(Self {
            addr,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The runtime every server runs on: one thread, sockets and timers.
///
/// # Errors
/// The kernel refuses the descriptors it needs.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A listener on `addr` that a tokio runtime can poll.
///
/// # Errors
/// The address cannot be bound. Must be called inside a runtime.
pub fn listen(addr: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
