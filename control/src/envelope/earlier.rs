//! What the earlier envelopes ask, as requests to the routes, and what is answered as they knew it.

use cib_envelope::head::Method;
use serde_json::{Map, Value, json};

/// A request of theirs, as one to a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translated {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) body: Value,
    pub(crate) answer: Answer,
}

/// How an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As it is.
    Same,
    /// A list of sessions, each as short as they knew it.
    List,
    /// A session, so.
    Session,
    /// What a session used.
    Usage,
    /// What an end was.
    Ended,
    /// A page of frames, and whether others may come.
    Page,
}

/// A stream of frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) target: String,
    /// Frames, or none for all.
    pub(crate) most: Option<u64>,
    pub(crate) wait_ms: u64,
    pub(crate) heartbeat_ms: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Earlier {
    Ask(Translated),
    Stream(Wanted),
    /// Nothing that there is.
    Nothing,
}

/// Longest wait of a stream, and of a page.
const STREAM: u64 = 600_000;
const POLL: u64 = 30_000;

/// Frames of a page if nothing is said, and at most.
const PAGE: (u64, u64) = (32, 256);

fn number(body: &Map<String, Value>, name: &str) -> Option<u64> {
    body.get(name).and_then(Value::as_u64)
}

/// What a request asks. An unknown field goes to the route, which refuses it.
pub(crate) fn translate(method: &str, path: &str, mut body: Map<String, Value>) -> Earlier {
    let Some(rest) = path.strip_prefix("/aes/sessions") else {
        return Earlier::Nothing;
    };
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    // An id becomes a part of a target: nothing else than one may.
    let is_id =
        |id: &&str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !parts.first().is_none_or(is_id) || (parts.is_empty() && !rest.is_empty()) {
        return Earlier::Nothing;
    }
    let target = |id: &str, rest: &str| format!("/api/sessions/{id}{rest}");
    let (method, target, answer) = match (method, &*parts) {
        ("GET", []) => (Method::Get, "/api/sessions".to_owned(), Answer::List),
        ("POST", []) => {
            // Goals are nobody's here.
            body.remove("goal");
            (Method::Post, "/api/sessions".to_owned(), Answer::Session)
        }
        ("GET", [id]) => (Method::Get, target(id, ""), Answer::Session),
        ("DELETE", [id]) => {
            let kills = body.get("signal").and_then(Value::as_str) == Some("kill");
            let query = if kills { "?signal=kill" } else { "" };
            (Method::Delete, target(id, query), Answer::Ended)
        }
        ("PUT", [id, "metadata"]) => {
            body.remove("goal");
            (Method::Patch, target(id, ""), Answer::Same)
        }
        ("POST", [id, "model"]) => (Method::Post, target(id, "/model"), Answer::Same),
        ("POST", [id, "interrupt"]) => (Method::Post, target(id, "/interrupt"), Answer::Same),
        ("GET", [id, "usage"]) => (Method::Get, target(id, "/usage"), Answer::Usage),
        ("POST", [id, "input"]) => (Method::Post, target(id, "/input"), Answer::Same),
        ("POST", [id, "chat"]) => {
            let since = number(&body, "since").unwrap_or(0);
            (
                Method::Get,
                target(id, &format!("/chat?since={since}")),
                Answer::Same,
            )
        }
        ("POST", [id, "events", "poll"]) => {
            let from = number(&body, "from").unwrap_or(0);
            let most = number(&body, "max").unwrap_or(PAGE.0).clamp(1, PAGE.1);
            let wait = number(&body, "wait_ms").unwrap_or(0).min(POLL);
            let query = format!("/transcript?from={from}&limit={most}&wait_ms={wait}");
            (Method::Get, target(id, &query), Answer::Page)
        }
        ("POST", [id, "events", "stream"]) => {
            let from = number(&body, "from").unwrap_or(0);
            let kinds: Vec<_> = body
                .get("kinds")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .filter(|kind| {
                    kind.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._*".contains(&b))
                })
                .collect();
            let mut query = format!(
                "/events?from={from}&max_frame={}",
                cib_envelope::legacy::PAYLOAD
            );
            if !kinds.is_empty() {
                query += &format!("&kinds={}", kinds.join(","));
            }
            return Earlier::Stream(Wanted {
                target: target(id, &query),
                most: number(&body, "max_records").filter(|most| *most > 0),
                wait_ms: number(&body, "wait_ms").unwrap_or(POLL).min(STREAM),
                heartbeat_ms: number(&body, "idle_hb_ms").unwrap_or(5000).max(1000),
            });
        }
        _ => return Earlier::Nothing,
    };
    let takes = matches!(method, Method::Post | Method::Patch) && !target.ends_with("/interrupt");
    Earlier::Ask(Translated {
        method,
        target,
        body: if takes {
            Value::Object(body)
        } else {
            Value::Null
        },
        answer,
    })
}

impl Answer {
    /// The answer as they knew it. One that is a fault stays.
    pub(crate) fn tell(self, value: Value) -> Value {
        match self {
            Self::Same => value,
            Self::List => {
                let sessions = value["sessions"].as_array();
                let sessions: Vec<_> = sessions.into_iter().flatten().map(slim).collect();
                json!({"sessions": sessions})
            }
            Self::Session => slim(&value),
            Self::Usage => json!({"id": value["id"], "usage": usage(&value["usage"])}),
            Self::Ended => json!({"id": value["id"]}),
            Self::Page => json!({"frames": value["frames"], "last_seq": value["last_seq"]}),
        }
    }
}

fn usage(usage: &Value) -> Value {
    let count = |name: &str| &usage[name];
    json!({
        "input": count("input"),
        "output": count("output"),
        "cache_read": count("cache_read"),
        "cache_write": count("cache_write"),
    })
}

fn slim(meta: &Value) -> Value {
    json!({
        "id": meta["id"],
        "title": meta["title"],
        "goal": null,
        "model": meta["model"],
        "workdir": meta["workdir"],
        "state": meta["state"],
        "created_at": meta["created_at"],
        "started_at": meta["started_at"],
        "last_seq": meta["last_seq"],
        "usage": usage(&meta["usage"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, path: &str, body: Value) -> Option<(Method, String)> {
        let Value::Object(body) = body else {
            panic!("no object");
        };
        match translate(method, path, body) {
            Earlier::Ask(asked) => Some((asked.method, asked.target)),
            Earlier::Stream(wanted) => Some((Method::Get, wanted.target)),
            Earlier::Nothing => None,
        }
    }

    #[test]
    fn each_route_of_theirs_is_one_of_ours_and_others_are_none() {
        let to = |method, path, body| target(method, path, body).unwrap().1;
        assert_eq!(to("GET", "/aes/sessions", json!({})), "/api/sessions");
        assert_eq!(
            to("DELETE", "/aes/sessions/a-1", json!({"signal": "kill"})),
            "/api/sessions/a-1?signal=kill"
        );
        assert_eq!(
            to(
                "POST",
                "/aes/sessions/a/events/poll",
                json!({"from": 3, "max": 999, "wait_ms": 99_999})
            ),
            "/api/sessions/a/transcript?from=3&limit=256&wait_ms=30000"
        );
        assert_eq!(
            to(
                "POST",
                "/aes/sessions/a/events/stream",
                json!({"kinds": ["text.delta", "x&y=1"]})
            ),
            "/api/sessions/a/events?from=0&max_frame=4093&kinds=text.delta"
        );
        for (method, path) in [
            ("GET", "/aes/sessionsx"),
            ("GET", "/aes/sessions/"),
            ("GET", "/aes/sessions/../tokens"),
            ("GET", "/aes/sessions/a%2F..%2Ftokens"),
            ("GET", "/aes/sessions/a/input"),
            ("DELETE", "/aes/sessions"),
            ("POST", "/aes/tokens"),
        ] {
            assert_eq!(target(method, path, json!({})), None, "{method} {path}");
        }
    }
}
