//! Tasks as services of a Swarm in job mode, by `docker`.
//!
//! A service is a task; the Swarm finds a machine for it. Who removes the service cancels the task,
//! and the Swarm keeps nothing of it then: its log and its result are shown before.

use serde_json::{Value, json};

use super::job::{END, REQUEST, SECRETS, id_of, merged, name};
use super::{Place, Submission};
use crate::boxes::CAPABILITIES;
use crate::commands::Context;
use crate::engine::Engine;
use crate::failure::{Exit, Failure};

/// The label by which our services are found.
const OURS: &str = "claude-in-box.task";
/// The label with the repository.
const REPO: &str = "claude-in-box.repo";

/// A Swarm.
pub(super) struct Swarm(Engine);

impl Swarm {
    pub(super) fn new(context: &Context<'_>) -> Result<Self, Failure> {
        let engine = context.engine()?;
        let words = ["info", "--format", "{{.Swarm.ControlAvailable}}"];
        let is_manager = engine.ask_for("say whether it is in a Swarm", &words)?;
        if is_manager.trim() != "true" {
            let what = "this engine is no manager of a Swarm";
            return Err(Failure::new(Exit::Engine, what)
                .remedy("docker swarm init, or choose a manager by --engine or a context"));
        }
        Ok(Self(engine))
    }

    fn service(&self, id: &str) -> Result<Value, Failure> {
        let found = self.0.inspect(&["service", "inspect", &name(id)])?;
        let found = found.into_iter().next();
        found.ok_or_else(|| Failure::failed(format!("the Swarm has no task {id}")))
    }

    /// The newest container of a service, as the Swarm tells of it.
    fn newest(&self, id: &str) -> Result<Option<Value>, Failure> {
        let format = "--format={{.ID}}";
        let words = ["service", "ps", "--no-trunc", format, &name(id)];
        let ids = self.0.ask_for("list its tries", &words)?;
        let Some(newest) = ids.lines().next().filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        Ok(self
            .0
            .inspect(&["inspect", "--type=task", newest])?
            .into_iter()
            .next())
    }

    fn shown(&self, id: &str) -> Result<Value, Failure> {
        let service = self.service(id)?;
        let newest = self.newest(id)?;
        let mut task = json!({
            "id": id,
            "state": state(newest.as_ref()),
            "created_at": service["CreatedAt"],
        });
        let repo = &service["Spec"]["Labels"][REPO];
        if repo.is_string() {
            task["repo"] = repo.clone();
        }
        let code =
            newest.and_then(|newest| newest["Status"]["ContainerStatus"]["ExitCode"].as_u64());
        if let (Some(code), true) = (code, super::is_ended(&task)) {
            task["exit_code"] = json!(code);
        }
        Ok(task)
    }
}

impl Place for Swarm {
    fn submit(&self, task: &Submission) -> Result<Value, Failure> {
        let variables = task.job.variables(&task.request);
        let mut words = words(task, &variables);
        if task.dry_run {
            return Ok(json!(words));
        }
        // Whoever lists processes sees their words, and does not see what they are given beside.
        let (hidden, _): (Vec<_>, Vec<_>) =
            variables.into_iter().partition(|(name, _)| name == REQUEST);
        let begin = format!("--env={REQUEST}=");
        for word in words.iter_mut().filter(|word| word.starts_with(&begin)) {
            word.truncate(begin.len() - 1);
        }
        self.0.ask_with("take the task", &words, &hidden)?;
        self.shown(&task.job.id)
    }

    fn list(&self) -> Result<Vec<Value>, Failure> {
        let filter = format!("--filter=label={OURS}");
        let words = ["service", "ls", &filter, "--format={{.Name}}"];
        let names = self.0.ask_for("list its services", &words)?;
        let ids = names.lines().filter_map(id_of);
        let mut tasks = ids
            .map(|id| self.shown(id))
            .collect::<Result<Vec<_>, _>>()?;
        tasks.sort_by_key(|task| std::cmp::Reverse(task["created_at"].to_string()));
        Ok(tasks)
    }

    fn show(&self, id: &str) -> Result<Value, Failure> {
        let task = self.shown(id)?;
        if task["state"] == "queued" {
            return Ok(task);
        }
        Ok(merged(task, &self.logs(id)?))
    }

    fn logs(&self, id: &str) -> Result<String, Failure> {
        let words = ["service", "logs", "--raw", &name(id)];
        let ran = self.0.run("show the log", &words, b"")?;
        // The box's own log is its standard error, the result its standard output.
        let mut log = String::from_utf8_lossy(&ran.stderr).into_owned();
        log.push_str(&String::from_utf8_lossy(&ran.stdout));
        Ok(log)
    }

    fn cancel(&self, id: &str) -> Result<Value, Failure> {
        let mut task = self.shown(id)?;
        if super::is_ended(&task) {
            return Ok(task);
        }
        self.0
            .ask_for("remove the task", &["service", "rm", &name(id)])?;
        task["state"] = json!("cancelled");
        Ok(task)
    }
}

/// Where a task of a Swarm's stands, in a task's words.
fn state(newest: Option<&Value>) -> &'static str {
    let Some(newest) = newest else {
        return "queued";
    };
    match newest["Status"]["State"].as_str().unwrap_or_default() {
        "complete" => "completed",
        "failed" | "rejected" | "orphaned" => {
            match newest["Status"]["ContainerStatus"]["ExitCode"].as_u64() {
                Some(143) => "cancelled",
                _ => "failed",
            }
        }
        "shutdown" | "remove" => "cancelled",
        "running" | "starting" => "working",
        _ => "queued",
    }
}

/// What `docker` is told to make a task.
fn words(task: &Submission, variables: &[(String, String)]) -> Vec<String> {
    let job = &task.job;
    let mut words: Vec<String> = [
        "service",
        "create",
        "--detach",
        "--quiet",
        "--mode=replicated-job",
    ]
    .map(str::to_owned)
    .into();
    words.push(format!("--name={}", job.name()));
    words.push(format!("--label={OURS}={}", job.id));
    if let Some(repo) = task.request["repo"].as_str() {
        words.push(format!("--label={REPO}={repo}"));
    }
    // A Swarm knows no codes, so nothing is tried again by itself.
    words.push("--restart-condition=none".to_owned());
    words.push(format!("--stop-grace-period={}s", END.1));
    words.push(format!("--limit-memory={}", memory(&job.memory)));
    words.push("--cap-drop=ALL".to_owned());
    for capability in CAPABILITIES {
        words.push(format!("--cap-add={capability}"));
    }
    for (name, value) in variables {
        words.push(format!("--env={name}={value}"));
    }
    for file in job.credentials.values() {
        words.push(format!(
            "--secret=source=cib_{file},target={SECRETS}/{file},mode=0400"
        ));
    }
    if job.proxied {
        // Services share no network, so that the box holds its own.
        let file = format!("{SECRETS}/proxy_url");
        words.push("--cap-add=NET_ADMIN".to_owned());
        words.push(format!("--env=CIB_PROXY_URL_FILE={file}"));
        words.push(format!(
            "--secret=source=cib_proxy_url,target={file},mode=0400"
        ));
    }
    words.extend([job.image.clone(), "task".to_owned()]);
    words
}

/// Kubernetes' spelling of an amount, as Docker takes it: `3Gi` is `3g` there.
fn memory(amount: &str) -> String {
    amount.trim_end_matches(['i', 'B']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stands_where_its_newest_container_does() {
        let status = |state: &str, code: u64| json!({"Status": {"State": state, "ContainerStatus": {"ExitCode": code}}});
        assert_eq!(state(None), "queued");
        for (at, code, expected) in [
            ("pending", 0, "queued"),
            ("preparing", 0, "queued"),
            ("running", 0, "working"),
            ("complete", 0, "completed"),
            ("failed", 77, "failed"),
            ("failed", 143, "cancelled"),
            ("rejected", 0, "failed"),
        ] {
            assert_eq!(state(Some(&status(at, code))), expected, "{at} {code}");
        }
        assert_eq!(memory("3Gi"), "3g");
        assert_eq!(memory("512M"), "512m");
    }
}
