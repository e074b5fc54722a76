//! Describes a child completely, down to the last descriptor.
//!
//! A [`Command`] is complete: nothing but what it says reaches the child. It never inherits
//! init's environment, descriptors, signal mask or capabilities by default.

use std::ffi::{OsStr, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use cib_cgroup::Cgroup;

/// A child to be started by [`crate::process::Processes::spawn`].
#[derive(Debug)]
pub struct Command {
    /// The program: a path, or a name that is looked up in `PATH` of [`Command::env`].
    pub program: PathBuf,
    /// The arguments after the zeroth, which is [`Command::program`] as it was given.
    pub args: Vec<OsString>,
    /// The complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// User and groups; `None` keeps init's own.
    pub ids: Option<Ids>,
    /// Directory that it starts in, entered with the rights of [`Command::ids`].
    pub workdir: PathBuf,
    /// Descriptor 0.
    pub stdin: Stdin,
    /// Descriptor 1.
    pub stdout: Sink,
    /// Descriptor 2.
    pub stderr: Sink,
    /// Further descriptors, each under the number that the child is to see.
    pub fds: Vec<(RawFd, Rc<OwnedFd>)>,
    /// Resource limits to set.
    pub rlimits: Vec<Rlimit>,
    /// What is left of root's powers.
    pub capabilities: Capabilities,
    /// Whether set-user-id programs lose their effect (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
    /// What the child leads.
    pub leads: Leads,
    /// Whether it becomes the parent of those below it whose own parent ends, so that none gets
    /// away from it while it lives.
    pub adopts: bool,
    /// Control group that it starts in.
    pub cgroup: Option<Rc<Cgroup>>,
    /// Mode bits that its new files do not get.
    pub umask: u32,
}

/// User and groups of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// Supplementary groups, without [`Ids::gid`].
    pub groups: Vec<u32>,
}

/// Descriptor 0 of a child.
#[derive(Debug, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// Init's own, for a command that a person started.
    Inherit,
    /// A pipe whose other end is [`crate::process::Child::stdin`].
    Pipe,
    /// This descriptor.
    Fd(OwnedFd),
}

/// Descriptor 1 or 2 of a child.
#[derive(Debug, Default)]
pub enum Sink {
    /// `/dev/null`.
    #[default]
    Null,
    /// Init's own, for a command that a person started.
    Inherit,
    /// A pipe whose other end is [`crate::process::Child::stdout`] or `stderr`.
    Pipe,
    /// The box's log, line by line, under this name. Two sinks of one child with the same
    /// name share a pipe, so that their lines keep their order.
    Log(String),
    /// This descriptor.
    Fd(OwnedFd),
}

/// What is left of root's powers in a child. Ambient and inheritable sets are empty in every
/// case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capabilities {
    /// None at all, and the bounding set empty: what runs as an ordinary user.
    #[default]
    None,
    /// What [`crate::capabilities::KEPT`] lists and init has: root shells and root services.
    Reduced,
    /// What [`crate::capabilities::LAUNCH`] lists and init has: what starts sessions' processes.
    Launch,
    /// Those that init has, for `nft` and the like alone.
    Own,
}

/// What a child leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leads {
    /// A session of its own without a terminal: every service.
    #[default]
    Session,
    /// A process group of its own in init's session.
    Group,
    /// Nothing: it stays in init's group.
    Nothing,
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// Which.
    pub resource: Resource,
    /// Soft and hard bound, in the resource's own unit.
    pub bound: u64,
}

/// Resources that a service's configuration can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Open descriptors.
    OpenFiles,
    /// Processes of the user.
    Processes,
    /// Bytes of a core dump.
    CoreBytes,
}

impl Command {
    /// A child that runs `program` in `/` with an empty environment, no capabilities, no
    /// input and no output, in a session of its own, as init's own user.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            ids: None,
            workdir: PathBuf::from("/"),
            stdin: Stdin::Null,
            stdout: Sink::Null,
            stderr: Sink::Null,
            fds: Vec::new(),
            rlimits: Vec::new(),
            capabilities: Capabilities::None,
            no_new_privs: true,
            leads: Leads::Session,
            adopts: false,
            cgroup: None,
            umask: 0o022,
        }
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Appends variables to the environment.
    #[must_use]
    pub fn env<I, K, V>(mut self, variables: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.env
            .extend(variables.into_iter().map(|(k, v)| (k.into(), v.into())));
        self
    }

    /// Runs as this user.
    #[must_use]
    pub fn ids(mut self, ids: Ids) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Starts in this directory.
    #[must_use]
    pub fn workdir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.workdir = dir.into();
        self
    }

    /// Sends both outputs to the log under this name.
    #[must_use]
    pub fn log(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.stdout = Sink::Log(name.clone());
        self.stderr = Sink::Log(name);
        self
    }

    /// Leaves these capabilities.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The file that `execve` is to be given: the program itself if it has a slash, else the
    /// first executable file of that name in `PATH` of the child's environment.
    #[must_use]
    pub fn resolve(&self) -> Option<PathBuf> {
        if self.program.as_os_str().as_bytes().contains(&b'/') {
            return Some(self.program.clone());
        }
        let path = self
            .env
            .iter()
            .find(|(name, _)| name == OsStr::new("PATH"))
            .map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |(_, v)| v);
        which::which_in(&self.program, Some(path), "/").ok()
    }
}
