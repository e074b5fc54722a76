//! The socket on which hooks tell the keeper what happens and wait for its answer.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use cib_protocol::time::Timestamp;
use nix::poll::PollFlags;

use super::clients::peer;
use crate::stream_json::lines::{Limits, Line, Splitter};
use crate::tty::HookId;

/// Name of the socket in the runtime directory.
pub(super) const SOCKET: &str = "hook.sock";

/// Hooks at once. Claude runs few at a time; more wait in the kernel's queue.
const MAX: usize = 64;

/// The listening socket and the hooks that speak or wait.
#[derive(Debug)]
pub(super) struct Hooks {
    pub(super) listener: UnixListener,
    /// The only user whose hooks are heard.
    user: u32,
    hooks: Vec<Waiting>,
    next: HookId,
    limits: Limits,
}

/// A hook's connection.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: HookId,
    pub(super) stream: UnixStream,
    /// What it has told so far; `None` once it has told everything.
    told: Option<Splitter>,
    gone: bool,
}

/// What reading from a hook brought.
pub(super) enum Heard {
    /// Nothing to act on yet.
    Nothing,
    /// It has told everything.
    Everything(Splitter),
    /// It was ended before it was answered.
    Gone,
}

impl Hooks {
    /// Listens for the hooks of this session's user alone.
    pub(super) fn listen(runtime: &Path, user: u32, limits: Limits) -> io::Result<Self> {
        let path = runtime.join(SOCKET);
        let listener = crate::socket::listen(&path)?;
        // Another user has to get as far as to be looked at.
        let own = nix::unistd::geteuid().as_raw();
        let mode = if own == user { 0o600 } else { 0o666 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(Self {
            listener,
            user,
            hooks: Vec::new(),
            // Not from one: a question of the driver before may have had that id.
            next: u64::try_from(Timestamp::now().as_millis()).unwrap_or(1),
            limits,
        })
    }

    /// Whether another hook can be taken.
    pub(super) fn has_room(&self) -> bool {
        self.hooks.len() < MAX
    }

    pub(super) fn accept(&mut self) {
        while self.has_room()
            && let Ok((stream, _)) = self.listener.accept()
        {
            if peer(&stream) == Some(self.user) && stream.set_nonblocking(true).is_ok() {
                self.hooks.push(Waiting {
                    id: self.next,
                    stream,
                    told: Some(Splitter::new(self.limits)),
                    gone: false,
                });
                self.next += 1;
            }
        }
    }

    /// The connections with what each waits for, in a stable order until [`Hooks::sweep`].
    /// One that waits for its answer is only watched for its end, which needs no flag.
    pub(super) fn interests(&self) -> impl Iterator<Item = (&UnixStream, PollFlags)> {
        self.hooks.iter().map(|hook| match hook.told {
            Some(_) => (&hook.stream, PollFlags::POLLIN),
            None => (&hook.stream, PollFlags::empty()),
        })
    }

    /// Reads from a hook.
    pub(super) fn read(&mut self, index: usize, buffer: &mut [u8]) -> Option<(HookId, Heard)> {
        let hook = self.hooks.get_mut(index)?;
        let heard = match hook.stream.read(buffer) {
            Ok(0) => match hook.told.take() {
                Some(told) => Heard::Everything(told),
                None => {
                    hook.gone = true;
                    Heard::Gone
                }
            },
            Ok(count) => {
                if let Some(told) = &mut hook.told {
                    // A hook's input is one value; a newline behind or in it is only space.
                    for byte in buffer[..count].iter_mut().filter(|byte| **byte == b'\n') {
                        *byte = b' ';
                    }
                    told.feed(&buffer[..count], |_| ());
                }
                Heard::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            Err(_) => {
                hook.gone = true;
                Heard::Gone
            }
        };
        Some((hook.id, heard))
    }

    /// Answers a hook and lets it go. Answers are short enough for the socket's buffer.
    pub(super) fn answer(&mut self, id: HookId, answer: &str) {
        if let Some(hook) = self.hooks.iter_mut().find(|hook| hook.id == id) {
            // It may have been ended meanwhile.
            let _ = hook.stream.write_all(answer.as_bytes());
            hook.gone = true;
        }
    }

    /// Forgets who is gone.
    pub(super) fn sweep(&mut self) {
        self.hooks.retain(|hook| !hook.gone);
    }
}

/// Calls `each` with what a hook told.
pub(super) fn told(mut told: Splitter, each: impl FnMut(Line<'_>)) {
    told.finish(each);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many hooks a session of this user hears of what this process says.
    fn heard_by_a_session_of(user: u32) -> usize {
        let runtime = tempfile::tempdir().unwrap();
        let mut hooks = Hooks::listen(runtime.path(), user, Limits::for_output(1024)).unwrap();
        let mut hook = UnixStream::connect(runtime.path().join(SOCKET)).unwrap();
        hook.write_all(b"{}").unwrap();
        hooks.accept();
        let heard = hooks.interests().count();
        if heard == 0 {
            let mut answer = Vec::new();
            // Closed with what it said unread.
            let _ = hook.read_to_end(&mut answer);
            assert_eq!(answer, b"");
        }
        heard
    }

    #[test]
    fn nobody_but_the_sessions_own_user_is_heard_as_a_hook() {
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(heard_by_a_session_of(own), 1);
        assert_eq!(heard_by_a_session_of(own + 1), 0, "not even root");
    }
}
