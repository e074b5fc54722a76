//! `cib-init passwd`: gives an account of the box another password.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cib_base::errors::chain;
use cib_base::password;
use cib_protocol::accounts::{AccountsReply, AccountsRequest, PATH};
use cib_protocol::secret::Secret;
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use crate::exit;

/// Control answers within this, also where a hash takes long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the password was not changed.
#[derive(Debug, thiserror::Error)]
enum PasswdError {
    #[error("the password cannot be read")]
    Read(#[source] io::Error),
    #[error("the password {0}")]
    Unfit(&'static str),
    #[error("the two are not the same")]
    Differ,
    #[error(
        "no box answers at {PATH}; only root reaches it (docker exec -u 0 BOX cib-init passwd)"
    )]
    Connect(#[source] io::Error),
    #[error("the box did not answer")]
    Exchange(#[source] io::Error),
    #[error("the box's answer cannot be understood; is it another version?")]
    Reply(#[source] serde_json::Error),
    #[error("{0}")]
    Refused(String),
}

/// Reads a password and gives it to an account; to the only one if none is named.
#[must_use]
pub fn passwd(name: Option<String>) -> u8 {
    match change(name) {
        Ok(name) => super::print(&format!(
            "{name} has another password; its sign-ins have ended\n"
        )),
        Err(error) => {
            let _ = writeln!(io::stderr(), "cib-init: {}", chain(&error));
            match error {
                PasswdError::Refused(_) | PasswdError::Unfit(_) | PasswdError::Differ => 1,
                _ => exit::INTERNAL,
            }
        }
    }
}

fn change(name: Option<String>) -> Result<String, PasswdError> {
    let password = read()?;
    password::check(&password).map_err(PasswdError::Unfit)?;
    let password = Secret::new(password);
    match ask(Path::new(PATH), &AccountsRequest::Passwd { name, password })? {
        AccountsReply::Done { name } => Ok(name),
        AccountsReply::Refused { detail } => Err(PasswdError::Refused(detail)),
    }
}

/// The password: twice and unseen from a terminal, else the first line of what comes.
fn read() -> Result<String, PasswdError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line(stdin.lock()).map_err(PasswdError::Read);
    }
    let ask = |prompt: &str| {
        let _ = write!(io::stderr(), "{prompt}: ");
        let text = Unseen::begin(&stdin).and_then(|_unseen| line(stdin.lock()));
        let _ = writeln!(io::stderr());
        text.map_err(PasswdError::Read)
    };
    let first = ask("New password")?;
    if first != ask("The same again")? {
        return Err(PasswdError::Differ);
    }
    Ok(first)
}

/// A line without its end, and no more of it than a password may have.
fn line(from: impl io::BufRead) -> io::Result<String> {
    let mut text = String::new();
    from.take(password::MOST as u64 + 2).read_line(&mut text)?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Unseen<'t, T: AsFd>(&'t T, Termios);

impl<'t, T: AsFd> Unseen<'t, T> {
    fn begin(terminal: &'t T) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut unseen = before.clone();
        unseen.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(terminal, SetArg::TCSAFLUSH, &unseen)?;
        Ok(Self(terminal, before))
    }
}

impl<T: AsFd> Drop for Unseen<'_, T> {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = termios::tcsetattr(self.0, SetArg::TCSANOW, &self.1);
    }
}

fn ask(path: &Path, request: &AccountsRequest) -> Result<AccountsReply, PasswdError> {
    let mut stream = UnixStream::connect(path).map_err(PasswdError::Connect)?;
    let answer = exchange(&mut stream, request).map_err(PasswdError::Exchange)?;
    serde_json::from_str(&answer).map_err(PasswdError::Reply)
}

fn exchange(stream: &mut UnixStream, request: &AccountsRequest) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_password_is_the_first_line_and_keeps_its_spaces() {
        assert_eq!(line(&b" a b \r\nmore\n"[..]).unwrap(), " a b ");
        assert_eq!(line(&b"no end"[..]).unwrap(), "no end");
        let long = vec![b'x'; password::MOST * 2];
        let read = line(&*long).unwrap();
        assert_eq!(password::check(&read), Err("has more than 1,024 bytes"));
    }

    #[test]
    fn control_is_asked_in_one_line_and_its_refusal_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let control = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            stream
                .write_all(b"{\"refused\":{\"detail\":\"no\"}}\n")
                .unwrap();
            asked
        });
        let request = AccountsRequest::Passwd {
            name: Some("ann".to_owned()),
            password: Secret::new("correct horse"),
        };
        let reply = ask(&path, &request).unwrap();
        assert_eq!(
            reply,
            AccountsReply::Refused {
                detail: "no".to_owned()
            }
        );
        assert_eq!(
            control.join().unwrap(),
            "{\"op\":\"passwd\",\"name\":\"ann\",\"password\":\"correct horse\"}\n"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(ask(&path, &request), Err(PasswdError::Connect(_))));
    }
}
