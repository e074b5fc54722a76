//! What Claude tells a hook, and what a hook may answer.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::text;

/// Bytes that are read of a transcript.
pub const TRANSCRIPT: u64 = 256 << 20;

/// Bytes that are read of a plan.
pub const PLAN: u64 = 1 << 20;

/// Which moment a hook is called at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A plan was approved.
    Approved,
    /// A tool is about to run.
    Before,
}

/// What is used of what Claude tells a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// When it is called.
    pub moment: Moment,
    /// Claude's id of the session.
    pub session: String,
    /// The session's own file.
    pub transcript: PathBuf,
    /// The session's folder.
    pub folder: PathBuf,
    /// The id of the tool's call.
    pub call: String,
    /// The plan, if Claude says it.
    pub plan: String,
    /// The plan's file, if it has one.
    pub plan_file: Option<PathBuf>,
}

impl Payload {
    /// Reads what Claude says on standard input. Nothing comes of what is not for these hooks,
    /// so that another version of Claude is not held up by them.
    #[must_use]
    pub fn read(said: &[u8]) -> Option<Self> {
        let said: Value = serde_json::from_slice(said).ok()?;
        let word = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
        let approved = &said["tool_response"];
        let moment = match said["hook_event_name"].as_str()? {
            // A plan that one of Claude's own agents has made was shown to nobody.
            "PostToolUse" if said["tool_name"] == "ExitPlanMode" && approved["isAgent"] != true => {
                Moment::Approved
            }
            "PreToolUse" => Moment::Before,
            _ => return None,
        };
        let session = word("session_id");
        if !is_uuid(&session) {
            return None;
        }
        let input = &said["tool_input"];
        let plan = approved["plan"].as_str().or_else(|| input["plan"].as_str());
        let file = approved["filePath"]
            .as_str()
            .or_else(|| input["planFilePath"].as_str());
        Some(Self {
            moment,
            session,
            transcript: word("transcript_path").into(),
            folder: word("cwd").into(),
            call: word("tool_use_id"),
            plan: plan.unwrap_or_default().to_owned(),
            plan_file: file.map(PathBuf::from),
        })
    }

    /// The transcript, if it is this session's and Claude keeps it where it keeps transcripts.
    #[must_use]
    pub fn own_transcript(&self, claude: &Path) -> Option<PathBuf> {
        let name = format!("{}.jsonl", self.session);
        let path = below(&self.transcript, &claude.join("projects"))?;
        (path.file_name()?.to_str()? == name).then_some(path)
    }

    /// The plan's file, if it is where Claude keeps plans.
    #[must_use]
    pub fn own_plan_file(&self, claude: &Path) -> Option<PathBuf> {
        let path = below(self.plan_file.as_ref()?, &claude.join("plans"))?;
        let name = path.file_name()?.to_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (name.chars().all(plain) && !name.starts_with('.')).then_some(path)
    }
}

/// A path that is really below a folder.
fn below(path: &Path, folder: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.starts_with(folder.canonicalize().ok()?)
        .then_some(path)
}

/// Whether a word is a UUID, as Claude names sessions.
#[must_use]
pub fn is_uuid(word: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    word.len() == 36
        && word.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

/// Whether a transcript has the result of a call: what a person has said to the plan is in it
/// then, and not before the hook has answered.
#[must_use]
pub fn has_result(transcript: &[u8], call: &str) -> bool {
    transcript.split(|byte| *byte == b'\n').rev().any(|line| {
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return false;
        };
        let blocks = line["message"]["content"].as_array();
        blocks.into_iter().flatten().any(|block| {
            block["type"] == "tool_result" && block["tool_use_id"].as_str() == Some(call)
        })
    })
}

/// Ends the turn behind an approved plan, which is carried out elsewhere.
#[must_use]
pub fn handed_over(name: &str, branch: &str) -> Value {
    json!({"continue": false, "stopReason": format!(
        "The plan is carried out in the box {name}: cib offload attach. Its commits come back on {branch}."
    )})
}

/// Says that nothing was handed over; the session goes on here.
#[must_use]
pub fn stays(why: &str) -> Value {
    json!({"systemMessage": text::plain(&format!(
        "cib: the plan is not handed over to a box, and goes on here: {why}"
    ))})
}

/// Refuses a tool, and ends the turn: the session is elsewhere.
#[must_use]
pub fn refused(name: &str) -> Value {
    let reason = format!(
        "This session goes on in the box {name}: cib offload attach. Nothing of it runs here until it is done (cib offload status)."
    );
    json!({
        "continue": false,
        "stopReason": reason,
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        },
    })
}

/// Lets a tool run, and says what has become of the box.
#[must_use]
pub fn free(why: &str) -> Value {
    json!({"systemMessage": text::plain(&format!("cib: {why}; the session goes on here"))})
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    fn said(event: &str, tool: &str, more: &Value) -> Vec<u8> {
        let mut all = json!({
            "session_id": ID, "transcript_path": "/t", "cwd": "/w", "hook_event_name": event,
            "tool_name": tool, "tool_input": {}, "tool_use_id": "toolu_1",
        });
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        all.to_string().into_bytes()
    }

    #[test]
    fn an_approved_plan_and_a_tool_before_it_runs_are_told_apart_from_all_else() {
        let moment = |event, tool, more| Payload::read(&said(event, tool, &more)).map(|p| p.moment);
        assert_eq!(
            moment("PostToolUse", "ExitPlanMode", json!({})),
            Some(Moment::Approved)
        );
        assert_eq!(
            moment("PreToolUse", "ExitPlanMode", json!({})),
            Some(Moment::Before)
        );
        assert_eq!(moment("PostToolUse", "Bash", json!({})), None);
        assert_eq!(moment("Stop", "", json!({})), None);
        let agents = json!({"tool_response": {"isAgent": true}});
        assert_eq!(moment("PostToolUse", "ExitPlanMode", agents), None);
        for id in ["", "../../x", "11111111-2222-4333-8444-55555555555/"] {
            assert_eq!(
                moment("PreToolUse", "Bash", json!({"session_id": id})),
                None
            );
        }
        assert_eq!(Payload::read(b"not json"), None);
    }

    #[test]
    fn only_files_that_claude_keeps_as_such_are_taken() {
        let home = tempfile::tempdir().unwrap();
        let claude = home.path().join(".claude");
        for folder in ["projects/-w", "plans"] {
            std::fs::create_dir_all(claude.join(folder)).unwrap();
        }
        let transcript = claude.join(format!("projects/-w/{ID}.jsonl"));
        for path in [
            &transcript,
            &claude.join("plans/a.md"),
            &home.path().join("secret.md"),
        ] {
            std::fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink(home.path().join("secret.md"), claude.join("plans/b.md"))
            .unwrap();
        let taken = |transcript: &Path, plan: &Path| {
            let more = json!({"transcript_path": transcript, "tool_response": {"plan": "p", "filePath": plan}});
            let payload = Payload::read(&said("PostToolUse", "ExitPlanMode", &more)).unwrap();
            (
                payload.own_transcript(&claude).is_some(),
                payload.own_plan_file(&claude).is_some(),
            )
        };
        assert_eq!(taken(&transcript, &claude.join("plans/a.md")), (true, true));
        let outside = home.path().join("secret.md");
        assert_eq!(taken(&outside, &outside), (false, false));
        assert_eq!(
            taken(&claude.join("plans/a.md"), &claude.join("plans/b.md")),
            (false, false)
        );
        assert_eq!(
            taken(&transcript, &claude.join("plans/../../secret.md")),
            (true, false)
        );
    }

    #[test]
    fn the_result_of_a_call_is_found_and_not_the_call() {
        let call = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "toolu_1"}]}});
        let result = json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}});
        let said = json!({"type": "user", "message": {"content": "tool_result toolu_1"}});
        assert!(!has_result(
            format!("{call}\n{said}\n").as_bytes(),
            "toolu_1"
        ));
        let whole = format!("{call}\n{result}\n{{\"half");
        assert!(has_result(whole.as_bytes(), "toolu_1"));
        assert!(!has_result(whole.as_bytes(), "toolu_2"));
    }
}
