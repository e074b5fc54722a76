//! The task of a container that has one, as PID 1 sees it: a child that is started when the box is
//! up, is told when the box is to end, and whose end is the box's.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use cib_base::errors::chain;
use cib_base::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::live::Parts;
use crate::environment::{Fault, Place, Questions, Settings, TaskSettings};
use crate::exit::{self, Exit};
use crate::job::{CANCELLED, NAME, Spec};
use crate::process::{Child, Processes};
use crate::spawn::{Command, Sink, Stdin};
use crate::steps::accounts::CIB;

/// What the kernel calls the container.
const HOST: &str = "/proc/sys/kernel/hostname";

/// How much longer than it was told the child may take to end.
const MARGIN: Duration = Duration::from_millis(500);

/// Opens the file that the result goes into, if one was named.
///
/// # Errors
/// It cannot be written.
pub(super) fn place(settings: &Settings) -> Result<Option<OwnedFd>, Fault> {
    let path = settings.task.as_ref().and_then(|task| task.result.as_ref());
    let opened = path.map(|path| crate::job::place(path)).transpose();
    opened
        .map(|file| file.map(<File as Into<OwnedFd>>::into))
        .map_err(|error| {
            Fault::new(
                Place::variable("CIB_TASK_RESULT"),
                format!("cannot be used: {}", chain(&error)),
                "name a file in a folder that is there and can be written to, without a link on the way",
            )
        })
}

/// The child that does the task.
pub(super) struct Job {
    child: Child,
    processes: Processes,
    cancel: Duration,
}

impl Job {
    /// Starts it. What it writes to standard output is the result, and goes where that belongs.
    ///
    /// # Errors
    /// Why it cannot be started, in words.
    pub(super) fn start(
        settings: &Settings,
        task: &TaskSettings,
        parts: &Parts,
        result: Option<OwnedFd>,
    ) -> Result<Self, String> {
        // The rest is for ending what else there is.
        let cancel = settings.container.shutdown_timeout * 3 / 4;
        let spec = Spec {
            port: settings.port,
            token: settings.auth.token().map(|token| token.expose().to_owned()),
            request: request(task)?,
            waits_for_answers: task.questions == Questions::Wait,
            timeout: task.timeout,
            cancel,
        };
        let spec = serde_json::to_vec(&spec).map_err(|error| error.to_string())?;
        let mut command = Command::new(parts.bin.join("cib-init")).args(["box", "job"]);
        command.ids = (parts.runtime.ids)(CIB, None)?;
        command.stdin = Stdin::Pipe;
        command.stdout = result.map_or(Sink::Inherit, Sink::Fd);
        command.stderr = Sink::Log(NAME.to_owned());
        let spawned = parts.processes.spawn(command);
        let mut child = spawned.map_err(|error| chain(&error))?;
        let stdin = child.take_stdin();
        tokio::task::spawn_local(async move {
            if let Some(mut stdin) = stdin {
                // A child that does not read it says itself why.
                let _ = stdin.write_all(&spec).await;
            }
        });
        Ok(Self {
            child,
            processes: parts.processes.clone(),
            cancel,
        })
    }

    /// Waits until it has ended; the box's exit code. May be dropped on the way.
    pub(super) async fn ended(&mut self) -> u8 {
        match self.child.wait().await {
            Exit::Code(code) => code,
            Exit::Signal(signal) => {
                let name = crate::signals::name(signal);
                tracing::error!(service = NAME, "the task's process died of {name}");
                exit::INTERNAL
            }
        }
    }

    /// Has it cancel the task, and waits until that is done, time is up or somebody asks again;
    /// the box's exit code, and whether somebody did.
    pub(super) async fn cancel(&mut self, asks: &mut mpsc::UnboundedReceiver<()>) -> (u8, bool) {
        tracing::info!(
            service = NAME,
            "the task is cancelled, because the box is to end"
        );
        self.processes.signal(self.child.id(), libc::SIGTERM);
        tokio::select! {
            exit = self.child.wait() => match exit {
                Exit::Code(code) => (code, false),
                Exit::Signal(_) => (CANCELLED, false),
            },
            () = sleep(self.cancel + MARGIN) => {
                tracing::warn!(service = NAME, "the task is not cancelled yet; it goes on to be when the box is started again");
                (CANCELLED, false)
            }
            _ = asks.recv() => (CANCELLED, true),
        }
    }
}

/// The body of the request, with the key that tells this task from others.
fn request(task: &TaskSettings) -> Result<Value, String> {
    let text = task.request.expose();
    let mut request: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Some(fields) = request.as_object_mut() else {
        return Err("the request is no object".to_owned());
    };
    if let Some(key) = &task.key {
        fields.insert("dedupe_key".to_owned(), key.clone().into());
    } else {
        let host = cib_foreign::own::read_to_string(HOST).unwrap_or_default();
        let key = || own_key(host.trim(), text).into();
        fields.entry("dedupe_key").or_insert_with(key);
    }
    Ok(request)
}

/// The key of what is asked of this container: its name outlives a new start of it, and no other
/// container has it.
fn own_key(host: &str, request: &str) -> String {
    let host: String = host
        .chars()
        .filter(char::is_ascii_graphic)
        .take(100)
        .collect();
    let digest = hex::encode(&Sha256::digest(request));
    format!("job:{host}:{}", &digest[..16])
}

#[cfg(test)]
mod tests {
    use cib_protocol::secret::Secret;

    use super::*;

    #[test]
    fn the_key_is_the_containers_and_the_requests_unless_one_is_given() {
        let key = |request: &str, key: Option<&str>| {
            let task = TaskSettings {
                request: Secret::new(request),
                key: key.map(str::to_owned),
                result: None,
                timeout: None,
                questions: Questions::Fail,
            };
            request_key(&super::request(&task).unwrap())
        };
        let own = key(r#"{"prompt":"a"}"#, None);
        assert!(own.starts_with("job:"), "{own}");
        assert_eq!(own, key(r#"{"prompt":"a"}"#, None));
        assert_ne!(own, key(r#"{"prompt":"b"}"#, None));
        assert_eq!(key(r#"{"dedupe_key":"of-it"}"#, None), "of-it");
        assert_eq!(key(r#"{"dedupe_key":"of-it"}"#, Some("mine")), "mine");
        let odd = own_key("a b\u{e4}\n", "x");
        assert!(odd.starts_with("job:ab:") && odd.len() < 200, "{odd}");
    }

    fn request_key(request: &Value) -> String {
        request["dedupe_key"].as_str().unwrap().to_owned()
    }
}
