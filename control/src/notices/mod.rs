//! Notices: somebody outside is told when Claude waits, has finished, has failed or has reached a
//! limit, and may answer from there.
//!
//! [`watch`] turns what changes of sessions and tasks into notices, by what [`news`] says is news, and
//! puts them into the [`outbox`]. [`deliver`] takes them out of it and tells each receiver by its
//! bridge: the [`channels`] that an administrator has set up, the browsers of [`push`], the webhook of
//! a task. [`answers`] has the one-time codes that come along, [`page`] is what somebody sees who
//! opens one, [`listen`] hears what is said in chats. [`outside`] is the one way out.

pub(crate) mod answers;
mod bridges;
mod channels;
mod deliver;
mod desk;
mod listen;
mod news;
mod outbox;
mod outside;
pub(crate) mod page;
mod push;
pub(crate) mod question;
mod watch;
mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cib_protocol::api::CreateChannel;
use tokio::sync::OnceCell;
use tokio::sync::watch as told;

use crate::app::App;
use crate::auth::store::OpenError;
use crate::fault::Fault;
use crate::work;

/// How notices are set up for the box.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The box's own address, as those outside reach it, without a slash at its end.
    pub public_url: Option<String>,
    /// Whether private addresses may be called.
    pub allows_private: bool,
    /// Channels that the box's variables have.
    pub channels: Vec<CreateChannel>,
    /// The certificates that are trusted: a file in PEM.
    pub bundle: PathBuf,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            public_url: None,
            allows_private: false,
            channels: Vec::new(),
            bundle: cib_https::BUNDLE.into(),
        }
    }
}

/// Where a push service finds who made what sends: Apple's refuses what has neither mail nor page.
const CONTACT: &str = "mailto:push@claude-in-box.invalid";

/// The notices of the box.
#[derive(Debug)]
pub struct Notices {
    folder: PathBuf,
    channels: channels::Channels,
    subscriptions: push::subscriptions::Subscriptions,
    outbox: outbox::Outbox,
    pub(crate) answers: answers::Answers,
    outside: outside::Outside,
    public_url: Option<String>,
    contact: String,
    vapid: OnceCell<Arc<push::vapid::Vapid>>,
    changed: told::Sender<u64>,
}

impl Notices {
    /// What is kept in a folder of control's own. Everything goes out by `bridge`, if there is one,
    /// which understands `CONNECT`.
    ///
    /// # Errors
    /// If a file of it cannot be used.
    pub fn open(own: &Path, setup: Setup, bridge: Option<SocketAddr>) -> Result<Self, OpenError> {
        let folder = own.join("notices");
        let contact = setup.public_url.clone();
        let contact = contact.filter(|url| url.starts_with("https://"));
        Ok(Self {
            channels: channels::Channels::open(&folder, setup.channels)?,
            subscriptions: push::subscriptions::Subscriptions::open(&folder)?,
            outbox: outbox::Outbox::open(folder.join("outbox")),
            answers: answers::Answers::open(&folder)?,
            outside: outside::Outside::new(setup.allows_private, setup.bundle, bridge),
            public_url: setup.public_url,
            contact: contact.unwrap_or_else(|| CONTACT.to_owned()),
            vapid: OnceCell::new(),
            changed: told::Sender::new(0),
            folder,
        })
    }

    /// Says that somebody else may want to be told now, or nobody any more.
    pub fn changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn changes(&self) -> told::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The key that pushes are signed with, made when it is first needed.
    async fn vapid(&self) -> Result<Arc<push::vapid::Vapid>, Fault> {
        let folder = self.folder.clone();
        let open = || async {
            let opened = work::run(move || push::vapid::Vapid::open(&folder)).await?;
            Ok(Arc::new(opened))
        };
        self.vapid.get_or_try_init(open).await.cloned()
    }
}

/// Watches, tells and listens, until the box ends.
pub async fn run(app: Arc<App>) {
    let watching = watch::run(Arc::clone(&app));
    let telling = deliver::run(Arc::clone(&app));
    tokio::join!(watching, telling, listen::run(app));
}
