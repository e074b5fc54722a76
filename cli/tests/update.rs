//! `cib self-update` against releases in a folder and behind an address, signed for the test.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod release;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use release::Publisher;

const CURRENT: &str = env!("CARGO_PKG_VERSION");

struct Machine {
    home: tempfile::TempDir,
    publisher: Publisher,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let publisher = Publisher::new(home.path());
        let machine = Self { home, publisher };
        std::fs::create_dir_all(machine.home.path().join("bin")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_cib"), machine.program()).unwrap();
        machine
    }

    fn program(&self) -> PathBuf {
        self.home.path().join("bin/cib")
    }

    fn release(&self) -> PathBuf {
        self.publisher.release()
    }

    fn publish(&self, version: &str, script: &str) {
        self.publisher.publish(version, script);
    }

    fn sign(&self, sums: &str) {
        self.publisher.sign(sums);
    }

    fn update(&self, from: Option<&str>, more: &[&str]) -> Output {
        let mut command = Command::new(self.program());
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .env("HOME", self.home.path())
            .arg("self-update")
            .args(more);
        if let Some(from) = from {
            command.args(["--from", from, "--key"]);
            command.arg(self.publisher.key_file());
        }
        ran(command.stdin(Stdio::null()))
    }

    fn by_folder(&self, more: &[&str]) -> Output {
        self.update(Some(self.release().to_str().unwrap()), more)
    }

    fn version(&self) -> String {
        let output = ran(Command::new(self.program()).arg("--version"));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// Runs a program that was just written: a process that another thread starts has it open for a
/// moment.
fn ran(command: &mut Command) -> Output {
    loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => return output.unwrap(),
        }
    }
}

fn says(version: &str) -> String {
    format!("#!/bin/sh\necho cib {version}\n")
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_signed_newer_program_takes_this_ones_place_and_one_can_go_back() {
    let machine = Machine::new();
    machine.publish("99.0.0", &says("99.0.0"));
    let checked = machine.by_folder(&["--check", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (told["latest"].as_str(), told["newer"].as_bool()),
        (Some("99.0.0"), Some(true))
    );
    assert_eq!(machine.version(), format!("cib {CURRENT}"));
    let updated = machine.by_folder(&[]);
    assert!(updated.status.success(), "{updated:?}");
    assert_eq!(machine.version(), "cib 99.0.0");
    let mode = machine.program().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    let files = std::fs::read_dir(machine.home.path().join("bin"))
        .unwrap()
        .count();
    assert_eq!(files, 1, "something was left behind");
    // What was there before is kept; the new one here is no real one, so the old one goes back.
    let previous = machine.home.path().join(".local/state/cib/previous/cib");
    std::fs::copy(env!("CARGO_BIN_EXE_cib"), machine.program()).unwrap();
    assert_eq!(
        std::fs::read(&previous).unwrap(),
        std::fs::read(env!("CARGO_BIN_EXE_cib")).unwrap()
    );
    std::fs::write(&previous, says("0.0.9")).unwrap();
    let back = machine.update(None, &["--rollback"]);
    assert!(back.status.success(), "{back:?}");
    assert_eq!(machine.version(), "cib 0.0.9");
}

#[test]
fn what_is_not_signed_not_whole_older_or_another_program_changes_nothing() {
    let machine = Machine::new();
    let release = machine.release();
    machine.publish("0.0.1", &says("0.0.1"));
    assert!(complaint(&machine.by_folder(&[])).contains("older"));
    machine.publish("99.0.0", &says("98.0.0"));
    assert!(complaint(&machine.by_folder(&[])).contains("another version"));
    machine.publish("99.0.0", "not a program");
    assert_eq!(machine.by_folder(&[]).status.code(), Some(1));
    let name = format!("cib-99.0.0-{}.tar.gz", cib_cli::release::platform());
    machine.publish("99.0.0", &says("99.0.0"));
    let mut packed = std::fs::read(release.join(&name)).unwrap();
    packed[4] ^= 1;
    std::fs::write(release.join(&name), packed).unwrap();
    assert!(complaint(&machine.by_folder(&[])).contains("not what was signed"));
    machine.publish("99.0.0", &says("99.0.0"));
    let sums = release.join("SHA256SUMS");
    let text = std::fs::read_to_string(&sums).unwrap();
    std::fs::write(&sums, format!("{text}\n")).unwrap();
    assert!(complaint(&machine.by_folder(&[])).contains("not signed by the project"));
    machine.sign("00  cib-99.0.0-plan9_amd64.tar.gz\n");
    assert!(complaint(&machine.by_folder(&[])).contains("no program for"));
    std::fs::remove_file(release.join("SHA256SUMS.minisig")).unwrap();
    assert_eq!(machine.by_folder(&[]).status.code(), Some(1));
    assert_eq!(machine.version(), format!("cib {CURRENT}"));
    assert!(
        !machine
            .home
            .path()
            .join(".local/state/cib/previous")
            .exists()
    );
    let none = machine.update(None, &["--rollback"]);
    assert!(complaint(&none).contains("no update has replaced"));
}

#[test]
fn a_release_behind_an_address_is_taken_as_well() {
    let machine = Machine::new();
    machine.publish("99.0.0", &says("99.0.0"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/release", listener.local_addr().unwrap());
    let folder = machine.release();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 1024];
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                asked.extend(&piece[..read]);
            }
            let asked = String::from_utf8(asked).unwrap();
            let name = asked
                .split([' ', '/'])
                .find(|word| word.contains("cib-") || word.starts_with("SHA"))
                .unwrap();
            let body = std::fs::read(folder.join(name)).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let updated = machine.update(Some(&address), &[]);
    assert!(updated.status.success(), "{updated:?}");
    assert_eq!(machine.version(), "cib 99.0.0");
}
