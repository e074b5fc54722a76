//! The ways in which `nft` may say the same thing, brought to one.

use serde_json::{Map, Value, json};

/// A rule in its normal form.
pub(super) fn rule(said: &[Value]) -> Value {
    Value::Array(said.iter().cloned().map(value).collect())
}

/// A single word stands for a list of one, and a list has no order.
pub(super) fn list(value: Value) -> Value {
    match value {
        Value::Null => Value::Array(Vec::new()),
        Value::Array(mut items) => {
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        word => Value::Array(vec![word]),
    }
}

fn value(said: Value) -> Value {
    match said {
        Value::Object(fields) => {
            let fields: Map<_, _> = fields
                .into_iter()
                .map(|(key, field)| (key, value(field)))
                .collect();
            object(fields)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        // nft writes a number of a type that can have names as a string if there is no name.
        Value::String(word) => word.parse::<u64>().map_or(Value::String(word), Value::from),
        other => other,
    }
}

fn object(mut fields: Map<String, Value>) -> Value {
    for key in ["flags", "set"] {
        if let Some(field) = fields.remove(key) {
            fields.insert(key.to_owned(), list(field));
        }
    }
    if let Some(flag) = single_flag(&fields) {
        return flag;
    }
    let protocol = fields.get("left") == Some(&json!({"meta": {"key": "l4proto"}}));
    if protocol && let Some(right) = fields.remove("right") {
        fields.insert("right".to_owned(), protocols(right));
    }
    Value::Object(fields)
}

/// `tcp flags & syn != 0` is what some versions make of `tcp flags syn`.
fn single_flag(fields: &Map<String, Value>) -> Option<Value> {
    let masked = fields.get("left")?.get("&")?.as_array()?;
    let (Some(0), Some("!=")) = (
        fields.get("right").and_then(Value::as_u64),
        fields.get("op").and_then(Value::as_str),
    ) else {
        return None;
    };
    let [left, flag] = masked.as_slice() else {
        return None;
    };
    Some(json!({"op": "in", "left": left, "right": flag}))
}

/// The protocols of our rules and what nft calls them (IANA).
const PROTOCOLS: [(u8, &str); 6] = [
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (58, "ipv6-icmp"),
    (58, "icmpv6"),
];

/// What nft calls a protocol, where it has `/etc/protocols`.
pub(super) fn protocol_name(number: u64) -> Option<&'static str> {
    PROTOCOLS
        .iter()
        .find(|(one, _)| u64::from(*one) == number)
        .map(|(_, name)| *name)
}

/// Without `/etc/protocols`, nft prints the number.
fn protocols(said: Value) -> Value {
    match said {
        Value::String(name) => match PROTOCOLS.iter().find(|(_, one)| *one == name) {
            Some((number, _)) => (*number).into(),
            None => Value::String(name),
        },
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, field)| {
                let field = protocols(field);
                if key == "set" {
                    (key, list(field))
                } else {
                    (key, field)
                }
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(protocols).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_set_has_no_order() {
        let left = json!({"payload": {"protocol": "icmpv6", "field": "type"}});
        let rule_of =
            |set| rule(&[json!({"match": {"op": "==", "left": left, "right": {"set": set}}})]);
        assert_eq!(rule_of(json!(["a", "b"])), rule_of(json!(["b", "a"])));
        assert_ne!(rule_of(json!(["a", "b"])), rule_of(json!(["a", "c"])));
    }

    #[test]
    fn a_protocol_is_its_number() {
        let rule_of = |right: Value| {
            rule(&[
                json!({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": right}}),
            ])
        };
        assert_eq!(rule_of(json!("tcp")), rule_of(json!(6)));
        assert_eq!(
            rule_of(json!({"set": ["udp", "tcp"]})),
            rule_of(json!({"set": [6, 17]}))
        );
        assert_ne!(rule_of(json!("tcp")), rule_of(json!("udp")));
    }

    #[test]
    fn a_flag_may_be_written_as_a_mask() {
        let flags = json!({"payload": {"protocol": "tcp", "field": "flags"}});
        let short = json!({"match": {"op": "in", "left": flags, "right": "syn"}});
        let mask =
            |right| json!({"match": {"op": "!=", "left": {"&": [flags, "syn"]}, "right": right}});
        assert_eq!(value(mask(0)), value(short.clone()));
        assert_ne!(value(mask(1)), value(short));
    }

    #[test]
    fn a_number_may_be_written_as_a_string_and_a_flag_without_a_list() {
        assert_eq!(value(json!("4294967295")), value(json!(4_294_967_295_u32)));
        assert_eq!(
            value(json!({"fib": {"result": "type", "flags": "daddr"}})),
            value(json!({"fib": {"result": "type", "flags": ["daddr"]}}))
        );
    }
}
