//! Rules as `nft list` prints them, for golden files and for the sentences of a drift.
//!
//! What is not among our phrases is printed as the JSON that it came as: it can only come from
//! somebody else.

use serde_json::Value;

use super::{Base, normal};

/// A rule on one line.
pub(super) fn rule(said: &[Value]) -> String {
    let words: Vec<_> = said.iter().map(statement).collect();
    if words.is_empty() {
        "(an empty rule)".to_owned()
    } else {
        words.join(" ")
    }
}

/// The line that makes a chain a base chain.
pub(super) fn base(base: &Base) -> String {
    let device = match &base.devices {
        Some(Value::Array(names)) if !names.is_empty() => {
            let names: Vec<_> = names
                .iter()
                .map(|name| format!("{:?}", plain(name)))
                .collect();
            format!("device {} ", names.join(", "))
        }
        _ => String::new(),
    };
    // nft knows names for some priorities, and knows more of them with every version.
    let priority = match (base.kind.as_str(), base.priority) {
        ("filter", 0) => "filter".to_owned(),
        ("filter", -150) => "mangle".to_owned(),
        (_, number) => number.to_string(),
    };
    format!(
        "type {} hook {} {device}priority {priority}; policy {};",
        base.kind, base.hook, base.policy
    )
}

/// An expression, or an element of a set.
pub(super) fn expression(said: &Value) -> String {
    phrase(said).unwrap_or_else(|| plain(said))
}

/// A word without quotes, a list with commas, anything else as JSON.
pub(super) fn plain(said: &Value) -> String {
    match said {
        Value::String(word) => word.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn phrase(said: &Value) -> Option<String> {
    let (kind, body) = said.as_object()?.iter().next()?;
    let field = |name: &str| body.get(name).map(plain);
    Some(match kind.as_str() {
        "payload" => match field("base") {
            Some(base) => format!("@{base},{},{}", field("offset")?, field("len")?),
            None => format!("{} {}", field("protocol")?, field("field")?),
        },
        "meta" => match field("key")?.as_str() {
            device @ ("iifname" | "oifname") => device.to_owned(),
            key => format!("meta {key}"),
        },
        "ct" => format!("ct {}", field("key")?),
        "fib" => format!("fib {} {}", field("flags")?, field("result")?),
        "prefix" => format!("{}/{}", field("addr")?, field("len")?),
        "concat" => body
            .as_array()?
            .iter()
            .map(expression)
            .collect::<Vec<_>>()
            .join(" . "),
        "set" => {
            format!(
                "{{ {} }}",
                body.as_array()?
                    .iter()
                    .map(expression)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        "range" => body
            .as_array()?
            .iter()
            .map(expression)
            .collect::<Vec<_>>()
            .join("-"),
        _ => return None,
    })
}

fn statement(said: &Value) -> String {
    known_statement(said).unwrap_or_else(|| said.to_string())
}

fn known_statement(said: &Value) -> Option<String> {
    let (kind, body) = said.as_object()?.iter().next()?;
    let field = |name: &str| body.get(name).map(plain);
    Some(match kind.as_str() {
        "match" => comparison(body)?,
        "accept" | "drop" | "return" => kind.clone(),
        "jump" | "goto" => format!("{kind} {}", field("target")?),
        "counter" => format!("counter name {:?}", body.as_str()?),
        "redirect" => format!("redirect to :{}", field("port")?),
        "reject" => match field("expr") {
            Some(code) => format!("reject with {} {code}", field("type")?),
            None => format!("reject with {}", field("type")?),
        },
        "limit" => {
            let burst = field("burst").map(|burst| format!(" burst {burst} packets"));
            format!(
                "limit rate {}/{}{}",
                field("rate")?,
                field("per")?,
                burst.unwrap_or_default()
            )
        }
        "log" => format!("log group {}", field("group")?),
        "comment" => format!("comment {:?}", plain(body)),
        _ => return None,
    })
}

fn comparison(body: &Value) -> Option<String> {
    let left = body.get("left")?;
    let right = body.get("right")?;
    let key = left.pointer("/meta/key").and_then(Value::as_str);
    let quoted = matches!(key, Some("iifname" | "oifname"));
    let right = match right {
        right if key == Some("l4proto") => protocols(right),
        Value::String(name) if quoted => format!("{name:?}"),
        Value::Number(number) if left.pointer("/payload/base").is_some() => {
            format!("0x{:x}", number.as_u64()?)
        }
        other => expression(other),
    };
    let left = expression(left);
    Some(match body.get("op")?.as_str()? {
        "==" | "in" => format!("{left} {right}"),
        op => format!("{left} {op} {right}"),
    })
}

/// One protocol, or a set of them.
fn protocols(said: &Value) -> String {
    match (said, said.pointer("/set").and_then(Value::as_array)) {
        (_, Some(set)) => {
            format!(
                "{{ {} }}",
                set.iter().map(protocols).collect::<Vec<_>>().join(", ")
            )
        }
        (Value::Number(number), None) => match number.as_u64().and_then(normal::protocol_name) {
            Some(name) => name.to_owned(),
            None => number.to_string(),
        },
        (other, None) => expression(other),
    }
}
