//! Joins coder's git to git in control's own repositories.

use std::collections::VecDeque;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use cib_protocol::session::SessionId;
use cib_protocol::task::{TaskFault, TaskId};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::timeout;

use super::bare::{Bare, Trouble};
use super::large::Load;
use super::person::Order;
use super::wire::{Answer, Check, Hello, MAX_HELLO, MAX_LINE};
use super::{Push, Whose, asker, check, git, held, helper};
use crate::app::App;
use crate::tasks::entry::Entry;
use crate::work;

/// How long whoever connects may take to say what it wants.
const GREETING: Duration = Duration::from_secs(10);

/// Those of whom it is not known yet what they want and whose they are, at most: git says it at once.
const GREETERS: usize = 64;

/// How long a place is waited for.
const QUEUE: Duration = Duration::from_secs(60);

/// How long one git may be served.
const SERVING: Duration = Duration::from_secs(20 * 60);

/// How long the forge is waited for before coder's git is told what it has.
const FRESH: Duration = Duration::from_secs(60);

/// How long either side may say, or take, nothing.
const SILENCE: Duration = Duration::from_secs(120);

/// Gits that an agent may have at work at once. Those with a ticket of control's count by that.
const SEATS: usize = 3;

/// How long to wait when the process has no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// The service that reads.
const READS: &str = "git-upload-pack";

/// The service that writes.
const WRITES: &str = "git-receive-pack";

/// Serves coder's git and the checks of pushes, until it is dropped.
///
/// # Errors
/// If control's own folder cannot be used.
pub async fn serve(listener: UnixListener, app: Arc<App>) -> io::Result<()> {
    app.publisher.prepare()?;
    let checks = app.publisher.checks();
    cib_base::files::remove(&checks)?;
    let checks = UnixListener::bind(checks)?;
    let greeters = Arc::new(Greeters::default());
    let gits = accept(listener, &app, |app, stream| {
        let greeter = greeters.enter();
        async move { converse(&app, stream, greeter).await }
    });
    let checks = accept(checks, &app, |app, stream| async move {
        answer_check(&app, stream).await
    });
    tokio::join!(gits, checks);
    Ok(())
}

async fn accept<F>(
    listener: UnixListener,
    app: &Arc<App>,
    serve: impl Fn(Arc<App>, UnixStream) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = serve(Arc::clone(app), stream);
                tokio::spawn(async move {
                    if let Ok(Err(error)) = timeout(SERVING, served).await {
                        tracing::debug!(%error, "a git went away");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "git is not served");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Those of whom it is not known yet what they want and whose they are. Everybody in the box may
/// connect, so the first of too many is let go.
#[derive(Debug, Default)]
struct Greeters(Mutex<VecDeque<Weak<Notify>>>);

impl Greeters {
    /// One more. It is told when it has to go.
    fn enter(&self) -> Arc<Notify> {
        let leave = Arc::new(Notify::new());
        let mut known = held(&self.0);
        known.retain(|one| one.strong_count() > 0);
        if known.len() >= GREETERS
            && let Some(first) = known.pop_front().and_then(|first| first.upgrade())
        {
            first.notify_one();
        }
        known.push_back(Arc::downgrade(&leave));
        leave
    }
}

/// Reads one line, and no more than that of what follows it.
async fn line(stream: &mut BufReader<UnixStream>, most: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut most = stream.take(most);
    timeout(GREETING, most.read_until(b'\n', &mut line)).await??;
    Ok(line)
}

async fn converse(app: &Arc<App>, stream: UnixStream, greeter: Arc<Notify>) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let mut stream = BufReader::new(stream);
    let said = tokio::select! {
        // What has been said counts.
        biased;
        said = line(&mut stream, MAX_HELLO) => said?,
        () = greeter.notified() => return Ok(()),
    };
    let Ok(hello) = serde_json::from_slice::<Hello>(&said) else {
        return refuse(&mut stream, "that is not what the box understands").await;
    };
    let ordered = match ordered(app, &hello) {
        Some(Ok((order, bare))) => return take(app, order, &bare, stream).await,
        Some(Err(why)) => Err(why),
        None => Ok(()),
    };
    let granted = match ordered {
        Ok(()) => tokio::select! {
            biased;
            granted = grant(app, &hello, peer.pid().unwrap_or(0), peer.uid()) => granted,
            () = greeter.notified() => return Ok(()),
        },
        Err(why) => Err(why),
    };
    drop(greeter);
    let (entry, bare) = match granted {
        Ok(granted) => granted,
        Err(why) => return refuse(&mut stream, &why).await,
    };
    let own = hello.ticket.is_some();
    let Some(_seat) = Seat::take(app, entry.id(), hello.ticket.as_deref()).await else {
        return refuse(
            &mut stream,
            "this task has enough gits at work; wait for one to end",
        )
        .await;
    };
    let Ok(Ok(_place)) = timeout(QUEUE, app.publisher.places.acquire()).await else {
        return refuse(&mut stream, "the box serves too many gits; try again").await;
    };
    // What control has started itself comes right after it has fetched.
    if hello.service == READS && !own {
        refresh(app, &entry).await;
    }
    // Of an agent and control that push the same the second finds it done.
    let lock = app.publisher.pushing(entry.id());
    let _pushing = if hello.service == WRITES {
        match timeout(QUEUE, lock.lock_owned()).await {
            Ok(pushing) => Some(pushing),
            Err(_) => return refuse(&mut stream, "another push is under way; try again").await,
        }
    } else {
        None
    };
    stream.write_all(&check::line(&Answer::Granted)?).await?;
    if hello.service == READS {
        // Of what is large a tree has at first only what stands in it.
        let lets = [
            "uploadpack.allowFilter=true",
            "uploadpack.allowAnySHA1InWant=true",
        ];
        let read = git::command(&bare.path, &lets, ["upload-pack", "--strict", "."]);
        return join(read, stream).await;
    }
    receive(app, Whose::Task(entry.id()), &bare, stream).await
}

/// Takes a push, each of whose branches is checked.
async fn receive(
    app: &App,
    whose: Whose,
    bare: &Bare,
    stream: BufReader<UnixStream>,
) -> io::Result<()> {
    let push = Under::begin(app, whose, bare)?;
    let hooks = format!("core.hooksPath={}", app.publisher.hooks().display());
    let mut write = git::taking(&bare.path, &[&hooks], ["receive-pack", "."]);
    write
        .env(helper::CHECK_SOCKET, app.publisher.checks())
        .env(helper::CHECK_PUSH, &push.name);
    join(write, stream).await
}

/// What a person has asked for, if that is what this is about, and control's copy of the repository.
fn ordered(app: &App, hello: &Hello) -> Option<Result<(Arc<Order>, Bare), String>> {
    let whose = held(&app.publisher.tickets)
        .get(hello.ticket.as_ref()?)
        .map(|admitted| admitted.whose.clone());
    let Some(Whose::Person(order)) = whose else {
        return None;
    };
    let is_it = hello.service == WRITES
        && order.forge.host.eq_ignore_ascii_case(&hello.host)
        && order
            .forge
            .repository
            .eq_ignore_ascii_case(&hello.repository);
    if !is_it {
        return Some(Err("something else was asked for".to_owned()));
    }
    let bare = app.publisher.bare(&order.forge);
    Some(
        bare.map(|bare| (order, bare))
            .map_err(|trouble| trouble.detail),
    )
}

/// Takes what a person has asked for.
async fn take(
    app: &App,
    order: Arc<Order>,
    bare: &Bare,
    mut stream: BufReader<UnixStream>,
) -> io::Result<()> {
    // Git needs one, and everything that it starts knows the ticket.
    if !order.take() {
        return refuse(&mut stream, "this push is under way already").await;
    }
    let Ok(Ok(_place)) = timeout(QUEUE, app.publisher.places.acquire()).await else {
        return refuse(&mut stream, "the box serves too many gits; try again").await;
    };
    stream.write_all(&check::line(&Answer::Granted)?).await?;
    receive(app, Whose::Person(order), bare, stream).await
}

async fn refuse(stream: &mut BufReader<UnixStream>, why: &str) -> io::Result<()> {
    let answer = Answer::Refused(why.to_owned());
    stream.write_all(&check::line(&answer)?).await?;
    stream.shutdown().await
}

/// The task that asks, and control's copy of its repository, if that is what it asks for.
async fn grant(app: &App, hello: &Hello, pid: i32, uid: u32) -> Result<(Arc<Entry>, Bare), String> {
    if hello.service != READS && hello.service != WRITES {
        return Err(format!("the box has no `{}`", hello.service));
    }
    let entries = asking(app, hello, pid, uid).await;
    if entries.is_empty() {
        return Err(
            "this is no session of a task, and the box publishes for tasks alone".to_owned(),
        );
    }
    let mut own = String::new();
    for entry in entries {
        let Some(forge) = entry.progress().repository.and_then(|found| found.forge) else {
            continue;
        };
        let is_it = forge.host.eq_ignore_ascii_case(&hello.host)
            && forge.repository.eq_ignore_ascii_case(&hello.repository);
        if is_it {
            let bare = app
                .publisher
                .bare(&forge)
                .map_err(|trouble| trouble.detail)?;
            return if bare.exists() {
                Ok((entry, bare))
            } else {
                Err("the box has not fetched the repository yet".to_owned())
            };
        }
        own = format!("{}/{}", forge.host, forge.repository);
    }
    Err(format!(
        "this task is about {own} alone, so {}/{} is neither read nor changed",
        hello.host, hello.repository
    ))
}

/// The tasks that a process may speak for: one, wherever the box can tell.
async fn asking(app: &App, hello: &Hello, pid: i32, uid: u32) -> Vec<Arc<Entry>> {
    if let Some(ticket) = &hello.ticket {
        let admitted = held(&app.publisher.tickets).get(ticket).cloned();
        let Some(Whose::Task(task)) = admitted.map(|admitted| admitted.whose) else {
            return Vec::new();
        };
        return app.tasks.get(&task.to_string()).into_iter().collect();
    }
    let all = app.tasks.all().into_iter();
    let session = |entry: &Arc<Entry>| entry.progress().session.map(|one| one.session);
    if let Some(asked) = session_of(app, pid).await {
        return all.filter(|entry| session(entry) == Some(asked)).collect();
    }
    let mut found = Vec::new();
    if asker::is_one_user(uid) {
        for entry in all {
            if let Some(session) = session(&entry)
                && asker::is_of(app, session, pid).await
            {
                found.push(entry);
            }
        }
    }
    found
}

/// The session that a process belongs to. Of coder's many may descend from each other, and ask without
/// a pause, so they are looked at one after the other.
async fn session_of(app: &App, pid: i32) -> Option<SessionId> {
    let _turn = app.publisher.asking.lock().await;
    let found = work::run(move || Ok::<_, io::Error>(asker::session(pid)));
    found.await.ok().flatten()
}

/// Fetches the repository of a task anew; what is there already has to do if the forge is away.
async fn refresh(app: &App, entry: &Entry) {
    let Some(forge) = entry.progress().repository.and_then(|found| found.forge) else {
        return;
    };
    match timeout(FRESH, app.publisher.fetch(app, &forge)).await {
        Ok(Err(trouble)) => {
            tracing::warn!(task = %entry.id(), detail = trouble.detail, "the repository is as it was");
        }
        Err(_) => tracing::warn!(task = %entry.id(), "the forge takes long"),
        Ok(Ok(())) => {}
    }
}

/// Joins both until git has ended. What coder's git does not take keeps nothing of control's.
async fn join(
    mut command: tokio::process::Command,
    stream: BufReader<UnixStream>,
) -> io::Result<()> {
    command.stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let (mut from, mut to) = tokio::io::split(stream);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let into = async move {
        // Git may have heard enough.
        let _ = copy(&mut from, &mut stdin, SILENCE).await;
        drop(stdin);
        std::future::pending::<()>().await;
    };
    let out = async {
        // Git may think for as long as it is served, and what it says has to be taken.
        copy(&mut stdout, &mut to, SERVING).await?;
        to.shutdown().await
    };
    tokio::select! {
        done = out => done?,
        () = into => {}
    }
    child.wait().await.map(drop)
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    silence: Duration,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = timeout(silence, from.read(&mut bytes)).await??;
        if read == 0 {
            return Ok(());
        }
        let write = async {
            to.write_all(&bytes[..read]).await?;
            to.flush().await
        };
        timeout(SILENCE, write).await??;
    }
}

/// One of the seats of a task, or of a ticket.
struct Seat<'a> {
    app: &'a App,
    task: Option<TaskId>,
    _of_ticket: Option<OwnedSemaphorePermit>,
}

impl<'a> Seat<'a> {
    async fn take(app: &'a App, task: TaskId, ticket: Option<&str>) -> Option<Self> {
        if let Some(ticket) = ticket {
            let admitted = held(&app.publisher.tickets).get(ticket)?.clone();
            let _waits = admitted.queue.try_acquire_owned().ok()?;
            let seats = admitted.seats;
            // One git of control's comes right after the other, and finds its place warm.
            let seat = timeout(QUEUE, seats.acquire_owned()).await.ok()?.ok()?;
            return Some(Self {
                app,
                task: None,
                _of_ticket: Some(seat),
            });
        }
        let mut seats = held(&app.publisher.seats);
        let taken = seats.entry(task).or_default();
        if *taken >= SEATS {
            return None;
        }
        *taken += 1;
        Some(Self {
            app,
            task: Some(task),
            _of_ticket: None,
        })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task else { return };
        let mut seats = held(&self.app.publisher.seats);
        if let Some(taken) = seats.get_mut(&task) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                seats.remove(&task);
            }
        }
    }
}

/// A push that is under way, for as long as this is held.
struct Under<'a> {
    app: &'a App,
    name: String,
}

impl<'a> Under<'a> {
    fn begin(app: &'a App, whose: Whose, bare: &Bare) -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let name = cib_base::hex::encode(&bytes);
        let push = Push {
            whose,
            bare: bare.clone(),
        };
        held(&app.publisher.pushes).insert(name.clone(), push);
        Ok(Self { app, name })
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        held(&self.app.publisher.pushes).remove(&self.name);
    }
}

/// Answers a check: it is git's own, which control has started.
async fn answer_check(app: &Arc<App>, stream: UnixStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let asked = serde_json::from_slice::<Check>(&line(&mut stream, MAX_LINE).await?)?;
    let push = held(&app.publisher.pushes).get(&asked.push).cloned();
    let Some(push) = push else {
        return refuse(&mut stream, "this push is over").await;
    };
    let judged = match &push.whose {
        Whose::Task(task) => judge(app, &asked, *task, &push.bare).await,
        Whose::Person(order) => order.judge(app, &asked, &push.bare).await,
    };
    let answer = match judged {
        Ok(()) => Answer::Granted,
        Err(trouble) => {
            let (kind, why) = (trouble.kind.as_str(), trouble.detail.clone());
            match &push.whose {
                Whose::Task(task) => {
                    tracing::info!(%task, kind, "a push is refused");
                    held(&app.publisher.refusals).insert(*task, trouble);
                }
                Whose::Person(order) => {
                    tracing::info!(
                        repository = order.forge.repository,
                        kind,
                        "a push is refused"
                    );
                    order.refuse(trouble);
                }
            }
            Answer::Refused(why)
        }
    };
    stream.write_all(&check::line(&answer)?).await?;
    stream.shutdown().await
}

/// Looks at a push, and pushes it on.
async fn judge(app: &App, asked: &Check, task: TaskId, bare: &Bare) -> Result<(), Trouble> {
    let refused = |why: String| Trouble::new(TaskFault::PushRefused, why);
    let entry = app.tasks.get(&task.to_string());
    let entry = entry.map_err(|_| refused("there is no such task any more".to_owned()))?;
    let forge = entry.progress().repository.and_then(|found| found.forge);
    let forge = forge.ok_or_else(|| refused("this task publishes nothing".to_owned()))?;
    if !entry.record.request.push {
        return Err(refused("this task was asked to publish nothing".to_owned()));
    }
    let branch = entry.branch();
    let command = check::only(&branch, &asked.commands).map_err(refused)?;
    if forge.default_branch.as_deref() == Some(&*branch) {
        return Err(refused(format!(
            "`{branch}` is the repository's own branch"
        )));
    }
    check::grows(bare, asked, &command).await?;
    let new = command.new.unwrap_or_default();
    let mut secrets = app.publisher.secrets.clone();
    secrets.allowed.clone_from(&entry.record.request.allow);
    let pointers = check::scan(bare, asked, &new, secrets.clone()).await?;
    // What nothing leads to came with it all the same, and stays.
    let came = bare.size_of(&asked.objects).await?;
    app.publisher.room_for(task, came)?;
    let (_, slug) = app.publisher.forge(&forge)?;
    let to = match &forge.fork {
        Some(fork) => fork
            .parse()
            .map_err(|_| refused("the fork has no usable name".to_owned()))?,
        None => slug,
    };
    let tree = entry.progress().branch.map(|tree| tree.workdir);
    let folder = format!("{}/.git", tree.unwrap_or_default());
    let load = Load {
        bare,
        task: Some(task),
        asked,
        new: &new,
        to: &to,
        folder: &folder,
        secrets,
    };
    load.bring(app, pointers).await?;
    let objects = (&*asked.objects, &*asked.alternates);
    bare.push(&to, &new, &branch, Some(objects)).await?;
    app.publisher.spent(task, came);
    Ok(())
}
