//! JSON-RPC 2.0, one message at a time.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fault::Fault;

/// Bytes of an id that is a text.
const MAX_ID: usize = 256;

/// What a client names a request by: a text or a whole number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Id(Value);

impl Id {
    /// That of a request that could not be read.
    #[must_use]
    pub fn none() -> Self {
        Self(Value::Null)
    }

    fn parse(value: Value) -> Option<Self> {
        let fits = match &value {
            Value::String(text) => text.len() <= MAX_ID,
            Value::Number(number) => number.is_i64() || number.is_u64(),
            _ => false,
        };
        fits.then_some(Self(value))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::parse(value).ok_or_else(|| serde::de::Error::custom("neither a text nor a number"))
    }
}

/// Why a request is not done, in the protocol's own numbers.
#[derive(Debug)]
pub struct Failure {
    number: i32,
    message: String,
    /// The API's code, where it was a route that refused.
    code: Option<&'static str>,
}

impl Failure {
    fn new(number: i32, message: impl Into<String>) -> Self {
        Self {
            number,
            message: message.into(),
            code: None,
        }
    }

    /// What is no message.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    /// A method that there is not.
    #[must_use]
    pub fn method(method: &str) -> Self {
        Self::new(-32601, format!("there is no method `{method}`"))
    }

    /// Parameters that do not fit their method.
    pub fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// A fault that has nothing to do with what the message says.
    #[must_use]
    pub fn refused(fault: &Fault) -> Self {
        Self {
            code: Some(fault.code().as_str()),
            ..Self::new(-32000, fault.detail())
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// What the client names it by.
    pub id: Id,
    /// What it asks for.
    pub method: String,
    /// The particulars.
    pub params: Option<Box<RawValue>>,
}

/// A message.
#[derive(Debug)]
pub enum Incoming {
    /// One that is to be answered.
    Request(Request),
    /// One that is not: a notification, or an answer.
    Heard,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    jsonrpc: Value,
    // Present and `null` is not the same as absent.
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a message.
///
/// # Errors
/// If it is no JSON, or no message.
pub fn read(body: &[u8]) -> Result<Incoming, Failure> {
    let json: &RawValue =
        serde_json::from_slice(body).map_err(|error| Failure::new(-32700, error.to_string()))?;
    if json.get().starts_with('[') {
        return Err(Failure::request(
            "messages are sent one by one, not in a batch",
        ));
    }
    if !json.get().starts_with('{') {
        return Err(Failure::request("the message is no JSON object"));
    }
    let message: Message =
        serde_json::from_str(json.get()).map_err(|error| Failure::request(error.to_string()))?;
    if message.jsonrpc != "2.0" {
        return Err(Failure::request("`jsonrpc` is not \"2.0\""));
    }
    match (message.method, message.id) {
        (Some(Value::String(method)), Some(id)) => {
            let id = Id::parse(id)
                .ok_or_else(|| Failure::request("`id` is neither a text nor a whole number"))?;
            Ok(Incoming::Request(Request {
                id,
                method,
                params: message.params,
            }))
        }
        (Some(Value::String(_)), None) => Ok(Incoming::Heard),
        (None, Some(_)) if message.result.is_some() || message.error.is_some() => {
            Ok(Incoming::Heard)
        }
        _ => Err(Failure::request("the message has no `method`")),
    }
}

/// A request's parameters. What a client may say besides is passed over: the protocol has room for
/// more.
///
/// # Errors
/// If they are not there, or do not fit.
pub fn params<T: DeserializeOwned>(params: Option<&RawValue>) -> Result<T, Failure> {
    let params = params.ok_or_else(|| Failure::params("`params` are missing"))?;
    if !params.get().starts_with('{') {
        return Err(Failure::params("`params` are no JSON object"));
    }
    serde_json::from_str(params.get()).map_err(|error| Failure::params(error.to_string()))
}

/// An answer.
#[must_use]
pub fn result(id: &Id, result: &Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
        .to_string()
        .into_bytes()
}

/// A refusal.
#[must_use]
pub fn failure(id: &Id, failure: &Failure) -> Vec<u8> {
    let mut error = json!({"code": failure.number, "message": failure.message});
    if let Some(code) = failure.code {
        error["data"] = json!({"code": code});
    }
    json!({"jsonrpc": "2.0", "id": id, "error": error})
        .to_string()
        .into_bytes()
}

/// That something is still at work, to a client that asked to be told.
#[must_use]
pub fn progress(token: &Id, progress: u64) -> Vec<u8> {
    let params = json!({"progressToken": token, "progress": progress});
    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_posted_is_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..60,
            byte in any::<u8>(),
        ) {
            let _ = read(&bytes);
            let mut message = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#.to_vec();
            let at = at % message.len();
            message[at] = byte;
            if let Ok(Incoming::Request(request)) = read(&message) {
                // What it is answered with is JSON, whatever its id is.
                let answer = result(&request.id, &Value::Null);
                prop_assert!(serde_json::from_slice::<Value>(&answer).is_ok());
            }
        }
    }
}
