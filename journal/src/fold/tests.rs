use cib_protocol::frame::{Frame, Meta, Status, Stop, Text};
use cib_protocol::limits::{Limits, Resources, Usage};
use cib_protocol::session::{SessionSpec, State, Uuid};

use super::*;

const ID: SessionId = Uuid::from_u128(7);

fn write(into: &mut Vec<u8>, seq: u64, data: &Data) {
    let ts = Timestamp::from_millis(i64::try_from(seq).unwrap() * 1000);
    Frame::write_line(into, ID, seq, ts, data).unwrap();
}

fn status(state: State) -> Data {
    Data::Status(Status {
        state,
        elapsed_ms: 0,
    })
}

fn text() -> Data {
    Data::Text(Text {
        text: "x".to_owned(),
        ..Text::default()
    })
}

fn opening_frame(spec: &SessionSpec, earlier: Option<SessionMeta>) -> Data {
    let meta = begin(spec, earlier, Timestamp::from_millis(500));
    Data::Meta(Meta {
        model: meta.model.clone(),
        workdir: Some(meta.workdir.display().to_string()),
        permission_mode: Some(meta.permission_mode.as_str().to_owned()),
        claude_session: Some(Uuid::from_u128(9).to_string()),
        driver: Some(meta.driver),
        title: meta.title.clone(),
        opening: Some(Box::new(opening(&meta))),
        ..Meta::default()
    })
}

fn spec() -> SessionSpec {
    serde_json::from_value(serde_json::json!({
        "id": ID, "workdir": "/work", "driver": "tty", "model": "opus", "effort": "high",
        "permission_mode": "plan", "auth_mode": "provider", "provider_id": "p_1", "title": "Name",
        "limits": {"max_turns": 3},
    }))
    .unwrap()
}

fn lines(frames: &[Data]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (data, seq) in frames.iter().zip(1..) {
        write(&mut bytes, seq, data);
    }
    bytes
}

fn fold(bytes: &[u8]) -> Fold {
    let mut fold = Fold::new(ID);
    for line in bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        fold.line(line);
    }
    fold
}

#[test]
fn everything_that_a_resume_needs_follows_from_the_journal_alone() {
    let usage = Usage {
        input: 1,
        output: 2,
        cost_usd: 0.5,
        ..Usage::default()
    };
    let resources = Resources {
        cpu_ms: Some(12),
        ..Resources::default()
    };
    let frames = [
        status(State::Starting),
        opening_frame(&spec(), None),
        status(State::Working),
        text(),
        Data::Usage(usage),
        Data::Stop(Stop {
            reason: "turn_end".to_owned(),
            resources: Some(resources),
            ..Stop::default()
        }),
        Data::Meta(Meta {
            title: Some("Renamed".to_owned()),
            ..Meta::default()
        }),
        Data::Stop(Stop {
            reason: "exit 3".to_owned(),
            last: true,
            exit_code: Some(3),
            ended_in: Some(State::Working),
            ..Stop::default()
        }),
        status(State::Failed),
    ];
    let fold = fold(&lines(&frames));
    assert!(fold.is_opened() && fold.is_closed());
    let meta = fold.into_meta().unwrap();
    let expected = SessionMeta {
        title: Some("Renamed".to_owned()),
        state: State::Failed,
        reason: Some("exit 3".to_owned()),
        started_at: Some(Timestamp::from_millis(3000)),
        stopped_at: Some(Timestamp::from_millis(9000)),
        ended_in: Some(State::Working),
        exit_code: Some(3),
        last_seq: 9,
        claude_session: Some(Uuid::from_u128(9)),
        usage,
        last_turn: Some(usage),
        resources,
        turns: 1,
        active_at: Some(Timestamp::from_millis(9000)),
        ..begin(&spec(), None, Timestamp::from_millis(500))
    };
    assert_eq!(meta, expected);
}

#[test]
fn a_keeper_that_begins_again_brings_what_was_used_and_nothing_of_the_end() {
    let mut frames = vec![
        status(State::Starting),
        opening_frame(&spec(), None),
        status(State::Idle),
        Data::Stop(Stop {
            reason: "turn_end".to_owned(),
            ..Stop::default()
        }),
        Data::Stop(Stop {
            reason: "exit".to_owned(),
            last: true,
            exit_code: Some(0),
            ..Stop::default()
        }),
        status(State::Stopped),
    ];
    let earlier = fold(&lines(&frames)).into_meta();
    let again = SessionSpec {
        title: None,
        limits: Limits::default(),
        ..spec()
    };
    frames.extend([status(State::Starting), opening_frame(&again, earlier)]);
    let fold = fold(&lines(&frames));
    assert!(!fold.is_closed());
    let meta = fold.into_meta().unwrap();
    assert_eq!(meta.title.as_deref(), Some("Name"));
    assert_eq!(meta.created_at, Timestamp::from_millis(500));
    assert_eq!(meta.limits, Limits::default());
    assert_eq!(meta.turns, 1);
    let end = (meta.reason, meta.stopped_at, meta.ended_in, meta.exit_code);
    assert_eq!(end, (None, None, None, None));
}

#[test]
fn what_is_no_frame_of_the_session_is_told_as_damage_and_nothing_else_is_lost() {
    let mut other = Vec::new();
    Frame::write_line(
        &mut other,
        Uuid::from_u128(8),
        3,
        Timestamp::from_millis(0),
        &status(State::Stopped),
    )
    .unwrap();
    let mut gap = Vec::new();
    write(&mut gap, 7, &text());
    let mut back = Vec::new();
    write(&mut back, 1, &status(State::Stopped));
    for (spoilt, says) in [
        (&b"garbage\n"[..], "a line is no frame"),
        (&other, "a line is another session's"),
        (&gap, "seq 7 follows seq 2"),
        (&back, "seq 1 stands behind seq 2"),
    ] {
        let mut bytes = lines(&[status(State::Starting), opening_frame(&spec(), None)]);
        bytes.extend_from_slice(spoilt);
        write(&mut bytes, 8, &status(State::Idle));
        let meta = fold(&bytes).into_meta().unwrap();
        assert_eq!(meta.damage.as_deref(), Some(says));
        assert_eq!((meta.state, meta.last_seq), (State::Idle, 8));
    }
    let nothing = fold(b"garbage\n");
    assert!(nothing.meta().is_none());
    assert_eq!(nothing.flaw(), Some("a line is no frame"));
}

#[test]
fn a_journal_is_taken_up_in_portions_and_further_when_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let mut frames = vec![text(); 5000];
    std::fs::write(&path, lines(&frames)).unwrap();
    let file = File::open(&path).unwrap();
    let mut fold = Fold::new(ID);
    assert_eq!(fold.read(&file, || true).unwrap(), Progress::More);
    assert!(fold.meta().unwrap().last_seq < 5000);
    while fold.read(&file, || true).unwrap() == Progress::More {}
    assert_eq!(fold.meta().unwrap().last_seq, 5000);
    frames.push(status(State::Stopped));
    let mut bytes = lines(&frames);
    bytes.extend_from_slice(b"torn");
    std::fs::write(&path, &bytes).unwrap();
    fold.read(&file, || false).unwrap();
    assert!(fold.is_closed());
    assert_eq!(fold.offset(), bytes.len() as u64 - 4);
    std::fs::write(&path, "").unwrap();
    let shrunk = fold.read(&file, || false).unwrap_err();
    assert_eq!(shrunk.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_long_line_is_taken_up_whole_however_often_the_reader_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let long = Data::Text(Text {
        text: "y".repeat(5 * CHUNK + 7),
        ..Text::default()
    });
    std::fs::write(
        &path,
        lines(&[text(), long, text(), status(State::Stopped)]),
    )
    .unwrap();
    let file = File::open(&path).unwrap();
    let mut fold = Fold::new(ID);
    while fold.read(&file, || true).unwrap() == Progress::More {}
    assert!(fold.is_closed());
    let meta = fold.into_meta().unwrap();
    assert_eq!((meta.last_seq, meta.damage), (4, None));
}

#[test]
fn a_line_without_an_end_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let file = File::create_new(&path).unwrap();
    file.set_len(15 << 40)
        .or_else(|_| file.set_len(2 << 30))
        .unwrap();
    let Err(FoldError::Read { source, .. }) = load(dir.path(), ID) else {
        panic!("it was read");
    };
    assert_eq!(source.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_shell_of_an_earlier_version_is_known_by_how_it_began() {
    let began = Data::Meta(Meta {
        workdir: Some("/work".to_owned()),
        ..Meta::default()
    });
    let fold = fold(&lines(&[status(State::Starting), began]));
    assert_eq!(fold.meta().unwrap().program, Program::Shell);
}

#[test]
fn a_fold_that_was_kept_goes_on_as_if_it_had_never_stopped() {
    let mut frames = vec![status(State::Starting), opening_frame(&spec(), None)];
    for cost in 1..200 {
        frames.push(Data::Usage(Usage {
            // Sums of these have digits that a careless reader loses.
            cost_usd: 0.1 / f64::from(cost),
            ..Usage::default()
        }));
        frames.push(Data::Stop(Stop {
            reason: "turn_end".to_owned(),
            ..Stop::default()
        }));
    }
    frames.push(status(State::Stopped));
    let bytes = lines(&frames);
    let whole = fold(&bytes);
    let mut kept = Fold::new(ID);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        kept.line(line.trim_ascii_end());
        let text = serde_json::to_string(&kept.saved().unwrap()).unwrap();
        let saved: Saved<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(Some(&saved), kept.saved().as_ref());
        kept = Fold::restored(saved);
    }
    assert_eq!(kept.meta(), whole.meta());
    assert!(kept.is_opened() && kept.is_closed());
}

#[test]
fn only_a_simple_question_that_is_told_whole_brings_its_options() {
    let asked = |question: &str, labels: &[&str], tool: Option<&str>, several: bool| {
        let options: Vec<_> = labels
            .iter()
            .map(|label| serde_json::json!({"label": label, "description": ""}))
            .collect();
        let data: Data = serde_json::from_value(serde_json::json!({
            "kind": "ask.question",
            "data": {
                "id": "q", "prompt": question, "options": options, "multiSelect": several,
                "tool": tool,
                "questions": [{"question": question, "options": options, "multiSelect": several}],
            },
        }))
        .unwrap();
        let fold = fold(&lines(&[data]));
        fold.meta().unwrap().open_questions[0].options.clone()
    };
    assert_eq!(
        asked("Which?", &["Red", "Blue"], None, false),
        ["Red", "Blue"]
    );
    let none: [&str; 0] = [];
    assert_eq!(asked("Which?", &["a", "b", "c"], None, false), none);
    assert_eq!(asked("Which?", &["a", "b"], None, true), none);
    assert_eq!(
        asked("May I?", &["Allow", "Deny"], Some("Bash"), false),
        none
    );
    assert_eq!(asked(&"x".repeat(300), &["a", "b"], None, false), none);
    assert_eq!(asked("Which?", &[&"x".repeat(80)], None, false), none);
}
