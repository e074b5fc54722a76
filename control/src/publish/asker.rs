//! Which task a process of coder's belongs to.
//!
//! A session's processes all descend from its launcher, which is root's, is told the session on
//! its command line, and takes over whatever loses its parent. None of that can coder change.

use cib_foreign::own;
use cib_protocol::session::SessionId;
use tokio::net::UnixStream;

use crate::app::App;
use crate::sessions::keeper;

/// Ancestors that are looked at.
const MOST: usize = 1000;

/// How the launcher's own command is called, and what it is told.
const LAUNCHER: &[u8] = b"launcher";
const SESSION: &[u8] = b"--session";

/// What is known of one process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    parent: i32,
    /// Whether every user id of it is root's.
    is_roots: bool,
}

/// The session that a process belongs to.
#[must_use]
pub fn session(pid: i32) -> Option<SessionId> {
    let of_launcher = |pid: &i32| process(*pid).is_some_and(|process| process.is_roots);
    let launcher = ancestors(pid).find(of_launcher)?;
    let line = own::read(format!("/proc/{launcher}/cmdline")).ok()?;
    told(&line)
}

/// The session that a launcher's command line names.
fn told(line: &[u8]) -> Option<SessionId> {
    let mut words = line.split(|byte| *byte == 0);
    words.nth(1).filter(|word| *word == LAUNCHER)?;
    words.find(|word| *word == SESSION)?;
    let id = words.next()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// Whether a process descends from a session's keeper: so it is in a box whose programs are all of
/// one user, and which promises nothing of this.
pub async fn is_of(app: &App, session: SessionId, pid: i32) -> bool {
    let path = keeper::socket(app.store.runtime(), session);
    let keeper = UnixStream::connect(path).await.ok();
    let keeper = keeper.and_then(|stream| stream.peer_cred().ok());
    let keeper = keeper.and_then(|cred| cred.pid());
    keeper.is_some_and(|keeper| ancestors(pid).any(|pid| pid == keeper))
}

/// Whether this box is one of those.
#[must_use]
pub fn is_one_user(uid: u32) -> bool {
    nix::unistd::Uid::effective().as_raw() == uid
}

/// A process and those that it descends from.
fn ancestors(pid: i32) -> impl Iterator<Item = i32> {
    let known = (pid > 0).then_some(pid);
    std::iter::successors(known, |pid| {
        let parent = process(*pid)?.parent;
        (parent > 0).then_some(parent)
    })
    .take(MOST)
}

/// What the kernel says of a process. Its name, which is its own to choose, comes on one line,
/// the first.
fn process(pid: i32) -> Option<Process> {
    let status = own::read_lossy(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let mut lines = status.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let mut ids = field("Uid")?.split_ascii_whitespace();
    Some(Process {
        parent: field("PPid")?.trim().parse().ok()?,
        is_roots: ids.all(|id| id == "0"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_by_a_launchers_command_line_and_by_no_other() {
        let id = "6e1f3a52-0000-4000-8000-000000000000";
        let line = |words: &[&str]| words.join("\0").into_bytes();
        let launcher = ["cib-session", "launcher", "--fd", "3", "--session", id, ""];
        assert_eq!(told(&line(&launcher)), id.parse().ok());
        for other in [
            &["cib-session", "run", "--session", id][..],
            &["cib-session", "launcher", "--fd", "3"],
            &["cib-session", "launcher", "--session", "x"],
            &["launcher", "--session", id],
        ] {
            assert_eq!(told(&line(other)), None, "{other:?}");
        }
    }

    #[test]
    fn a_process_descends_from_its_parent_and_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = nix::unistd::getppid().as_raw();
        let known: Vec<_> = ancestors(own).take(2).collect();
        assert_eq!(known, [own, parent]);
        assert_eq!(ancestors(0).count(), 0);
        assert_eq!(ancestors(i32::MAX).count(), 1);
    }
}
