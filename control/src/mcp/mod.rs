//! The Model Context Protocol, as a server of tools over streamable HTTP.
//!
//! [`wire`] reads and writes JSON-RPC, and this answers one message that was posted: what tools
//! there are and what they do is in a [`Tools`]. Nothing is kept between two messages, so there is
//! no session to lose and no header for one; a client that sends one is not asked about it.

pub mod wire;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::VERSION;
use crate::fault::{Code, Fault};
use crate::routes::call::Reply;
use wire::{Failure, Id, Incoming, Request};

/// Revisions of the protocol that are spoken, the newest first.
pub const REVISIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

/// The header in which a client repeats which revision was agreed on.
const REVISION: &str = "mcp-protocol-version";

/// How long a tool works before its answer becomes a stream.
const SOON: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 3_000 });

/// How often such a stream says that the tool is at work: more often than clients lose patience.
const SIGN_OF_LIFE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 10_000 });

/// A tool, as clients are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it does and when to use it, for a model to read.
    pub description: &'static str,
    /// The JSON Schema of its arguments, which describes an object.
    pub input: &'static str,
    /// Whether it changes nothing.
    pub is_read_only: bool,
}

/// What a tool answers: a text for a model to read, or why there is none.
pub type Told = Pin<Box<dyn Future<Output = Result<String, Fault>> + Send>>;

/// A set of tools, in the hands of one caller.
pub trait Tools: Send + Sync + 'static {
    /// What the server is called.
    fn server(&self) -> &'static str;

    /// What a model should know before it uses any of them.
    fn instructions(&self) -> &'static str;

    /// The tools there are.
    fn tools(&self) -> &'static [Tool];

    /// Uses one of [`Tools::tools`]. A fault is told to the model, which may do better.
    fn call(self: Arc<Self>, tool: &'static Tool, arguments: Map<String, Value>) -> Told;
}

/// Reads the arguments of a tool.
///
/// # Errors
/// [`Code::UnknownField`] or [`Code::BadValue`], with what is wrong with them.
pub fn arguments<T: serde::de::DeserializeOwned>(
    arguments: Map<String, Value>,
) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| Fault::from_json(&error))
}

/// Answers a message that was posted.
pub async fn answer(tools: Arc<dyn Tools>, headers: &HeaderMap, body: &[u8]) -> Reply {
    match attend(tools, headers, body).await {
        Ok(reply) => reply,
        // The message is none, or not one that may be sent here.
        Err(failure) => whole(
            StatusCode::BAD_REQUEST,
            wire::failure(&Id::none(), &failure),
        ),
    }
}

async fn attend(tools: Arc<dyn Tools>, headers: &HeaderMap, body: &[u8]) -> Result<Reply, Failure> {
    if let Some(revision) = headers.get(REVISION)
        && !REVISIONS.iter().any(|known| revision == known)
    {
        let known = REVISIONS.join(", ");
        return Err(Failure::request(format!(
            "`MCP-Protocol-Version` is none of {known}"
        )));
    }
    let request = match wire::read(body)? {
        Incoming::Request(request) => request,
        // There is nothing to say to a notification, and nothing was asked of a client that
        // could be answered.
        Incoming::Heard => return Ok(whole(StatusCode::ACCEPTED, Vec::new())),
    };
    let Request { id, method, params } = request;
    let outcome = match &*method {
        "initialize" => initialize(&*tools, params.as_deref()),
        "ping" => Ok(json!({})),
        "tools/list" => list(&*tools, params.as_deref()),
        "tools/call" => match Called::read(&*tools, params.as_deref()) {
            Ok(called) => return Ok(call(tools, id, called, takes_stream(headers)).await),
            Err(failure) => Err(failure),
        },
        _ => Err(Failure::method(&method)),
    };
    Ok(whole(
        StatusCode::OK,
        match outcome {
            Ok(result) => wire::result(&id, &result),
            Err(failure) => wire::failure(&id, &failure),
        },
    ))
}

fn whole(status: StatusCode, bytes: Vec<u8>) -> Reply {
    Reply::Bytes {
        status,
        media: "application/json",
        bytes,
    }
}

/// Whether the client can be told something before the answer.
fn takes_stream(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/event-stream"))
}

#[derive(Deserialize)]
struct Initialize {
    #[serde(rename = "protocolVersion")]
    revision: String,
}

fn initialize(tools: &dyn Tools, params: Option<&RawValue>) -> Result<Value, Failure> {
    let Initialize { revision } = wire::params(params)?;
    // A client that does not speak what it is offered goes away.
    let revision = REVISIONS.into_iter().find(|known| *known == revision);
    Ok(json!({
        "protocolVersion": revision.unwrap_or(REVISIONS[0]),
        "capabilities": {"tools": {}},
        "serverInfo": {"name": tools.server(), "version": VERSION},
        "instructions": tools.instructions(),
    }))
}

#[derive(Default, Deserialize)]
struct List {
    cursor: Option<String>,
}

fn list(tools: &dyn Tools, params: Option<&RawValue>) -> Result<Value, Failure> {
    let List { cursor } = match params {
        Some(_) => wire::params(params)?,
        None => List::default(),
    };
    if cursor.is_some() {
        return Err(Failure::params("there is one page, and no `cursor` to it"));
    }
    let all = tools.tools().iter().map(|tool| {
        let input: Value = serde_json::from_str(tool.input).unwrap_or_default();
        json!({
            "name": tool.name,
            "description": tool.description,
            "inputSchema": input,
            "annotations": {"readOnlyHint": tool.is_read_only},
        })
    });
    Ok(json!({"tools": all.collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: Option<Map<String, Value>>,
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "progressToken")]
    progress: Option<Id>,
}

/// A use of a tool.
struct Called {
    tool: &'static Tool,
    arguments: Map<String, Value>,
    progress: Option<Id>,
}

impl Called {
    fn read(tools: &dyn Tools, params: Option<&RawValue>) -> Result<Self, Failure> {
        let Call {
            name,
            arguments,
            meta,
        } = wire::params(params)?;
        let tool = tools.tools().iter().find(|tool| tool.name == name);
        Ok(Self {
            tool: tool.ok_or_else(|| Failure::params(format!("there is no tool `{name}`")))?,
            arguments: arguments.unwrap_or_default(),
            progress: meta.and_then(|meta| meta.progress),
        })
    }
}

/// What a tool gave, as its client is told.
fn told(id: &Id, outcome: Result<String, Fault>) -> Vec<u8> {
    let (text, is_error) = match outcome {
        Ok(text) => (text, false),
        Err(fault) => {
            fault.log("mcp");
            (fault.to_string(), true)
        }
    };
    let result = json!({"content": [{"type": "text", "text": text}], "isError": is_error});
    wire::result(id, &result)
}

/// Uses a tool. One that takes its time is answered by a stream, which says until then that it is
/// at work.
async fn call(tools: Arc<dyn Tools>, id: Id, called: Called, takes_stream: bool) -> Reply {
    let Called {
        tool,
        arguments,
        progress,
    } = called;
    let mut working = tools.call(tool, arguments);
    if !takes_stream {
        return whole(StatusCode::OK, told(&id, working.await));
    }
    if let Ok(outcome) = tokio::time::timeout(SOON, &mut working).await {
        return whole(StatusCode::OK, told(&id, outcome));
    }
    let at_work = AtWork {
        id,
        working,
        progress,
        signs: 0,
    };
    let events = stream::unfold(Some(at_work), |at_work| async move {
        let (event, rest) = at_work?.next().await;
        Some((Ok::<_, Infallible>(event), rest))
    });
    Reply::Chunks {
        media: "text/event-stream",
        chunks: events.boxed(),
    }
}

/// A tool that takes its time.
struct AtWork {
    id: Id,
    working: Told,
    progress: Option<Id>,
    signs: u64,
}

impl fmt::Debug for AtWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtWork").field("id", &self.id).finish()
    }
}

impl AtWork {
    async fn next(mut self) -> (Bytes, Option<Self>) {
        match tokio::time::timeout(SIGN_OF_LIFE, &mut self.working).await {
            Ok(outcome) => (event(&told(&self.id, outcome)), None),
            Err(_) => {
                self.signs += 1;
                let sign = match &self.progress {
                    Some(token) => event(&wire::progress(token, self.signs)),
                    None => Bytes::from_static(b":keepalive\n\n"),
                };
                (sign, Some(self))
            }
        }
    }
}

fn event(message: &[u8]) -> Bytes {
    [b"event: message\ndata: ", message, b"\n\n"]
        .concat()
        .into()
}

/// A fault of a route, to a client that reads JSON-RPC.
#[must_use]
pub fn words(fault: &Fault) -> Vec<u8> {
    let failure = match fault.code() {
        Code::BadJson | Code::BadValue | Code::UnknownField => Failure::request(fault.to_string()),
        _ => Failure::refused(fault),
    };
    wire::failure(&Id::none(), &failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[derive(Default)]
    struct Two {
        /// What the slow one waits for.
        go: tokio::sync::Notify,
    }

    const TWO: &[Tool] = &[
        Tool {
            name: "echo",
            description: "Says it again.",
            input: r#"{"type":"object","properties":{"say":{"type":"string"}}}"#,
            is_read_only: true,
        },
        Tool {
            name: "slow",
            description: "Takes its time.",
            input: r#"{"type":"object"}"#,
            is_read_only: false,
        },
    ];

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Echo {
        say: String,
    }

    impl Tools for Two {
        fn server(&self) -> &'static str {
            "two"
        }

        fn instructions(&self) -> &'static str {
            "Try them."
        }

        fn tools(&self) -> &'static [Tool] {
            TWO
        }

        fn call(self: Arc<Self>, tool: &'static Tool, given: Map<String, Value>) -> Told {
            Box::pin(async move {
                if tool.name == "slow" {
                    self.go.notified().await;
                    return Ok("at last".to_owned());
                }
                arguments::<Echo>(given).map(|echo| echo.say)
            })
        }
    }

    async fn post(tools: &Arc<Two>, headers: &[(&'static str, &'static str)], body: &str) -> Reply {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect();
        let tools = Arc::clone(tools);
        answer(tools, &headers, body.as_bytes()).await
    }

    async fn whole(headers: &[(&'static str, &'static str)], body: &str) -> (u16, Value) {
        whole_of(post(&Arc::default(), headers, body).await)
    }

    fn whole_of(reply: Reply) -> (u16, Value) {
        match reply {
            Reply::Bytes { status, bytes, .. } => (
                status.as_u16(),
                serde_json::from_slice(&bytes).unwrap_or_default(),
            ),
            other => panic!("{other:?}"),
        }
    }

    async fn asked(method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": "a", "method": method, "params": params});
        let (status, body) = whole(&[], &body.to_string()).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(
            (&body["jsonrpc"], &body["id"]),
            (&json!("2.0"), &json!("a"))
        );
        body
    }

    #[tokio::test]
    async fn the_revision_of_the_client_is_taken_if_it_is_spoken_and_the_newest_offered_if_not() {
        for (asks, gets) in [
            ("2025-06-18", "2025-06-18"),
            ("2025-03-26", "2025-03-26"),
            ("1999-01-01", REVISIONS[0]),
        ] {
            let body = asked(
                "initialize",
                json!({"protocolVersion": asks, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}),
            )
            .await;
            assert_eq!(body["result"]["protocolVersion"], gets);
            assert_eq!(body["result"]["capabilities"], json!({"tools": {}}));
            assert_eq!(body["result"]["serverInfo"]["name"], "two");
        }
    }

    #[tokio::test]
    async fn tools_are_listed_with_their_schemas_and_used_by_their_names() {
        let body = asked("tools/list", json!({})).await;
        assert_eq!(body["result"]["tools"][0]["name"], "echo");
        assert_eq!(body["result"]["tools"][0]["inputSchema"]["type"], "object");
        let body = asked(
            "tools/call",
            json!({"name": "echo", "arguments": {"say": "hi"}}),
        )
        .await;
        assert_eq!(
            body["result"],
            json!({"content": [{"type": "text", "text": "hi"}], "isError": false})
        );
    }

    #[tokio::test]
    async fn what_a_tool_refuses_is_told_to_the_model_and_what_the_protocol_refuses_to_the_client()
    {
        let body = asked(
            "tools/call",
            json!({"name": "echo", "arguments": {"shout": 1}}),
        )
        .await;
        assert_eq!(body["result"]["isError"], true);
        let text = body["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("unknown_field: "), "{text}");
        for (method, params, code) in [
            ("tools/call", json!({"name": "no such"}), -32602),
            ("tools/call", json!([]), -32602),
            ("tools/list", json!({"cursor": "x"}), -32602),
            ("initialize", json!({}), -32602),
            ("resources/list", json!({}), -32601),
        ] {
            let body = asked(method, params).await;
            assert_eq!(body["error"]["code"], code, "{method}");
        }
        assert_eq!(asked("ping", json!({})).await["result"], json!({}));
    }

    #[tokio::test]
    async fn a_notification_is_taken_without_an_answer_and_what_is_no_message_is_refused() {
        for body in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
        ] {
            assert_eq!(whole(&[], body).await, (202, Value::Null), "{body}");
        }
        for (body, code) in [
            ("", -32700),
            ("{", -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#, -32700),
            ("[]", -32600),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
            (r#""ping""#, -32600),
            (r#"{"id":1,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, -32600),
        ] {
            let (status, answer) = whole(&[], body).await;
            assert_eq!((status, &answer["id"]), (400, &Value::Null), "{body}");
            assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        }
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let (status, _) = whole(&[(REVISION, "2024-10-07")], ping).await;
        assert_eq!(status, 400);
        let (status, _) = whole(&[(REVISION, "2025-06-18")], ping).await;
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn a_tool_that_takes_its_time_says_so_until_it_has_answered() {
        let call = |meta: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"slow"{meta}}}}}"#
            )
        };
        let both = [("accept", "application/json, text/event-stream")];
        for (meta, sign) in [
            ("", ":keepalive\n\n"),
            (r#","_meta":{"progressToken":3}"#, "notifications/progress"),
        ] {
            let two = Arc::<Two>::default();
            let reply = post(&two, &both, &call(meta)).await;
            let Reply::Chunks { media, mut chunks } = reply else {
                panic!("{reply:?}");
            };
            assert_eq!(media, "text/event-stream");
            let first = chunks.next().await.unwrap().unwrap();
            assert!(String::from_utf8_lossy(&first).contains(sign), "{first:?}");
            two.go.notify_one();
            let mut last = first;
            while let Some(Ok(chunk)) = chunks.next().await {
                last = chunk;
            }
            let last = last.strip_prefix(b"event: message\ndata: ").unwrap();
            let last: Value = serde_json::from_slice(last).unwrap();
            assert_eq!(last["id"], 7);
            assert_eq!(last["result"]["content"][0]["text"], "at last");
        }
        // Whoever takes no stream waits for the whole.
        let two = Arc::<Two>::default();
        let json = [("accept", "application/json")];
        let call = call("");
        let waiting = post(&two, &json, &call);
        let (reply, ()) = tokio::join!(waiting, async { two.go.notify_one() });
        let (status, body) = whole_of(reply);
        assert_eq!((status, &body["result"]["isError"]), (200, &json!(false)));
    }

    #[test]
    fn a_fault_of_a_route_is_an_error_with_its_code() {
        let fault = Fault::new(Code::Unauthorized, "this needs a token");
        let body: Value = serde_json::from_slice(&words(&fault)).unwrap();
        assert_eq!(body["error"]["code"], -32000);
        assert_eq!(body["error"]["data"]["code"], "unauthorized");
    }
}
