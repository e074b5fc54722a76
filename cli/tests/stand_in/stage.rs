//! A person's machine with a repository, a stand-in for the engine's program, and one for the API of
//! the box that it would start.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

pub(crate) struct Stage {
    folder: TempDir,
    healthy: Arc<AtomicBool>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
            healthy: Arc::new(AtomicBool::new(true)),
        };
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
        self.healthy.store(false, Ordering::Release);
    }

    /// Answers as a box's API does to a start.
    fn serve(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::fs::write(self.at("state/port"), port.to_string()).unwrap();
        let healthy = Arc::clone(&self.healthy);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let healthy = Arc::clone(&healthy);
                std::thread::spawn(move || answer(&stream, &healthy));
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
        if self.at("state/box").exists() {
            left.push("the box".to_owned());
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

fn answer(stream: &TcpStream, healthy: &AtomicBool) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    for line in lines {
        if line.is_empty() {
            break;
        }
    }
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
        "/api/health" if healthy.load(Ordering::Acquire) => ("200 OK", r#"{"status":"ok"}"#),
        "/api/sessions" => ("201 Created", r#"{"id":"a-session","driver":"stream"}"#),
        "/api/tokens" => ("201 Created", r#"{"plaintext":"a-token"}"#),
        "/" => ("200 OK", "{}"),
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
