//! The process that does the job: it asks control for the task, follows it, and says what became
//! of it.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use cib_base::errors::chain;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Spec;
use super::api::{Api, ApiError};
use super::outcome::{Ending, NOT_WRITTEN};
use crate::exit;
use crate::signals::Signals;

/// How long a task may take to end that ran out of time.
const AFTER_TIMEOUT: Duration = Duration::from_secs(120);
/// The pause before a stream is opened again that broke off.
const AGAIN: Duration = Duration::from_millis(500);
/// The pause before a task is looked at that has changed: changes come in groups.
const SOON: Duration = Duration::from_millis(100);
/// How long the last lines of the log, and the last look, may take.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How often a task is looked at that says nothing.
const LOOK: Duration = Duration::from_secs(10);

/// Does the job that standard input describes; its exit code. Standard output gets the result and
/// nothing else, standard error the task's log.
#[must_use]
pub fn main() -> u8 {
    let mut text = Vec::new();
    let spec = io::stdin()
        .lock()
        .read_to_end(&mut text)
        .and_then(|_| Ok(serde_json::from_slice::<Spec>(&text)?));
    let spec = match spec {
        Ok(spec) => spec,
        Err(error) => return say(&format!("there is no job: {error}"), exit::USAGE),
    };
    drop(text);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return say(&format!("there is no event loop: {error}"), exit::INTERNAL),
    };
    let (code, line) = runtime.block_on(async {
        match Signals::of(&[libc::SIGTERM]) {
            Ok(signals) => Job::new(spec).run(signals).await,
            Err(error) => Ending::Broken(format!("signals: {error}")).line(None),
        }
    });
    match io::stdout().write_all(line.as_bytes()) {
        Ok(()) => code,
        Err(error) => say(
            &format!("the result cannot be written: {error}"),
            NOT_WRITTEN,
        ),
    }
}

/// A line on standard error, and the code again.
fn say(line: &str, code: u8) -> u8 {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr(), "{line}");
    code
}

struct Job {
    api: Arc<Api>,
    spec: Spec,
}

impl Job {
    fn new(mut spec: Spec) -> Self {
        let api = Arc::new(Api::new(spec.port, spec.token.take()));
        Self { api, spec }
    }

    /// Does the task; the exit code and the result.
    async fn run(&self, mut signals: Signals) -> (u8, String) {
        let until = self.spec.timeout.map(|time| Instant::now() + time);
        let (tell, stop) = watch::channel(false);
        let done = async {
            match self.begin().await {
                Ok(id) => self.follow(&id, until, stop).await,
                Err(ApiError::Refused {
                    status,
                    code,
                    detail,
                }) if status < 500 => Ending::Refused(code, detail).line(None),
                Err(error) => Ending::Broken(chain(&error)).line(None),
            }
        };
        tokio::pin!(done);
        tokio::select! {
            result = &mut done => return result,
            _ = signals.next() => { let _ = tell.send(true); }
        }
        // What is being submitted is cancelled once it is there.
        tokio::select! {
            result = &mut done => result,
            () = sleep(self.spec.cancel) => Ending::Stopped.line(None),
        }
    }

    /// Finds the task, or submits it; its id.
    async fn begin(&self) -> Result<String, ApiError> {
        self.go_on().await?;
        let Some(known) = self.known().await? else {
            let task = self
                .api
                .ask("POST", "/api/tasks", &self.spec.request)
                .await?;
            return Ok(id(&task));
        };
        let id = id(&known);
        let mut task = known;
        // An end that was on its way when the container ended comes first.
        while is_ending(&task) {
            sleep(AGAIN).await;
            task = self.look(&id).await?;
        }
        match task["state"].as_str() {
            Some("completed") => {
                let _ = say(
                    &format!("task {id} is done already; this is what became of it"),
                    0,
                );
            }
            Some("failed" | "cancelled") => {
                let _ = say(&format!("task {id} is tried again, on its branch"), 0);
                self.retry(&id).await?;
            }
            _ => {
                let _ = say(&format!("task {id} goes on"), 0);
            }
        }
        Ok(id)
    }

    /// Has a task tried again.
    async fn retry(&self, id: &str) -> Result<(), ApiError> {
        let asked = self
            .api
            .ask("POST", &format!("/api/tasks/{id}/retry"), &json!({}))
            .await;
        match asked {
            // The answer to an earlier try was lost, and the task goes on, or is done already.
            Err(ApiError::Refused { status: 409, .. })
                if !is_in(&self.look(id).await?, &["failed", "cancelled"]) =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Lets the queue go on, which an earlier start may have left paused: a login that did not
    /// hold does that, and whoever starts the container again has seen to it.
    async fn go_on(&self) -> Result<(), ApiError> {
        let queue = self
            .api
            .ask("GET", "/api/tasks/queue", &Value::Null)
            .await?;
        if queue["paused"] == true {
            let queue = json!({"max_running": queue["max_running"], "paused": false});
            self.api.ask("PUT", "/api/tasks/queue", &queue).await?;
        }
        Ok(())
    }

    /// The newest task with the same key.
    async fn known(&self) -> Result<Option<Value>, ApiError> {
        let key = &self.spec.request["dedupe_key"];
        let mut path = "/api/tasks".to_owned();
        loop {
            let mut list = self.api.ask("GET", &path, &Value::Null).await?;
            let tasks = list["tasks"].as_array_mut();
            let found = tasks.and_then(|tasks| {
                let at = tasks.iter().position(|task| task["dedupe_key"] == *key)?;
                Some(tasks.swap_remove(at))
            });
            if found.is_some() {
                return Ok(found);
            }
            match list["next"].as_str() {
                Some(next) => path = format!("/api/tasks?after={next}"),
                None => return Ok(None),
            }
        }
    }

    async fn look(&self, id: &str) -> Result<Value, ApiError> {
        self.api
            .ask("GET", &format!("/api/tasks/{id}"), &Value::Null)
            .await
    }

    /// Follows a task until it has ended, or has to be ended.
    async fn follow(
        &self,
        id: &str,
        until: Option<Instant>,
        mut stop: watch::Receiver<bool>,
    ) -> (u8, String) {
        let (tell, mut changes) = watch::channel(());
        let log = tokio::spawn(log(Arc::clone(&self.api), id.to_owned(), tell));
        let ending = loop {
            let looked = tokio::select! {
                looked = self.ending(id) => looked,
                _ = stop.wait_for(|stopped| *stopped) => break Ending::Stopped,
            };
            match looked {
                Ok(Some(ending)) => break ending,
                Ok(None) => {}
                Err(error) => break Ending::Broken(chain(&error)),
            }
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => break Ending::Stopped,
                () = at(until) => break Ending::TimeOut,
                // Whoever told of changes is gone only at the end of the task.
                Ok(()) = changes.changed() => sleep(SOON).await,
                () = sleep(LOOK) => {}
            }
        };
        // Whoever is stopped has to be done before the rest of the box is ended.
        let (within, rest) = match ending {
            Ending::Stopped => (self.spec.cancel * 3 / 4, self.spec.cancel / 12),
            _ => (AFTER_TIMEOUT, LAST_LINES),
        };
        if !matches!(ending, Ending::Itself | Ending::Broken(_))
            && let Ok(Err(error)) = timeout(within, self.cancel(id)).await
        {
            let why = chain(&error);
            let _ = say(&format!("task {id} cannot be cancelled: {why}"), 0);
        }
        // What the log has of the end stands before the result.
        let _ = timeout(rest, log).await;
        let task = timeout(rest, self.look(id)).await;
        ending.line(task.ok().and_then(Result::ok))
    }

    /// Why a task is not followed any more, if it is not.
    async fn ending(&self, id: &str) -> Result<Option<Ending>, ApiError> {
        let task = self.look(id).await?;
        let reason = || task["reason"].as_str().unwrap_or_default().to_owned();
        if is_ended(&task) {
            return Ok(Some(Ending::Itself));
        }
        if self.spec.waits_for_answers {
            return Ok(None);
        }
        match task["state"].as_str() {
            Some("needs_input") => Ok(Some(Ending::Asked(reason()))),
            // It waits for other things as well.
            Some("waiting") => Ok(self.is_asked(&task).await?.then(|| Ending::Asked(reason()))),
            _ => Ok(None),
        }
    }

    /// Whether the task's session has asked something.
    async fn is_asked(&self, task: &Value) -> Result<bool, ApiError> {
        let Some(session) = task["session"].as_str() else {
            return Ok(false);
        };
        let path = format!("/api/sessions/{session}");
        match self.api.ask("GET", &path, &Value::Null).await {
            Ok(session) => Ok(session["state"] == "waiting_for_input"),
            Err(ApiError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Cancels a task, and waits until that is done.
    async fn cancel(&self, id: &str) -> Result<(), ApiError> {
        let asked = self
            .api
            .ask("POST", &format!("/api/tasks/{id}/cancel"), &json!({}))
            .await;
        match asked {
            // It has ended meanwhile, or is about to.
            Ok(_) | Err(ApiError::Refused { status: 409, .. }) => {}
            Err(error) => return Err(error),
        }
        while !is_ended(&self.look(id).await?) {
            sleep(SOON).await;
        }
        Ok(())
    }
}

/// Copies a task's log to standard error until the task has ended, and tells of each entry. A
/// stream that breaks off is opened again, and what was shown of it is not shown twice.
async fn log(api: Arc<Api>, id: String, tell: watch::Sender<()>) {
    let mut shown = 0;
    loop {
        if let Ok(mut lines) = api.stream(&format!("/api/tasks/{id}/logs")).await {
            let mut seen = 0_u64;
            while let Ok(Some(line)) = lines.next().await {
                seen += 1;
                if seen > shown {
                    shown = seen;
                    let _ = say(&line, 0);
                    let _ = tell.send(());
                }
            }
        }
        let task = api
            .ask("GET", &format!("/api/tasks/{id}"), &Value::Null)
            .await;
        match task {
            Ok(task) if !is_ended(&task) => sleep(AGAIN).await,
            _ => return,
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn id(task: &Value) -> String {
    task["id"].as_str().unwrap_or_default().to_owned()
}

fn is_in(task: &Value, states: &[&str]) -> bool {
    task["state"]
        .as_str()
        .is_some_and(|state| states.contains(&state))
}

fn is_ended(task: &Value) -> bool {
    is_in(task, &["completed", "failed", "cancelled"])
}

fn is_ending(task: &Value) -> bool {
    is_in(task, &["cancelling", "failing"])
}
