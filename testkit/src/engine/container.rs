//! Containers: described, started, asked, removed.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{Engine, LABEL, Network, stderr, unique};
use crate::wait::wait_for;

/// A container to be.
#[derive(Debug, Clone)]
pub struct Spec {
    engine: Engine,
    name: String,
    image: String,
    options: Vec<String>,
    arguments: Vec<String>,
    /// The first is where it is created.
    networks: Vec<Place>,
}

/// A place in a network, as options of `docker`.
#[derive(Debug, Clone)]
struct Place {
    network: String,
    addrs: Vec<String>,
}

/// A container, removed when dropped.
#[derive(Debug)]
pub struct Container {
    engine: Engine,
    name: String,
}

/// A script that ends with success once the shell `condition` holds, and otherwise fails after
/// `deadline`.
#[must_use]
pub fn until(deadline: Duration, condition: &str) -> String {
    let looks = deadline.as_millis() / 50;
    format!(
        "i=0; until {condition}; do i=$((i+1)); test $i -lt {looks} || exit 1; sleep 0.05; done"
    )
}

/// What a command run in a container came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Spec {
    pub(super) fn new(engine: &Engine, image: &str, role: &str) -> Self {
        Self {
            engine: engine.clone(),
            name: unique(role),
            image: image.into(),
            options: Vec::new(),
            arguments: Vec::new(),
            networks: Vec::new(),
        }
    }

    /// Attaches the container to `network` as its n-th address.
    #[must_use]
    pub fn on(mut self, network: &Network, n: u8) -> Self {
        let mut addrs = vec!["--ip".into(), network.addr(n).to_string()];
        if let Some(addr6) = network.addr6(n) {
            addrs.extend(["--ip6".into(), addr6.to_string()]);
        }
        self.networks.push(Place {
            network: network.name().into(),
            addrs,
        });
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.option("--env", &format!("{name}={value}"))
    }

    /// Adds a capability, such as `NET_ADMIN`.
    #[must_use]
    pub fn cap(self, name: &str) -> Self {
        self.option("--cap-add", name)
    }

    /// Mounts `SOURCE:TARGET[:ro]`.
    #[must_use]
    pub fn volume(self, mount: &str) -> Self {
        self.option("--volume", mount)
    }

    /// Mounts an empty file system in memory.
    #[must_use]
    pub fn tmpfs(self, target: &str) -> Self {
        self.option("--tmpfs", target)
    }

    /// Publishes `port` on a port of the engine's choice; [`Container::published`] says which.
    #[must_use]
    pub fn publish(self, port: u16) -> Self {
        self.option("--publish", &port.to_string())
    }

    /// Any other option of `docker create` with its value.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.into(), value.into()]);
        self
    }

    /// An option of `docker create` without a value, such as `--init`.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.options.push(name.into());
        self
    }

    /// Gives it every capability and a writable `/proc/sys`. Never for a box.
    #[must_use]
    pub fn privileged(self) -> Self {
        self.flag("--privileged")
    }

    /// What comes after the image.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(words.into_iter().map(Into::into));
        self
    }

    /// Starts the container, attached to all of its networks from its first instruction.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> Container {
        let container = self.create();
        container.start_again();
        container
    }

    /// Makes the container without starting it.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    #[must_use]
    pub fn create(self) -> Container {
        let mut create = vec!["create", "--name", &self.name, "--label", LABEL];
        if let Some(first) = self.networks.first() {
            create.extend(["--network", &first.network]);
            create.extend(first.addrs.iter().map(String::as_str));
        }
        create.extend(self.options.iter().map(String::as_str));
        create.push(&self.image);
        create.extend(self.arguments.iter().map(String::as_str));
        let _id = self.engine.docker(&create);
        let container = Container {
            engine: self.engine.clone(),
            name: self.name.clone(),
        };
        for place in self.networks.iter().skip(1) {
            let mut connect = vec!["network", "connect"];
            connect.extend(place.addrs.iter().map(String::as_str));
            connect.extend([place.network.as_str(), &self.name]);
            let _nothing = self.engine.docker(&connect);
        }
        container
    }
}

impl Container {
    /// Its name, which is also the word that other options of `docker` want.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the container once more after its end.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    pub fn start_again(&self) {
        let _name = self.engine.docker(&["start", &self.name]);
    }

    /// Everything it has written so far, standard error after standard output.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    #[must_use]
    pub fn logs(&self) -> String {
        let output = self.engine.run(&["logs", &self.name]);
        assert!(
            output.status.success(),
            "no logs of {}: {}",
            self.name,
            stderr(&output)
        );
        let out = String::from_utf8_lossy(&output.stdout);
        format!("{out}{}", String::from_utf8_lossy(&output.stderr))
    }

    /// Waits until it has written `needle`.
    ///
    /// # Panics
    /// `deadline` passes, or it ends first.
    #[track_caller]
    pub fn wait_for_log(&self, deadline: Duration, needle: &str) {
        wait_for(
            deadline,
            &format!("`{needle}` in the log of {}", self.name),
            || {
                let running = self.is_running();
                let logs = self.logs();
                if logs.contains(needle) {
                    return Some(());
                }
                assert!(running, "{} ended without `{needle}`:\n{logs}", self.name);
                None
            },
        );
    }

    /// Runs a command inside as root.
    ///
    /// # Panics
    /// There is no `docker` command.
    #[must_use]
    pub fn exec(&self, command: &[&str]) -> Ran {
        self.exec_as("root", command)
    }

    /// Runs a command inside as `user`.
    ///
    /// # Panics
    /// There is no `docker` command.
    #[must_use]
    pub fn exec_as(&self, user: &str, command: &[&str]) -> Ran {
        self.run(&["exec", "--user", user, &self.name], command)
    }

    /// Runs a command inside as root with every capability, for a look at other users'
    /// processes that the container itself may not take.
    ///
    /// # Panics
    /// There is no `docker` command.
    #[must_use]
    pub fn exec_privileged(&self, command: &[&str]) -> Ran {
        self.run(&["exec", "--privileged", &self.name], command)
    }

    /// Copies a file or directory of another container into the directory `to`, which works
    /// before this one is started as well.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    pub fn copy_from(&self, other: &Self, path: &str, to: &str) {
        let from = format!("{}:{path}", other.name);
        let mut read = Command::new("docker");
        let mut read = read
            .args(["cp", &from, "-"])
            .stdout(Stdio::piped())
            .spawn()
            .ok();
        let archive = read.as_mut().and_then(|read| read.stdout.take());
        let mut write = Command::new("docker");
        write.args(["cp", "-", &format!("{}:{to}", self.name)]);
        let written = archive.and_then(|archive| write.stdin(archive).status().ok());
        let read = read.and_then(|mut read| read.wait().ok());
        let copied = |status: Option<ExitStatus>| status.is_some_and(|status| status.success());
        assert!(
            copied(read) && copied(written),
            "{from} was not copied to {}",
            self.name
        );
    }

    /// Copies a file of this machine into the directory `to`, which works before it is started
    /// as well.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    pub fn copy_in(&self, file: &Path, to: &str) {
        let file = file.display().to_string();
        let to = format!("{}:{to}", self.name);
        let _nothing = self.engine.docker(&["cp", &file, &to]);
    }

    /// The files changed, added or deleted since it was made, a line each.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    #[must_use]
    pub fn changes(&self) -> String {
        self.engine.docker(&["diff", &self.name])
    }

    fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        let output = self.engine.run(&[options, command].concat());
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Waits inside, in one command, until the shell `condition` holds. For conditions that
    /// are to be looked at often: a command of its own for each look costs the engine a
    /// process of its own, and the machine a tenth of a second.
    ///
    /// # Panics
    /// `deadline` passes first, or the container ends.
    #[track_caller]
    pub fn wait_inside(&self, deadline: Duration, what: &str, condition: &str) {
        let ran = self.exec(&["sh", "-c", &until(deadline, condition)]);
        assert_eq!(
            ran.code, 0,
            "waited {deadline:?} in vain for {what} in {}: {}{}",
            self.name, ran.stdout, ran.stderr
        );
    }

    /// Runs a shell script inside as root; it has to succeed. Its standard output.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    #[must_use]
    pub fn sh(&self, script: &str) -> String {
        let ran = self.exec(&["sh", "-c", script]);
        assert_eq!(
            ran.code, 0,
            "`{script}` in {}: {}{}",
            self.name, ran.stdout, ran.stderr
        );
        ran.stdout
    }

    /// Stops it as `docker stop` does, with `grace` until it is killed.
    ///
    /// # Panics
    /// The engine refuses.
    #[track_caller]
    pub fn stop(&self, grace: Duration) {
        let grace = grace.as_secs().to_string();
        let _name = self.engine.docker(&["stop", "--time", &grace, &self.name]);
    }

    /// Whether its first process lives.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.inspect("{{.State.Running}}") == "true"
    }

    /// Waits for its end; its exit code.
    ///
    /// # Panics
    /// `deadline` passes first.
    #[track_caller]
    #[must_use]
    pub fn wait_exit(&self, deadline: Duration) -> i32 {
        wait_for(deadline, &format!("the end of {}", self.name), || {
            let state = self.inspect("{{.State.Status}} {{.State.ExitCode}}");
            state
                .strip_prefix("exited ")
                .and_then(|code| code.parse().ok())
        })
    }

    /// Waits until its own health check is content.
    ///
    /// # Panics
    /// `deadline` passes, or it ends first; the message holds its log.
    #[track_caller]
    pub fn wait_healthy(&self, deadline: Duration) {
        let mut last = String::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(deadline, "health", || {
                last = self.inspect("{{.State.Status}} {{.State.Health.Status}}");
                assert!(!last.starts_with("exited"), "it ended");
                (last == "running healthy").then_some(())
            });
        }));
        assert!(
            outcome.is_ok(),
            "{} is not healthy but {last}:\n{}",
            self.name,
            self.logs()
        );
    }

    /// The address that its published `port` has outside, such as `127.0.0.1:49153`.
    ///
    /// # Panics
    /// The port is not published.
    #[track_caller]
    #[must_use]
    pub fn published(&self, port: u16) -> String {
        let found = self.engine.docker(&["port", &self.name, &port.to_string()]);
        found
            .lines()
            .next()
            .unwrap_or_default()
            .replace("0.0.0.0", "127.0.0.1")
    }

    /// What `docker inspect` says to a Go template.
    ///
    /// # Panics
    /// The container is gone.
    #[track_caller]
    #[must_use]
    pub fn inspect(&self, template: &str) -> String {
        self.engine
            .docker(&["inspect", "--format", template, &self.name])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() && self.name.ends_with("-box") {
            let logs = self.engine.run(&["logs", "--tail", "100", &self.name]);
            let text = [logs.stdout, logs.stderr].concat();
            let _ = std::io::Write::write_all(&mut std::io::stderr(), &text);
        }
        let _ = self.engine.run(&["rm", "--force", "--volumes", &self.name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_a_shell_ends_with_its_condition_or_with_a_failure() {
        let run = |script: &str| {
            let ran = Command::new("sh").args(["-c", script]).status();
            ran.ok().and_then(|status| status.code())
        };
        assert_eq!(run(&until(Duration::from_secs(5), "true")), Some(0));
        assert_eq!(run(&until(Duration::from_millis(100), "false")), Some(1));
    }
}
