//! The files that secrets were read from, and whether coder can read them as well.
//!
//! Engines hand secrets over as files that everybody may read, or that belong to whoever has
//! coder's number outside. What is mounted cannot be hidden without a capability that no box
//! has; the folder that it is mounted into can: it is the container's own.

mod eyes;
mod mounts;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cib_foreign::own::openat;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use super::accounts::Account;
use super::outcome::Outcome;
use crate::environment::{ExposedSecrets, Fault, Place, SecretFile, SecretSettings, quoted};
use eyes::{look_as, passes, reads, writes};
use mounts::{Mount, Mounts};

/// Where engines mount secrets. What is in it is taken for secret, whatever it is.
const SECRETS: &str = "/run/secrets";
/// How many links a path may lead through, as the kernel has it.
const LINKS: usize = 40;
/// How many entries a folder may have to be looked through.
const ENTRIES: usize = 256;

/// What is wrong with the file of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exposure {
    /// Coder can read it, here.
    Read(PathBuf),
    /// Coder can read it here as well, where a folder above it is mounted a second time.
    Seen(PathBuf),
    /// Coder can put another file in its place, because it may write to this folder.
    Replaced(PathBuf),
}

impl Exposure {
    /// Where coder reads the file, if init may close that. What is mounted a second time is
    /// somebody's folder, and not for init to change.
    fn at(&self) -> Option<&Path> {
        match self {
            Self::Read(at) => Some(at),
            Self::Seen(_) | Self::Replaced(_) => None,
        }
    }
}

/// How init can keep coder from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Means {
    /// A folder above it is root's alone from now on.
    Folder(PathBuf),
    /// The file itself is.
    File(PathBuf),
}

/// What can be said of the secrets' files before anything is changed: faults for those that
/// coder could read all the same, or warnings where that is allowed.
#[must_use]
pub fn judge(settings: &SecretSettings, coder: &Account, root: bool) -> (Vec<Fault>, Vec<Fault>) {
    if !root {
        return (Vec::new(), one_user(settings));
    }
    let named = Named::of(&settings.files);
    let mounts = Mounts::observe();
    sorted(
        settings.exposed,
        &named.exposed(coder, &mounts),
        |exposure| {
            exposure
                .at()
                .is_some_and(|at| named.means(at, &mounts).is_some())
        },
    )
}

/// Closes the secrets' files to coder, and looks whether that was enough: what was changed, and
/// faults and warnings as those of [`judge`].
#[must_use]
pub fn close(
    settings: &SecretSettings,
    coder: &Account,
    root: bool,
) -> (Outcome, Vec<Fault>, Vec<Fault>) {
    let mut outcome = Outcome::default();
    if !root {
        return (outcome, Vec::new(), Vec::new());
    }
    let named = Named::of(&settings.files);
    let mounts = Mounts::observe();
    for (file, exposure) in named.exposed(coder, &mounts) {
        let Some(at) = exposure.at() else { continue };
        // One that an earlier one's folder has taken with it needs nothing more.
        if !readable(coder, at, &mounts) {
            continue;
        }
        let Some(means) = named.means(at, &mounts) else {
            continue;
        };
        let (path, mode) = match &means {
            Means::Folder(folder) => (folder, 0o700),
            Means::File(path) => (path, 0o400),
        };
        // Whether it was enough is looked at below.
        if made_roots_own(path, mode).is_err() {
            continue;
        }
        outcome.changed(path, format!("closed to coder, for {}", file.variable));
        let others = match &means {
            Means::Folder(folder) => named.others_in(folder),
            Means::File(_) => Vec::new(),
        };
        if !others.is_empty() {
            outcome.warn(format!(
                "{}: coder cannot reach {} any more, for secrets of the box are beside it; mount \
                 what coder is to read somewhere else",
                path.display(),
                others.join(", ")
            ));
        }
    }
    let left = named.exposed(coder, &mounts);
    let (faults, warnings) = sorted(settings.exposed, &left, |_| false);
    (outcome, faults, warnings)
}

/// Where all of the box is one user, nothing keeps that user from what init can read.
fn one_user(settings: &SecretSettings) -> Vec<Fault> {
    let warning = |file: &SecretFile| {
        Fault::new(
            Place::variable(&file.variable),
            "coder can read the file, for with --user all of the box is one user",
            "leave --user out",
        )
    };
    settings.files.iter().map(warning).collect()
}

/// Faults and warnings of what is exposed, without what is `mended`.
fn sorted(
    policy: ExposedSecrets,
    exposed: &[(&SecretFile, Exposure)],
    mended: impl Fn(&Exposure) -> bool,
) -> (Vec<Fault>, Vec<Fault>) {
    let told = exposed
        .iter()
        .filter(|(_, exposure)| !mended(exposure))
        .map(|(file, exposure)| fault(file, exposure))
        .collect();
    match policy {
        ExposedSecrets::Refuse => (told, Vec::new()),
        ExposedSecrets::Allow => (Vec::new(), told),
    }
}

fn fault(file: &SecretFile, exposure: &Exposure) -> Fault {
    let named = quoted(&file.path.to_string_lossy());
    let (problem, remedy) = match exposure {
        Exposure::Read(_) => (
            format!("coder, as whom the agent runs, can read the file {named}"),
            "mount it below /run/secrets, or give it to root alone with mode 0400",
        ),
        Exposure::Seen(at) => (
            format!(
                "coder, as whom the agent runs, can read the file {named} as {}",
                quoted(&at.to_string_lossy())
            ),
            "mount no folder that holds it, or give it to root alone with mode 0400",
        ),
        Exposure::Replaced(folder) => (
            format!(
                "coder, as whom the agent runs, can put another file in the place of {named}, for \
                 it may write to {}",
                quoted(&folder.to_string_lossy())
            ),
            "mount it below /run/secrets",
        ),
    };
    let remedy = format!(
        "{remedy}; docs/guides/secrets.md has the ways, and CIB_EXPOSED_SECRETS=allow starts the \
         box all the same"
    );
    Fault::new(Place::variable(&file.variable), problem, remedy)
}

/// The secrets' files, with the paths that they have without links.
struct Named<'a>(Vec<(&'a SecretFile, PathBuf)>);

impl<'a> Named<'a> {
    /// Those that are there.
    fn of(files: &'a [SecretFile]) -> Self {
        let real = |file: &'a SecretFile| Some((file, fs::canonicalize(&file.path).ok()?));
        Self(files.iter().filter_map(real).collect())
    }

    /// What is wrong, one thing a path.
    fn exposed(&self, coder: &Account, mounts: &Mounts) -> Vec<(&'a SecretFile, Exposure)> {
        let mut exposed = Vec::new();
        for (file, real) in &self.0 {
            let mut paths = vec![real.clone()];
            paths.extend(mounts.aliases(real).into_iter().filter(|at| same(real, at)));
            for at in paths {
                if readable(coder, &at, mounts) {
                    let own = at == *real;
                    let exposure = if own { Exposure::Read } else { Exposure::Seen };
                    exposed.push((*file, exposure(at)));
                }
            }
            if let Some(folder) = replaceable(&file.path, coder, mounts) {
                exposed.push((*file, Exposure::Replaced(folder)));
            }
        }
        exposed
    }

    /// How coder can be kept from the file.
    fn means(&self, path: &Path, mounts: &Mounts) -> Option<Means> {
        let real = fs::canonicalize(path).ok()?;
        let folder = real.ancestors().skip(1).find(|folder| {
            // `/run` and its like are everybody's.
            folder.components().count() > 2
                && mounts.of(folder).is_some_and(Mount::is_own)
                && fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0)
                && (*folder == Path::new(SECRETS) || self.holds_nothing_else(folder, &mut 0))
        });
        if let Some(folder) = folder {
            return Some(Means::Folder(folder.to_owned()));
        }
        let mount = mounts.of(&real)?;
        let roots = fs::metadata(&real).is_ok_and(|metadata| metadata.uid() == 0);
        let narrowed = mount.is_own() || (roots && !mount.is_read_only());
        narrowed.then_some(Means::File(real))
    }

    /// Whether every file in a folder is a secret of the box.
    fn holds_nothing_else(&self, folder: &Path, seen: &mut usize) -> bool {
        let Ok(entries) = fs::read_dir(folder) else {
            return false;
        };
        for entry in entries {
            let Ok((path, kind)) = entry.and_then(|e| e.file_type().map(|k| (e.path(), k))) else {
                return false;
            };
            *seen += 1;
            let ours = *seen <= ENTRIES
                && (kind.is_symlink()
                    || self.0.iter().any(|(_, real)| *real == path)
                    || (kind.is_dir() && self.holds_nothing_else(&path, seen)));
            if !ours {
                return false;
            }
        }
        true
    }

    /// The names in a folder that lead to no secret of the box.
    fn others_in(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            let under = |at: &Path| at.starts_with(path);
            self.0
                .iter()
                .any(|(file, real)| under(real) || under(&file.path))
        };
        let mut others: Vec<String> = paths
            .filter(|path| !ours(path))
            .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into()))
            .map(|name: String| quoted(&name))
            .collect();
        others.sort();
        others
    }
}

/// Whether coder can read a file, or may give itself the right to.
fn readable(coder: &Account, path: &Path, mounts: &Mounts) -> bool {
    look_as(coder, || reads(path)).unwrap_or(true) || owns(coder, path, mounts)
}

fn owns(coder: &Account, path: &Path, mounts: &Mounts) -> bool {
    let its = fs::metadata(path).is_ok_and(|metadata| metadata.uid() == coder.uid);
    let fixed = mounts.of(path).is_some_and(Mount::is_read_only);
    let folder = path.parent().unwrap_or(Path::new("/"));
    its && !fixed && look_as(coder, || passes(folder)).unwrap_or(true)
}

/// The first folder on the way to a file in which coder could replace the next step.
fn replaceable(path: &Path, coder: &Account, mounts: &Mounts) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let mut next = None;
        let mut steps: Vec<&Path> = path.ancestors().collect();
        steps.reverse();
        for pair in steps.windows(2) {
            let &[folder, step] = pair else { continue };
            if replaces(folder, step, coder, mounts) {
                return Some(folder.to_owned());
            }
            if let Ok(target) = fs::read_link(step) {
                let rest = path.strip_prefix(step).unwrap_or(Path::new(""));
                next = Some(folder.join(target).join(rest));
                break;
            }
        }
        match next {
            Some(led) => path = led,
            None => break,
        }
    }
    None
}

fn replaces(folder: &Path, step: &Path, coder: &Account, mounts: &Mounts) -> bool {
    let Ok(metadata) = fs::metadata(folder) else {
        return false;
    };
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let fixed = mounts.of(&real).is_some_and(Mount::is_read_only);
    let owner = metadata.uid() == coder.uid;
    if owner && !fixed {
        return look_as(coder, || passes(folder)).unwrap_or(true);
    }
    // In a sticky folder everybody replaces what is their own.
    let others = metadata.mode() & 0o1000 != 0
        && fs::symlink_metadata(step).is_ok_and(|metadata| metadata.uid() != coder.uid);
    !others && look_as(coder, || writes(folder)).unwrap_or(true)
}

fn same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Gives a file or folder to root, with no right for anybody else.
fn made_roots_own(path: &Path, mode: u32) -> nix::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty()).and_then(|fd| {
        fchown(&fd, Some(Uid::from_raw(0)), Some(Gid::from_raw(0)))?;
        fchmod(&fd, Mode::from_bits_truncate(mode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coder() -> Account {
        Account {
            name: "coder".to_owned(),
            uid: 1000,
            gid: 1000,
            groups: Vec::new(),
            home: "/home/coder".into(),
            shell: "/bin/sh".into(),
        }
    }

    fn settings(path: &Path, exposed: ExposedSecrets) -> SecretSettings {
        let variable = "CIB_AUTH_TOKEN_FILE".to_owned();
        let path = path.to_owned();
        SecretSettings {
            files: vec![SecretFile { variable, path }],
            exposed,
        }
    }

    #[test]
    fn a_box_that_is_one_user_says_so_for_each_file_and_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = settings(file.path(), ExposedSecrets::Refuse);
        let (faults, warnings) = judge(&settings, &coder(), false);
        assert!(faults.is_empty(), "{faults:?}");
        let told = warnings[0].to_string();
        assert!(
            told.starts_with("CIB_AUTH_TOKEN_FILE: ") && told.contains("one user"),
            "{told}"
        );
        let (outcome, faults, _) = close(&settings, &coder(), false);
        assert_eq!((outcome, faults), (Outcome::default(), Vec::new()));
    }

    #[test]
    fn every_fault_names_the_file_the_remedy_and_the_way_to_allow_it() {
        let file = settings(Path::new("/mnt/token"), ExposedSecrets::Refuse);
        for exposure in [
            Exposure::Read("/mnt/token".into()),
            Exposure::Seen("/workspace/token".into()),
            Exposure::Replaced("/mnt".into()),
        ] {
            let told = fault(&file.files[0], &exposure).to_string();
            for word in ["`/mnt/token`", "mount ", "CIB_EXPOSED_SECRETS=allow"] {
                assert!(told.contains(word), "{told}");
            }
        }
    }

    #[test]
    fn a_folder_counts_as_secret_only_if_nothing_else_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("..now")).unwrap();
        fs::write(root.join("..now/token"), "").unwrap();
        std::os::unix::fs::symlink("..now/token", root.join("token")).unwrap();
        let settings = settings(&root.join("token"), ExposedSecrets::Refuse);
        let named = Named::of(&settings.files);
        assert!(named.holds_nothing_else(&root, &mut 0));
        fs::write(root.join("..now/other"), "").unwrap();
        assert!(!named.holds_nothing_else(&root, &mut 0));
        assert_eq!(named.others_in(&root.join("..now")), ["`other`"]);
    }
}
