//! Decides whose a session's processes are: coder's, or with `CIB_SESSION_USERS=separate` those of
//! a user that only the session has.
//!
//! Such a user is a number out of [`RANGE`], the same for a session for as long as anything of
//! it is there, with a home below `CIB_DATA_DIR/homes`. Which session has which is written in
//! a file that root alone reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_protocol::session::{SessionId, SessionSpec};

use super::{KeeperError, Keepers, Variables};
use crate::process::Run;
use crate::spawn::{Command, Ids};
use crate::steps::FileError;
use crate::steps::files::{self, Owner};

/// User ids that sessions get, and group ids.
pub const RANGE: RangeInclusive<u32> = 20_000..=59_999;
/// Where their homes are, in `CIB_DATA_DIR`.
pub const HOMES: &str = "homes";
/// The file in `CIB_DATA_DIR` that says which session has which.
const NUMBERS: &str = "session-users";
/// What stands before the number in that file from which on the next is looked for.
const NEXT: &str = "next";
/// What such a session works in where it may not write to what was asked for.
const WORKDIR: &str = "workspace";
/// Variables that lead to what is coder's alone.
const CODERS: [&str; 2] = ["SSH_AUTH_SOCK", "GNUPGHOME"];
/// A look at a folder takes a millisecond, unless it is on a network that is gone.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a session has no user of its own.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// A file or folder cannot be prepared.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its home cannot be made.
    #[error("cannot prepare {}", path.display())]
    Home {
        /// The home.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The range is used up.
    #[error("every user id from 20000 to 59999 belongs to a session; remove some sessions")]
    NoneLeft,
}

/// The user of one session's processes.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// User and groups.
    pub ids: Ids,
    /// Name and home, if they are not coder's.
    own: Option<(String, PathBuf)>,
}

impl Tenant {
    /// Puts its own values into what coder would be given.
    pub(super) fn amend(&self, environment: &mut Variables) {
        let Some((name, home)) = &self.own else {
            return;
        };
        let own = [
            ("HOME", home.clone().into_os_string()),
            ("USER", name.into()),
            ("LOGNAME", name.into()),
        ];
        environment.retain(|(known, _)| {
            let replaced = own.iter().any(|(name, _)| known == name);
            !replaced && !CODERS.iter().any(|name| known == name)
        });
        environment.extend(own.map(|(name, value)| (OsString::from(name), value)));
    }
}

/// Whose processes sessions are.
#[derive(Clone, Debug)]
pub enum Tenants {
    /// Coder's, all of them.
    Shared(Ids),
    /// Each session's own.
    Separate(Separate),
}

impl Tenants {
    /// Coder.
    #[must_use]
    pub fn coder(&self) -> &Ids {
        match self {
            Self::Shared(coder) => coder,
            Self::Separate(separate) => &separate.coder,
        }
    }
}

/// Where the users of sessions are kept.
#[derive(Clone, Debug)]
pub struct Separate {
    /// Coder, whose login is kept all the same.
    pub coder: Ids,
    /// `CIB_DATA_DIR`.
    pub data: PathBuf,
    /// `/etc/passwd`, where ssh looks for a name.
    pub passwd: PathBuf,
    /// `cib-init`, which looks at folders with a user's rights.
    pub helper: PathBuf,
}

impl Separate {
    /// The user of a session, made if it has none yet.
    ///
    /// # Errors
    /// A [`TenantError`]; nothing half-made is used later.
    fn of(&self, id: SessionId) -> Result<Tenant, TenantError> {
        let uid = self.number(id)?;
        let home = self.homes().join(id.to_string());
        self.furnish(&home, uid)
            .map_err(|source| TenantError::Home {
                path: home.clone(),
                source,
            })?;
        Ok(Tenant {
            ids: Ids {
                uid,
                gid: uid,
                groups: Vec::new(),
            },
            own: Some((name_of(uid), home)),
        })
    }

    fn homes(&self) -> PathBuf {
        self.data.join(HOMES)
    }

    /// The number of a session. One that has neither a record nor a home any more may have left
    /// files elsewhere, so its number is given again only when every other one was.
    fn number(&self, id: SessionId) -> Result<u32, TenantError> {
        let mut known = self.known()?;
        if let Some(uid) = known.of.get(&id) {
            return Ok(*uid);
        }
        let is_there = |id: &SessionId| {
            let name = id.to_string();
            self.homes().join(&name).exists() || self.data.join("sessions").join(name).exists()
        };
        known.of.retain(|id, _| is_there(id));
        let coder = &self.coder;
        let is_free = |uid: &u32| {
            ![coder.uid, coder.gid].contains(uid) && !known.of.values().any(|k| k == uid)
        };
        let later = known.next..=*RANGE.end();
        let uid = later
            .chain(RANGE)
            .find(is_free)
            .ok_or(TenantError::NoneLeft)?;
        known.of.insert(id, uid);
        known.next = uid + 1;
        self.write(&known)?;
        Ok(uid)
    }

    /// Forgets the number and the name of a session of which nothing is there any more.
    pub(super) fn forget(&self, id: SessionId) -> Result<(), TenantError> {
        let mut known = self.known()?;
        let Some(uid) = known.of.remove(&id) else {
            return Ok(());
        };
        self.write(&known)?;
        let name = name_of(uid);
        let text = cib_foreign::own::read_to_string(&self.passwd);
        let text = text.map_err(self.unreadable())?;
        self.name(&text, &name, "")?;
        Ok(())
    }

    fn known(&self) -> Result<Known, TenantError> {
        let path = self.data.join(NUMBERS);
        match cib_foreign::own::read_to_string(&path) {
            Ok(text) => Ok(Known::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::parse("")),
            Err(source) => Err(TenantError::Home { path, source }),
        }
    }

    fn write(&self, known: &Known) -> Result<(), FileError> {
        let lines: String = known
            .of
            .iter()
            .map(|(id, uid)| format!("{id} {uid}\n"))
            .collect();
        let text = format!("{NEXT} {}\n{lines}", known.next);
        let path = self.data.join(NUMBERS);
        files::write_file(&path, text.as_bytes(), None, 0o600).map(drop)
    }

    /// Makes a home as coder's is, where no other user can reach it before it is complete. One
    /// that is there is its user's and is not looked into.
    fn furnish(&self, home: &Path, uid: u32) -> io::Result<()> {
        let io = |error: FileError| error.source;
        files::make_dir(&self.homes(), Some(Owner { uid: 0, gid: 0 }), 0o711).map_err(io)?;
        let owner = Owner { uid, gid: uid };
        match std::fs::symlink_metadata(home) {
            Ok(there) => {
                use std::os::unix::fs::MetadataExt as _;
                if there.is_dir() && there.uid() == uid {
                    return Ok(());
                }
                return Err(io::Error::other("it is there and is somebody else's"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let fresh = home.with_extension("new");
        if fresh.exists() {
            // Of an attempt that was cut off; nobody but root has been in it.
            std::fs::remove_dir_all(&fresh)?;
        }
        files::make_dir(&fresh, None, 0o700).map_err(io)?;
        for (name, mode) in [(".claude", 0o700), (WORKDIR, 0o755)] {
            files::make_dir(&fresh.join(name), Some(owner), mode).map_err(io)?;
        }
        let link = fresh.join(".claude.json");
        std::os::unix::fs::symlink(".claude/.claude.json", &link)?;
        std::os::unix::fs::lchown(&link, Some(uid), Some(uid))?;
        files::make_dir(&fresh, Some(owner), 0o700).map_err(io)?;
        std::fs::rename(&fresh, home)
    }

    /// Gives the user a name: ssh does not work for a number.
    fn enlist(&self, tenant: &Tenant) -> Result<(), FileError> {
        let Some((name, home)) = &tenant.own else {
            return Ok(());
        };
        let text = cib_foreign::own::read_to_string(&self.passwd).map_err(self.unreadable())?;
        let Ids { uid, gid, .. } = tenant.ids;
        let line = format!("{name}:x:{uid}:{gid}::{}:/bin/bash\n", home.display());
        self.name(&text, name, &line)
    }

    /// Puts a line in the place of those that have this name.
    fn name(&self, passwd: &str, name: &str, line: &str) -> Result<(), FileError> {
        let others = passwd
            .lines()
            .filter(|line| line.split(':').next() != Some(name));
        let mut text: String = others.flat_map(|line| [line, "\n"]).collect();
        text.push_str(line);
        files::write_file(&self.passwd, text.as_bytes(), None, 0o644).map(drop)
    }

    fn unreadable(&self) -> impl FnOnce(io::Error) -> FileError {
        files::failed("read", &self.passwd)
    }
}

fn name_of(uid: u32) -> String {
    format!("session-{uid}")
}

/// Which session has which number.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    of: BTreeMap<SessionId, u32>,
    /// The first that no session has had yet, or none since all of them were given.
    next: u32,
}

impl Known {
    fn parse(text: &str) -> Self {
        let of: BTreeMap<SessionId, u32> = text
            .lines()
            .filter_map(|line| {
                let (id, uid) = line.split_once(' ')?;
                let uid = uid.parse().ok().filter(|uid| RANGE.contains(uid))?;
                Some((id.parse().ok()?, uid))
            })
            .collect();
        let told = text.lines().find_map(|line| line.strip_prefix(NEXT));
        let told = told.and_then(|next| next.trim().parse().ok());
        // Earlier versions gave the lowest that was free.
        let highest = of
            .values()
            .max()
            .map_or(*RANGE.start(), |highest| highest + 1);
        let next = told.unwrap_or(highest).max(*RANGE.start());
        Self { of, next }
    }
}

impl Keepers {
    /// Whose processes a session's are to be, and the session as that user can run it: in its
    /// own home where it may not write to what was asked for.
    pub(super) async fn tenant<'a>(
        &self,
        spec: &'a SessionSpec,
    ) -> Result<(Tenant, Cow<'a, SessionSpec>), KeeperError> {
        let separate = match &self.0.settings.tenants {
            Tenants::Shared(ids) => {
                let tenant = Tenant {
                    ids: ids.clone(),
                    own: None,
                };
                return Ok((tenant, Cow::Borrowed(spec)));
            }
            Tenants::Separate(separate) => separate,
        };
        let tenant = separate.of(spec.id)?;
        if let Err(error) = separate.enlist(&tenant) {
            tracing::warn!(
                service = "session",
                "the user of {} has no name, and ssh will not work for it: {error}: {}",
                spec.id,
                error.source
            );
        }
        let look = Command::new(&separate.helper)
            .args(["box", "probe"])
            .arg(&spec.workdir)
            .ids(tenant.ids.clone());
        let looked = self.0.processes.run(look, Run::within(LOOK_TIMEOUT)).await;
        let mut spec = Cow::Borrowed(spec);
        if let Some((_, home)) = &tenant.own
            && !looked.is_ok_and(|output| output.exit.success())
        {
            spec.to_mut().workdir = home.join(WORKDIR);
        }
        Ok((tenant, spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separate(data: &Path) -> Separate {
        Separate {
            coder: Ids {
                uid: 20_001,
                gid: 1000,
                groups: vec![970],
            },
            data: data.to_owned(),
            passwd: data.join("passwd"),
            helper: "/nonexistent".into(),
        }
    }

    #[test]
    fn a_session_keeps_its_number_and_no_two_have_the_same_or_coders() {
        let data = tempfile::tempdir().unwrap();
        let users = separate(data.path());
        let id = SessionId::from_u128;
        for session in [1, 2, 3] {
            std::fs::create_dir_all(data.path().join("sessions").join(id(session).to_string()))
                .unwrap();
        }
        assert_eq!(users.number(id(1)).unwrap(), 20_000);
        assert_eq!(users.number(id(2)).unwrap(), 20_002);
        assert_eq!(users.number(id(1)).unwrap(), 20_000);
        std::fs::remove_dir(data.path().join("sessions").join(id(1).to_string())).unwrap();
        assert_eq!(users.number(id(3)).unwrap(), 20_003);
        assert_eq!(users.number(id(2)).unwrap(), 20_002);
    }

    #[test]
    fn a_number_is_given_again_only_when_every_other_one_was() {
        let data = tempfile::tempdir().unwrap();
        let users = separate(data.path());
        let id = SessionId::from_u128;
        std::fs::create_dir_all(data.path().join("sessions")).unwrap();
        let record = |session| data.path().join("sessions").join(id(session).to_string());
        std::fs::create_dir(record(1)).unwrap();
        assert_eq!(users.number(id(1)).unwrap(), 20_000);
        // What it left in /tmp must not become the next one's.
        std::fs::remove_dir(record(1)).unwrap();
        assert_eq!(users.number(id(2)).unwrap(), 20_002);
        let text = format!("next 59999\n{} 20000\n", id(7));
        std::fs::create_dir(record(7)).unwrap();
        std::fs::write(data.path().join(NUMBERS), text).unwrap();
        assert_eq!(users.number(id(3)).unwrap(), 59_999);
        std::fs::create_dir(record(3)).unwrap();
        assert_eq!(users.number(id(4)).unwrap(), 20_002, "from the beginning");
    }

    #[test]
    fn of_a_session_that_is_gone_neither_number_nor_name_is_left() {
        let data = tempfile::tempdir().unwrap();
        let users = separate(data.path());
        std::fs::write(&users.passwd, "root:x:0:0::/root:/bin/bash\n").unwrap();
        std::fs::create_dir(data.path().join("sessions")).unwrap();
        let id = SessionId::from_u128;
        let passwd = || std::fs::read_to_string(&users.passwd).unwrap();
        let tenant = |session, home: &str| Tenant {
            ids: Ids {
                uid: users.number(id(session)).unwrap(),
                gid: 20_000,
                groups: Vec::new(),
            },
            own: Some((name_of(20_000), home.into())),
        };
        users.enlist(&tenant(1, "/homes/1")).unwrap();
        // Whoever has the number now is who is meant.
        users.enlist(&tenant(1, "/homes/2")).unwrap();
        let line = "session-20000:x:20000:20000::/homes/2:/bin/bash\n";
        assert_eq!(passwd(), format!("root:x:0:0::/root:/bin/bash\n{line}"));
        users.forget(id(1)).unwrap();
        assert_eq!(passwd(), "root:x:0:0::/root:/bin/bash\n");
        assert_eq!(users.known().unwrap().of.len(), 0);
        users.forget(id(1)).unwrap();
    }

    #[test]
    fn a_line_that_names_another_users_id_is_none() {
        let id = SessionId::from_u128(5);
        let known = Known::parse(&format!("next 0\n{id} 972\n{id} 0\n{id} x\nnonsense\n"));
        assert!(known.of.is_empty());
        assert_eq!(known.next, 20_000);
        let known = Known::parse(&format!("{id} 20005\n"));
        assert_eq!((known.of[&id], known.next), (20_005, 20_006));
    }

    #[test]
    fn what_is_coders_alone_is_not_handed_to_another_user() {
        let tenant = Tenant {
            ids: Ids {
                uid: 20_000,
                gid: 20_000,
                groups: Vec::new(),
            },
            own: Some(("session-20000".to_owned(), "/data/homes/x".into())),
        };
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let mut given = vec![
            pair("HOME", "/home/coder"),
            pair("SSH_AUTH_SOCK", "/run/cib/ssh-agent.sock"),
            pair("EDITOR", "vi"),
        ];
        tenant.amend(&mut given);
        assert!(given.contains(&pair("HOME", "/data/homes/x")));
        assert!(given.contains(&pair("USER", "session-20000")));
        assert!(given.contains(&pair("EDITOR", "vi")));
        assert_eq!(given.len(), 4, "{given:?}");
    }
}
