//! `/etc/passwd` and `/etc/group`, read without the name service switch.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::paths::Paths;

/// Name of the user that Claude runs as.
pub const CODER: &str = "coder";
/// Name of the user that control runs as.
pub const CIB: &str = "cib";
/// Name of the user that redsocks and the resolver run as.
pub const PROXY: &str = "cib-proxy";
/// Name of the user that keepers run as, whose the record is.
pub const KEEPER: &str = "cib-keeper";

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: PathBuf,
    /// Shell.
    pub shell: PathBuf,
}

/// All users and groups. Lines that are no entries are skipped, as the C library does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<Account>,
    groups: Vec<(String, u32)>,
}

/// Why the users are not known.
#[derive(Debug, Error)]
pub enum AccountsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The image lacks a user of the box.
    #[error("there is no user {name} in /etc/passwd; derive the image from one of the box's own")]
    Missing {
        /// The user.
        name: &'static str,
    },
}

impl Accounts {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// One of them cannot be read.
    pub fn read(paths: &Paths) -> Result<Self, AccountsError> {
        let text = |path: &str| {
            let path = paths.at(path);
            cib_foreign::own::read_to_string(&path)
                .map_err(|source| AccountsError::Read { path, source })
        };
        Ok(Self::parse(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    /// From the text of both files.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Self {
        let groups: Vec<_> = group.lines().filter_map(group_line).collect();
        let users = passwd.lines().filter_map(user_line).map(|mut user| {
            let of_user = groups.iter().filter(|(_, id, members)| {
                *id != user.gid && members.iter().any(|member| *member == user.name)
            });
            user.groups = of_user.map(|(_, id, _)| *id).collect();
            user
        });
        Self {
            users: users.collect(),
            groups: groups
                .iter()
                .map(|(name, id, _)| ((*name).to_owned(), *id))
                .collect(),
        }
    }

    /// The user of this name or, if it is a number, of this id. A number that is nobody's is a
    /// user without a name, whose home is `/`.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<Account> {
        let named = self.users.iter().find(|user| user.name == name);
        if let Some(user) = named {
            return Some(user.clone());
        }
        let uid: u32 = name.parse().ok()?;
        let known = self.with_id(uid).cloned();
        Some(known.unwrap_or_else(|| Account {
            name: name.to_owned(),
            uid,
            gid: uid,
            groups: Vec::new(),
            home: "/".into(),
            shell: "/bin/sh".into(),
        }))
    }

    /// The first user of this id.
    #[must_use]
    pub fn with_id(&self, uid: u32) -> Option<&Account> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// The id of the group of this name, or the number itself.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<u32> {
        let named = self.groups.iter().find(|(group, _)| group == name);
        named.map(|(_, id)| *id).or_else(|| name.parse().ok())
    }

    /// The name of the first group of this id.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> Option<&str> {
        self.groups
            .iter()
            .find(|(_, id)| *id == gid)
            .map(|(name, _)| name.as_str())
    }

    /// The box's own user whose id this is, or whose group's. What the image says counts beside
    /// the ids that are the same in every image.
    #[must_use]
    pub fn reserved(&self, id: u32) -> Option<&'static str> {
        let fixed = [(970, CIB), (971, PROXY), (972, KEEPER)];
        let fixed = fixed.iter().find(|(own, _)| *own == id);
        fixed.map(|(_, name)| *name).or_else(|| {
            [CIB, PROXY, KEEPER].into_iter().find(|name| {
                let user = self.users.iter().find(|user| user.name == *name);
                let group = self.groups.iter().find(|(group, _)| group == name);
                user.is_some_and(|user| [user.uid, user.gid].contains(&id))
                    || group.is_some_and(|(_, gid)| *gid == id)
            })
        })
    }

    /// One of the box's own users.
    ///
    /// # Errors
    ///
    /// The image has no such user.
    pub fn own(&self, name: &'static str) -> Result<Account, AccountsError> {
        let found = self.users.iter().find(|user| user.name == name);
        found.cloned().ok_or(AccountsError::Missing { name })
    }
}

fn user_line(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields.as_slice() else {
        return None;
    };
    Some(Account {
        name: (!name.is_empty()).then(|| (*name).to_owned())?,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        groups: Vec::new(),
        home: if home.is_empty() {
            "/".into()
        } else {
            home.into()
        },
        shell: if shell.is_empty() {
            "/bin/sh".into()
        } else {
            shell.into()
        },
    })
}

fn group_line(line: &str) -> Option<(&str, u32, Vec<&str>)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields.as_slice() else {
        return None;
    };
    let name = (!name.is_empty()).then_some(*name)?;
    Some((name, gid.parse().ok()?, members.split(',').collect()))
}

/// `/etc/passwd` with other ids for one user. Everything else stays as it is, byte by byte.
#[must_use]
pub(super) fn passwd_with(text: &str, name: &str, uid: u32, gid: u32) -> String {
    edited(text, name, |fields| {
        if let [_, _, own_uid, own_gid, ..] = fields {
            *own_uid = uid.to_string();
            *own_gid = gid.to_string();
        }
    })
}

/// `/etc/group` with another id for one group.
#[must_use]
pub(super) fn group_with(text: &str, name: &str, gid: u32) -> String {
    edited(text, name, |fields| {
        if let [_, _, own, ..] = fields {
            *own = gid.to_string();
        }
    })
}

fn edited(text: &str, name: &str, edit: impl Fn(&mut [String])) -> String {
    let line = |line: &str| {
        if line.split(':').next() != Some(name) {
            return line.to_owned();
        }
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        edit(&mut fields);
        fields.join(":")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        cib:x:970:970::/nonexistent:/usr/sbin/nologin\n\
        # not an entry\n\
        coder:x:1000:1000:,,,:/home/coder:/bin/bash\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:coder,other\ncib:x:970:\ncoder:x:1000:coder\n";

    #[test]
    fn a_user_has_the_groups_that_list_it_and_its_own_once() {
        let coder = Accounts::parse(PASSWD, GROUP).user("coder").unwrap();
        assert_eq!((coder.uid, coder.gid), (1000, 1000));
        assert_eq!(coder.groups, [100]);
        assert_eq!(coder.home, PathBuf::from("/home/coder"));
    }

    #[test]
    fn a_number_is_a_user_with_or_without_a_name() {
        let accounts = Accounts::parse(PASSWD, GROUP);
        assert_eq!(accounts.user("970").unwrap().name, "cib");
        assert_eq!(accounts.user("5").unwrap().uid, 5);
        assert_eq!(accounts.user("nobody"), None);
        assert_eq!(accounts.group("users"), Some(100));
        assert_eq!(accounts.group("7"), Some(7));
        assert_eq!(accounts.group_name(970), Some("cib"));
    }

    #[test]
    fn editing_changes_two_fields_of_one_line() {
        let text = passwd_with(PASSWD, "coder", 501, 20);
        assert_eq!(text, PASSWD.replace("1000:1000", "501:20"));
        assert_eq!(
            group_with(GROUP, "coder", 501),
            GROUP.replace("coder:x:1000", "coder:x:501")
        );
        assert_eq!(passwd_with(PASSWD, "nobody", 1, 1), PASSWD);
    }
}
