//! What the host tests stand on: init as PID 1 of a namespace of its own, and waiting for
//! conditions instead of for time.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The program under test: the one of this build, or that of an image.
pub(crate) const INIT: &str = match option_env!("CIB_TEST_INIT") {
    Some(path) => path,
    None => env!("CARGO_BIN_EXE_cib-init"),
};
/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "never came true: {what}");
        // The condition has no descriptor to wait on; the deadline bounds the polling.
        pause();
    }
}

/// Gives the processor away for a moment.
pub(crate) fn pause() {
    let _ = nix::poll::poll(&mut [], 2_u8);
}

/// Init as PID 1 of new pid and mount namespaces.
pub(crate) struct Namespace {
    unshare: Option<Child>,
    /// PID 1's number out here.
    pub(crate) pid: i32,
}

/// How it ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Collected with the failed test's own output.
            println!("--- {}\n{}{}", self.status, self.stdout, self.stderr);
        }
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("signal {:?}; stderr: {}", self.status.signal(), self.stderr))
    }
}

/// What runs the rest of its arguments as PID 1, with default signal dispositions: whoever
/// runs the tests in the background ignores some.
pub(crate) fn unshare() -> Command {
    let mut command = Command::new("env");
    command.args([
        "--default-signal",
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "--",
    ]);
    command
}

impl Namespace {
    /// Starts init with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = unshare();
        command.arg(INIT).args(arguments);
        Self::spawn(command)
    }

    /// Starts what was built on [`unshare`]; outputs are captured.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let outer = child.id();
        let pid = eventually("PID 1 runs what it was given", || {
            let pid = only_child(outer)?;
            let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            (!program.ends_with("unshare") && !program.ends_with("env")).then_some(pid)
        });
        Self {
            unshare: Some(child),
            pid,
        }
    }

    /// Sends a signal to PID 1 from outside the namespace.
    pub(crate) fn signal(&self, number: i32) {
        signal(self.pid, number);
    }

    /// Waits until it is over.
    pub(crate) fn wait(mut self) -> Ended {
        wait(self.unshare.take().expect("only waited for once"))
    }

    /// The line that was written to standard output next.
    pub(crate) fn line(&mut self) -> String {
        let stdout = self
            .unshare
            .as_mut()
            .and_then(|child| child.stdout.as_mut())
            .expect("standard output is captured");
        let mut line = Vec::new();
        let mut byte = [0];
        while stdout.read(&mut byte).expect("a readable pipe") == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("text")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(mut child) = self.unshare.take() {
            // --kill-child takes PID 1 with it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Collects outputs and status, with a deadline.
pub(crate) fn wait(mut child: Child) -> Ended {
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(stderr) = stderr.as_mut() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    let guard = Watchdog::over(child.id());
    let mut text = String::new();
    if let Some(stdout) = stdout.as_mut() {
        let _ = stdout.read_to_string(&mut text);
    }
    let status = child.wait().expect("our own child");
    drop(guard);
    Ended {
        status,
        stdout: text,
        stderr: reader.join().expect("no panic"),
    }
}

/// Kills a process that outlives the test's patience.
struct Watchdog(Option<(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>)>);

impl Watchdog {
    fn over(pid: u32) -> Self {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            if wait.recv_timeout(PATIENCE * 3) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                signal(pid.cast_signed(), libc::SIGKILL);
            }
        });
        Self(Some((done, thread)))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.0.take() {
            drop(done);
            let _ = thread.join();
        }
    }
}

/// Runs init as PID 1 to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let mut command = unshare();
    command.arg(INIT).args(arguments);
    finish(command)
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command) -> Ended {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is there");
    wait(child)
}

/// Sends a signal.
pub(crate) fn signal(pid: i32, number: i32) {
    cib_init::sys::signal::send(pid, number).expect("the process is there");
}

/// Children of a process, which has one thread.
pub(crate) fn children(pid: u32) -> Vec<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn only_child(pid: u32) -> Option<i32> {
    children(pid).first().copied()
}

/// One field of `/proc/<pid>/status`.
pub(crate) fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field_of(&status, field)
}

/// One field of the text of a status file.
pub(crate) fn field_of(status: &str, field: &str) -> Option<String> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}
