//! Users: `coder` with the ids that were asked for, and the files that belong to it.

mod folders;
mod mounts;
mod ownership;

use std::io;
use std::path::Path;

use thiserror::Error;

use super::accounts::{
    Account, Accounts, AccountsError, CIB, CODER, KEEPER, PROXY, group_with, passwd_with,
};
use super::files::{self, Dir, Entry, FileError, Owner, failed, phrase};
use super::host::HostFacts;
use super::outcome::Outcome;
use super::paths::Paths;
use crate::environment::ContainerSettings;
use ownership::{Tally, own_tree};

pub use mounts::{judge, places};

/// Who runs what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// Claude, shells, setup commands.
    pub coder: Account,
    /// Keepers, whose the record is.
    pub keeper: Account,
    /// control.
    pub control: Account,
    /// redsocks and the resolver.
    pub proxy: Account,
    /// Whether init can run children as other users. If not, all of them are the user that the
    /// box was started as (`--user`).
    pub switch: bool,
}

/// Why the users cannot be prepared.
#[derive(Debug, Error)]
pub enum UsersError {
    /// The users are not known.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Something could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Gives `coder` its ids, its home and the top of `/workspace`, and makes the folders of the
/// box.
///
/// # Errors
///
/// A [`UsersError`], when the box could not work afterwards. Single files that could not be
/// given to coder are warnings.
pub fn prepare(
    paths: &Paths,
    settings: &ContainerSettings,
    facts: &HostFacts,
) -> Result<(Users, Outcome), UsersError> {
    let accounts = Accounts::read(paths)?;
    let mut outcome = Outcome::default();
    let image = accounts.own(CODER)?;
    let users = if facts.root() {
        let coder = Account {
            uid: settings.puid.unwrap_or(image.uid),
            gid: settings.pgid.unwrap_or(image.gid),
            ..image.clone()
        };
        renumber(paths, &accounts, &image, &coder, &mut outcome)?;
        Users {
            coder,
            keeper: accounts.own(KEEPER)?,
            control: accounts.own(CIB)?,
            proxy: accounts.own(PROXY)?,
            switch: true,
        }
    } else {
        everybody_is(facts, &accounts, &image, &mut outcome)
    };
    folders::prepare(paths, &users, &mut outcome)?;
    if users.switch {
        home(paths, &users.coder, &image, &mut outcome)?;
        mounts::claude(paths, &users.coder, &image, &mut outcome)?;
        mounts::record(paths, &users, &mut outcome);
    }
    workspace(paths, &users, &image, &mut outcome);
    Ok((users, outcome))
}

/// The box was started with `--user`: there is nobody else to run as.
fn everybody_is(
    facts: &HostFacts,
    accounts: &Accounts,
    image: &Account,
    outcome: &mut Outcome,
) -> Users {
    let groups = nix::unistd::getgroups().unwrap_or_default();
    let own = |name: &str| Account {
        name: name.to_owned(),
        uid: facts.uid,
        gid: facts.gid,
        groups: groups
            .iter()
            .map(|gid| gid.as_raw())
            .filter(|gid| *gid != facts.gid)
            .collect(),
        home: image.home.clone(),
        shell: image.shell.clone(),
    };
    match accounts.with_id(facts.uid) {
        None => outcome.warn(format!(
            "uid {} has no name in /etc/passwd, and ssh and git will not work without one; start \
             the box with --user {}:{}, or set PUID instead",
            facts.uid, image.uid, image.gid
        )),
        Some(user) if user.name != CODER => outcome.warn(format!(
            "everything runs as {}, whose home is not {}; start the box with --user {}:{}",
            user.name,
            image.home.display(),
            image.uid,
            image.gid
        )),
        Some(_) => {}
    }
    Users {
        coder: own(CODER),
        keeper: own(KEEPER),
        control: own(CIB),
        proxy: own(PROXY),
        switch: false,
    }
}

/// Writes the ids of coder where programs look for them.
fn renumber(
    paths: &Paths,
    accounts: &Accounts,
    image: &Account,
    coder: &Account,
    outcome: &mut Outcome,
) -> Result<(), FileError> {
    if (image.uid, image.gid) == (coder.uid, coder.gid) {
        return Ok(());
    }
    // A group id that another group has is shared with it; a free one becomes coder's own.
    if coder.gid != image.gid && accounts.group_name(coder.gid).is_none() {
        rewrite(paths, "/etc/group", |text| {
            group_with(text, CODER, coder.gid)
        })?;
    }
    rewrite(paths, "/etc/passwd", |text| {
        passwd_with(text, CODER, coder.uid, coder.gid)
    })?;
    outcome.changed(
        Path::new("/etc/passwd"),
        format!(
            "coder is {}:{} now, and was {}:{}",
            coder.uid, coder.gid, image.uid, image.gid
        ),
    );
    Ok(())
}

fn rewrite(paths: &Paths, path: &str, edit: impl Fn(&str) -> String) -> Result<(), FileError> {
    let path = paths.at(path);
    let text = cib_foreign::own::read_to_string(&path).map_err(failed("read", &path))?;
    files::write_file(&path, edit(&text).as_bytes(), None, 0o644)?;
    Ok(())
}

/// The home directory: made if a volume left none, and gone through only if it is not coder's
/// itself, which is how an interrupted run is noticed.
fn home(
    paths: &Paths,
    coder: &Account,
    image: &Account,
    outcome: &mut Outcome,
) -> Result<(), FileError> {
    let path = paths.at(&coder.home);
    let owner = Owner {
        uid: coder.uid,
        gid: coder.gid,
    };
    if !path.exists() {
        files::make_dir(&path, Some(owner), 0o755)?;
        outcome.changed(&coder.home, "made");
        return Ok(());
    }
    let stat = Dir::open(&path)
        .and_then(|dir| dir.stat())
        .map_err(failed("open", &path))?;
    if Owner::of(&stat) == owner {
        return Ok(());
    }
    let wanted = |entry: &Entry| {
        let now = Owner::of(&entry.stat);
        let wrong = now.uid != coder.uid || [0, image.gid].contains(&now.gid);
        (wrong && now != owner).then_some(owner)
    };
    let tally = own_tree(&path, &wanted).map_err(failed("open", &path))?;
    tell(&coder.home, coder, tally, outcome);
    Ok(())
}

fn tell(path: &Path, coder: &Account, tally: Tally, outcome: &mut Outcome) {
    let Tally {
        changed,
        linked,
        failed,
        first_failure,
    } = tally;
    let files = |count: u64| {
        if count == 1 {
            "1 file".to_owned()
        } else {
            format!("{count} files")
        }
    };
    if changed > 0 {
        let ids = format!("{}:{}", coder.uid, coder.gid);
        outcome.changed(path, format!("gave {} to coder ({ids})", files(changed)));
    }
    if linked > 0 {
        outcome.warn(format!(
            "{}: left {} with several names to their owner, because one of the names may be \
             elsewhere",
            path.display(),
            files(linked)
        ));
    }
    if let Some((first, why)) = first_failure {
        outcome.warn(format!(
            "{}: could not give {} to coder, the first of them {}: {why}",
            path.display(),
            files(failed),
            first.display()
        ));
    }
}

/// The top of `/workspace` and nothing below it: what is mounted there is the user's, and may
/// be large.
fn workspace(paths: &Paths, users: &Users, image: &Account, outcome: &mut Outcome) {
    let path = paths.at(&paths.workspace);
    let coder = &users.coder;
    let owner = Owner {
        uid: coder.uid,
        gid: coder.gid,
    };
    let shown = paths.workspace.display();
    let stat = match Dir::open(&path).and_then(|dir| dir.stat()) {
        Ok(stat) => stat,
        Err(nix::errno::Errno::ENOENT) => {
            match files::make_dir(&path, users.switch.then_some(owner), 0o755) {
                Ok(_) => outcome.changed(&paths.workspace, "made"),
                Err(error) => outcome.warn(phrase(&error)),
            }
            return;
        }
        Err(error) => {
            outcome.warn(format!(
                "{shown} cannot be used: {}",
                files::reason(&error.into())
            ));
            return;
        }
    };
    let now = Owner::of(&stat);
    let writable = now.uid == coder.uid
        || (now.gid == coder.gid && stat.st_mode & 0o020 != 0)
        || stat.st_mode & 0o002 != 0;
    if writable {
        return;
    }
    if users.switch && [0, image.uid].contains(&now.uid) {
        let given = files::c_name(&path)
            .map_err(|error| error.source)
            .and_then(|name| {
                let parent = Dir::open(path.parent().unwrap_or(Path::new("/")))?;
                Ok(parent.own(&name, owner)?)
            });
        match given {
            Ok(()) => outcome.changed(&paths.workspace, "gave the folder itself to coder"),
            Err(error) => warn_of_workspace(&error, &paths.workspace, outcome),
        }
        return;
    }
    outcome.warn(format!(
        "{shown} belongs to {}:{}, and coder ({}:{}) cannot write there; set PUID={} PGID={}",
        now.uid, now.gid, coder.uid, coder.gid, now.uid, now.gid
    ));
}

fn warn_of_workspace(error: &io::Error, path: &Path, outcome: &mut Outcome) {
    outcome.warn(format!(
        "{} cannot be given to coder: {}; mount it so that coder may write, or set PUID and PGID \
         to its owner",
        path.display(),
        files::reason(error)
    ));
}
