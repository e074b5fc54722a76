//! Accounts: people with a name, a password and scopes.
//!
//! The file is `<data>/control/accounts.json`. It holds the passwords as argon2id hashes and is
//! readable for control alone. A change works in memory first, so a full disk keeps nothing
//! alive that was taken away.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cib_protocol::api::AccountInfo;
use cib_protocol::init::FirstAccount;
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Caller;
use super::scope::Scopes;
use super::store::{Damage, File, OpenError};

/// Accounts that may exist at once.
pub const MAX_ACCOUNTS: usize = 64;

/// Characters that a name may have.
const MAX_NAME: usize = 64;

/// The file as it is written. Scopes that this version does not know are not granted.
#[derive(Serialize, Deserialize)]
struct Stored {
    accounts: Vec<StoredAccount>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredAccount {
    info: AccountInfo,
    /// A PHC string.
    password: String,
}

#[derive(Debug)]
struct Account {
    stored: StoredAccount,
    scopes: Scopes,
    /// Told when the account is not any more what it was, and then replaced.
    changed: watch::Sender<bool>,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// One of that name is there.
    #[error("there is an account `{0}` already")]
    Exists(String),
    /// It was to be the first, and is not.
    #[error("the box has an account already; sign in")]
    NotTheFirst,
    /// There are [`MAX_ACCOUNTS`].
    #[error("there are {MAX_ACCOUNTS} accounts already")]
    TooMany,
    /// The file could not be written.
    #[error("cannot write the file of accounts")]
    Store(#[source] io::Error),
}

/// The accounts of the box.
#[derive(Debug)]
pub struct Accounts {
    file: File,
    accounts: Mutex<Vec<Account>>,
}

/// Whether a name may be one.
///
/// # Errors
/// A sentence that says how names are.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let fits = |c: char| c.is_alphanumeric() || "._-@+".contains(c);
    let length = name.chars().count();
    if (1..=MAX_NAME).contains(&length) && name.chars().all(fits) {
        Ok(())
    } else {
        Err("a name has 1 to 64 letters, digits and `.`, `_`, `-`, `@`, `+`")
    }
}

/// Whether two names are the same person's. A proxy may write one in other cases than the
/// person did here, and must not make another out of it.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one.chars()
        .flat_map(char::to_lowercase)
        .eq(other.chars().flat_map(char::to_lowercase))
}

impl Account {
    fn new(stored: StoredAccount) -> Self {
        let known: Vec<_> = stored
            .info
            .scopes
            .iter()
            .filter_map(|word| Scopes::parse(&[word.as_str()]).ok())
            .collect();
        Self {
            scopes: known.into_iter().fold(Scopes::default(), Scopes::with),
            stored,
            changed: watch::Sender::new(false),
        }
    }

    /// Ends what was opened with the account as it was.
    fn is_changed(&mut self) {
        let before = std::mem::replace(&mut self.changed, watch::Sender::new(false));
        before.send_replace(true);
    }
}

impl Accounts {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// If the directory cannot be made or the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let (file, accounts) = File::open(dir, "accounts.json", parse)?;
        Ok(Self {
            file,
            accounts: Mutex::new(accounts.unwrap_or_default()),
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts().is_empty()
    }

    /// Every account, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<AccountInfo> {
        let accounts = self.accounts();
        accounts.iter().map(|one| one.stored.info.clone()).collect()
    }

    /// The caller with that account, if there is one.
    #[must_use]
    pub fn holder(&self, name: &str) -> Option<Caller> {
        let accounts = self.accounts();
        let account = find(&accounts, name)?;
        let name = account.stored.info.name.clone();
        Some(Caller::account(
            name,
            account.scopes,
            account.changed.subscribe(),
        ))
    }

    /// The name as it is written here, and the hash of the password.
    #[must_use]
    pub fn password(&self, name: &str) -> Option<(String, String)> {
        let accounts = self.accounts();
        let stored = &find(&accounts, name)?.stored;
        Some((stored.info.name.clone(), stored.password.clone()))
    }

    /// Makes an account. `is_first` is for one that there must be none before.
    ///
    /// # Errors
    /// See [`CreateError`]; no account was made then.
    pub async fn create(
        &self,
        name: &str,
        password: String,
        scopes: Scopes,
        is_first: bool,
    ) -> Result<AccountInfo, CreateError> {
        let now = Timestamp::now();
        let info = AccountInfo {
            name: name.to_owned(),
            scopes: words(scopes),
            created_at: now,
            password_set_at: now,
        };
        {
            let mut accounts = self.accounts();
            if is_first && !accounts.is_empty() {
                return Err(CreateError::NotTheFirst);
            }
            if find(&accounts, name).is_some() {
                return Err(CreateError::Exists(name.to_owned()));
            }
            if accounts.len() >= MAX_ACCOUNTS {
                return Err(CreateError::TooMany);
            }
            let info = info.clone();
            accounts.push(Account::new(StoredAccount { info, password }));
        }
        if let Err(error) = self.save().await {
            self.accounts().retain(|one| one.stored.info.name != name);
            return Err(CreateError::Store(error));
        }
        Ok(info)
    }

    /// Makes the account that the box is to begin with, if there is none.
    ///
    /// # Errors
    /// If the file could not be written.
    pub async fn begin(&self, first: &FirstAccount) -> io::Result<bool> {
        let password = first.password.clone();
        match self.create(&first.name, password, Scopes::ALL, true).await {
            Ok(_) => Ok(true),
            Err(CreateError::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Gives an account another password; whether there is such an account. `is_same` is for the
    /// same password, hashed anew.
    ///
    /// # Errors
    /// If the file could not be written: after a restart the password is the former one.
    pub async fn set_password(&self, name: &str, hash: String, is_same: bool) -> io::Result<bool> {
        {
            let mut accounts = self.accounts();
            let Some(account) = find_mut(&mut accounts, name) else {
                return Ok(false);
            };
            account.stored.password = hash;
            if !is_same {
                account.stored.info.password_set_at = Timestamp::now();
            }
        }
        self.save().await.map(|()| true)
    }

    /// Gives an account other scopes, and ends the streams that it opened with those before;
    /// whether there is such an account.
    ///
    /// # Errors
    /// If the file could not be written: after a restart the scopes are the former ones.
    pub async fn set_scopes(&self, name: &str, scopes: Scopes) -> io::Result<bool> {
        {
            let mut accounts = self.accounts();
            let Some(account) = find_mut(&mut accounts, name) else {
                return Ok(false);
            };
            account.scopes = scopes;
            account.stored.info.scopes = words(scopes);
            account.is_changed();
        }
        self.save().await.map(|()| true)
    }

    /// Removes an account, and ends its streams; whether there was one.
    ///
    /// # Errors
    /// If the file could not be written: after a restart the account is there again.
    pub async fn remove(&self, name: &str) -> io::Result<bool> {
        {
            let mut accounts = self.accounts();
            let is_it = |one: &Account| is_same(&one.stored.info.name, name);
            let Some(index) = accounts.iter().position(is_it) else {
                return Ok(false);
            };
            accounts.remove(index).is_changed();
        }
        self.save().await.map(|()| true)
    }

    /// What an account looks like.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<AccountInfo> {
        let accounts = self.accounts();
        find(&accounts, name).map(|one| one.stored.info.clone())
    }

    async fn save(&self) -> io::Result<()> {
        let stored = || Stored {
            accounts: self
                .accounts()
                .iter()
                .map(|one| one.stored.clone())
                .collect(),
        };
        self.file.save(stored).await
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn words(scopes: Scopes) -> Vec<String> {
    scopes.words().into_iter().map(str::to_owned).collect()
}

fn find<'a>(accounts: &'a [Account], name: &str) -> Option<&'a Account> {
    accounts
        .iter()
        .find(|one| is_same(&one.stored.info.name, name))
}

fn find_mut<'a>(accounts: &'a mut [Account], name: &str) -> Option<&'a mut Account> {
    accounts
        .iter_mut()
        .find(|one| is_same(&one.stored.info.name, name))
}

fn parse(bytes: &[u8]) -> Result<Vec<Account>, Damage> {
    let stored: Stored = serde_json::from_slice(bytes)?;
    Ok(stored.accounts.into_iter().map(Account::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_what_addresses_have() {
        for good in [
            "a",
            "ann",
            "Ann.B-c_d",
            "ann@example.org",
            "安娜",
            &"x".repeat(64),
        ] {
            check_name(good).unwrap();
        }
        let long = "x".repeat(65);
        for bad in [
            "",
            " ",
            "a b",
            "a/b",
            "a\u{202e}b",
            "a\nb",
            "\"",
            "a%b",
            &long,
        ] {
            check_name(bad).unwrap_err();
        }
    }

    #[test]
    fn a_name_in_other_cases_is_nobody_elses() {
        assert!(is_same("Ann", "aNN") && is_same("ÄRGER", "ärger"));
        assert!(!is_same("ann", "anna") && !is_same("ann", "an"));
    }
}
