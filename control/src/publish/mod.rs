//! Publishing what tasks make, and what a person has looked at ([`person`]), without giving away what
//! opens the forge.
//!
//! Control keeps a bare repository of its own for each that tasks work on ([`bare`]), fetched and
//! pushed with the forge's token, which nobody else in the box has. Coder's git speaks to that
//! repository by way of `git-remote-cib` ([`helper`], [`wire`]): [`gate`] joins it to git's own
//! `upload-pack` and `receive-pack`, run as control's user ([`git`]), for the task that
//! [`asker`] finds to ask. Before a push is taken [`check`] looks at it, and [`leak`] for secrets
//! in it, and [`large`] brings the contents of large files that it points to; then it is pushed on, and
//! only then is it taken. Nothing but packs crosses: git is never
//! run here in a repository of coder's.

pub mod asker;
pub mod bare;
pub mod check;
pub mod gate;
pub mod git;
pub mod helper;
pub mod large;
pub mod leak;
pub mod person;
pub mod wire;

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cib_forge::{Forge, Forges, Slug};
use cib_protocol::task::{TaskFault, TaskForge, TaskId, TaskRepository};
use cib_tasks::repository::tree_name;
use tokio::sync::Semaphore;

use self::bare::{Bare, Trouble};
use self::leak::Secrets;
use self::person::Order;
use crate::app::App;

/// Gits of coder's that are served at once.
const PLACES: usize = 8;

/// Gits that are served at once by one ticket. It is known to whatever coder's git starts.
const TICKET_SEATS: usize = 2;

/// Gits that may wait for one of those.
const TICKET_QUEUE: usize = 4;

/// The folder with the one hook that there is.
const HOOKS: &str = ".hooks";

/// The socket on which the check of a push asks.
const CHECKS: &str = ".check.sock";

/// Locks by what they are for. One that nobody holds is let go when the next is asked for.
type Locks<K> = Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>;

/// Whom control speaks for: a task, or a person who has asked for one push.
#[derive(Clone, Debug)]
enum Whose {
    Task(TaskId),
    Person(Arc<Order>),
}

/// What a ticket is good for.
#[derive(Clone, Debug)]
struct Admitted {
    whose: Whose,
    seats: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// A push that is under way.
#[derive(Clone, Debug)]
struct Push {
    whose: Whose,
    bare: Bare,
}

/// Bytes from which on a repository is large, if nothing is said.
pub const LARGE: u64 = 200 << 20;

/// Bytes that a task pushes, if nothing is said: what is pushed is kept beside the records, also where
/// nothing leads to it.
pub const MOST_PUSHED: u64 = 4 << 30;

/// What publishes.
#[derive(Debug)]
pub struct Publisher {
    /// Where the box has accounts.
    pub forges: Arc<Forges>,
    /// By what secrets are found.
    pub secrets: Secrets,
    /// Pauses before something is asked of a forge again that does not answer.
    pub pauses: Vec<Duration>,
    /// A proxy on the loopback through which forges are reached, if there is one.
    pub bridge: Option<SocketAddr>,
    /// Bytes from which on a repository is large.
    pub large: u64,
    /// Bytes that a task pushes, at most, in one life of control.
    pub most_pushed: u64,
    /// Where the pages of this box are, as people open them.
    pub public_url: Option<String>,
    /// Where coder's git finds control.
    socket: PathBuf,
    /// This program, which is also `git-remote-cib` and the check of a push.
    program: PathBuf,
    folder: PathBuf,
    places: Semaphore,
    asking: tokio::sync::Mutex<()>,
    tickets: Mutex<HashMap<String, Admitted>>,
    pushes: Mutex<HashMap<String, Push>>,
    seats: Mutex<HashMap<TaskId, usize>>,
    refusals: Mutex<HashMap<TaskId, Trouble>>,
    pushed: Mutex<HashMap<TaskId, u64>>,
    locks: Locks<PathBuf>,
    used: Mutex<HashMap<PathBuf, Weak<()>>>,
    pushing: Locks<TaskId>,
}

impl Publisher {
    /// One that keeps its repositories in a folder. `program` is this one's own file.
    #[must_use]
    pub fn new(
        forges: Arc<Forges>,
        secrets: Secrets,
        folder: PathBuf,
        socket: PathBuf,
        program: PathBuf,
    ) -> Self {
        Self {
            forges,
            secrets,
            pauses: Vec::new(),
            bridge: None,
            large: LARGE,
            most_pushed: MOST_PUSHED,
            public_url: None,
            socket,
            program,
            folder,
            places: Semaphore::new(PLACES),
            asking: tokio::sync::Mutex::default(),
            tickets: Mutex::default(),
            pushes: Mutex::default(),
            seats: Mutex::default(),
            refusals: Mutex::default(),
            pushed: Mutex::default(),
            locks: Mutex::default(),
            used: Mutex::default(),
            pushing: Mutex::default(),
        }
    }

    /// Where coder's git finds control.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The folder in which `git-remote-cib` is, beside this program.
    #[must_use]
    pub fn programs(&self) -> String {
        let folder = self.program.parent().unwrap_or(Path::new("/usr/bin"));
        folder.display().to_string()
    }

    /// Whether the box has an account that publishes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.forges.iter().any(|forge| forge.has_token())
    }

    /// Makes its folder, with the hook that has every push checked: a link to this program, so
    /// that nothing has to be run that stands on the volume.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn prepare(&self) -> io::Result<()> {
        let hooks = self.folder.join(HOOKS);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&hooks)?;
        let hook = hooks.join(helper::CHECK);
        cib_base::files::remove(&hook)?;
        symlink(&self.program, hook)
    }

    /// The folder with that hook.
    fn hooks(&self) -> PathBuf {
        self.folder.join(HOOKS)
    }

    /// The socket on which the hook asks.
    fn checks(&self) -> PathBuf {
        self.folder.join(CHECKS)
    }

    /// The repository that an address names, if the box publishes there.
    #[must_use]
    pub fn repository(&self, address: &str) -> Option<TaskRepository> {
        let (forge, slug) = self.forges.find(address)?;
        forge.has_token().then(|| named(forge, &slug))
    }

    /// The forge, and the repository there, that a task's repository names.
    ///
    /// # Errors
    /// That the box has no account there any more.
    pub fn forge(&self, repository: &TaskForge) -> Result<(Arc<Forge>, Slug), Trouble> {
        let forge = self.forges.of(&repository.host);
        let forge = forge.filter(|forge| forge.has_token());
        match (forge, repository.repository.parse()) {
            (Some(forge), Ok(slug)) => Ok((Arc::clone(forge), slug)),
            _ => {
                let why = format!("the box has no token for {} any more", repository.host);
                Err(Trouble::new(TaskFault::NoRight, why))
            }
        }
    }

    /// Control's own copy of a task's repository.
    ///
    /// # Errors
    /// As [`Self::forge`].
    pub fn bare(&self, repository: &TaskForge) -> Result<Bare, Trouble> {
        let (forge, slug) = self.forge(repository)?;
        Ok(Bare::of(&self.folder, &forge, &slug, self.bridge))
    }

    /// Held while a repository of control's is fetched, or removed.
    #[must_use]
    pub fn lock(&self, bare: &Bare) -> Arc<tokio::sync::Mutex<()>> {
        lock_of(&self.locks, bare.path.clone())
    }

    /// Held by whoever needs a repository of control's that no task may be about.
    #[must_use]
    pub fn using(&self, bare: &Bare) -> Arc<()> {
        let mut used = held(&self.used);
        used.retain(|_, one| one.strong_count() > 0);
        let known = used.get(&bare.path).and_then(Weak::upgrade);
        let one = known.unwrap_or_default();
        used.insert(bare.path.clone(), Arc::downgrade(&one));
        one
    }

    /// Whether somebody does.
    #[must_use]
    pub fn is_used(&self, bare: &Bare) -> bool {
        let used = held(&self.used);
        used.get(&bare.path)
            .is_some_and(|one| one.strong_count() > 0)
    }

    /// Held while the branch of a task is pushed.
    fn pushing(&self, task: TaskId) -> Arc<tokio::sync::Mutex<()>> {
        lock_of(&self.pushing, task)
    }

    /// Fetches a task's repository anew. Branches of tasks that are in a fork alone are kept.
    ///
    /// # Errors
    /// What git and the forge say.
    pub async fn fetch(&self, app: &App, repository: &TaskForge) -> Result<(), Trouble> {
        let bare = self.bare(repository)?;
        let mut kept = Vec::new();
        for entry in app.tasks.all() {
            let found = entry.progress().repository.and_then(|found| found.forge);
            if found.is_some_and(|found| {
                found.fork.is_some()
                    && found.host == repository.host
                    && found.repository == repository.repository
            }) {
                kept.push(entry.branch());
            }
        }
        let lock = self.lock(&bare);
        let _changing = lock.lock().await;
        let default = repository.default_branch.as_deref();
        bare.fetch(default.filter(|name| !name.is_empty()), &kept)
            .await
    }

    /// A ticket by which a git that control has started is known to be a task's.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub fn ticket(self: &Arc<Self>, task: TaskId) -> io::Result<Ticket> {
        self.ticket_for(Whose::Task(task))
    }

    /// The same for a push that a person has asked for.
    ///
    /// # Errors
    /// As [`Self::ticket`].
    pub fn ticket_of(self: &Arc<Self>, order: &Arc<Order>) -> io::Result<Ticket> {
        self.ticket_for(Whose::Person(Arc::clone(order)))
    }

    fn ticket_for(self: &Arc<Self>, whose: Whose) -> io::Result<Ticket> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let name = cib_base::hex::encode(&bytes);
        let admitted = Admitted {
            whose,
            seats: Arc::new(Semaphore::new(TICKET_SEATS)),
            queue: Arc::new(Semaphore::new(TICKET_QUEUE)),
        };
        held(&self.tickets).insert(name.clone(), admitted);
        Ok(Ticket {
            name,
            publisher: Arc::clone(self),
        })
    }

    /// Why the last push of a task was not taken, once.
    #[must_use]
    pub fn refusal(&self, task: TaskId) -> Option<Trouble> {
        held(&self.refusals).remove(&task)
    }
}

/// What a repository of a forge is called here.
#[must_use]
pub fn named(forge: &Forge, slug: &Slug) -> TaskRepository {
    TaskRepository {
        source: forge.clone_url(slug),
        name: tree_name(slug.name()),
        forge: Some(TaskForge {
            host: forge.host().to_owned(),
            repository: slug.to_string(),
            ..TaskForge::default()
        }),
    }
}

/// A ticket that is good for as long as this is held.
#[derive(Debug)]
pub struct Ticket {
    /// Its name.
    pub name: String,
    publisher: Arc<Publisher>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        held(&self.publisher.tickets).remove(&self.name);
    }
}

fn lock_of<K: Eq + Hash>(locks: &Locks<K>, key: K) -> Arc<tokio::sync::Mutex<()>> {
    let mut locks = held(locks);
    locks.retain(|known, lock| *known == key || Arc::strong_count(lock) > 1);
    Arc::clone(locks.entry(key).or_default())
}

impl Publisher {
    /// Refuses so many bytes more of a task, if it has pushed too many.
    fn room_for(&self, task: TaskId, bytes: u64) -> Result<(), Trouble> {
        let known = held(&self.pushed).get(&task).copied().unwrap_or_default();
        if known.saturating_add(bytes) <= self.most_pushed {
            return Ok(());
        }
        let most = self.most_pushed >> 20;
        let why = format!("this task has pushed {most} MB, and no more is taken of it");
        Err(Trouble::new(TaskFault::PushRefused, why))
    }

    /// A task has pushed so many bytes more.
    fn spent(&self, task: TaskId, bytes: u64) {
        let mut pushed = held(&self.pushed);
        let known = pushed.entry(task).or_default();
        *known = known.saturating_add(bytes);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
