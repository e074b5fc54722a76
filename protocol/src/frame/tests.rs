use super::*;

fn status() -> Data {
    Data::Status(Status {
        state: State::WaitingForInput,
        elapsed_ms: 7,
    })
}

#[test]
fn envelope_has_exactly_the_five_published_fields() {
    let frame = Frame::new(uuid::Uuid::nil(), 1, Timestamp::from_millis(0), &status()).unwrap();
    assert_eq!(
        serde_json::to_string(&frame).unwrap(),
        r#"{"session":"00000000-0000-0000-0000-000000000000","seq":1,"ts":"1970-01-01T00:00:00.000Z","kind":"status","data":{"state":"waiting_for_input","elapsed_ms":7}}"#
    );
}

#[test]
fn the_short_way_to_a_line_writes_what_the_long_way_writes() {
    let ts = Timestamp::from_millis(1_700_000_000_120);
    let frame = Frame::new(uuid::Uuid::nil(), 3, ts, &status()).unwrap();
    let mut line = b"before ".to_vec();
    Frame::write_line(&mut line, uuid::Uuid::nil(), 3, ts, &status()).unwrap();
    let long = format!("before {}\n", serde_json::to_string(&frame).unwrap());
    assert_eq!(String::from_utf8(line).unwrap(), long);
}

#[test]
fn data_survives_the_envelope() {
    let frame = Frame::new(uuid::Uuid::nil(), 9, Timestamp::from_millis(1), &status()).unwrap();
    assert_eq!(frame.decode().unwrap(), Some(status()));
}

#[test]
fn an_unknown_kind_is_passed_on_not_refused() {
    let line = r#"{"session":"00000000-0000-0000-0000-000000000000","seq":1,"ts":"1970-01-01T00:00:00.000Z","kind":"new.thing","data":{"a":1}}"#;
    let frame: Frame = serde_json::from_str(line).unwrap();
    assert_eq!(frame.decode().unwrap(), None);
    assert_eq!(serde_json::to_string(&frame).unwrap(), line);
}
