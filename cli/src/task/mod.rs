//! `cib task`: tasks sent to a box, or as jobs to whatever runs containers to their end.
//!
//! Kubernetes and a Swarm are spoken to by their own programs on this machine, with what a person has
//! set those up with: no box ever holds a cluster's credentials, and nothing of ours schedules.

pub mod args;
mod boxed;
mod job;
mod kubernetes;
mod swarm;

use std::io::Read as _;
use std::time::Duration;

use cib_protocol::task::TaskFault;
use serde_json::{Value, json};

use self::args::{Logs, Submit, Task, To, Where};
use self::boxed::Boxed;
use self::kubernetes::Kubernetes;
use self::swarm::Swarm;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::table;
use crate::{process, text};

/// Bytes of a prompt, at most, as a box has it.
const MOST: u64 = 1024 * 1024;

/// Bytes of a job's request, at most: it is one variable, and the kernel starts no program with one
/// of 128 KiB. The rest is for its name and for a branch that the job names itself.
const MOST_OF_JOB: usize = 120 * 1024;

/// How often a task that is followed is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a task that is followed may take: what runs it has a limit of its own.
const FOLLOW: Duration = Duration::from_secs(8 * 24 * 3600);

/// Where tasks run.
trait Place {
    /// Sends a task, or says what would be sent; the task.
    fn submit(&self, task: &Submission) -> Result<Value, Failure>;
    /// The tasks that there are, the newest first.
    fn list(&self) -> Result<Vec<Value>, Failure>;
    /// A task, as a box's API shows one, as far as that is known.
    fn show(&self, id: &str) -> Result<Value, Failure>;
    /// All of its log so far.
    fn logs(&self, id: &str) -> Result<String, Failure>;
    /// Cancels it; the task.
    fn cancel(&self, id: &str) -> Result<Value, Failure>;
}

/// A task that is to be sent.
struct Submission {
    /// The body of `POST /api/tasks`.
    request: Value,
    /// What a job is made of besides.
    job: job::Job,
    /// Nothing is sent.
    dry_run: bool,
}

/// Does what a command line asks for; the exit code.
///
/// # Errors
/// A [`Failure`], which has one as well.
pub fn run(context: &Context<'_>, verb: &Task) -> Result<u8, Failure> {
    match verb {
        Task::Submit(arguments) => submit(context, arguments),
        Task::List(at) => list(context, at),
        Task::Show(one) => {
            let task = place(context, &one.place)?.show(known(&one.id)?)?;
            context.output.result(&task, || human(&task));
            Ok(code(&task))
        }
        Task::Logs(arguments) => logs(context, arguments),
        Task::Cancel(one) => {
            let task = place(context, &one.place)?.cancel(known(&one.id)?)?;
            context.output.result(&task, || human(&task));
            Ok(0)
        }
    }
}

fn place<'a>(context: &'a Context<'_>, at: &Where) -> Result<Box<dyn Place + 'a>, Failure> {
    let is_cluster = at.namespace.is_some() || at.context.is_some();
    if is_cluster && at.to != To::Kubernetes {
        return Err(Failure::usage(
            "--namespace and --context are for --to kubernetes",
        ));
    }
    if at.name.is_some() && at.to != To::Box {
        return Err(Failure::usage("--box is for --to box"));
    }
    Ok(match at.to {
        To::Box => Box::new(Boxed::new(context, at.name.as_deref())?),
        To::Kubernetes => Box::new(Kubernetes::new(context.around, at)?),
        To::Swarm => Box::new(Swarm::new(context)?),
    })
}

/// A task's id, which becomes a part of paths, names and labels.
fn known(id: &str) -> Result<&str, Failure> {
    let is_id = id.len() == 8 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    if is_id {
        Ok(id)
    } else {
        let what = "a task is named by eight digits and letters from a to f";
        Err(Failure::usage(what).remedy("`cib task list` has them"))
    }
}

fn submit(context: &Context<'_>, arguments: &Submit) -> Result<u8, Failure> {
    let submission = Submission {
        request: request(context, arguments)?,
        job: job::Job::new(context.around, arguments)?,
        dry_run: arguments.dry_run,
    };
    if arguments.place.to != To::Box && submission.request.to_string().len() > MOST_OF_JOB {
        let what = "a job takes 120 KiB of what is asked, and this is more";
        return Err(Failure::usage(what)
            .remedy("put the rest into a file of the repository and name it in the prompt"));
    }
    let at = place(context, &arguments.place)?;
    let task = at.submit(&submission)?;
    if arguments.dry_run {
        context.output.line(&format!("{task:#}"));
        return Ok(0);
    }
    let id = task["id"].as_str().unwrap_or_default().to_owned();
    context
        .output
        .step(&format!("Task {} is there", text::line(&id)));
    if arguments.follow {
        return follow(context, &*at, known(&id)?);
    }
    context.output.result(&task, || text::line(&id));
    Ok(0)
}

/// The body of `POST /api/tasks`.
fn request(context: &Context<'_>, arguments: &Submit) -> Result<Value, Failure> {
    let mut request = json!({"prompt": prompt(arguments)?});
    let repo = arguments.repo.clone().or_else(|| here(context));
    let texts = [
        ("repo", &repo),
        ("base", &arguments.base),
        ("branch", &arguments.branch),
        ("model", &arguments.model),
        ("effort", &arguments.effort),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            request[field] = json!(value);
        }
    }
    if arguments.ready {
        request["draft"] = json!(false);
    }
    if arguments.private_prompt {
        request["private_prompt"] = json!(true);
    }
    if !arguments.setup.is_empty() {
        request["setup"] = json!(arguments.setup);
    }
    if let Some(turns) = arguments.turns {
        request["limits"]["turns"] = json!(turns);
    }
    if let Some(cost) = arguments.cost {
        request["limits"]["cost_usd"] = json!(cost);
    }
    if let Some(minutes) = arguments.minutes {
        request["limits"]["duration_s"] = json!(minutes.saturating_mul(60));
    }
    Ok(request)
}

fn prompt(arguments: &Submit) -> Result<String, Failure> {
    let prompt = match &arguments.prompt_file {
        None => arguments.prompt.join(" "),
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(MOST + 1)
                .read_to_string(&mut text)?;
            text
        }
        Some(path) => cib_foreign::own::read_to_string(path)?,
    };
    if prompt.trim().is_empty() {
        let what = "there is nothing to do";
        return Err(Failure::usage(what).remedy("say it behind --, or in a file by --prompt-file"));
    }
    if prompt.len() as u64 > MOST {
        return Err(Failure::usage("the prompt has more than 1 MiB"));
    }
    Ok(prompt)
}

/// The repository at hand as others know it: its remote's address, unless that is a path or has a
/// password in it.
fn here(context: &Context<'_>) -> Option<String> {
    let repository = context.repository().ok()?;
    let url = repository
        .ask("name the remote", &["remote", "get-url", "origin"])
        .ok()?;
    let url = url.trim();
    let is_ssh = url.starts_with("ssh://") || (url.contains('@') && !url.contains("://"));
    let is_https = url.starts_with("https://") && !url.contains('@');
    (is_ssh || is_https).then(|| url.to_owned())
}

fn list(context: &Context<'_>, at: &Where) -> Result<u8, Failure> {
    let tasks = place(context, at)?.list()?;
    context.output.result(&tasks, || {
        let mut rows = vec![
            ["ID", "STATE", "REPOSITORY", "CREATED", "PULL REQUEST"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for task in &tasks {
            let word = |value: &Value| text::line(value.as_str().unwrap_or("-"));
            rows.push(vec![
                word(&task["id"]),
                word(&task["state"]),
                word(&task["repo"]),
                word(&task["created_at"]),
                word(&task["pr"]["url"]),
            ]);
        }
        if rows.len() == 1 {
            String::new()
        } else {
            table(&rows)
        }
    });
    Ok(0)
}

fn logs(context: &Context<'_>, arguments: &Logs) -> Result<u8, Failure> {
    let at = place(context, &arguments.one.place)?;
    let id = known(&arguments.one.id)?;
    if arguments.follow {
        return follow(context, &*at, id);
    }
    context
        .output
        .line(&text::plain(at.logs(id)?.trim_end_matches('\n')));
    Ok(0)
}

/// Shows a task's log as it comes, and what became of it; the exit code is the task's.
fn follow(context: &Context<'_>, at: &dyn Place, id: &str) -> Result<u8, Failure> {
    let mut shown = 0;
    let mut failed = None;
    let task = process::wait_each(LOOK, FOLLOW, || {
        // The state first: what the log has then is all of it.
        let looked = at.show(id).and_then(|task| Ok((task, at.logs(id)?)));
        let (task, log) = match looked {
            Ok(looked) => looked,
            Err(failure) => {
                failed = Some(failure);
                return Some(Value::Null);
            }
        };
        if let Some(new) = log.get(shown..).filter(|new| !new.is_empty()) {
            let lines = new.trim_end_matches('\n').lines();
            // What became of it is shown by itself.
            for line in lines.filter(|line| !job::is_result(line)) {
                context.output.progress_line(&text::line(line));
            }
            shown = log.len();
        }
        is_ended(&task).then_some(task)
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    let Some(task) = task else {
        let what = "it goes on; `cib task logs --follow` follows it again";
        return Err(Failure::new(crate::failure::Exit::Interrupted, what));
    };
    context.output.result(&task, || human(&task));
    Ok(code(&task))
}

fn is_ended(task: &Value) -> bool {
    matches!(
        task["state"].as_str(),
        Some("completed" | "failed" | "cancelled")
    )
}

/// A task's exit code: what its job ended with, or would have. A box says why, and has no job.
fn code(task: &Value) -> u8 {
    let said = task["exit_code"]
        .as_u64()
        .and_then(|code| u8::try_from(code).ok());
    said.unwrap_or_else(|| match task["state"].as_str() {
        Some("failed") => {
            let kind = serde_json::from_value(task["error"]["kind"].clone());
            kind.unwrap_or(TaskFault::Unknown).exit_code()
        }
        Some("cancelled") => 143,
        _ => 0,
    })
}

/// A task as a person reads it.
fn human(task: &Value) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: &Value| {
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Number(value) => value.to_string(),
            _ => return,
        };
        lines.push_str(&format!("{name}: {}\n", text::plain(value.trim_end())));
    };
    for (name, value) in [
        ("task", &task["id"]),
        ("state", &task["state"]),
        ("reason", &task["reason"]),
        ("repository", &task["repo"]),
        ("branch", &task["branch"]["branch"]),
        ("commits", &task["commits"]),
        ("pull request", &task["pr"]["url"]),
        ("error", &task["error"]["kind"]),
        ("why", &task["error"]["detail"]),
        ("remedy", &task["error"]["remedy"]),
        ("exit code", &task["exit_code"]),
        ("result", &task["result"]),
    ] {
        line(name, value);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_eight_digits_and_nothing_that_could_be_more() {
        assert!(known("00c0ffee").is_ok());
        for bad in ["", "c0ffee", "00C0FFEE", "../00c0f", "00c0ffee0"] {
            assert!(known(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_box_said_reaches_no_terminal_and_the_code_is_the_tasks() {
        let task =
            json!({"id": "00c0ffee", "state": "failed", "error": {"detail": "no \u{1b}[2J"}});
        let text = human(&task);
        assert!(
            !text.contains('\u{1b}') && text.contains("state: failed"),
            "{text}"
        );
        assert_eq!(code(&task), 1);
        assert_eq!(code(&json!({"state": "failed", "exit_code": 77})), 77);
        let failed = |kind: &str| json!({"state": "failed", "error": {"kind": kind}});
        assert_eq!(code(&failed("push_refused")), 73);
        assert_eq!(code(&failed("of a later version")), 1);
        assert_eq!(code(&json!({"state": "working"})), 0);
    }
}
