//! Keys: `~/.ssh` and `~/.gnupg` as ssh and GnuPG insist on them.
//!
//! What can be corrected where it stands is. What is mounted read-only and cannot be used as it
//! is gets copied to memory: a folder that `CIB_SSH_DIR` or `CIB_GNUPG_DIR` names is linked
//! from the home directory; one that is mounted in the home directory itself cannot be
//! replaced there, and ssh and GnuPG are told of the copy instead ([`Keys`]).

mod config;
mod copy;
mod link;
mod repair;
mod store;

use std::path::{Path, PathBuf};

use super::files::{Dir, Entry, FileError, Kind, Owner, c_name, failed, make_dir, phrase};
use super::outcome::Outcome;
use super::paths::Paths;
use super::users::Users;
use crate::environment::KeySettings;
use repair::Repair;
use store::Store;

/// Keys that programs have to be told of, because they are not where they look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Private keys for ssh.
    pub identities: Vec<PathBuf>,
    /// A copy of `~/.ssh/config`.
    pub ssh_config: Option<PathBuf>,
    /// A copy of `~/.ssh/known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// `GNUPGHOME` of every child.
    pub gnupg_home: Option<PathBuf>,
}

/// Corrects or copies both folders.
///
/// # Errors
///
/// The home directory cannot be opened. Everything else is a warning: a box without keys
/// still works.
pub fn prepare(
    paths: &Paths,
    settings: &KeySettings,
    users: &Users,
) -> Result<(Keys, Outcome), FileError> {
    let mut outcome = Outcome::default();
    let home = paths.at(&users.coder.home);
    let preparing = Preparing {
        paths,
        home: Dir::open(&home).map_err(failed("open", &home))?,
        home_path: &users.coder.home,
        owner: Owner {
            uid: users.coder.uid,
            gid: users.coder.gid,
        },
        switch: users.switch,
    };
    for place in copy::places(paths) {
        preparing.forget(&place, &mut outcome);
    }
    let mut keys = Keys::default();
    for (store, source) in [
        (Store::Ssh, &settings.ssh_dir),
        (Store::Gnupg, &settings.gnupg_dir),
    ] {
        let prepared = match source {
            Some(source) => preparing.mounted(store, source, &mut keys, &mut outcome),
            None => preparing.in_place(store, &mut keys, &mut outcome),
        };
        if let Err(error) = prepared {
            outcome.warn(format!(
                "{} cannot be used: {}",
                store.name(),
                phrase(&error)
            ));
        }
    }
    Ok((keys, outcome))
}

/// Whether a path lies where this module puts its copies.
pub(super) fn is_copy(paths: &Paths, path: &Path) -> bool {
    let upwards = path
        .components()
        .any(|name| name == std::path::Component::ParentDir);
    !upwards
        && copy::places(paths)
            .iter()
            .any(|place| path.starts_with(place))
}

struct Preparing<'a> {
    paths: &'a Paths,
    home: Dir,
    /// As programs in the box name it.
    home_path: &'a Path,
    owner: Owner,
    switch: bool,
}

impl Preparing<'_> {
    fn store_path(&self, store: Store) -> PathBuf {
        self.home_path.join(store.name())
    }

    fn store_entry(&self, store: Store) -> Option<Entry> {
        self.home.entry(&c_name(Path::new(store.name())).ok()?).ok()
    }

    /// Removes the copies of an earlier start.
    fn forget(&self, place: &Path, outcome: &mut Outcome) {
        let at = self.paths.at(place);
        if at.symlink_metadata().is_ok()
            && let Err(error) = std::fs::remove_dir_all(&at)
        {
            outcome.warn(phrase(&failed("remove", place)(error)));
        }
    }

    /// Copies a folder into memory; the copy's path.
    fn copied(
        &self,
        store: Store,
        source: &Path,
        outcome: &mut Outcome,
    ) -> Result<PathBuf, FileError> {
        let place = copy::place(self.paths, outcome);
        // Coder passes through, and sees no other names than its own.
        make_dir(&self.paths.at(&place), None, 0o711)?;
        let target = place.join(store.copy_name());
        let owner = self.switch.then_some(self.owner);
        let at = self.paths.at(&target);
        let count = copy::copy(store, &self.paths.at(source), &at, owner, outcome)?;
        outcome.changed(
            &target,
            format!("copied {count} files from {}", source.display()),
        );
        Ok(target)
    }

    /// A folder of its own for keys: copied, and linked from the home directory.
    fn mounted(
        &self,
        store: Store,
        source: &Path,
        keys: &mut Keys,
        outcome: &mut Outcome,
    ) -> Result<(), FileError> {
        let copy = self.copied(store, source, outcome)?;
        let path = self.store_path(store);
        let linking = link::Linking {
            home: &self.home,
            owner: self.switch.then_some(self.owner),
            old: copy::places(self.paths),
        };
        match linking.folder(store, &copy) {
            Ok(true) => outcome.changed(&path, format!("links to {}", copy.display())),
            Ok(false) => {
                self.in_place(store, keys, outcome)?;
                if store == Store::Gnupg {
                    outcome.warn(format!(
                        "{} has files of its own, so GNUPGHOME is {} in every program's environment",
                        path.display(),
                        copy.display()
                    ));
                    keys.gnupg_home = Some(copy);
                } else {
                    let at = self.paths.at(&copy);
                    linking.files(store, &copy, &at, &path, outcome)?;
                }
            }
            Err(error) => return Err(failed("link", &path)(error)),
        }
        Ok(())
    }

    /// The folder in the home directory: corrected or, where it is read-only and wrong, copied.
    fn in_place(
        &self,
        store: Store,
        keys: &mut Keys,
        outcome: &mut Outcome,
    ) -> Result<(), FileError> {
        let Some(entry) = self.store_entry(store) else {
            return Ok(());
        };
        let path = self.store_path(store);
        match entry.kind() {
            Kind::Directory => {}
            Kind::Link if link::is_ours(&self.home, &entry, &copy::places(self.paths)) => {
                link::remove(&self.home, &entry).map_err(failed("remove", &path))?;
                outcome.changed(&path, "removed a link to a copy that is gone");
                return Ok(());
            }
            Kind::Link => {
                let why = "is a symbolic link; what it leads to was left as it is";
                outcome.warn(format!("{} {why}", path.display()));
                return Ok(());
            }
            _ => {
                outcome.warn(format!("{} is no folder", path.display()));
                return Ok(());
            }
        }
        let ours = copy::places(self.paths);
        let mut repair = Repair {
            store,
            owner: self.owner,
            ours,
            outcome,
            read_only: 0,
        };
        repair.folder(&self.home, &entry, &path);
        if repair.read_only == 0 {
            return Ok(());
        }
        let variable = match store {
            Store::Ssh => "CIB_SSH_DIR",
            Store::Gnupg => "CIB_GNUPG_DIR",
        };
        let copy = self.copied(store, &path, outcome)?;
        outcome.warn(format!(
            "{} is mounted read-only with owners or modes that do not do, so a copy is used \
             beside it; better mount it elsewhere and name that place in {variable}",
            path.display()
        ));
        match store {
            Store::Gnupg => keys.gnupg_home = Some(copy),
            Store::Ssh => self.tell_ssh(&copy, keys)?,
        }
        Ok(())
    }

    /// Has a copied configuration name the copies.
    fn retarget(&self, copy: &Path, config: &Path) -> Result<(), FileError> {
        let at = self.paths.at(config);
        let text = cib_foreign::read_to_string(&at, config::MOST_BYTES);
        let text = text.map_err(|error| failed("read", config)(std::io::Error::other(error)))?;
        let text = config::retarget(&text, &self.store_path(Store::Ssh), copy);
        let owner = self.switch.then_some(self.owner);
        let mode = Store::Ssh.file_mode(config);
        super::files::write_file(&at, text.as_bytes(), owner, mode).map(drop)
    }

    fn tell_ssh(&self, copy: &Path, keys: &mut Keys) -> Result<(), FileError> {
        let at = self.paths.at(copy);
        let dir = Dir::open(&at).map_err(failed("open", &at))?;
        for entry in dir.entries().map_err(failed("read", &at))? {
            let path = copy.join(entry.name());
            match entry.name().to_str() {
                Some("config") => {
                    self.retarget(copy, &path)?;
                    keys.ssh_config = Some(path);
                }
                Some("known_hosts") => keys.known_hosts = Some(path),
                _ if cib_foreign::read(&self.paths.at(&path), copy::MOST_BYTES)
                    .is_ok_and(|b| store::is_private_key(&b)) =>
                {
                    keys.identities.push(path);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
