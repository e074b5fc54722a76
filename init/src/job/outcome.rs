//! What became of a task, as an exit code and as a line of JSON.

use cib_protocol::task::TaskFault;
use serde_json::{Map, Value, json};

use super::CANCELLED;
use crate::exit;

/// The codes, as `task --help` shows them. `docs/guides/tasks-at-scale.md` has the same.
pub(super) const TABLE: &str = "    0  it is done
    1  Claude did not get it done: exit_code, stuck, unknown
   64  the words or the request are wrong
   65  setup_failed
   66  somebody has to say something: no_repo, ambiguous_repo, question
   69  what it needs does not answer: clone_failed, forge_down, api_down
   70  the box itself failed
   73  what it made is not taken: push_refused, secret_found
   74  the result could not be written
   75  capacity_reached: try again later
   77  a right or a login is missing: no_right, auth_expired
   78  the configuration is wrong; nothing was done
  124  a limit is reached: timeout, budget_exhausted
  143  it was cancelled, or the container was stopped
";

/// The request is wrong (`EX_USAGE`).
const REFUSED: u8 = exit::USAGE;
/// Something is missing that only a person can say (`EX_NOINPUT`).
const UNSAID: u8 = 66;
/// The result could not be written (`EX_IOERR`).
pub(super) const NOT_WRITTEN: u8 = 74;
/// A limit was reached, as `timeout(1)` has it.
const LIMIT: u8 = 124;

/// How a job ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As the task did.
    Itself,
    /// The container is stopped.
    Stopped,
    /// The time of all of it was over.
    TimeOut,
    /// A person would have to answer: what was asked.
    Asked(String),
    /// The box took no such task: its code and words.
    Refused(String, String),
    /// The box itself failed.
    Broken(String),
}

/// The exit code of a task that control shows so.
fn of_task(task: &Value) -> u8 {
    match task["state"].as_str() {
        Some("completed") => exit::OK,
        Some("cancelled" | "cancelling") => CANCELLED,
        Some("failed" | "failing") => {
            let kind = serde_json::from_value(task["error"]["kind"].clone());
            kind.unwrap_or(TaskFault::Unknown).exit_code()
        }
        _ => exit::INTERNAL,
    }
}

impl Ending {
    /// The exit code, and what is to be said besides of why.
    fn judge(&self, task: &Value) -> (u8, Option<(&str, String)>) {
        match self {
            Self::Itself => (of_task(task), None),
            // What was done by then is done.
            _ if task["state"] == "completed" => (exit::OK, None),
            Self::Stopped => (CANCELLED, None),
            Self::TimeOut => {
                let detail = "the time of the container's task (CIB_TASK_TIMEOUT) is over";
                (LIMIT, Some(("timeout", detail.to_owned())))
            }
            Self::Asked(what) if task["candidates"].is_array() => {
                (UNSAID, Some(("ambiguous_repo", what.clone())))
            }
            Self::Asked(what) => (UNSAID, Some(("question", what.clone()))),
            Self::Refused(code, detail) => {
                (REFUSED, Some(("refused", format!("{code}: {detail}"))))
            }
            Self::Broken(detail) => (exit::INTERNAL, Some(("internal", detail.clone()))),
        }
    }

    /// The exit code, and the line that says what became of the task: as control shows it, without
    /// the prompt. The line begins with the code, as no line of the box's log does, so that it is
    /// found where both are one stream.
    pub(super) fn line(&self, task: Option<Value>) -> (u8, String) {
        let task = task.unwrap_or_else(|| json!({}));
        let (code, error) = self.judge(&task);
        let mut task = match task {
            Value::Object(task) => task,
            _ => Map::new(),
        };
        task.remove("prompt");
        if let Some((kind, detail)) = error {
            task.insert("error".to_owned(), json!({"kind": kind, "detail": detail}));
        }
        let rest = Value::Object(task).to_string();
        let rest = rest.trim_start_matches('{');
        let comma = if rest == "}" { "" } else { "," };
        (code, format!("{{\"exit_code\":{code}{comma}{rest}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ending: &Ending, task: Option<Value>) -> (u8, Value) {
        let (code, line) = ending.line(task);
        assert!(
            line.starts_with("{\"exit_code\":") && line.ends_with("}\n"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["exit_code"], code);
        (code, value)
    }

    #[test]
    fn every_kind_of_failure_has_a_code_that_the_table_names() {
        for kind in TaskFault::ALL {
            let task = json!({"state": "failed", "error": {"kind": kind, "detail": "x"}});
            let (code, value) = said(&Ending::Itself, Some(task));
            assert_eq!(value["error"]["kind"], kind.as_str());
            let line = TABLE.lines().find(|line| line.contains(kind.as_str()));
            let line = line.unwrap_or_else(|| panic!("{kind:?} is in no line"));
            assert!(
                line.trim_start().starts_with(&format!("{code} ")),
                "{kind:?}: {line}"
            );
        }
    }

    #[test]
    fn a_task_that_is_done_is_0_whatever_came_at_the_same_time() {
        let done = || Some(json!({"state": "completed", "prompt": "long", "result": "Done.\n"}));
        for ending in [Ending::Itself, Ending::Stopped, Ending::TimeOut] {
            let (code, value) = said(&ending, done());
            assert_eq!(code, 0, "{ending:?}");
            assert_eq!(value["result"], "Done.\n");
            assert!(value.get("prompt").is_none() && value.get("error").is_none());
        }
    }

    #[test]
    fn what_ends_a_task_from_outside_has_codes_of_its_own() {
        let cancelled = || Some(json!({"state": "cancelled"}));
        let asked = Ending::Asked("an answer to: which?".to_owned());
        for (ending, code, kind) in [
            (Ending::Itself, 143, Value::Null),
            (Ending::Stopped, 143, Value::Null),
            (Ending::TimeOut, 124, json!("timeout")),
            (asked, 66, json!("question")),
        ] {
            let (seen, value) = said(&ending, cancelled());
            assert_eq!((seen, &value["error"]["kind"]), (code, &kind), "{ending:?}");
        }
        let several = json!({"state": "cancelled", "candidates": ["a/x", "b/x"]});
        let (code, value) = said(&Ending::Asked("which".to_owned()), Some(several));
        assert_eq!(
            (code, &value["error"]["kind"]),
            (66, &json!("ambiguous_repo"))
        );
        let refused = Ending::Refused("bad_value".to_owned(), "`repo` is none".to_owned());
        let (code, value) = said(&refused, None);
        assert_eq!(
            (code, &value["error"]["detail"]),
            (64, &json!("bad_value: `repo` is none"))
        );
        let (code, _) = said(&Ending::Broken("control is gone".to_owned()), None);
        assert_eq!(code, 70);
    }
}
