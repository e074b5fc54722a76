//! What of this machine a box can see, besides its copy of the repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Context;
use crate::boxes::Found;
use crate::config::{Configuration, Origin};
use crate::engine::Engine;
use crate::failure::{Exit, Failure};
use crate::process;

/// What is mounted, and the variables that go with it.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Values of `--volume`.
    pub volumes: Vec<String>,
    /// Variables of the box.
    pub variables: Vec<(&'static str, String)>,
    /// What that means, for a person.
    pub notes: Vec<String>,
    /// The public key that belongs to a forwarded GnuPG agent: without it `gpg` in the box knows
    /// no key to ask the agent for.
    pub public_key: Vec<u8>,
}

/// How long a program of GnuPG's may take.
const GNUPG: Duration = Duration::from_secs(20);

/// Where this machine's sockets and keys are mounted.
const HOST: &str = "/run/host";

/// The keys that hand over what this machine has of agents and keys.
const AGENTS: [&str; 4] = [
    "forwardSshAgent",
    "forwardSshKeys",
    "forwardGpgAgent",
    "forwardGpgKeys",
];

/// What the configuration and the flags ask for.
pub(super) fn resolve(
    context: &Context<'_>,
    configuration: &Configuration,
    flags: &[String],
    unsafe_too: bool,
    remote_engine: bool,
) -> Result<Mounts, Failure> {
    let around = context.around;
    let mut mounts = Mounts::default();
    for mount in configuration.mounts() {
        let folder = configuration.folder_of("mounts", around);
        let source = around.path(&mount.source, &folder);
        let target = PathBuf::from("/workspace").join(&mount.target);
        add(
            context,
            &mut mounts,
            &source,
            &target,
            mount.readonly,
            unsafe_too,
        )?;
    }
    let folder = configuration.folder_of("volumes", around);
    let listed = configuration
        .texts("volumes")
        .into_iter()
        .map(|text| (text, &folder));
    let given = flags.iter().map(|text| (text.as_str(), &around.folder));
    for (text, folder) in listed.chain(given) {
        let (source, target, readonly) = parse(text)
            .ok_or_else(|| wrong(format!("the mount `{text}` is not SOURCE:TARGET[:ro]")))?;
        let source = around.path(source, folder);
        let target = PathBuf::from("/workspace").join(target);
        add(context, &mut mounts, &source, &target, readonly, unsafe_too)?;
    }
    if remote_engine {
        if let Some(mount) = mounts.volumes.first() {
            let what = format!("{mount} cannot be mounted: the engine is on another machine");
            return Err(wrong(what).remedy("`cib cp` copies into a box"));
        }
        if AGENTS.iter().any(|key| configuration.is(key)) {
            mounts
                .notes
                .push("agents and keys stay here: the engine is on another machine".to_owned());
        }
        return Ok(mounts);
    }
    forwarded(context, configuration, &mut mounts)?;
    Ok(mounts)
}

fn wrong(what: String) -> Failure {
    Failure::new(Exit::Configuration, what)
}

/// `SOURCE:TARGET[:ro|:rw]`.
fn parse(text: &str) -> Option<(&str, &str, bool)> {
    let (source, rest) = text.split_once(':')?;
    let (target, readonly) = match rest.split_once(':') {
        None => (rest, false),
        Some((target, "ro")) => (target, true),
        Some((target, "rw")) => (target, false),
        Some(_) => return None,
    };
    (!source.is_empty() && !target.is_empty()).then_some((source, target, readonly))
}

fn add(
    context: &Context<'_>,
    mounts: &mut Mounts,
    source: &Path,
    target: &Path,
    readonly: bool,
    unsafe_too: bool,
) -> Result<(), Failure> {
    let source = source
        .canonicalize()
        .map_err(|_| wrong(format!("there is no {} to mount", source.display())))?;
    if let (false, Some(why)) = (unsafe_too, danger(context, &source, target, readonly)) {
        return Err(wrong(format!("{} is not mounted: {why}", source.display()))
            .remedy("--allow-unsafe-mount, if that is meant"));
    }
    let (from, to) = (source.display().to_string(), target.display().to_string());
    if from.contains(':') || to.contains(':') {
        return Err(wrong(format!(
            "{from} cannot be mounted: there is a `:` in a path"
        )));
    }
    let mode = if readonly { "ro" } else { "rw" };
    mounts
        .notes
        .push(format!("mounted: {from} at {to} ({mode})"));
    mounts.volumes.push(format!("{from}:{to}:{mode}"));
    Ok(())
}

/// Why a mount would give the box this machine, or take the box from its owner.
fn danger(
    context: &Context<'_>,
    source: &Path,
    target: &Path,
    readonly: bool,
) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    let target_of =
        |folder: &str| target.starts_with(folder) || Path::new(folder).starts_with(target);
    if [
        "/run",
        "/etc",
        "/usr",
        "/proc",
        "/sys",
        "/dev",
        "/var/lib/claude-in-box",
    ]
    .into_iter()
    .any(target_of)
    {
        return Some("the box has its own things there");
    }
    if source
        .metadata()
        .is_ok_and(|about| about.file_type().is_socket())
    {
        return Some("it is a socket, and who answers it is outside");
    }
    if source == Path::new("/") {
        return Some("it is everything");
    }
    let home = context.around.home()?;
    let home = home.canonicalize().unwrap_or(home);
    if home.starts_with(source) {
        return Some("your home is in it");
    }
    let own = [
        ".ssh", ".gnupg", ".claude", ".config", ".aws", ".kube", ".docker",
    ];
    let keys = own.iter().any(|name| source.starts_with(home.join(name)));
    (keys && !readonly).then_some("the box could change your keys or settings")
}

fn forwarded(
    context: &Context<'_>,
    configuration: &Configuration,
    mounts: &mut Mounts,
) -> Result<(), Failure> {
    let around = context.around;
    let mut give = |source: &Path, name: &str, variable: &'static str, what: &str, mode: &str| {
        let target = format!("{HOST}/{name}");
        mounts
            .volumes
            .push(format!("{}:{target}{mode}", source.display()));
        mounts.variables.push((variable, target));
        mounts.notes.push(format!("goes in: {what}"));
    };
    let folder = |name: &str| {
        around
            .home()
            .map(|home| home.join(name))
            .filter(|path| path.is_dir())
    };
    if configuration.is("forwardSshAgent") {
        let agent = around.variable("SSH_AUTH_SOCK").map(PathBuf::from);
        match agent.filter(|path| path.exists()) {
            Some(agent) => give(
                &agent,
                "ssh-agent",
                "SSH_AUTH_SOCK",
                "your ssh agent; the box can log in with it wherever you can",
                "",
            ),
            None => missing(
                configuration,
                "forwardSshAgent",
                "no ssh agent runs here (SSH_AUTH_SOCK)",
            )?,
        }
    }
    if configuration.is("forwardSshKeys") {
        match folder(".ssh") {
            Some(keys) => give(&keys, "ssh", "CIB_SSH_DIR", "your ssh keys (~/.ssh)", ":ro"),
            None => missing(configuration, "forwardSshKeys", "there is no ~/.ssh")?,
        }
    }
    if configuration.is("forwardGpgKeys") {
        match folder(".gnupg") {
            Some(keys) => give(
                &keys,
                "gnupg",
                "CIB_GNUPG_DIR",
                "your GnuPG keys (~/.gnupg)",
                ":ro",
            ),
            None => missing(configuration, "forwardGpgKeys", "there is no ~/.gnupg")?,
        }
    }
    let mut agent = false;
    if configuration.is("forwardGpgAgent") {
        let program = around.program("gpgconf");
        let program =
            program.ok_or_else(|| wrong("forwardGpgAgent: gpgconf is not installed".to_owned()))?;
        let mut command = Command::new(program);
        command.args(["--list-dirs", "agent-extra-socket"]);
        let socket = PathBuf::from(process::run(&mut command, b"", GNUPG)?.text());
        agent = socket.exists();
        if agent {
            give(
                &socket,
                "gpg-agent",
                "CIB_GPG_AGENT",
                "your GnuPG agent's extra socket",
                "",
            );
        } else {
            missing(
                configuration,
                "forwardGpgAgent",
                "no GnuPG agent runs here (gpgconf --launch gpg-agent)",
            )?;
        }
    }
    let signs = configuration.is("enableGpgSigning");
    if signs {
        mounts.variables.push(("CIB_GIT_SIGNING", "gpg".to_owned()));
    }
    let repository = context.repository().ok();
    let configured = |key| repository.as_ref()?.configured(key).ok()?;
    let key = configured("user.signingkey").filter(|key| is_gpg_key(key));
    if let (true, Some(key)) = (signs, &key) {
        mounts.variables.push(("CIB_GIT_SIGNING_KEY", key.clone()));
    }
    // Where the keys go in, the public ones are among them.
    if agent && !configuration.is("forwardGpgKeys") {
        let key = key.or_else(|| configured("user.email"));
        mounts.public_key = public_key(context, key.as_deref())?;
        let unknown = mounts.public_key.is_empty();
        if unknown && signs {
            let what = "commits cannot be signed in the box: GnuPG here has no key of yours";
            return Err(wrong(what.to_owned()).remedy(
                "name one with `git config user.signingkey KEY`, or leave out --with gpg",
            ));
        }
    }
    Ok(())
}

/// What was asked for on the command line and is not here is a fault; what a file or nobody has
/// asked for is left out.
fn missing(configuration: &Configuration, key: &str, what: &str) -> Result<(), Failure> {
    match &configuration.valued(key).origin {
        Origin::Flag(flag) => Err(wrong(format!("{flag}: {what}"))),
        _ => Ok(()),
    }
}

/// Whether git's `user.signingkey` names a key of GnuPG's, and nothing that a program would read
/// otherwise.
fn is_gpg_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " @.+_<>!-".contains(c);
    !key.starts_with('-') && !key.starts_with("ssh-") && key.chars().all(plain)
}

/// A public key as GnuPG here has it; nothing if it has none.
fn public_key(context: &Context<'_>, key: Option<&str>) -> Result<Vec<u8>, Failure> {
    let (Some(gpg), Some(key)) = (context.around.program("gpg"), key) else {
        return Ok(Vec::new());
    };
    let mut command = Command::new(gpg);
    command.args(["--batch", "--no-tty", "--export", "--", key]);
    Ok(process::run(&mut command, b"", GNUPG)?.stdout)
}

impl Mounts {
    /// Gives a box that runs what goes in beside the mounts.
    ///
    /// # Errors
    /// The box does not take it.
    pub(super) fn give(&self, engine: &Engine, found: &Found) -> Result<(), Failure> {
        if self.public_key.is_empty() {
            return Ok(());
        }
        let words = ["gpg", "--batch", "--no-tty", "--quiet", "--import"];
        let mut command = found.command(engine, &words);
        command.stdin(Stdio::piped());
        let ran = process::run(&mut command, &self.public_key, GNUPG)?;
        if ran.good() {
            return Ok(());
        }
        let what = format!(
            "the box does not take your public GnuPG key: {}",
            ran.complaint()
        );
        Err(Failure::failed(what).remedy("leave out --with gpg"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;
    use crate::output::Output;
    use crate::surroundings::Surroundings;

    fn of(home: &Path, text: &str) -> Result<Mounts, Failure> {
        let around = Surroundings {
            variables: [("HOME".to_owned(), home.display().to_string())].into(),
            folder: home.join("project"),
            ..Surroundings::default()
        };
        let context = Context {
            around: &around,
            output: &Output::new(&around, false, true),
            global: Global::default(),
            can_ask: false,
            here: std::cell::OnceCell::new(),
        };
        let configuration = Configuration::read(&around, &around.folder, None, vec![]).unwrap();
        resolve(&context, &configuration, &[text.to_owned()], false, false)
    }

    #[test]
    fn a_mount_that_gives_this_machine_away_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(home.join("project/data")).unwrap();
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(home.join("engine.sock")).unwrap();
        std::os::unix::fs::symlink("/", home.join("project/link")).unwrap();
        for (text, word) in [
            ("/:/x", "everything"),
            ("./link:/x", "everything"),
            ("..:/x", "home"),
            ("~/.ssh:/x", "keys"),
            ("~/engine.sock:/x", "socket"),
            ("./data:/run/secrets", "its own things"),
            ("./data:/", "its own things"),
            ("./none:/x", "there is no"),
            ("./data", "SOURCE:TARGET"),
            ("./data:/x:wo", "SOURCE:TARGET"),
        ] {
            let failure = of(&home, text).unwrap_err();
            let said = failure.error.to_string();
            assert!(said.contains(word), "{text}: {said}");
            assert_eq!(failure.exit.code(), 78);
        }
        let good = of(&home, "./data:data:ro").unwrap();
        let expected = format!("{}:/workspace/data:ro", home.join("project/data").display());
        assert_eq!(good.volumes, [expected]);
        assert!(of(&home, "~/.ssh:/x:ro").is_ok());
    }
}
