//! A person's machine: a home, a repository with a remote, and the stand-in for the Messages API.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cib_testkit::engine::{Container, Engine};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const API_KEY: &str = "sk-ant-cli-0123456789abcdef";
pub(crate) const KIT_IMAGE: &str = cib_testkit::engine::KIT_IMAGE;

const SOON: Duration = Duration::from_secs(60);

/// The image of the boxes, as other box tests have it.
pub(crate) fn image() -> String {
    let named = std::env::var("CIB_TEST_IMAGE");
    named.unwrap_or_else(|_| cib_testkit::engine::BOX_IMAGE.to_owned())
}

/// What a program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Stage {
    home: TempDir,
    world: Container,
    /// As whom everything of the person's is run, if not as this process.
    pub(crate) person: Option<Person>,
}

/// Another user of this machine, who has an engine of their own.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// What a command of theirs begins with.
    pub(crate) wrapper: Vec<String>,
    /// Their `cib`.
    pub(crate) cib: PathBuf,
    /// Their variables.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let world = Engine::get()
            .kit("api")
            .arguments(["api", "--listen", "0.0.0.0:8000"])
            .start();
        world.wait_for_log(SOON, "listening");
        let stage = Self {
            home: tempfile::tempdir().unwrap(),
            world,
            person: None,
        };
        std::fs::create_dir_all(stage.path("")).unwrap();
        let remote = stage.remote();
        stage.run(
            "git",
            &[
                "init",
                "-q",
                "--bare",
                "-b",
                "main",
                remote.to_str().unwrap(),
            ],
        );
        stage.git(&["init", "-q", "-b", "main"]);
        for (key, value) in [
            ("user.name", "A Person"),
            ("user.email", "person@example.com"),
        ] {
            stage.git(&["config", key, value]);
        }
        for name in ["tracked.txt", "changed.txt", "gone.txt", "with blank.txt"] {
            stage.write(name, &format!("{name}\n"));
        }
        stage.git(&["add", "-A"]);
        stage.git(&["commit", "-qm", "First"]);
        stage.write("tracked.txt", "twice\n");
        stage.git(&["commit", "-qam", "Second"]);
        stage.git(&["remote", "add", "origin", remote.to_str().unwrap()]);
        stage.git(&["push", "-q", "origin", "main"]);
        stage
    }

    /// Staged, changed, deleted, unknown, a link, a mode and names that are not plain.
    pub(crate) fn make_dirty(&self) {
        self.write("changed.txt", "changed\n");
        self.write("staged é.txt", "staged\n");
        self.git(&["add", "staged é.txt"]);
        self.write("staged é.txt", "staged and changed\n");
        std::fs::remove_file(self.path("gone.txt")).unwrap();
        self.git(&["rm", "-q", "--cached", "with blank.txt"]);
        self.write("new folder/unknown\tfile", "unknown\n");
        std::os::unix::fs::symlink("tracked.txt", self.path("link")).unwrap();
        let script = self.path("script.sh");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        // A box is named after the folder and the second, and tests run beside each other.
        let home = self.home.path();
        let own = home.file_name().unwrap_or_default().to_string_lossy();
        home.join(format!("my repo {}", own.trim_start_matches('.')))
            .join(name)
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.home.path().join("remote.git")
    }

    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.home.path().join(".local/state/cib/boxes").join(name)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the stand-in is, for a box.
    pub(crate) fn api(&self) -> String {
        let addr = self
            .world
            .inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        format!("{addr}:8000")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The same stage without a variable, for the next call.
    pub(crate) fn without(&self, variable: &'static str) -> Without<'_> {
        Without {
            stage: self,
            variable,
        }
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match &self.person {
            None => Command::new(program),
            Some(person) => {
                let mut command = Command::new(&person.wrapper[0]);
                // What changes to another view of the machine begins at its top.
                let folder = format!("--chdir={}", self.path("").display());
                command.args(&person.wrapper[1..]).args(["env", &folder]);
                command.arg(program);
                command
            }
        };
        command
            .current_dir(self.path(""))
            .env("HOME", self.home.path())
            .env("CIB_IMAGE", image())
            .env("ANTHROPIC_BASE_URL", format!("http://{}", self.api()))
            .env("ANTHROPIC_API_KEY", API_KEY)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("CIB_PAGER", "cat")
            .stdin(Stdio::null());
        for name in [
            "CIB_ENGINE",
            "XDG_STATE_HOME",
            "XDG_CONFIG_HOME",
            "SSH_AUTH_SOCK",
            "GIT_CONFIG_GLOBAL",
        ] {
            command.env_remove(name);
        }
        if self.person.is_some() {
            // Where this process's engine is.
            command
                .env_remove("DOCKER_HOST")
                .env_remove("DOCKER_CONFIG");
        }
        let variables = self.person.iter().flat_map(|person| &person.variables);
        command.envs(variables.map(|(name, value)| (name, value)));
        command
    }

    /// The program under test.
    fn program(&self) -> &str {
        let own = self.person.as_ref().map(|person| &person.cib);
        own.map_or(env!("CARGO_BIN_EXE_cib"), |path| path.to_str().unwrap())
    }

    pub(crate) fn finish(mut command: Command) -> Ran {
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(arguments);
        let ran = Self::finish(command);
        assert_eq!(ran.code, 0, "{program} {arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.run("git", arguments)
    }

    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        Engine::get().docker(arguments)
    }

    pub(crate) fn cib(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(self.program());
        command.args(arguments);
        Self::finish(command)
    }

    #[track_caller]
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let ran = self.cib(arguments);
        assert_eq!(
            ran.code, 0,
            "cib {arguments:?}: {}{}",
            ran.stdout, ran.stderr
        );
        ran.stdout
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let said = self.good(arguments);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Starts a box; its name.
    #[track_caller]
    pub(crate) fn start(&self, more: &[&str]) -> String {
        let mut arguments = vec!["start", "--json"];
        arguments.extend(more);
        self.json(&arguments)["name"].as_str().unwrap().to_owned()
    }

    /// Runs a script in a box as the agent, in the workspace.
    #[track_caller]
    pub(crate) fn inside(&self, name: &str, script: &str) -> String {
        self.good(&["exec", name, "sh", "-c", script])
    }

    pub(crate) fn status(&self) -> String {
        self.git(&["status", "--porcelain=v2", "--untracked-files=all"])
    }
}

/// A stage that lacks a variable.
pub(crate) struct Without<'a> {
    stage: &'a Stage,
    variable: &'static str,
}

impl Without<'_> {
    pub(crate) fn cib(&self, arguments: &[&str]) -> Ran {
        let mut command = self.stage.command(env!("CARGO_BIN_EXE_cib"));
        command.env_remove(self.variable).args(arguments);
        Stage::finish(command)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Of every repository of this person's, and of nobody else's.
        let engine = Engine::get();
        let format = "{{.Names}} {{.Label \"claude-in-box.path\"}}";
        let label = "label=claude-in-box.cib=1";
        let listed = engine.run(&["ps", "-a", "--filter", label, "--format", format]);
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let Some((name, path)) = line.split_once(' ') else {
                continue;
            };
            if !Path::new(path).starts_with(self.home.path()) {
                continue;
            }
            if std::thread::panicking() {
                let logs = engine.run(&["logs", "--tail", "40", name]);
                let text = [logs.stdout, logs.stderr].concat();
                let _ = std::io::Write::write_all(&mut std::io::stderr(), &text);
            }
            let holder = format!("{name}-egress");
            let _ = engine.run(&["rm", "--force", name, &holder]);
            let _ = engine.run(&["volume", "rm", "--force", &holder]);
            for volume in ["workspace", "data", "home", "secrets"] {
                let _ = engine.run(&["volume", "rm", "--force", &format!("{name}-{volume}")]);
            }
        }
    }
}
