//! The box at a real broker, with that broker's own clients.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cib_control::config::Config;
use cib_envelope::client::{Device, Session};
use cib_envelope::head::{Method, Request};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{HELLO, Kind};
use cib_protocol::init::ControlAuth;
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::mqtt::MqttSettings;
use cib_protocol::secret::Secret;
use cib_protocol::session::{Program, SessionId, SessionSpec, State};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::broker::{Authority, Broker, Listener, Said};
use crate::common::keeper::{Keeper, spec, text};
use crate::common::until;
use crate::common::world::{Server, World};

fn config_of(world: &World, settings: MqttSettings) -> Config {
    let auth = std::fs::read(world.auth()).unwrap();
    let auth: ControlAuth = serde_json::from_slice(&auth).unwrap();
    world.write_auth(&ControlAuth {
        mqtt: Some(settings),
        ..auth
    });
    world.config()
}

/// A box at a broker, when it is there.
pub(super) async fn serve(world: &World, settings: MqttSettings) -> Server {
    let server = world.serve_with(&config_of(world, settings));
    until("the broker has the box", async || {
        server.app.mqtt.is_connected()
    })
    .await;
    server
}

fn seqs(topic: &str, said: &[Said]) -> Vec<u64> {
    let frames = said.iter().filter(|said| said.topic == topic);
    frames
        .map(|said| said.json()["seq"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_broker_has_the_box_its_sessions_and_each_frame_once_also_after_it_was_away() {
    let mut broker = Broker::start("");
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("before the broker was known")]);
    // One that the broker keeps for while it is away.
    let kept = ["-c", "-i", "reader", "-x", "3600"];
    let listener = Listener::of(&broker, "cib/desk/#", &kept);
    let mut server = serve(&world, broker.settings()).await;
    assert_eq!(listener.under("cib/desk/status").await.payload, "online");
    let state = format!("cib/desk/sessions/{}/state", keeper.id);
    assert_eq!(listener.under(&state).await.json()["state"], "idle");
    let frames = format!("cib/desk/sessions/{}/frames/text/delta", keeper.id);
    keeper.append(&[text("one"), text("two")]);
    assert_eq!(listener.under(&frames).await.json()["seq"], 2);
    assert_eq!(listener.under(&frames).await.json()["data"]["text"], "two");

    broker.end(true);
    until("the box has seen it", async || {
        !server.app.mqtt.is_connected()
    })
    .await;
    keeper.append(&[text("three"), text("four")]);
    let info = server.client().get("/api/info").await.ok();
    let warnings = info["warnings"].to_string();
    assert!(warnings.contains("CIB_MQTT_URL"), "{warnings}");
    broker.begin();
    let mut heard = Vec::new();
    while seqs(&frames, &heard).last() != Some(&5) {
        heard.push(listener.next().await);
    }
    // The broker may say again what it had said, and its listener knows it by its seq.
    let mut seqs = seqs(&frames, &heard);
    seqs.retain(|seq| *seq > 3);
    assert_eq!(seqs, [4, 5]);
    // What is retained was said anew, and whoever comes later has it.
    let late = Listener::of(&broker, "cib/desk/#", &["--retained-only"]);
    let said = late.under("cib/desk/status").await;
    assert!(said.is_retained && said.payload == "online", "{said:?}");
    assert!(server.end().await);
    while listener.under("cib/desk/status").await.payload != "offline" {}
    // The next control goes on where this one was.
    keeper.append(&[text("five")]);
    let _server = serve(&world, broker.settings()).await;
    let mut next = listener.under(&frames).await.json();
    // What the broker had not acknowledged when that one ended comes again.
    while next["seq"] == 5 {
        next = listener.under(&frames).await.json();
    }
    assert_eq!(next["seq"], 6);
}

/// Frames that are written at once, and how often: a thousand a second.
const BURST: u64 = 10;
const PACE: Duration = Duration::from_millis(10);

/// Writes until it is told to end.
async fn write(mut keeper: Keeper, is_over: Arc<AtomicBool>) -> Keeper {
    let mut tick = tokio::time::interval(PACE);
    while !is_over.load(Ordering::Relaxed) {
        tick.tick().await;
        let first = keeper.last_seq() + 1;
        let frames: Vec<_> = (first..first + BURST)
            .map(|seq| text(format!("word {seq}")))
            .collect();
        keeper.append(&frames);
    }
    keeper
}

/// Up to which frame the broker took what the box said, as control has written it down.
fn taken(world: &World, session: SessionId) -> u64 {
    let positions = world.data().join("control/mqtt/positions.json");
    let known: Value = serde_json::from_slice(&std::fs::read(positions).unwrap()).unwrap();
    known["sessions"][session.to_string()].as_u64().unwrap_or(0)
}

/// What a reader has of a session, by seq. What comes twice is the same.
#[derive(Default)]
struct Heard(BTreeMap<u64, Value>);

impl Heard {
    fn take(&mut self, frame: Value) -> u64 {
        let seq = frame["seq"].as_u64().unwrap();
        let before = self.0.insert(seq, frame);
        if let Some(before) = before {
            assert_eq!(before, self.0[&seq]);
        }
        seq
    }

    /// The first and the last of each piece that is missing.
    fn gaps(&self, last: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = 1;
        for seq in self.0.keys().copied().chain([last + 1]) {
            if seq > next {
                gaps.push((next, seq - 1));
            }
            next = seq + 1;
        }
        gaps
    }
}

#[tokio::test]
async fn a_reader_has_every_frame_once_by_its_seq_after_the_broker_was_killed_at_a_thousand_a_second()
 {
    // Else it drops silently what a slow reader has not taken: here its death alone is to lose something.
    let mut broker = Broker::start("max_queued_messages 0");
    let world = World::new();
    let keeper = world.keeper();
    let session = keeper.id;
    let mut settings = broker.settings();
    settings.scopes = vec!["sessions:read".to_owned()];
    settings.kinds = vec!["text.delta".to_owned()];
    let state = format!("cib/desk/sessions/{session}/state");
    let frames = format!("cib/desk/sessions/{session}/frames/text/delta");
    let listener = Listener::of(&broker, "cib/desk/#", &[]);
    let server = serve(&world, settings).await;
    assert_eq!(listener.under(&state).await.json()["state"], "idle");
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(keeper, Arc::clone(&is_over)));
    let mut heard = Heard::default();
    while heard.take(listener.under(&frames).await.json()) < 500 {}

    // The broker dies with what it had taken, and its reader with it.
    broker.end(false);
    drop(listener);
    until("the box has seen it", async || {
        !server.app.mqtt.is_connected()
    })
    .await;
    let before = taken(&world, session);
    broker.begin();
    // What it takes now nobody hears.
    until("the broker takes what it missed", async || {
        taken(&world, session) > before + 100
    })
    .await;
    let listener = Listener::of(&broker, "cib/desk/#", &[]);
    heard.take(listener.under(&frames).await.json());
    is_over.store(true, Ordering::Relaxed);
    let keeper = writing.await.unwrap();
    let last = keeper.last_seq();
    while heard.take(listener.under(&frames).await.json()) < last {}

    let gaps = heard.gaps(last);
    assert!(!gaps.is_empty(), "nothing was lost of {last}");
    let again = "cib/desk/reply/again";
    for (first, to) in gaps {
        let from = first - 1;
        let replay = json!({"session": session, "from": from, "to": to, "reply_to": again});
        broker.publish("cib/desk/cmd/replay", replay.to_string(), &[]);
        for seq in first..=to {
            let said = listener.under(again).await.json();
            assert_eq!(said["seq"], seq, "{said}");
            heard.take(said);
        }
        let done = listener.under(again).await.json();
        assert_eq!(
            (&done["status"], &done["body"]["last_seq"]),
            (&json!(200), &json!(to))
        );
    }
    let journal = keeper.journal();
    let written: Vec<Value> = journal
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(heard.0.into_values().collect::<Vec<_>>(), written);
}

#[tokio::test]
async fn commands_do_what_the_scopes_say_and_are_answered() {
    let broker = Broker::start("");
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("one"), text("two"), text("three")]);
    let mut shell = world.keeper_of(&SessionSpec {
        program: Program::Shell,
        ..spec()
    });
    shell.append(&[text("a password")]);
    let mut settings = broker.settings();
    settings.scopes = vec!["sessions:input".to_owned(), "sessions:read".to_owned()];
    // What was retained before is refused at each connect.
    let interrupt = format!("cib/desk/sessions/{}/cmd/interrupt", keeper.id);
    let listener = Listener::of(&broker, "cib/desk/reply/#", &[]);
    let input = format!("cib/desk/sessions/{}/cmd/input", keeper.id);
    broker.publish(&input, r#"{"data":"retained\n","ref":"r"}"#, &["-r"]);
    let _server = serve(&world, settings).await;
    let refused = listener.under("cib/desk/reply").await.json();
    assert_eq!(
        (&refused["ref"], &refused["body"]["error"]),
        (&json!("r"), &json!("retained"))
    );

    let hello = r#"{"data":"hello\n","ref":"1"}"#;
    broker.publish(&input, hello, &[]);
    let answer = listener.under("cib/desk/reply").await.json();
    assert_eq!(
        answer,
        json!({"ref": "1", "status": 200, "body": {"bytes": 5}})
    );
    // The same once more is answered and not done.
    broker.publish(&input, hello, &[]);
    assert_eq!(listener.under("cib/desk/reply").await.json(), answer);
    let told = keeper.told();
    assert!(
        matches!(&*told, [KeeperRequest::Input { text, .. }] if text == "hello"),
        "{told:?}"
    );

    broker.publish(&interrupt, r#"{"ref":"2"}"#, &[]);
    let answer = listener.under("cib/desk/reply").await.json();
    assert_eq!(
        (&answer["status"], &answer["body"]["error"]),
        (&json!(403), &json!("scope_missing"))
    );
    // By MQTT 5's own properties.
    let properties = ["-D", "publish", "response-topic", "cib/desk/reply/phone"];
    broker.publish("cib/desk/cmd/sessions", "{}", &properties);
    let answer = listener.under("cib/desk/reply/phone").await.json();
    assert_eq!(answer["body"]["sessions"][0]["id"], keeper.id.to_string());

    let replay =
        json!({"session": keeper.id, "from": 1, "to": 2, "reply_to": "cib/desk/reply/again"});
    broker.publish("cib/desk/cmd/replay", replay.to_string(), &[]);
    let again = "cib/desk/reply/again";
    assert_eq!(listener.under(again).await.json()["seq"], 2);
    let done = listener.under(again).await.json();
    assert_eq!(
        (&done["status"], &done["body"]["last_seq"]),
        (&json!(200), &json!(2))
    );
    // What is typed at a shell is behind a scope of its own.
    let replay = json!({"session": shell.id, "ref": "3"});
    broker.publish("cib/desk/cmd/replay", replay.to_string(), &[]);
    let answer = listener.under("cib/desk/reply").await.json();
    assert_eq!(
        (&answer["status"], &answer["body"]["error"]),
        (&json!(404), &json!("no_such_session"))
    );
    assert_eq!(keeper.told().len(), 1);
}

/// What is said under a topic, before which nobody's command is answered.
async fn unanswered(listener: &Listener, topic: &str) -> Said {
    loop {
        let said = listener.next().await;
        assert!(!said.topic.starts_with("cib/desk/reply"), "{said:?}");
        if said.topic == topic {
            return said;
        }
    }
}

/// A device with a key of its own, and where it speaks.
struct Minted {
    device: Device,
    into: String,
    out: String,
}

impl Minted {
    async fn by(server: &Server, scope: &str) -> Self {
        let asked = json!({"label": "desk", "scopes": [scope], "kind": "device"});
        let minted = server.client().post("/api/tokens", &asked).await.created();
        let id = minted["token"]["id"].as_str().unwrap();
        Self {
            device: Device {
                id: KeyId(digits(id)),
                secret: Key::new(digits(minted["plaintext"].as_str().unwrap())),
            },
            into: format!("cib/desk/sealed/{id}/in"),
            out: format!("cib/desk/sealed/{id}/out"),
        }
    }

    fn open(&self, challenge: &[u8]) -> Session {
        let session = self.device.session(Kind::Open, challenge, [7; 16]);
        session.unwrap()
    }
}

fn request(challenge: &[u8], target: &str) -> Request {
    Request {
        time_ms: u64::from_be_bytes(challenge[8..16].try_into().unwrap()),
        max_record: 4096,
        method: Method::Get,
        target: target.to_owned(),
    }
}

/// A broker that takes no long messages, and does not know MQTT 5.
#[tokio::test]
async fn without_scopes_nobody_commands_and_a_long_frame_is_cut_to_what_the_broker_takes() {
    let broker = Broker::start("max_packet_size 3000");
    let world = World::new();
    let mut keeper = world.keeper();
    let listener = Listener::of(&broker, "cib/desk/#", &[]);
    let server = serve(&world, broker.settings()).await;
    // What is there when a broker is first seen is not told, so it has to be seen before.
    let state = format!("cib/desk/sessions/{}/state", keeper.id);
    assert_eq!(listener.under(&state).await.json()["state"], "idle");
    let input = format!("cib/desk/sessions/{}/cmd/input", keeper.id);
    broker.publish(&input, r#"{"data":"hello\n","ref":"1"}"#, &[]);
    keeper.append(&[text("x".repeat(9000)), text("short")]);
    let frames = format!("cib/desk/sessions/{}/frames/text/delta", keeper.id);
    let long = unanswered(&listener, &frames).await.json();
    assert_eq!(
        (&long["seq"], &long["data"]["truncated"]),
        (&json!(1), &json!(true))
    );
    let short = unanswered(&listener, &frames).await.json();
    assert_eq!(short["data"]["text"], "short");
    // What somebody asks who may comes to the same keeper, after the command.
    let device = Minted::by(&server, "sessions:input").await;
    broker.publish(&device.into, HELLO, &[]);
    let challenge = unanswered(&listener, &device.out).await.bytes;
    let mut session = device.open(&challenge);
    let mut request = request(&challenge, &format!("/api/sessions/{}/input", keeper.id));
    request.method = Method::Post;
    let (message, pending) = session.request(&request, br#"{"data":"fence\n"}"#, [1; 8]);
    broker.publish(&device.into, &message, &[]);
    let answer = unanswered(&listener, &device.out).await.bytes;
    assert_eq!(pending.open(&answer).unwrap().0.status, 200);
    let told = keeper.told();
    assert!(
        matches!(&*told, [KeeperRequest::Input { text, .. }] if text == "fence"),
        "{told:?}"
    );
    drop(server);
    let world = World::new();
    let keeper = world.keeper();
    let mut settings = broker.settings();
    settings.is_three = true;
    settings.prefix = "cib/old".to_owned();
    let listener = Listener::of(&broker, "cib/old/#", &[]);
    let _server = serve(&world, settings).await;
    let state = format!("cib/old/sessions/{}/state", keeper.id);
    assert_eq!(listener.under(&state).await.json()["state"], "idle");
}

#[tokio::test]
async fn home_assistant_is_told_of_the_box_and_its_sessions_and_again_when_it_starts() {
    let broker = Broker::start("");
    let world = World::new();
    let mut keeper = world.keeper();
    let mut settings = broker.settings();
    settings.home_assistant = true;
    settings.scopes = vec!["sessions:input".to_owned()];
    let listener = Listener::of(&broker, "homeassistant/#", &[]);
    let states = Listener::of(&broker, "cib/desk/sessions/#", &[]);
    let _server = serve(&world, settings).await;
    let the_box = "homeassistant/device/cib_desk/config";
    let told = listener.under(the_box).await.json();
    assert_eq!(told["avty"][0]["t"], "cib/desk/status");
    let parts = told["cmps"].as_object().unwrap();
    assert!(
        parts
            .values()
            .all(|part| part["p"].is_string() && part["unique_id"].is_string())
    );
    assert_eq!(parts["new_session"]["cmd_t"], "cib/desk/cmd/create");
    let id = keeper.id.to_string().replace('-', "_");
    let session = format!("homeassistant/device/cib_desk_{id}/config");
    let told = listener.under(&session).await.json();
    assert_eq!(told["dev"]["via_device"], "cib_desk");
    assert_eq!(told["cmps"]["prompt"]["p"], "text");
    assert_eq!(told["cmps"]["interrupt"]["p"], "button");
    assert_eq!(told["cmps"]["answer"], json!({"p": "select"}));
    // What did not change is not told again, until Home Assistant asks for it.
    let state = format!("cib/desk/sessions/{}/state", keeper.id);
    keeper.become_state(State::Working);
    while states.under(&state).await.json()["state"] != "working" {}
    broker.publish("homeassistant/status", "online", &[]);
    let again = loop {
        let said = listener.next().await;
        assert_ne!(said.topic, session, "{said:?}");
        if said.topic == the_box {
            break said;
        }
    };
    assert_eq!(again.json()["dev"]["name"], "desk");
    listener.under(&session).await;
}

fn digits<const N: usize>(hex: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

/// A box of one's own certificate authority, and a broker that wants to see a certificate of it.
#[tokio::test]
async fn a_broker_is_trusted_by_its_certificate_and_sees_the_boxs() {
    let mut broker = Broker::start("");
    broker.end(true);
    let ca = Authority::new();
    let (certificate, key) = ca.sign("localhost");
    for (name, text) in [
        ("ca.pem", &ca.pem),
        ("broker.pem", &certificate),
        ("broker.key", &key),
    ] {
        std::fs::write(broker.path().join(name), text).unwrap();
    }
    let (port, dir) = (broker.port, broker.path().display());
    let config = format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n\
         cafile {dir}/ca.pem\ncertfile {dir}/broker.pem\nkeyfile {dir}/broker.key\n\
         require_certificate true\n"
    );
    std::fs::write(broker.config(), config).unwrap();
    broker.begin();
    let (certificate, key) = ca.sign("box");
    let settings = MqttSettings {
        host: "localhost".to_owned(),
        tls: true,
        ca: Some(ca.pem.clone()),
        certificate: Some(certificate),
        key: Some(Secret::new(key)),
        ..broker.settings()
    };
    let world = World::new();
    drop(serve(&world, settings.clone()).await);
    // Another authority is not asked.
    let world = World::new();
    let other = MqttSettings {
        ca: Some(Authority::new().pem),
        ..settings
    };
    let server = world.serve_with(&config_of(&world, other));
    until("it is told", async || server.app.mqtt.trouble().is_some()).await;
    let told = server.app.mqtt.trouble().unwrap();
    assert!(told.starts_with("CIB_MQTT_CA: "), "{told}");
}

/// A proxy that leads to a broker, whose name it alone knows, and lets nobody through at first; what
/// was asked of it.
async fn proxy(broker: u16) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let count = {
                let mut seen = seen.lock().unwrap();
                seen.push(head.lines().next().unwrap().to_owned());
                seen.len()
            };
            if count == 1 {
                let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refusal).await.unwrap();
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut there = TcpStream::connect(("127.0.0.1", broker)).await.unwrap();
            tokio::spawn(async move {
                // It ends with either of them.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_broker_is_reached_by_the_proxy_alone_and_one_that_refuses_is_told_with_the_variable() {
    let broker = Broker::start("");
    let world = World::new();
    let (proxy, asked) = proxy(broker.port).await;
    let settings = MqttSettings {
        host: "broker.example".to_owned(),
        port: 1883,
        ..broker.settings()
    };
    let mut config = config_of(&world, settings);
    config.bridge = Some(proxy);
    let server = world.serve_with(&config);
    until("it is told", async || server.app.mqtt.trouble().is_some()).await;
    let told = server.app.mqtt.trouble().unwrap();
    let begin = "CIB_MQTT_URL: the MQTT broker broker.example:1883: ";
    assert!(told.starts_with(begin), "{told}");
    until("the broker has the box", async || {
        server.app.mqtt.is_connected()
    })
    .await;
    let asked = asked.lock().unwrap();
    assert_eq!(*asked, ["CONNECT broker.example:1883 HTTP/1.1"; 2]);
}
