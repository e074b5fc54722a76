//! What foreign JSON comes to.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_in_its_place() {
    for (written, read) in [
        (r#""aaa\ud83d""#, "aaa\u{fffd}"),
        (r#""\ude00b""#, "\u{fffd}b"),
        (r#""\uD83D\uDE00""#, "\u{1f600}"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
        (r#""\ud83d\n""#, "\u{fffd}\n"),
        (r#""\\ud83d""#, "\\ud83d"),
    ] {
        let better = text(written.as_bytes());
        assert_eq!(better.len(), written.len(), "no byte moves: {written}");
        let strict: String = serde_json::from_str(&better).unwrap();
        assert_eq!(strict, read, "{written}");
        assert_eq!(parse(written), Ok(Value::from(read)), "{written}");
    }
}

#[test]
fn clean_text_is_not_copied() {
    for clean in [r#"{"a":"\ud83d\ude00 \\ \n"}"#, "{}", "", "\\", "\\u12"] {
        assert!(
            matches!(text(clean.as_bytes()), Cow::Borrowed(_)),
            "{clean}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_become_the_replacement() {
    assert_eq!(text(b"\"a\xff\\ud800\""), "\"a\u{fffd}\\ufffd\"");
}

#[test]
fn what_nests_too_deeply_is_told_as_its_text() {
    for depth in [DEEPEST, DEEPEST + 1, 1000, 100_000] {
        let deep = format!("{}7{}", "[".repeat(depth), "]".repeat(depth));
        let outer = format!(r#"{{"before":1,"deep":{deep},"after":2}}"#);
        let value = parse(&outer).unwrap();
        assert_eq!((&value["before"], &value["after"]), (&json!(1), &json!(2)));
        // Whoever reads it strictly has no trouble with it.
        let strict: Value = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(strict, value);
        let mut at = &value["deep"];
        let mut levels = 0;
        while let Some([inner]) = at.as_array().map(Vec::as_slice) {
            (at, levels) = (inner, levels + 1);
        }
        let left = depth - levels;
        let rest = format!("{}7{}", "[".repeat(left), "]".repeat(left));
        let expected = if left == 0 { json!(7) } else { json!(rest) };
        assert_eq!(*at, expected, "{depth}");
    }
}

#[test]
fn a_value_that_cannot_be_used_costs_itself() {
    let object = Object::read(
        r#"{"id": 7, "name": "n\ud800", "gone": null, "odd": {"a": [1,]}, "cost": -1.5,
            "many": 1e400, "fraction": 1.5, "whole": 12.0, "name2": "\q", "yes": true,
            "twice": 1, "twice": "2", "list": [1, "b", [2]], "big": 18446744073709551615}"#,
    )
    .unwrap();
    assert_eq!(object.string("id"), None);
    assert_eq!(object.count("id"), Some(7));
    assert_eq!(object.string("name").as_deref(), Some("n\u{fffd}"));
    assert_eq!(object.get("gone"), None);
    assert!(
        object
            .object("odd")
            .is_some_and(|odd| odd.object("a").is_none())
    );
    assert_eq!(
        (object.number("cost"), object.count("cost")),
        (Some(-1.5), None)
    );
    assert_eq!((object.number("many"), object.count("many")), (None, None));
    assert_eq!(
        (object.count("fraction"), object.count("whole")),
        (None, Some(12))
    );
    assert_eq!(object.string("name2"), None);
    assert_eq!(object.flag("yes"), Some(true));
    assert_eq!(object.string("twice").as_deref(), Some("2"));
    assert_eq!(object.items("list"), Some(vec!["1", "\"b\"", "[2]"]));
    assert_eq!(object.count("big"), Some(u64::MAX));
}

#[test]
fn what_is_no_json_is_not_taken_for_some() {
    for broken in [
        "",
        "{",
        "[",
        "{]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "01",
        "1.",
        "-",
        "nul",
        "\"",
        "\"\\\"",
        "1 2",
        "[1 2]",
        "+1",
        "1e",
        "{a:1}",
        "\"\\x\"",
        "\"\\u12g4\"",
    ] {
        assert!(parse(broken).is_err(), "{broken}");
    }
    for broken in [
        "",
        "{",
        "[]",
        "{\"a\"",
        "{\"a\":1",
        "{\"a\":1}x",
        "{\"a\":1,}",
    ] {
        assert!(Object::read(broken).is_none(), "{broken}");
    }
}

#[test]
fn numbers_stay_as_they_are_written_on_a_line_of_their_own() {
    let written =
        "{ \"a\" : 1.0,\r\n\t\"b\":12345678901234567890123, \"c d\": \"x \\\" y\u{2028}\" }";
    assert_eq!(
        one_line(written),
        r#"{"a":1.0,"b":12345678901234567890123,"c d":"x \" y\u2028"}"#
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        "[a\"\\\\\u{1}\n\u{e9}\u{1f600}\u{2028}{}\\[\\],:]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-c\"\\\\]{0,3}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_read_as_any_parser_reads_it(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        prop_assert_eq!(parse(&text), Ok(value.clone()));
        let line = one_line(&text);
        let ends = line.contains(['\n', '\r', '\u{2028}']);
        prop_assert!(!ends, "one line");
        let read: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&read, &value);
        if let Value::Object(fields) = &value {
            let object = Object::read(&text).unwrap();
            for (name, value) in fields {
                let text = object.get(name).unwrap_or("null");
                prop_assert_eq!(&parse(text).unwrap(), value);
                let string = object.string(name);
                prop_assert_eq!(string.as_deref(), value.as_str());
            }
        }
    }

    #[test]
    fn what_a_strict_parser_takes_is_taken_and_nothing_else(
        text in "[\\[\\]{}:,\"\\\\u0-9d8ane.+ tr-]{0,24}",
    ) {
        let strict = serde_json::from_str::<Value>(&repaired(&text));
        match (parse(&text), strict) {
            // Of a fraction the other parser may lose the last bit.
            (Ok(ours), Ok(theirs)) => prop_assert!(ours == theirs || text.contains(['.', 'e'])),
            // A number that no number can hold.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range")),
            (Err(_), Err(_)) => {}
            (Err(_), Ok(_)) => prop_assert!(false, "{text} is JSON"),
        }
    }

    #[test]
    fn any_bytes_become_text_in_which_no_pair_is_broken(
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
        text in "[\\\\udD8389cC0\"f]{0,40}",
    ) {
        let mut all = bytes;
        all.extend(text.bytes());
        let better = super::text(&all);
        prop_assert_eq!(lone_surrogate(&better, 0), None);
    }
}
