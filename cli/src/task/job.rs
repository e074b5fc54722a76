//! A task as a container's main job: the image, what it is given, and what its log says at the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::Submit;
use crate::failure::Failure;
use crate::surroundings::Surroundings;

/// The image, if nobody names another; a cluster finds it only where that is its name there.
const IMAGE: &str = "claude-in-box:latest-headless";

/// Where a job finds the files of secrets.
pub(super) const SECRETS: &str = "/run/secrets";

/// What the box of a job gets to end, in seconds, and what its container gets.
pub(super) const END: (u64, u64) = (50, 60);

/// The variable of a job that has what is asked.
pub(super) const REQUEST: &str = "CIB_TASK_REQUEST";

/// How the line of a job's log begins that says what became of its task.
const RESULT: &str = "{\"exit_code\":";

/// What a job is made of, besides what is asked.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The task's id, from which everything has its name.
    pub(super) id: String,
    /// The image.
    pub(super) image: String,
    /// Variables whose values are in files, each with the file's name.
    pub(super) credentials: BTreeMap<String, String>,
    /// The Secret that has the files.
    pub(super) secret: String,
    /// The queue, if there is one.
    pub(super) queue: Option<String>,
    /// Memory, as Kubernetes has it.
    pub(super) memory: String,
    /// Whether nothing leaves it but through a proxy, which a secret of the cluster's names.
    pub(super) proxied: bool,
}

impl Job {
    /// The job that a command line asks for.
    pub(super) fn new(around: &Surroundings, arguments: &Submit) -> Result<Self, Failure> {
        let random = getrandom::u32().map_err(|error| Failure::failed(error.to_string()))?;
        let image = arguments.image.clone();
        let image = image.or_else(|| around.variable("CIB_IMAGE").map(str::to_owned));
        let names = if arguments.credentials.is_empty() {
            vec![
                "ANTHROPIC_API_KEY".to_owned(),
                "CIB_GITHUB_TOKEN".to_owned(),
            ]
        } else {
            arguments.credentials.clone()
        };
        let mut credentials = BTreeMap::new();
        for name in names {
            let is_name = name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if !is_name || name.is_empty() {
                let what =
                    format!("--credential takes the name of a variable, and `{name}` is none");
                return Err(Failure::usage(what).remedy("say --credential ANTHROPIC_API_KEY"));
            }
            let file = name.strip_prefix("CIB_").unwrap_or(&name).to_lowercase();
            credentials.insert(name, file);
        }
        if !is_label(&arguments.secret) || !arguments.queue.as_deref().is_none_or(is_label) {
            return Err(Failure::usage(
                "--secret and --queue take names of small letters, digits and `-`",
            ));
        }
        Ok(Self {
            id: format!("{random:08x}"),
            image: image.unwrap_or_else(|| IMAGE.to_owned()),
            credentials,
            secret: arguments.secret.clone(),
            queue: arguments.queue.clone(),
            memory: arguments.memory.clone(),
            proxied: arguments.proxy,
        })
    }

    /// What a cluster calls it.
    pub(super) fn name(&self) -> String {
        name(&self.id)
    }

    /// The variables of its container. A job that is tried again in another container goes on with
    /// the branch, and with it the pull request, because both have the job's name.
    pub(super) fn variables(&self, request: &Value) -> Vec<(String, String)> {
        let mut request = request.clone();
        if request["branch"].is_null() {
            request["branch"] = json!(format!("claude/{}", self.id));
        }
        let mut variables = vec![
            ("CIB_TASK_KEY".to_owned(), self.name()),
            (REQUEST.to_owned(), request.to_string()),
            ("CIB_SHUTDOWN_TIMEOUT".to_owned(), END.0.to_string()),
        ];
        let files = self.credentials.iter();
        variables.extend(
            files.map(|(name, file)| (format!("{name}_FILE"), format!("{SECRETS}/{file}"))),
        );
        variables
    }
}

/// What a cluster calls the task of this id.
pub(super) fn name(id: &str) -> String {
    format!("cib-task-{id}")
}

/// The id of what a cluster calls so.
pub(super) fn id_of(name: &str) -> Option<&str> {
    name.strip_prefix("cib-task-")
        .filter(|id| super::known(id).is_ok())
}

fn is_label(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_part) && !text.starts_with('-')
}

/// Whether a line of a job's log says what became of its task.
pub(super) fn is_result(line: &str) -> bool {
    line.starts_with(RESULT)
}

/// What became of a task, as the log of its job says it: the last such line, for a job may have been
/// tried several times. The log has nothing that an agent could have written at the beginning of a
/// line: the box puts a time in front of everything else.
pub(super) fn result(log: &str) -> Option<Value> {
    let lines = log.lines().rev();
    let line = lines
        .filter(|line| is_result(line))
        .map(serde_json::from_str);
    line.flatten().next()
}

/// A task with what a job's log says of it; the id is the job's.
pub(super) fn merged(mut task: Value, log: &str) -> Value {
    if let (Some(Value::Object(said)), Some(task)) = (result(log), task.as_object_mut()) {
        for (name, value) in said {
            if !matches!(&*name, "id" | "state" | "created_at") {
                task.insert(name, value);
            }
        }
    }
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_result_of_a_log_is_taken_and_no_line_of_the_boxs_is_one() {
        let log = "2026-11-30T10:00:00.000Z INFO  task     {\"exit_code\":0,\"state\":\"completed\"}\n\
            {\"exit_code\":75,\"state\":\"failed\"}\n\
            {\"exit_code\":0,\"state\":\"completed\",\"id\":\"11111111\",\"commits\":2}\n\
            {\"exit_code\":\n";
        let task = merged(json!({"id": "00c0ffee", "state": "completed"}), log);
        assert_eq!(task["commits"], 2);
        assert_eq!(task["exit_code"], 0);
        assert_eq!(task["id"], "00c0ffee");
        assert_eq!(result("nothing\n"), None);
    }

    #[test]
    fn the_id_of_a_job_is_in_its_name_and_nothing_else_is_one() {
        assert_eq!(id_of(&name("00c0ffee")), Some("00c0ffee"));
        for other in [
            "cib-task-",
            "cib-task-00C0FFEE",
            "cib-task-00c0ffee-x",
            "nightly",
        ] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}
