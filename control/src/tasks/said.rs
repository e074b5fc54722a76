//! What a session said last, and why its turn ended.

use std::sync::Arc;

use cib_protocol::frame::{Data, Frame, Role, Stop, UsageLimit};
use cib_protocol::session::SessionId;
use cib_protocol::task::TaskFault;

use crate::app::App;
use crate::fault::Fault;
use crate::journal::cursor::{Cursor, Kinds, Start};
use crate::routes::streams::tail;

/// Bytes of the journal in which it is looked for.
const RECENT: u64 = 1024 * 1024;

/// What is looked at.
const KINDS: &str = "text.delta,stop,meta";

/// What our keepers write in front of why the API failed.
const FAILED: &str = "the API failed: ";

/// The end of a turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// What Claude said last.
    pub text: String,
    /// How the last turn of the user's ended.
    pub stop: Option<Stop>,
    /// What the API failed with last, in this turn.
    pub cause: Option<String>,
    /// The usage limit that was reached in this turn.
    pub limit: Option<UsageLimit>,
    message: Option<String>,
}

impl Said {
    /// Takes up a frame.
    pub fn take(&mut self, data: &Data) {
        match data {
            Data::Text(text) if text.role == Role::Assistant && text.agent.is_none() => {
                if self.message != text.message_id {
                    self.text.clear();
                    self.message.clone_from(&text.message_id);
                }
                self.text.push_str(&text.text);
            }
            Data::Text(text) if text.role == Role::User => {
                self.cause = None;
                self.limit = None;
            }
            Data::Stop(stop) if stop.is_users_turn() => self.stop = Some(stop.clone()),
            Data::Meta(meta) => {
                if meta.usage_limit.is_some() {
                    self.limit.clone_from(&meta.usage_limit);
                }
                let cause = meta
                    .note
                    .as_deref()
                    .and_then(|note| note.strip_prefix(FAILED));
                if let Some(cause) = cause {
                    self.cause = Some(cause.to_owned());
                }
            }
            _ => {}
        }
    }

    /// What went wrong, if the turn did not end as it should.
    #[must_use]
    pub fn fault(&self) -> Option<(TaskFault, String)> {
        let stop = self.stop.as_ref()?;
        let detail = stop.detail.clone().unwrap_or_else(|| stop.reason.clone());
        match &*stop.reason {
            "turn_end" => None,
            "api_error" => Some((self.of_the_api(), detail)),
            "error_max_turns" | "error_max_budget_usd" => {
                Some((TaskFault::BudgetExhausted, detail))
            }
            reason if reason.starts_with("limit ") => Some((of_limit(reason), detail)),
            reason if self.limit.is_some() && reason != "interrupted" => {
                Some((TaskFault::CapacityReached, detail))
            }
            _ => Some((TaskFault::ExitCode, detail)),
        }
    }

    fn of_the_api(&self) -> TaskFault {
        if self.limit.is_some() {
            return TaskFault::CapacityReached;
        }
        let cause = self.cause.as_deref().unwrap_or_default();
        let word = cause.split([' ', ';']).next().unwrap_or_default();
        match word {
            "authentication_failed" | "oauth_org_not_allowed" => TaskFault::AuthExpired,
            "rate_limit" | "overloaded" | "server_error" => TaskFault::CapacityReached,
            _ if cause.contains("(401)") || cause.contains("(403)") => TaskFault::AuthExpired,
            _ if cause.contains("(429)") || cause.contains("(5") => TaskFault::CapacityReached,
            // Nothing answered.
            _ if !cause.is_empty() && !cause.contains('(') => TaskFault::ApiDown,
            _ => TaskFault::Unknown,
        }
    }
}

/// Which limit of a session's was reached.
#[must_use]
pub fn of_limit(reason: &str) -> TaskFault {
    if reason.ends_with("max_duration") {
        TaskFault::Timeout
    } else {
        TaskFault::BudgetExhausted
    }
}

/// Reads what a session said last.
///
/// # Errors
/// If its journal cannot be read.
pub async fn last(app: &Arc<App>, session: SessionId) -> Result<Said, Fault> {
    let tail = tail(app, session).await?.map_err(Fault::internal)?;
    let kinds = Kinds::parse(KINDS);
    let opened = Cursor::open(tail, Start::Recent(RECENT), kinds).await;
    let mut cursor = opened.map_err(Fault::internal)?;
    let mut said = Said::default();
    while let Some(batch) = cursor.ready().await.map_err(Fault::internal)? {
        for line in batch.lines() {
            if let Ok(frame) = serde_json::from_slice::<Frame>(&line.bytes)
                && let Ok(Some(data)) = frame.decode()
            {
                said.take(&data);
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::{By, Meta, Text};

    use super::*;

    fn text(role: Role, message: &str, text: &str) -> Data {
        Data::Text(Text {
            text: text.to_owned(),
            role,
            message_id: Some(message.to_owned()),
            ..Text::default()
        })
    }

    fn stop(reason: &str) -> Data {
        Data::Stop(Stop {
            reason: reason.to_owned(),
            by: Some(By::User),
            ..Stop::default()
        })
    }

    fn note(text: &str) -> Data {
        Data::Meta(Meta {
            note: Some(text.to_owned()),
            ..Meta::default()
        })
    }

    fn said(frames: &[Data]) -> Said {
        let mut said = Said::default();
        frames.iter().for_each(|data| said.take(data));
        said
    }

    #[test]
    fn the_last_message_is_told_as_a_whole() {
        let said = said(&[
            text(Role::Assistant, "1", "first"),
            text(Role::Assistant, "2", "all "),
            text(Role::Assistant, "2", "done"),
            stop("turn_end"),
        ]);
        assert_eq!((&*said.text, said.fault()), ("all done", None));
    }

    #[test]
    fn what_the_api_failed_with_says_what_can_be_done() {
        for (why, kind) in [
            (
                "authentication_failed (401); retry 1 of 10",
                TaskFault::AuthExpired,
            ),
            (
                "rate_limit (429); retry 10 of 10",
                TaskFault::CapacityReached,
            ),
            (
                "overloaded (529); retry 10 of 10",
                TaskFault::CapacityReached,
            ),
            (" (529); retry 10 of 10", TaskFault::CapacityReached),
            ("unknown (500); retry 10 of 10", TaskFault::CapacityReached),
            ("unknown (400); retry 10 of 10", TaskFault::Unknown),
            ("unknown; retry 10 of 10", TaskFault::ApiDown),
        ] {
            let said = said(&[note(&format!("the API failed: {why}")), stop("api_error")]);
            assert_eq!(said.fault().map(|(kind, _)| kind), Some(kind), "{why}");
        }
        let limit = UsageLimit {
            kind: Some("five_hour".to_owned()),
            resets_at: Some(cib_protocol::time::Timestamp::from_millis(7)),
        };
        let reached = Data::Meta(Meta {
            usage_limit: Some(limit.clone()),
            ..Meta::default()
        });
        for reason in ["api_error", "error"] {
            let said = said(&[reached.clone(), stop(reason)]);
            assert_eq!(said.fault().unwrap().0, TaskFault::CapacityReached);
            assert_eq!(said.limit.as_ref(), Some(&limit));
        }
        let earlier = said(&[reached, text(Role::User, "3", "again"), stop("api_error")]);
        assert_eq!(
            (earlier.fault().unwrap().0, earlier.limit),
            (TaskFault::Unknown, None)
        );
        let earlier = said(&[
            note("the API failed: authentication_failed (401); retry 1 of 10"),
            text(Role::User, "3", "again"),
            stop("api_error"),
        ]);
        assert_eq!(earlier.fault().unwrap().0, TaskFault::Unknown);
        assert_eq!(
            said(&[stop("limit max_turns")]).fault().unwrap().0,
            TaskFault::BudgetExhausted
        );
        assert_eq!(
            said(&[stop("limit max_duration")]).fault().unwrap().0,
            TaskFault::Timeout
        );
    }
}
