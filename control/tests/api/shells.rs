//! Shells: started, typed into, followed and ended as sessions are, and kept apart from them.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use crate::common::client::Client;
use crate::common::keeper::{Keeper, spec, text};
use crate::common::world::{MASTER, Server, World};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::frame::{Data, PtyRaw};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Driver, Program, SessionSpec, State};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

fn shell(world: &World) -> Keeper {
    world.keeper_of(&SessionSpec {
        program: Program::Shell,
        ..spec()
    })
}

fn shown(bytes: &[u8]) -> Data {
    Data::PtyRaw(PtyRaw {
        data: STANDARD.encode(bytes),
    })
}

/// A client that offers to be a terminal and nothing else.
fn terminal(server: &Server) -> Client {
    let offers = format!("binary, bearer.{MASTER}");
    let client = server.client();
    client.with_header("sec-websocket-protocol", &offers)
}

async fn token(server: &Server, scopes: &[&str]) -> String {
    let body = json!({"label": "t", "scopes": scopes});
    let created = server.client().post("/api/tokens", &body).await.created();
    created["plaintext"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_shell_is_started_through_init_with_what_was_asked_for() {
    let world = World::new();
    let server = world.serve();
    let body = json!({
        "workdir": world.workspace(), "cols": 91, "rows": 17, "env": {"LESS": "R"},
        "limits": {"max_duration": 60}, "title": "by hand",
    });
    let answer = server.client().post("/api/shells", &body).await;
    let shell = answer.created();
    let spec = world.init().specs[0].clone();
    assert_eq!(shell["id"], json!(spec.id));
    assert_eq!(
        answer.headers["location"],
        format!("/api/shells/{}", spec.id)
    );
    assert_eq!(shell["title"], "by hand");
    assert_eq!(shell["state"], "idle");
    assert_eq!((spec.program, spec.driver), (Program::Shell, Driver::Tty));
    assert_eq!(spec.size, Some((91, 17)));
    assert_eq!(spec.env["LESS"].expose(), "R");
    assert_eq!(spec.limits.max_duration, Some(60));
    assert_eq!(spec.prompt, None);
    server
        .client()
        .post("/api/shells", &json!({}))
        .await
        .created();
    let plain = world.init().specs[1].clone();
    assert_eq!((plain.workdir, plain.size), (world.workspace(), None));
}

#[tokio::test]
async fn a_shell_that_cannot_be_meant_is_refused_by_name() {
    let world = World::new();
    let server = world.serve();
    let cases: &[(Value, &str, &str)] = &[
        (json!({"workdir": "/etc"}), "workdir_outside", "/etc"),
        (json!({"cols": 80}), "bad_value", "`rows`"),
        (json!({"cols": 80, "rows": 0}), "bad_value", "`rows`"),
        (json!({"cols": -1, "rows": 1}), "bad_value", "-1"),
        (json!({"cols": 70_000, "rows": 1}), "bad_value", "70000"),
        (json!({"prompt": "hello"}), "unknown_field", "`prompt`"),
        (json!({"title": "a\nb"}), "bad_value", "`title`"),
        (json!({"env": {"": "x"}}), "bad_value", "`env`"),
        (json!({"limits": {"pids": 0}}), "bad_value", "`limits.pids`"),
    ];
    for (body, code, named) in cases {
        let detail = server
            .client()
            .post("/api/shells", body)
            .await
            .fault(400, code);
        assert!(detail.contains(named), "{body}: {detail}");
    }
    assert!(world.init().specs.is_empty());
}

#[tokio::test]
async fn shells_and_sessions_do_not_answer_for_each_other() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let (shell, session) = (shell(&world), world.keeper());
    let ids = |list: &Value| -> Vec<Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["id"].clone()).collect()
    };
    let shells = client.get("/api/shells").await.ok();
    assert_eq!(ids(&shells["shells"]), [json!(shell.id)]);
    let sessions = client.get("/api/sessions").await.ok();
    assert_eq!(ids(&sessions["sessions"]), [json!(session.id)]);
    let info = client.get("/api/info").await.ok();
    assert_eq!(info["sessions"]["total"], 1);

    for what in ["", "/transcript", "/events"] {
        let path = format!("/api/sessions/{}{what}", shell.id);
        client.get(&path).await.fault(404, "no_such_session");
        let path = format!("/api/shells/{}{what}", session.id);
        client.get(&path).await.fault(404, "no_such_shell");
        client
            .get(&format!("/api/shells/none{what}"))
            .await
            .fault(404, "no_such_shell");
    }
    let input = json!({"data": "x"});
    let path = |kind: &str, id| format!("/api/{kind}/{id}/input");
    let wrong = path("sessions", shell.id);
    client
        .post(&wrong, &input)
        .await
        .fault(404, "no_such_session");
    let wrong = path("shells", session.id);
    client
        .post(&wrong, &input)
        .await
        .fault(404, "no_such_shell");
    client
        .delete(&format!("/api/shells/{}", session.id))
        .await
        .fault(404, "no_such_shell");
    let resume = json!({"resume": shell.id});
    let answer = client.post("/api/sessions", &resume).await;
    answer.fault(404, "no_such_session");
    assert!(shell.told().is_empty() && session.told().is_empty());
}

#[tokio::test]
async fn what_is_typed_into_a_shell_arrives_as_it_is() {
    let world = World::new();
    let server = world.serve();
    let client = server.client();
    let shell = shell(&world);
    let input = format!("/api/shells/{}/input", shell.id);
    let taken = client.post(&input, &json!({"data": "ls\r"})).await.ok();
    assert_eq!(taken, json!({"bytes": 3}));
    let bytes = json!({"data": "Aw==", "encoding": "base64"});
    client.post(&input, &bytes).await.ok();
    let resize = format!("/api/shells/{}/resize", shell.id);
    let size = json!({"cols": 80, "rows": 24});
    client.post(&resize, &size).await.ok();
    let raw = |data: &str| KeeperRequest::Raw { data: data.into() };
    let (cols, rows) = (80, 24);
    let sized = KeeperRequest::Resize { cols, rows };
    assert_eq!(shell.told(), [raw("bHMN"), raw("Aw=="), sized]);

    client
        .post(&input, &json!({"data": ""}))
        .await
        .fault(400, "bad_value");
    client
        .post(&input, &json!({"data": "?", "encoding": "base64"}))
        .await
        .fault(400, "bad_value");
    client
        .post(&resize, &json!({"cols": 0, "rows": 24}))
        .await
        .fault(400, "bad_value");
    assert_eq!(shell.told().len(), 3);
}

#[tokio::test]
async fn ending_a_shell_waits_for_its_end_and_twice_is_as_once() {
    let world = World::new();
    let server = world.serve();
    let mut shell = shell(&world);
    let path = format!("/api/shells/{}?signal=kill", shell.id);
    let client = server.client();
    let ending = client.delete(&path);
    let keeper = async {
        let stop = KeeperRequest::Stop { kill: true };
        crate::common::until("the keeper is told", async || {
            shell.told() == [stop.clone()]
        })
        .await;
        shell.end(State::Stopped);
    };
    let (answer, ()) = tokio::join!(ending, keeper);
    assert_eq!(answer.ok()["state"], "stopped");
    assert_eq!(server.client().delete(&path).await.ok()["state"], "stopped");
    let path = format!("/api/shells/{}?signal=stop", shell.id);
    let answer = server.client().delete(&path).await;
    answer.fault(400, "bad_value");
    let input = format!("/api/shells/{}/input", shell.id);
    let answer = server.client().post(&input, &json!({"data": "x"})).await;
    answer.fault(409, "session_ended");
}

#[tokio::test]
async fn a_terminal_gets_the_bytes_of_its_shell_and_types_into_it() {
    let world = World::new();
    let server = world.serve();
    let mut shell = shell(&world);
    shell.append(&[shown(b"before "), text("no bytes"), shown(b"\xff\x1b[m")]);
    let client = terminal(&server);
    let path = format!("/ws/shells/{}", shell.id);
    let mut socket = client.socket(&path).await.unwrap().0;
    for wanted in [&b"before "[..], b"\xff\x1b[m"] {
        let message = crate::common::soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(message, Message::binary(wanted));
    }
    let resize = Message::text(r#"{"resize":{"cols":70,"rows":20}}"#);
    socket.send(resize).await.unwrap();
    let keys = Message::binary(&b"\x03ls\r"[..]);
    socket.send(keys).await.unwrap();
    let (cols, rows) = (70, 20);
    let data = STANDARD.encode(b"\x03ls\r");
    let wanted = [
        KeeperRequest::Resize { cols, rows },
        KeeperRequest::Raw { data },
    ];
    crate::common::until("the shell hears", async || shell.told() == wanted).await;
    for bad in [r#"{"resize":{}}"#, "ls", r#"{"interrupt":{}}"#] {
        socket.send(Message::text(bad)).await.unwrap();
        let answer = crate::common::soon(socket.next()).await.unwrap().unwrap();
        let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!(answer["done"], false, "{bad}");
    }
    shell.end(State::Stopped);
    let Message::Close(Some(close)) = crate::common::soon(socket.next()).await.unwrap().unwrap()
    else {
        panic!("the terminal was not closed");
    };
    assert_eq!((u16::from(close.code), &*close.reason), (1000, "stopped"));
}

#[tokio::test]
async fn a_terminal_begins_with_what_was_shown_last() {
    let world = World::new();
    let server = world.serve();
    let mut shell = shell(&world);
    let lines: Vec<_> = (0..40).map(|n| shown(&[n; 30_000])).collect();
    shell.append(&lines);
    let path = format!("/ws/shells/{}", shell.id);
    let client = terminal(&server);
    let first = async |path: &str| {
        let mut socket = client.socket(path).await.unwrap().0;
        let message = crate::common::soon(socket.next()).await.unwrap().unwrap();
        message.into_data()[0]
    };
    assert_eq!(first(&path).await, 37, "the last 128 KiB of the journal");
    assert_eq!(first(&format!("{path}?from=5")).await, 5);
    assert_eq!(first(&format!("{path}?from=0")).await, 0);
    assert_eq!(first(&format!("{path}?tail=50000")).await, 39);

    let events = format!("/sse/shells/{}", shell.id);
    let mut stream = server
        .client()
        .events(&format!("{events}?tail=50000"))
        .await;
    assert_eq!(stream.event().await.id, Some(40));
    let back = server.client().with_header("last-event-id", "38");
    let mut stream = back.events(&format!("{events}?tail=50000")).await;
    assert_eq!(stream.event().await.id, Some(39));
    let answer = server
        .client()
        .get(&format!("{events}?tail=1&from=1"))
        .await;
    answer.fault(400, "bad_value");
    let answer = server.client().get(&format!("{events}?tail=x")).await;
    answer.fault(400, "bad_value");
}

#[tokio::test]
async fn a_shells_frames_come_by_event_and_by_page_as_a_sessions_do() {
    let world = World::new();
    let server = world.serve();
    let mut shell = shell(&world);
    shell.append(&[shown(b"a"), shown(b"b")]);
    let path = format!("/api/shells/{}", shell.id);
    let page = server
        .client()
        .get(&format!("{path}/transcript"))
        .await
        .ok();
    assert_eq!(page["frames"][1]["kind"], "pty.raw");
    assert_eq!(page["next"], 2);
    let mut events = server
        .client()
        .events(&format!("{path}/events?from=1"))
        .await;
    assert_eq!(events.event().await.id, Some(2));
    let socket = server.client().socket(&format!("{path}/stream")).await;
    assert_eq!(socket.unwrap().next().await.unwrap()["seq"], 1);
}

#[tokio::test]
async fn a_token_for_sessions_opens_no_shell_and_one_to_read_types_nothing() {
    let world = World::new();
    let server = world.serve();
    let shell = shell(&world);
    let path = format!("/ws/shells/{}", shell.id);
    let sessions = token(
        &server,
        &["sessions:read", "sessions:write", "sessions:input"],
    )
    .await;
    let stranger = server.stranger().with_token(&sessions);
    let answer = stranger.get("/api/shells").await;
    answer.fault(403, "scope_missing");
    assert!(stranger.socket(&path).await.is_err());

    let reader = token(&server, &["shells:read"]).await;
    let reader = server.stranger().with_token(&reader);
    let mut socket = reader.socket(&path).await.unwrap();
    let typed = json!({"ref": 1, "command": {"input": {"data": "x"}}});
    socket.say(&typed).await;
    let answer = socket.next().await.unwrap();
    assert_eq!(
        (&answer["ref"], &answer["error"]),
        (&json!(1), &json!("scope_missing"))
    );
    assert!(shell.told().is_empty());
}
