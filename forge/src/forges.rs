//! The forges that the box has an account at.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cib_https::Client;
use cib_protocol::forge::ForgeAccounts;

use crate::forge::Forge;
use crate::slug::Slug;

/// Why the accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ForgesFault {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not what init writes.
    #[error("{} is not what init writes", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not; serde's words, which have no values of the file in them but names.
        #[source]
        source: serde_json::Error,
    },
    /// An address is none.
    #[error("`{0}` is no address of a forge: take `https://host`")]
    Address(String),
}

/// Every account, by host.
#[derive(Debug, Default)]
pub struct Forges(Vec<Arc<Forge>>);

impl Forges {
    /// Of accounts.
    ///
    /// # Errors
    /// [`ForgesFault::Address`].
    pub fn new(accounts: &ForgeAccounts, https: &Arc<Client>) -> Result<Self, ForgesFault> {
        let forges = accounts.forges.iter().map(|account| {
            let forge = Forge::new(account, Arc::clone(https));
            let forge = forge.ok_or_else(|| ForgesFault::Address(account.url.clone()))?;
            Ok(Arc::new(forge))
        });
        forges.collect::<Result<_, _>>().map(Self)
    }

    /// Of the file that init leaves; a file that is not there has none.
    ///
    /// # Errors
    /// A [`ForgesFault`].
    pub fn read(path: &Path, https: &Arc<Client>) -> Result<Self, ForgesFault> {
        let bytes = match cib_foreign::own::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(ForgesFault::Read {
                    path: path.into(),
                    source,
                });
            }
        };
        let accounts = serde_json::from_slice(&bytes).map_err(|source| ForgesFault::Parse {
            path: path.into(),
            source,
        })?;
        Self::new(&accounts, https)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Forge>> {
        self.0.iter()
    }

    /// The one of a host: a name, with a port if it is not the scheme's own.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<&Arc<Forge>> {
        self.0
            .iter()
            .find(|forge| forge.host().eq_ignore_ascii_case(host))
    }

    /// The forge that an address of git's leads to, and the repository there: `https://host/a/b`,
    /// `ssh://git@host/a/b.git`, `git@host:a/b.git`. `None` if the box has no account at the
    /// host, or the path names no repository.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<(&Arc<Forge>, Slug)> {
        let (host, path) = match address.split_once("://") {
            Some(("https" | "http", rest)) => rest.split_once('/')?,
            // The port is that of ssh, and says nothing of the API's.
            Some(("ssh", rest)) => {
                let (host, path) = rest.split_once('/')?;
                (host.split(':').next()?, path)
            }
            Some(_) => return None,
            None => address.split_once(':')?,
        };
        let host = host.rsplit('@').next()?;
        let host = host.strip_suffix(":443").unwrap_or(host);
        Some((self.of(host)?, path.parse().ok()?))
    }
}
