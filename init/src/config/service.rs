//! A service: what init starts, waits for, starts again, and stops.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One thing that init keeps running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in the log, in `status` and in other services' `needs`.
    pub name: String,
    /// Program and arguments. A program without a slash is looked up in `PATH` of
    /// [`Service::environment`].
    pub command: Vec<String>,
    /// User that it runs as, a name from `/etc/passwd` or a number.
    pub user: String,
    /// Primary group; the user's own if absent.
    pub group: Option<String>,
    /// The complete environment that it gets, `PATH` and `HOME` included.
    pub environment: BTreeMap<String, String>,
    /// Directory that it starts in.
    pub workdir: PathBuf,
    /// Services that must be ready before it starts, and that stop after it.
    pub needs: Vec<String>,
    /// When it counts as ready.
    pub readiness: Readiness,
    /// What happens when it ends by itself.
    pub restart: Restart,
    /// Signal number that asks it to stop.
    pub stop_signal: i32,
    /// How long it may take to stop before SIGKILL.
    pub grace: Duration,
    /// What the kernel lets it use.
    pub limits: ResourceLimits,
    /// Whether the box ends, with exit code 70, when this service is given up.
    pub essential: bool,
    /// Mode bits that new files of it do not get.
    pub umask: u32,
}

/// When a service counts as ready, and how long that may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// What is looked at.
    pub probe: Probe,
    /// A service that is not ready this long after its start has failed. Not used by
    /// [`Probe::None`].
    pub timeout: Duration,
}

/// What tells that a service is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Running is enough.
    None,
    /// `READY=1` on the datagram socket named by `NOTIFY_SOCKET`, as `sd_notify(3)` sends it.
    Notify,
    /// A newline on this descriptor, as s6 has it.
    Newline {
        /// The descriptor's number in the service, 3 or more.
        fd: i32,
    },
    /// A stream socket accepts connections.
    Listening {
        /// Where.
        address: ListenAddress,
    },
    /// This path exists.
    Path(PathBuf),
    /// This command, run as the service's user, exits with 0.
    Command(Vec<String>),
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address; an unspecified IP is connected to on loopback.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// What happens when a service ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Which ends are followed by a new start.
    pub policy: RestartPolicy,
    /// Pause before the first new start of a run that was not ready for two seconds. It doubles
    /// with each further one. A run that was ready for longer is followed at once.
    pub backoff_min: Duration,
    /// The pause's upper bound.
    pub backoff_max: Duration,
    /// So many runs in a row, none of which was ready for ten seconds, and the service is given up;
    /// `None` never gives up.
    pub give_up_after: Option<u32>,
}

/// Which ends of a service are followed by a new start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Every one.
    Always,
    /// Those by a signal or a code other than 0.
    OnFailure,
    /// None.
    Never,
}

/// What the kernel lets a service use. `None` leaves what init itself was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Open descriptors (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes of its user (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Bytes of a core dump (`RLIMIT_CORE`).
    pub core_bytes: Option<u64>,
    /// Bytes of memory for the service's cgroup (`memory.max`); ignored with a warning where
    /// there is no writable cgroup.
    pub memory_bytes: Option<u64>,
    /// Tasks in the service's cgroup (`pids.max`); as above.
    pub tasks: Option<u64>,
    /// Thousandths of one CPU for the service's cgroup (`cpu.max`); as above.
    pub cpu_milli: Option<u64>,
}
