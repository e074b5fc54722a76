//! Looks at what the container engine gave the box, and judges whether that is enough.

use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{AccessFlags, access};

use super::accounts::{Accounts, CODER};
use super::paths::Paths;
use crate::environment::{Fault, Place, ProxyMode, SessionUsers, Settings};
use crate::session::tenants;

/// What root needs to be init of other users' processes. All are in what Docker and Podman give
/// by default.
const NEEDED_BY_ROOT: [Capability; 6] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
];

/// What the container engine gave. A plain value, so that every combination can be judged
/// without having it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Effective user and group of init.
    pub uid: u32,
    /// As above.
    pub gid: u32,
    /// The effective capabilities.
    pub capabilities: CapsHashSet,
    /// User ids that exist in this user namespace.
    pub uids: IdMap,
    /// Group ids that exist in it.
    pub gids: IdMap,
    /// Whether `/etc` can be written to.
    pub etc_writable: bool,
    /// Whether `/run`, or `/run/cib` if it is there, can be written to.
    pub run_writable: bool,
    /// Whether `CIB_DATA_DIR`, or what it is to be made in, can be written to.
    pub data_writable: bool,
}

/// Ids that exist in a user namespace: ranges of first id and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<(u32, u32)>);

impl IdMap {
    /// From the text of `/proc/self/uid_map` or `gid_map`. A text that cannot be understood
    /// stands for every id, so that the kernel decides.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            let first = fields.next()?.parse().ok()?;
            let length = fields.nth(1)?.parse().ok()?;
            Some((first, length))
        };
        let ranges: Option<Vec<_>> = text.lines().map(range).collect();
        match ranges {
            Some(ranges) if !ranges.is_empty() => Self(ranges),
            _ => Self::everything(),
        }
    }

    /// Every id, as outside of any user namespace.
    #[must_use]
    pub fn everything() -> Self {
        Self(vec![(0, u32::MAX)])
    }

    /// Whether the id exists.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        self.0
            .iter()
            .any(|(first, length)| id.checked_sub(*first).is_some_and(|at| at < *length))
    }
}

impl HostFacts {
    /// Looks at this process and at the file systems. What cannot be seen counts as given, so
    /// that a guess never keeps a box from starting.
    #[must_use]
    pub fn observe(paths: &Paths) -> Self {
        let proc =
            |name: &str| cib_foreign::own::read_to_string(Path::new("/proc/self").join(name));
        Self {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            capabilities: caps::read(None, CapSet::Effective).unwrap_or_else(|_| caps::all()),
            uids: IdMap::parse(&proc("uid_map").unwrap_or_default()),
            gids: IdMap::parse(&proc("gid_map").unwrap_or_default()),
            etc_writable: writable(&paths.at("/etc")),
            run_writable: writable(&paths.at(&paths.run)),
            data_writable: writable(&paths.at(&paths.data)),
        }
    }

    /// Whether init is root, if only of its user namespace.
    #[must_use]
    pub fn root(&self) -> bool {
        self.uid == 0
    }

    /// Whether a capability is effective.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// What is missing for `settings`, each with its remedy. Looks at nothing but the files
    /// that the settings name.
    #[must_use]
    pub fn judge(&self, settings: &Settings, paths: &Paths, accounts: &Accounts) -> Vec<Fault> {
        let mut faults = Vec::new();
        let missing: Vec<String> = NEEDED_BY_ROOT
            .into_iter()
            .filter(|needed| self.root() && !self.has(*needed))
            .map(|needed| needed.to_string().trim_start_matches("CAP_").to_owned())
            .collect();
        if !missing.is_empty() {
            faults.push(container(
                format!("root lacks the capabilities {}", missing.join(", ")),
                format!(
                    "add --cap-add {}, or start the box with --user 1000:1000",
                    missing.join(" --cap-add ")
                ),
            ));
        }
        let mode = settings.egress.mode;
        let locks = settings.egress.upstream.is_some() && mode.locks();
        if locks && !(self.root() && self.has(Capability::CAP_NET_ADMIN)) {
            let problem = if self.root() {
                "is set, and the box lacks the capability NET_ADMIN that closes every other way out"
            } else {
                "is set, and only root can close every other way out"
            };
            let remedy = if self.root() {
                "add --cap-add NET_ADMIN"
            } else {
                "leave --user out"
            };
            let instead = match mode {
                ProxyMode::Hold => "",
                _ => ", or set CIB_PROXY_MODE=env, which is not leak-proof",
            };
            faults.push(Fault::new(
                Place::variable("CIB_PROXY_URL"),
                problem,
                format!("{remedy}{instead}"),
            ));
        }
        let places = [
            (self.run_writable, &paths.run, "add --tmpfs /run"),
            (self.data_writable, &paths.data, "mount a volume there"),
        ];
        for (_, path, remedy) in places.iter().filter(|(writable, ..)| !writable) {
            let remedy = if self.root() {
                (*remedy).to_owned()
            } else {
                format!(
                    "{remedy} that uid {} may write to, or leave --user out",
                    self.uid
                )
            };
            faults.push(container(
                format!("{} cannot be written to", path.display()),
                remedy,
            ));
        }
        self.judge_ids(settings, accounts, &mut faults);
        faults.extend(self.judge_tenants(settings));
        faults.extend(not_mounted(settings, paths));
        faults
    }

    /// Whether sessions can have the users of their own that were asked for.
    fn judge_tenants(&self, settings: &Settings) -> Option<Fault> {
        if settings.sessions.users != SessionUsers::Separate {
            return None;
        }
        let fault = |problem: &str, remedy| {
            Fault::new(Place::variable("CIB_SESSION_USERS"), problem, remedy)
        };
        let ids = [tenants::RANGE.start(), tenants::RANGE.end()];
        let mapped = |id: &u32| self.uids.contains(*id) && self.gids.contains(*id);
        if !self.root() {
            let remedy = "leave --user out, or set it to `shared`";
            return Some(fault("is `separate`, which only root can do", remedy));
        }
        (!ids.into_iter().all(mapped)).then(|| {
            fault(
                "is `separate`, and the ids 20000 to 59999 do not all exist in this user namespace",
                "map them into the container, or set it to `shared`",
            )
        })
    }

    fn judge_ids(&self, settings: &Settings, accounts: &Accounts, faults: &mut Vec<Fault>) {
        let Some(coder) = accounts.user(CODER) else {
            return;
        };
        let (puid, pgid) = (settings.container.puid, settings.container.pgid);
        let wanted = [
            ("PUID", puid, coder.uid, self.uid, &self.uids),
            ("PGID", pgid, coder.gid, self.gid, &self.gids),
        ];
        for (name, wanted, image, own, map) in wanted {
            let mut fault = |problem: String, remedy: &str| {
                faults.push(Fault::new(Place::variable(name), problem, remedy));
            };
            let id = wanted.unwrap_or(image);
            if !self.root() {
                if wanted.is_some_and(|id| id != own) {
                    fault(
                        format!("is {id}, and the box was started with --user as {own}"),
                        "use one of the two",
                    );
                }
            } else if !map.contains(id) {
                fault(
                    format!("{id} does not exist in this user namespace"),
                    "take an id that the engine maps into the container",
                );
            } else if id != image && !self.etc_writable {
                fault(
                    format!("is {id}, and /etc/passwd, where it would be written, is read-only"),
                    "leave --read-only out, or derive an image whose coder has that id",
                );
            }
        }
        let others = puid
            .and_then(|uid| accounts.with_id(uid))
            .filter(|user| user.name != CODER);
        for (name, wanted) in [("PUID", puid), ("PGID", pgid)] {
            let Some(id) = wanted else { continue };
            if let Some(own) = accounts.reserved(id) {
                let what = if name == "PUID" { "user" } else { "group" };
                faults.push(Fault::new(
                    Place::variable(name),
                    format!("{id} is the {what} {own} of the box, from which coder is kept apart"),
                    "take another id",
                ));
            } else if let Some(other) = others.filter(|_| name == "PUID") {
                faults.push(Fault::new(
                    Place::variable(name),
                    format!("{id} is the user {} of the image", other.name),
                    "take another id",
                ));
            }
        }
        for group in coder.groups.iter().filter(|_| self.root()) {
            if let Some(own) = accounts.reserved(*group) {
                faults.push(Fault::new(
                    Place::Container,
                    format!("/etc/group lists coder in the group {own}, which keeps it apart"),
                    "derive the image without that membership",
                ));
            }
        }
    }
}

/// What was asked for and is not mounted: the setup file and the folders of keys.
fn not_mounted(settings: &Settings, paths: &Paths) -> Vec<Fault> {
    let folder = |path: &Path| path.is_dir().then_some(()).ok_or("is no folder in the box");
    let file = |path: &Path| path.is_file().then_some(()).ok_or("is no file in the box");
    let wanted = [
        ("CIB_SETUP_FILE", &settings.setup.file, true),
        ("CIB_SSH_DIR", &settings.keys.ssh_dir, false),
        ("CIB_GNUPG_DIR", &settings.keys.gnupg_dir, false),
    ];
    let mut faults = Vec::new();
    for (name, path, is_file) in wanted {
        let Some(path) = path else { continue };
        let at = paths.at(path);
        if let Err(problem) = if is_file { file(&at) } else { folder(&at) } {
            faults.push(Fault::new(
                Place::variable(name),
                format!("{} {problem}", path.display()),
                "mount it there, or unset the variable",
            ));
        }
    }
    faults
}

fn container(problem: String, remedy: impl Into<String>) -> Fault {
    Fault::new(Place::Container, problem, remedy)
}

/// Whether a directory, or the nearest that exists above it, can be written to. `access(2)`
/// knows read-only mounts, which mode bits do not tell.
fn writable(path: &Path) -> bool {
    let existing = path.ancestors().find(|path| path.exists());
    existing.is_none_or(|path| access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok())
}

#[cfg(test)]
mod tests;
