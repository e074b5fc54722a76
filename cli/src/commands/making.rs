//! Making a box: volumes, the repository, secrets, the container, and the wait for its health.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::inside::{self, Load};
use super::plan::Plan;
use super::{Context, holder};
use crate::api::Api;
use crate::boxes::state::State;
use crate::boxes::{Boxes, Found, INIT, LABEL, PORT, volumes};
use crate::engine::{Engine, EngineError, Kind};
use crate::failure::{Exit, Failure};
use crate::git::Repository;
use crate::git::pack::{Pack, PackError};
use crate::{interrupt, process, text};

/// How long a box has until it is healthy, its setup commands aside.
pub(super) const BOOT: Duration = Duration::from_secs(180);

/// How often a box that begins is asked whether it is healthy: it often is within a tenth of a
/// second, and somebody waits.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// How long each setup command may take (`CIB_SETUP_TIMEOUT`).
const SETUP: Duration = Duration::from_secs(600);

/// How long the engine may take to notice that a box has ended.
const ENDED: Duration = Duration::from_secs(2);

/// How long something that was broken off may use what it has.
const RELEASED: Duration = Duration::from_secs(15);

/// Folder of the secrets in a box.
pub(super) const SECRETS: &str = "/run/secrets";

/// A box that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Making<'a> {
    pub context: &'a Context<'a>,
    pub engine: &'a Engine,
    pub repository: &'a Repository,
    pub plan: &'a Plan,
    pub image: &'a str,
    pub name: &'a str,
}

impl Making<'_> {
    /// Starts the container that [`Making::create`] has made, fills it, and waits until it is
    /// healthy.
    pub(super) fn make(
        &self,
        load: &Load,
        packed: impl FnOnce() -> Result<Pack, PackError>,
        state: &State,
    ) -> Result<Api, Failure> {
        let Self {
            context,
            engine,
            repository,
            plan,
            name,
            ..
        } = *self;
        let output = context.output;
        let branch = plan.branch_of(name)?;
        for note in &plan.mounts.notes {
            output.note(note);
        }
        if let Some(habits) = plan.habits.told() {
            output.note(&format!("of ~/.claude: {habits}"));
        }
        output.step(&format!("Starting the box {name}"));
        let token = token()?;
        if let Some(url) = &plan.held {
            holder::fill(engine, name, url)?;
        }
        let mut secrets = vec![("CIB_AUTH_TOKEN_FILE", "auth_token", token.clone())];
        secrets.extend(plan.secrets.iter().cloned());
        let target = format!("{name}:{SECRETS}");
        engine.tell(
            "put the secrets into the box",
            &["cp", "-", &target],
            &archive(&secrets)?,
        )?;
        state.keep(&token)?;
        if let Some(credential) = &plan.credential {
            state.keep_credential(credential)?;
        }
        engine.ask_for("start the box", &["start", name])?;
        output.step(&format!(
            "Copying {} to it, branch {branch}",
            repository.top.display()
        ));
        if plan.work {
            output.note(&format!(
                "with uncommitted work; {} files that git does not know",
                load.snapshot.untracked
            ));
        }
        let origin = plan.origin(load, &branch);
        let (boxes, copied) = thread::scope(|scope| {
            let boxes = scope.spawn(|| Boxes::one(engine, name));
            let copied = packed()
                .map_err(Failure::from)
                .and_then(|pack| inside::put(context, engine, repository, &origin, pack, name));
            (process::joined(boxes), copied)
        });
        if let Err(failure) = copied {
            return Err(self.why_ended().unwrap_or(failure));
        }
        let boxes = boxes?;
        self.await_health(boxes.named(name)?, token)
    }

    /// Makes the container, and with it the volumes; whether nobody else had its name. An engine
    /// gives a name once, so whoever has made the container owns the name.
    pub(super) fn create(&self) -> Result<bool, Failure> {
        let branch = self.plan.branch_of(self.name)?;
        let branch = branch.as_str();
        let Self {
            engine,
            repository,
            plan,
            image,
            name,
            ..
        } = *self;
        if plan.held.is_some() && !holder::create(engine, name, image)? {
            return Ok(false);
        }
        let mut words: Vec<String> = ["create", "--name", name, "--pull", "never"]
            .map(str::to_owned)
            .into();
        if plan.held.is_some() {
            holder::restricted(&mut words);
        }
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        let label = |key: &str, value: &str| format!("{LABEL}.{key}={value}");
        for (key, value) in [
            ("cib", "1"),
            ("name", name),
            ("repo", &repository.id()),
            ("path", &repository.top.display().to_string()),
            ("branch", branch),
            ("base", &plan.commit),
            ("tree", &plan.tree),
            ("remote", plan.remote.as_deref().unwrap_or_default()),
            ("version", env!("CARGO_PKG_VERSION")),
        ] {
            option("--label", label(key, value));
        }
        for (key, is_so) in [
            ("runner", plan.runner),
            ("no-push", plan.no_push),
            ("no-pr", plan.no_pr),
        ] {
            if is_so {
                option("--label", label(key, "1"));
            }
        }
        if plan.held.is_some() {
            let holder = holder::name(name);
            option("--label", label("holder", &holder));
            option("--network", format!("container:{holder}"));
            option("--env", "CIB_PROXY_MODE=join".to_owned());
        } else {
            option("--hostname", name.to_owned());
            if !engine.remote {
                option("--publish", format!("127.0.0.1::{PORT}"));
            }
        }
        option("--stop-timeout", "15".to_owned());
        option("--env", "CIB_AWAIT_COPY=1".to_owned());
        for (volume, target) in volumes(name) {
            option("--volume", format!("{volume}:{target}"));
        }
        for volume in &plan.mounts.volumes {
            option("--volume", volume.clone());
        }
        option("--env", format!("CIB_AUTH_TOKEN_FILE={SECRETS}/auth_token"));
        for (variable, file, _) in &plan.secrets {
            option("--env", format!("{variable}={SECRETS}/{file}"));
        }
        let file = variables(plan)?;
        option("--env-file", file.path().display().to_string());
        if plan
            .secrets
            .iter()
            .any(|(variable, ..)| *variable == "CIB_PROXY_URL_FILE")
        {
            option("--cap-add", "NET_ADMIN".to_owned());
        }
        if engine.kind == Kind::Podman {
            // OCI images carry no health check.
            option("--health-cmd", format!("{INIT} healthcheck"));
        }
        words.extend(plan.limits.iter().cloned());
        words.push(image.to_owned());
        let made = is_made(engine, &words, name);
        if plan.held.is_some() && !matches!(made, Ok(true)) {
            discard_holder(engine, name);
        }
        made
    }

    /// Why a box that did not take its copy has ended, if it has: the engine may tell that a moment
    /// after it has told whoever was in it.
    fn why_ended(&self) -> Option<Failure> {
        let runs = || {
            let boxes = Boxes::one(self.engine, self.name);
            boxes.map_or(true, |boxes| boxes.named(self.name).is_ok_and(Found::runs))
        };
        process::wait_for(ENDED, || (!runs()).then_some(()))?;
        Some(ended(self.engine, self.name))
    }

    fn await_health(&self, found: &Found, token: String) -> Result<Api, Failure> {
        let Self {
            context,
            engine,
            plan,
            name,
            ..
        } = *self;
        if !found.runs() {
            return Err(ended(engine, name));
        }
        let follower = (plan.setup > 0 && !context.output.quiet)
            .then(|| follow(engine, name))
            .flatten();
        let api = context.api_of(engine, found, token)?;
        let setup = SETUP * u32::try_from(plan.setup).unwrap_or(u32::MAX);
        let mut looks = 0_u32;
        let outcome = process::wait_each(GLANCE, BOOT.saturating_add(setup), || {
            if api.is_healthy() {
                return Some(true);
            }
            looks += 1;
            // The engine is slower to ask than the box.
            let gone = looks.is_multiple_of(50)
                && !Boxes::one(engine, name)
                    .is_ok_and(|boxes| boxes.named(name).is_ok_and(Found::runs));
            gone.then_some(false)
        });
        if let Some(mut child) = follower {
            // It may have ended with the box.
            let _ = child.kill();
            let _ = child.wait();
        }
        match outcome {
            Some(true) => {
                plan.habits.give(engine, found)?;
                plan.mounts.give(engine, found)?;
                Ok(api)
            }
            Some(false) => Err(ended(engine, name)),
            None => Err(Failure::failed("the box did not become healthy in time")
                .remedy(last_lines(engine, name))),
        }
    }
}

/// Makes a container; whether nobody else had its name.
pub(super) fn is_made(engine: &Engine, words: &[String], name: &str) -> Result<bool, Failure> {
    let mut command = engine.command();
    command.args(words);
    // Nobody knows what is left of one that was broken off.
    let ran = interrupt::to_the_end(|| process::run(&mut command, b"", BOOT))?;
    if ran.good() {
        return Ok(true);
    }
    let said = ran.complaint();
    if said.contains("already in use") || said.contains("already used") {
        return Ok(false);
    }
    // Podman may have made it and failed to make it ready.
    discard(engine, name);
    Err(EngineError::Refused {
        what: "make the box".to_owned(),
        said,
    }
    .into())
}

/// The box's variables in a file of this user's: on a command line everybody would see them, and
/// as variables of the engine's program they would change what that does.
fn variables(plan: &Plan) -> Result<NamedTempFile, Failure> {
    let mut file = tempfile::Builder::new().prefix("cib-").tempfile()?;
    let given = plan
        .variables
        .iter()
        .map(|(name, value)| (name.as_str(), value));
    let forwarded = plan
        .mounts
        .variables
        .iter()
        .map(|(name, value)| (*name, value));
    for (name, value) in given.chain(forwarded) {
        if value.contains(['\n', '\r']) {
            let what = format!("the variable {name} has several lines, which engines do not take");
            return Err(Failure::new(Exit::Configuration, what));
        }
        writeln!(file, "{name}={value}")?;
    }
    file.flush()?;
    Ok(file)
}

fn token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(cib_base::hex::encode(&bytes))
}

/// Files that only root reads, in a folder that only root opens.
pub(super) fn archive(secrets: &[(&str, &str, String)]) -> Result<Vec<u8>, Failure> {
    let mut archive = tar::Builder::new(Vec::new());
    for (_, file, value) in secrets {
        let mut header = tar::Header::new_ustar();
        header.set_size(value.len() as u64);
        header.set_mode(0o400);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, file, value.as_bytes())?;
    }
    Ok(archive.into_inner()?)
}

/// Shows what the box says while it prepares.
fn follow(engine: &Engine, name: &str) -> Option<std::process::Child> {
    let mut child = engine
        .command()
        .args(["logs", "--follow", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let said = child.stdout.take()?;
    std::thread::spawn(move || {
        for line in BufReader::new(said.take(16 << 20))
            .split(b'\n')
            .map_while(Result::ok)
        {
            let line = text::line(&String::from_utf8_lossy(&line));
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("    {line}\n").as_bytes(),
            );
        }
    });
    Some(child)
}

/// Why a box has ended by itself.
fn ended(engine: &Engine, name: &str) -> Failure {
    let code = engine
        .ask_for(
            "say how the box ended",
            &[
                "container",
                "inspect",
                "--format",
                "{{.State.ExitCode}}",
                name,
            ],
        )
        .unwrap_or_default();
    let exit = if code.trim() == "78" {
        Exit::Configuration
    } else {
        Exit::Failed
    };
    let what = format!(
        "the box ended with exit code {} before it was ready, and is removed",
        code.trim()
    );
    Failure::new(exit, what).remedy(last_lines(engine, name))
}

pub(super) fn last_lines(engine: &Engine, name: &str) -> String {
    let ran = engine.run("show the box's log", &["logs", "--tail", "30", name], b"");
    let said = ran
        .map(|ran| [ran.stdout, ran.stderr].concat())
        .unwrap_or_default();
    format!("its last lines:\n{}", text::plain_bytes(&said).trim_end())
}

/// Removes a box's holder that a start which failed has made.
fn discard_holder(engine: &Engine, name: &str) {
    let holder = holder::name(name);
    // What was not made cannot be removed.
    let _ = engine.run("remove the box", &["rm", "--force", &holder], b"");
    let words = ["volume", "rm", "--force", &holder];
    let _ = engine.run("remove a volume", &words, b"");
}

/// Removes what a start that failed has made.
pub(super) fn discard(engine: &Engine, name: &str) {
    let filter = format!("label={LABEL}.holder-of={name}");
    let words = ["ps", "--all", "--quiet", "--filter", &filter];
    let has_holder = engine.run("look for its holder", &words, b"");
    // What was not made cannot be removed.
    let _ = engine.run("remove the box", &["rm", "--force", name], b"");
    if has_holder.is_ok_and(|ran| !ran.text().is_empty()) {
        discard_holder(engine, name);
    }
    for (volume, _) in volumes(name) {
        // What was broken off may use it for a moment still.
        let _ = process::wait_for(RELEASED, || {
            let words = ["volume", "rm", "--force", &volume];
            let ran = engine.run("remove a volume", &words, b"").ok()?;
            (ran.good() || ran.complaint().contains("no such volume")).then_some(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_roots_alone_from_their_first_moment() {
        let secrets = [("A_FILE", "a", "value".to_owned())];
        let bytes = archive(&secrets).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let header = entry.header().clone();
        assert_eq!(header.mode().unwrap(), 0o400);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "value");
    }
}
