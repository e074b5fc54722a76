//! `git-remote-cib`, and the check of a push: the small ends of control, which git starts.
//!
//! Both are this program under another name, so that an image has no further one.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use serde::Serialize;

use super::wire::{Answer, Check, Hello, MAX_LINE};

/// The name under which git starts what speaks `cib://`.
pub const HELPER: &str = "git-remote-cib";

/// The name under which git starts what asks whether a push may be.
pub const CHECK: &str = "pre-receive";

/// Where control listens, if it is not where it is in a box.
pub const SOCKET: &str = "CIB_GIT_SOCKET";

/// What shows that control itself has started this git.
pub const TICKET: &str = "CIB_GIT_TICKET";

/// Where control listens for the check.
pub const CHECK_SOCKET: &str = "CIB_CHECK_SOCKET";

/// Which push is checked.
pub const CHECK_PUSH: &str = "CIB_CHECK_PUSH";

/// Where control listens in a box.
const IN_THE_BOX: &str = "/run/cib/git/git.sock";

/// Where pushes of a box that `cib` made lead.
const FROM_THE_HOST: &str = "cib://push-from-the-host";

/// What git takes for a failure of its own.
const FAILED: u8 = 128;

/// Runs what this program was started as, if that is one of the two.
#[must_use]
#[expect(clippy::print_stderr, reason = "git shows it to whoever pushes")]
pub fn run_as(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let name = arguments.next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let done = match &*name {
        HELPER => speak(arguments.nth(1)),
        CHECK => check(),
        _ => return None,
    };
    Some(match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(why)) => {
            eprintln!("claude-in-box: {why}");
            ExitCode::from(FAILED)
        }
        Err(error) => {
            eprintln!("claude-in-box: {error}");
            ExitCode::from(FAILED)
        }
    })
}

/// Speaks to git as a remote helper does: the one thing that it can is to connect.
fn speak(address: Option<OsString>) -> io::Result<Option<String>> {
    let mut git = io::stdin().lock();
    let mut out = io::stdout().lock();
    loop {
        let mut line = String::new();
        if (&mut git).take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => return Ok(None),
            "capabilities" => out.write_all(b"connect\n\n")?,
            other => match other.strip_prefix("connect ") {
                Some(service) => return connect(service, address, git, out),
                None => out.write_all(b"unsupported\n")?,
            },
        }
        out.flush()?;
    }
}

fn connect(
    service: &str,
    address: Option<OsString>,
    git: io::StdinLock<'static>,
    mut out: io::StdoutLock<'static>,
) -> io::Result<Option<String>> {
    let address = address.unwrap_or_default();
    if address == FROM_THE_HOST {
        return Ok(Some(
            "nothing is pushed from this box: its person does it, with `cib push` or `cib pull`"
                .to_owned(),
        ));
    }
    let Some((host, repository)) = address.to_str().and_then(parts) else {
        return Ok(Some("this is no address of a repository".to_owned()));
    };
    let socket = env::var_os(SOCKET).unwrap_or_else(|| IN_THE_BOX.into());
    let Ok(stream) = UnixStream::connect(socket) else {
        return Ok(Some("the box does not publish anything".to_owned()));
    };
    let hello = Hello {
        service: service.to_owned(),
        host,
        repository,
        ticket: env::var(TICKET).ok(),
    };
    let mut control = BufReader::new(stream);
    if let Answer::Refused(why) = ask(&mut control, &hello)? {
        return Ok(Some(why));
    }
    out.write_all(b"\n")?;
    out.flush()?;
    // What of it git has sent already is in the buffer of standard input, which stays.
    drop(git);
    let mut sending = control.get_ref().try_clone()?;
    thread::spawn(move || {
        let _ = copy(&mut io::stdin().lock(), &mut sending);
        let _ = sending.shutdown(Shutdown::Write);
    });
    // As it comes: standard output itself waits for the end of a line.
    let mut out = File::from(out.as_fd().try_clone_to_owned()?);
    copy(&mut control, &mut out)?;
    Ok(None)
}

/// Hands on what comes, as it comes. The library's own would have the kernel move it, which locks
/// the pipe to git for as long as control has nothing to say.
fn copy(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&bytes[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Host and repository of `cib://host/owner/name.git`.
fn parts(address: &str) -> Option<(String, String)> {
    let (host, path) = address.strip_prefix("cib://")?.split_once('/')?;
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    Some((host.to_owned(), path.to_owned()))
}

fn ask(control: &mut BufReader<UnixStream>, what: &impl Serialize) -> io::Result<Answer> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    control.get_mut().write_all(&line)?;
    let mut answer = Vec::new();
    control.take(MAX_LINE).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// Asks control whether what git is about to take may be taken.
fn check() -> io::Result<Option<String>> {
    let mut commands = String::new();
    io::stdin()
        .lock()
        .take(MAX_LINE / 2)
        .read_to_string(&mut commands)?;
    let named = |name: &str| env::var(name).unwrap_or_default();
    let check = Check {
        push: named(CHECK_PUSH),
        objects: named("GIT_OBJECT_DIRECTORY"),
        alternates: named("GIT_ALTERNATE_OBJECT_DIRECTORIES"),
        commands,
    };
    let stream = UnixStream::connect(named(CHECK_SOCKET))?;
    Ok(match ask(&mut BufReader::new(stream), &check)? {
        Answer::Granted => None,
        Answer::Refused(why) => Some(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_repository() {
        let of = |text| parts(text).map(|(host, path)| format!("{host} {path}"));
        assert_eq!(
            of("cib://example.com:81/a/b.git/").as_deref(),
            Some("example.com:81 a/b")
        );
        assert_eq!(of("cib://h/a/b").as_deref(), Some("h a/b"));
        assert_eq!(of("https://h/a/b"), None);
        assert_eq!(of("cib://h"), None);
    }

    #[test]
    fn under_another_name_it_is_control() {
        for name in ["/usr/bin/cib-control", "git-remote-https"] {
            assert!(run_as([name.into()].into_iter()).is_none(), "{name}");
        }
    }
}
