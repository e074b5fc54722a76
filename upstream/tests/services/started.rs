//! What both programs do when they are started. The tests of `cib-resolver` use this file as well.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output};
use std::time::Duration;

use cib_testkit::process::Process;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn config(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Reports readiness when it listens at `address`, and ends with 0 on SIGTERM.
pub(crate) fn says_when_it_listens_and_ends_well(program: &str, text: &str, address: SocketAddr) {
    let config = config(text);
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(config.path());
    command
        .arg("--ready-fd")
        .arg(writer.as_raw_fd().to_string());
    let mut process = Process::spawn(command).unwrap();
    drop(writer);
    let mut heard = Vec::new();
    reader.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\n", "{}", process.output());
    TcpStream::connect(address).unwrap();
    process.signal(Signal::SIGTERM).unwrap();
    assert!(process.wait(SOON).success(), "{}", process.output());
}

/// Ends with 64 on a wrong command line and with 78 on a wrong configuration.
pub(crate) fn refuses_what_is_wrong(program: &str) {
    assert_eq!(run(program, &[]).status.code(), Some(64));
    assert_eq!(
        run(program, &["--config", "x", "--ready-fd", "99"])
            .status
            .code(),
        Some(64)
    );
    let missing = run(program, &["--config", "/dev/null/config"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(
        stderr(&missing).contains("/dev/null/config"),
        "{}",
        stderr(&missing)
    );
    let wrong = config(r#"{"upstream":"socks5://u:hunter2","addresses":[]}"#);
    let wrong = run(program, &["--config", wrong.path().to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(78));
    let said = stderr(&wrong);
    assert!(
        said.contains("CIB_PROXY_URL") && !said.contains("hunter2"),
        "{said}"
    );
}

/// Prints its help and its version.
pub(crate) fn explains_itself(program: &str, name: &str) {
    let help = run(program, &["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--ready-fd"));
    let version = run(program, &["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with(name));
}
