//! Starts a `cib-files` for each connection that control makes to look at coder's files.
//!
//! Each has coder's user and answers one question, so that one which hangs, is stopped or is
//! killed by the agent costs one answer. It goes when control hangs up, with all that it started.
//! The socket is init's and stands in a folder that coder cannot enter.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::process::{Child, Processes, SpawnError};
use crate::session::Variables;
use crate::spawn::{Command, Ids, Sink, Stdin};

/// Name of the log.
pub const NAME: &str = "files";

/// How many answer at once. Further connections wait in the kernel's queue.
const MOST: usize = 20;

/// How long one may take: an upload over a slow line is the longest.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

/// How long one has to clean up when control has hung up.
const GRACE: Duration = Duration::from_secs(2);

/// The pause after a connection that could not be served.
const PAUSE: Duration = Duration::from_millis(200);

/// A folder below which files are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its name in requests.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// Whether anything in it may be changed.
    pub writable: bool,
}

/// What is started, and for whom.
pub struct Desk {
    /// `cib-files`.
    pub program: PathBuf,
    /// Coder; `None` where everybody is the user that the box was started as.
    pub ids: Option<Ids>,
    /// Coder's environment, without Claude's credentials.
    pub environment: Variables,
    /// Where files are looked at.
    pub roots: Vec<Root>,
    /// The only users that are answered.
    pub askers: Vec<u32>,
    /// How it is started.
    pub processes: Processes,
}

/// The roots of a box.
#[must_use]
pub fn roots(workspace: &Path, home: &Path) -> Vec<Root> {
    let root = |name, path: PathBuf, writable| Root {
        name,
        path,
        writable,
    };
    vec![
        root("workspace", workspace.to_owned(), true),
        root("home", home.to_owned(), true),
        root("claude", home.join(".claude"), true),
        root("box", PathBuf::from("/"), false),
    ]
}

impl Desk {
    /// Serves for as long as the box runs.
    pub async fn serve(self, listener: UnixListener) {
        let desk = Rc::new(self);
        let places = Arc::new(Semaphore::new(MOST));
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let started = match listener.accept().await {
                Ok((stream, _)) if desk.answers(&stream) => desk.start(&stream).map(|child| {
                    let desk = Rc::clone(&desk);
                    tokio::task::spawn_local(async move {
                        desk.attend(&stream, child).await;
                        drop(place);
                    });
                }),
                Ok(_) => continue,
                Err(error) => Err(Unserved::Accept(error)),
            };
            if let Err(error) = started {
                let error = cib_base::errors::chain(&error);
                tracing::warn!(service = NAME, "files cannot be looked at: {error}");
                sleep(PAUSE).await;
            }
        }
    }

    /// Whether whoever connected is one of those that are answered.
    fn answers(&self, stream: &UnixStream) -> bool {
        let peer = stream.peer_cred().ok();
        peer.is_some_and(|peer| self.askers.contains(&peer.uid()))
    }

    fn start(&self, stream: &UnixStream) -> Result<Child, Unserved> {
        let connection = stream.as_fd().try_clone_to_owned();
        let mut command = Command::new(&self.program)
            .env(self.environment.iter().cloned())
            .workdir("/");
        for root in &self.roots {
            let mut value = OsString::from(root.name);
            value.push("=");
            value.push(&root.path);
            let option = if root.writable { "--root" } else { "--look" };
            command = command.arg(option).arg(value);
        }
        command.ids.clone_from(&self.ids);
        command.stdin = Stdin::Fd(connection.map_err(Unserved::Accept)?);
        command.stderr = Sink::Log(NAME.to_owned());
        // Whatever it starts can be found below it when it has to go.
        command.adopts = true;
        Ok(self.processes.spawn(command)?)
    }

    /// Waits for one's end, and sees to it when nobody waits for its answer any more.
    async fn attend(&self, stream: &UnixStream, mut child: Child) {
        let unwanted = async {
            tokio::select! {
                () = hung_up(stream) => {}
                () = sleep(LONGEST) => {}
            }
            sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            _ = child.wait() => {}
            () = unwanted => self.processes.end(&mut child).await,
        }
    }
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
enum Unserved {
    #[error("no connection can be taken")]
    Accept(#[source] io::Error),
    #[error("cib-files cannot be started")]
    Spawn(#[from] SpawnError),
}

/// Waits until the other side of a connection has closed it. Nothing is read: what comes is the
/// child's to read.
async fn hung_up(stream: &UnixStream) {
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                // So that the next wait is for something new.
                let nothing: io::Result<()> = Err(io::ErrorKind::WouldBlock.into());
                let _ = stream.try_io(Interest::READABLE, || nothing);
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::process::LogSink;

    struct Nowhere;

    impl LogSink for Nowhere {
        fn open(&self, _name: &str) -> io::Result<std::os::fd::OwnedFd> {
            Ok(
                cib_foreign::own::open_as(std::fs::OpenOptions::new().write(true), "/dev/null")?
                    .into(),
            )
        }
    }

    fn desk(asker: u32) -> Desk {
        Desk {
            // Says what it hears, until that ends.
            program: "/bin/cat".into(),
            ids: None,
            environment: Vec::new(),
            roots: Vec::new(),
            askers: vec![asker],
            processes: Processes::new(Rc::new(Nowhere)),
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_who_is_allowed_gets_as_far_as_a_process() {
        let local = tokio::task::LocalSet::new();
        let own = nix::unistd::geteuid().as_raw();
        let answered = async |asker| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("files.sock");
            let listener = UnixListener::bind(&path).unwrap();
            let serving = tokio::task::spawn_local(desk(asker).serve(listener));
            let mut stream = UnixStream::connect(&path).await.unwrap();
            // A refused connection is closed; whether this gets there in time does not matter.
            let _ = stream.write_all(b"x").await;
            let patience = Duration::from_millis(if asker == own { 100 } else { 20_000 });
            let read = tokio::time::timeout(patience, stream.read_u8()).await;
            serving.abort();
            read.is_err()
        };
        local
            .run_until(async {
                assert!(!answered(own + 1).await, "it was hung up on");
                assert!(answered(own).await, "somebody listens");
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn data_is_no_end_and_an_end_is_noticed_behind_data() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"some data").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(50), hung_up(&ours)).await;
        assert!(waiting.is_err());
        drop(theirs);
        let noticed = tokio::time::timeout(Duration::from_secs(20), hung_up(&ours)).await;
        assert!(noticed.is_ok());
    }

    #[test]
    fn the_roots_of_a_box_are_its_users_and_the_rest_is_only_looked_at() {
        let roots = roots(Path::new("/workspace"), Path::new("/home/coder"));
        let told: Vec<_> = roots
            .iter()
            .map(|root| (root.name, root.path.to_str().unwrap(), root.writable))
            .collect();
        assert_eq!(
            told,
            [
                ("workspace", "/workspace", true),
                ("home", "/home/coder", true),
                ("claude", "/home/coder/.claude", true),
                ("box", "/", false),
            ]
        );
    }
}
