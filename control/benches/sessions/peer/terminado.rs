//! terminado, the terminals of Jupyter, with one terminal for all clients.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Peer, Request, SOON, ask, end, free_address, program};

const SERVER: &str = r#"
import sys
import tornado.ioloop, tornado.web
from terminado import SingleTermManager, TermSocket
manager = SingleTermManager(shell_command=sys.argv[2:])
app = tornado.web.Application([(r"/", TermSocket, {"term_manager": manager})])
app.listen(int(sys.argv[1]), "127.0.0.1")
tornado.ioloop.IOLoop.current().start()
"#;

/// The server, in Debian's own Python.
pub(crate) struct Terminado {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Terminado {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = free_address();
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", SERVER, &address.port().to_string()])
            .arg(std::env::current_exe().unwrap())
            .arg(program::TERMINAL)
            .arg(dir.path().join("go"))
            .spawn()
            .unwrap();
        let deadline = Instant::now() + SOON;
        while TcpStream::connect(address).is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "install python3-terminado");
            assert!(Instant::now() < deadline, "terminado does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Self {
            child,
            address,
            dir,
        }
    }
}

impl Peer for Terminado {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self) -> Request {
        Request::Socket("/".to_owned(), None)
    }

    fn write(&mut self, frames: u64, pace: Option<Duration>) {
        fs::write(self.dir.path().join("go"), ask(frames, pace)).unwrap();
    }
}

impl Drop for Terminado {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
