//! A person's machine with a repository, a stand-in for the engine's program, and one for the API of
//! the box that it would start.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cib_testkit::wait::wait_until;
use tempfile::TempDir;

use crate::SOON;

pub(crate) struct Stage {
    folder: TempDir,
    api: Arc<BoxApi>,
}

/// What the box's API does.
struct BoxApi {
    healthy: AtomicBool,
    pages: AtomicBool,
    /// File with what it was asked, a line each.
    asked: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = Arc::new(BoxApi {
            healthy: AtomicBool::new(true),
            pages: AtomicBool::new(true),
            asked: folder.path().canonicalize().unwrap().join("state/asked"),
        });
        let stage = Self { folder, api };
        for name in ["bin", "home", "state", "tmp", "my repo"] {
            std::fs::create_dir(stage.at(name)).unwrap();
        }
        stage.program("docker", include_str!("docker.sh"));
        stage.serve();
        stage.git(&["init", "-q", "-b", "main"]);
        stage.git(&["config", "user.name", "A Person"]);
        stage.git(&["config", "user.email", "person@example.com"]);
        std::fs::write(stage.at("my repo/file"), "text\n").unwrap();
        stage.git(&["add", "-A"]);
        stage.git(&["commit", "-qm", "First"]);
        std::fs::write(stage.at("my repo/file"), "changed\n").unwrap();
        stage
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        std::fs::write(&path, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }

    /// The box never becomes healthy.
    pub(crate) fn sicken(&self) {
        self.api.healthy.store(false, Ordering::Release);
    }

    /// The box has no pages.
    pub(crate) fn without_pages(&self) {
        self.api.pages.store(false, Ordering::Release);
    }

    /// What the box's API was asked for whose line begins so: each with its body.
    pub(crate) fn asked(&self, begins: &str) -> Vec<String> {
        let asked = self.read("state/asked");
        let lines = asked.lines().filter(|line| line.starts_with(begins));
        lines.map(str::to_owned).collect()
    }

    /// What the person's browser was opened on, once it was; `cib` needs [`Stage::browser`].
    pub(crate) fn opened(&self) -> String {
        wait_until(SOON, "the browser", || self.at("state/opened").exists());
        let opened = self.read("state/opened");
        std::fs::remove_file(self.at("state/opened")).unwrap();
        opened.trim().to_owned()
    }

    /// A browser, which says what it was opened on.
    pub(crate) fn browser(&self) -> PathBuf {
        self.program("browser", "#!/bin/sh\necho \"$*\" >\"$STATE/opened.part\"; mv \"$STATE/opened.part\" \"$STATE/opened\"\n");
        self.at("bin/browser")
    }

    /// The call that has made the box, and the variables of the box.
    pub(crate) fn made(&self) -> (String, String) {
        let log = self.read("state/log");
        let mut created = log.lines().filter(|line| line.starts_with("create "));
        let created = created.next_back().unwrap_or_default().to_owned();
        (created, self.read("state/variables"))
    }

    /// The archive of the box's secrets.
    pub(crate) fn secrets(&self) -> String {
        let archive = std::fs::read(self.at("state/secrets.tar")).unwrap();
        String::from_utf8_lossy(&archive).into_owned()
    }

    /// Forgets the box that there is, as if it had gone, and what was asked of it.
    pub(crate) fn forget(&self) {
        for name in ["asked", "box", "log", "secrets.tar", "started", "variables"] {
            let _ = std::fs::remove_file(self.at("state").join(name));
        }
        let _ = std::fs::remove_dir_all(self.at("state/workspace"));
    }

    /// Commits a file in the box.
    pub(crate) fn commit_inside(&self, file: &str, text: &str, message: &[&str]) -> String {
        let workspace = self.at("state/workspace");
        let path = workspace.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        let workspace = workspace.display().to_string();
        let git = |words: &[&str]| self.git(&[&["-C", &workspace], words].concat());
        git(&["add", "--", file]);
        let author = ["-c", "user.name=c", "-c", "user.email=c@x", "commit", "-q"];
        let message = message.iter().flat_map(|part| ["-m", part]);
        git(&author.into_iter().chain(message).collect::<Vec<_>>());
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Answers as a box's API does to a start.
    fn serve(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::fs::write(self.at("state/port"), port.to_string()).unwrap();
        let api = Arc::clone(&self.api);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let api = Arc::clone(&api);
                std::thread::spawn(move || answer(&stream, &api));
            }
        });
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        command
            .current_dir(self.at("my repo"))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.at("home"))
            .env("TMPDIR", self.at("tmp"))
            .env("STATE", self.at("state"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("ANTHROPIC_API_KEY", "sk-ant-stand-in-0123456789")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn cib(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_cib"));
        command.args(arguments);
        command
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = self.command("git").args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is left on this machine and in the engine of a start that is over: nothing, if it
    /// came to nothing.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut of = |folder: &str| {
            for entry in std::fs::read_dir(self.at(folder)).into_iter().flatten() {
                left.push(format!("{folder}/{}", entry.unwrap().file_name().display()));
            }
        };
        for folder in ["tmp", "state/volumes", "home/.local/state/cib/boxes"] {
            of(folder);
        }
        for name in ["box", "holder"] {
            if self.at("state").join(name).exists() {
                left.push(format!("the {name}"));
            }
        }
        let refs = self.git(&["for-each-ref", "--format=%(refname)"]);
        left.extend(
            refs.lines()
                .filter(|name| *name != "refs/heads/main")
                .map(str::to_owned),
        );
        left
    }
}

fn answer(stream: &TcpStream, api: &BoxApi) {
    let mut source = BufReader::new(stream);
    let mut lines = source.by_ref().lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let mut length = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut asked = vec![0; length];
    if source.read_exact(&mut asked).is_err() {
        return;
    }
    let asked = String::from_utf8(asked).unwrap();
    let line = format!("{} {asked}\n", first.trim_end_matches(" HTTP/1.1"));
    let mut file = std::fs::File::options();
    let file = file.append(true).create(true).open(&api.asked);
    // The stage may have gone.
    let _ = file.map(|mut file| file.write_all(line.as_bytes()));
    let driver = if asked.contains(r#""driver":"tty""#) {
        "tty"
    } else {
        "stream"
    };
    let session = format!(r#"{{"id":"a-session","driver":"{driver}"}}"#);
    const TASK: &str =
        r#"{"id":"00c0ffee","state":"failed","error":{"kind":"no_right","detail":"no \u001b[2J"}}"#;
    let listed = format!(r#"{{"tasks":[{TASK}]}}"#);
    let (status, body) = match first.split(' ').nth(1).unwrap_or_default() {
        "/api/tasks" if first.starts_with("POST") => ("201 Created", TASK),
        "/api/tasks" => ("200 OK", &*listed),
        "/api/tasks/00c0ffee" => ("200 OK", TASK),
        "/api/tasks/00c0ffee/logs?follow=0" => ("200 OK", "[now] \u{1b}[2Jworking\n[now] failed\n"),
        "/api/tasks/00c0ffee/cancel" => (
            "409 Conflict",
            r#"{"error":"task_ended","detail":"the task is failed"}"#,
        ),
        "/api/health" if api.healthy.load(Ordering::Acquire) => ("200 OK", r#"{"status":"ok"}"#),
        "/api/sessions" => ("201 Created", &*session),
        "/api/shells" => ("201 Created", r#"{"id":"a-shell"}"#),
        "/api/auth/claude/start" => (
            "200 OK",
            r#"{"flow":{"state":"waiting_for_code","url":"https://login.example/\u001b[2Jx"}}"#,
        ),
        "/api/auth/claude/code" if asked.contains("the-right-one") => {
            ("200 OK", r#"{"flow":{"state":"verifying"}}"#)
        }
        "/api/auth/claude/code" => (
            "200 OK",
            r#"{"flow":{"state":"failed","detail":"no \u001b[2J such code"}}"#,
        ),
        "/api/auth/claude/status" => ("200 OK", r#"{"flow":{"state":"done"}}"#),
        "/api/tokens" => ("201 Created", r#"{"plaintext":"a-token"}"#),
        "/" if api.pages.load(Ordering::Acquire) => ("200 OK", "{}"),
        "/" => ("404 Not Found", "{}"),
        _ => ("503 Service Unavailable", "{}"),
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // Whoever has asked may have gone.
    let _ = (&*stream).write_all(answer.as_bytes());
}

/// What a program came to, in one line for a failed assertion.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{:?}: {}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What a command that succeeds prints as JSON.
#[track_caller]
pub(crate) fn json(mut command: Command) -> serde_json::Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A program that is ended if the test ends before it.
pub(crate) struct Running(pub(crate) Option<Child>);

impl Running {
    pub(crate) fn finish(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.0.as_ref().unwrap().id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn spawn(command: &mut Command) -> Running {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(Some(command.spawn().unwrap()))
}

/// Whether a path is there.
pub(crate) fn there(path: &Path) -> bool {
    path.exists()
}
