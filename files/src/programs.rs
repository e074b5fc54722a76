//! Programs of coder's: whether they can be run, and what one does that is tried.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::api::TriedHook;
use cib_protocol::files::FilesFault;
use nix::unistd::{AccessFlags, access};

use crate::fault::Refusal;
use crate::run::{self, Outcome};

/// Names that are looked for at once, at most.
const MAX_NAMES: usize = 200;

/// How long a program that is tried may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives a command back the memory that this program does without: some reserve more than they use.
const SHELL: &str = "ulimit -S -v unlimited 2>/dev/null; exec /bin/sh -c \"$1\"";

/// Bytes that are told of each of its outputs.
const MOST: usize = 64 * 1024;

/// Bytes of input: what a pipe holds without anybody reading.
const MAX_INPUT: usize = 32 * 1024;

/// For each of these, a path or a name that a shell would look for, whether coder can run it.
#[must_use]
pub fn runnable(names: &[String]) -> Vec<bool> {
    let path = std::env::var("PATH").unwrap_or_default();
    let can = |file: &Path| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    let is_there = |name: &String| {
        if name.contains('/') {
            return can(Path::new(name));
        }
        !name.is_empty()
            && path
                .split(':')
                .filter(|folder| folder.starts_with('/'))
                .any(|folder| can(&Path::new(folder).join(name)))
    };
    names.iter().take(MAX_NAMES).map(is_there).collect()
}

/// Runs a shell's command with this input, and tells how it went.
///
/// # Errors
/// If it cannot be started.
pub fn attempt(command: &str, input: &str) -> Result<TriedHook, Refusal> {
    if input.len() > MAX_INPUT {
        let why = format!("the input has more than {MAX_INPUT} bytes");
        return Err(Refusal::new(FilesFault::TooLarge, why));
    }
    let begun = Instant::now();
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", SHELL, "sh", command])
        .stdin(Stdio::piped());
    if let Some(home) = std::env::var_os("HOME") {
        shell.current_dir(home);
    }
    let mut running = run::start(shell)?;
    if let Some(mut stdin) = running.stdin() {
        // One that does not read its input says why by other means.
        let _ = stdin.write_all(input.as_bytes());
    }
    let heard = running.hear(MOST, MOST, begun + PATIENCE)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(TriedHook {
        exit_code: match heard.outcome {
            Outcome::Ended(status) => status.code(),
            Outcome::Late | Outcome::Cut => None,
        },
        timed_out: heard.outcome == Outcome::Late,
        stdout: text(&heard.stdout),
        stderr: text(&heard.stderr),
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_coder_can_run_is_told_from_what_it_cannot() {
        let plain = tempfile::NamedTempFile::new().unwrap();
        let plain = plain.path().to_str().unwrap();
        let names = ["sh", "/bin/sh", plain, "no-such-program", "/", ""];
        let names = names.map(str::to_owned);
        assert_eq!(runnable(&names), [true, true, false, false, false, false]);
    }

    #[test]
    fn a_command_that_is_tried_gets_its_input_and_has_an_end() {
        let tried = attempt("cat; echo oops >&2; exit 2", r#"{"a":1}"#).unwrap();
        assert_eq!(
            (
                tried.exit_code,
                &*tried.stdout,
                &*tried.stderr,
                tried.timed_out
            ),
            (Some(2), r#"{"a":1}"#, "oops\n", false)
        );
        let endless = attempt("yes", "").unwrap();
        assert_eq!((endless.exit_code, endless.stdout.len()), (None, MOST));
    }
}
