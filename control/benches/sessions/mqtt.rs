//! Frames to a local mosquitto at QoS 1, beside mosquitto's own client.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::frame::{Data, Frame, Text};
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::figures::hold;
use super::peer::{control_with, end, free_address};

/// Frames of the box's, and messages of mosquitto's own client.
const FRAMES: u64 = 1_000_000;
const MESSAGES: u32 = 250_000;

/// Acknowledged messages a second, unless mosquitto takes fewer from its own client.
const RATE: f64 = 50_000.0;

/// How often it is looked whether all are there. What was acknowledged is written once a second.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn measure() {
    println!("\n### Devices: MQTT at QoS 1 to a local mosquitto\n");
    let root = tempfile::tempdir().unwrap();
    let port = free_address().port();
    let config = root.path().join("mosquitto.conf");
    let text =
        format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n");
    fs::write(&config, text).unwrap();
    let mut broker = mosquitto(&config, port);
    let own = client(port);
    let session: SessionId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
    journal(root.path(), session);
    let mqtt = json!({
        "host": "127.0.0.1",
        "port": port,
        "tls": false,
        "prefix": "cib/bench",
        "kinds": ["*"],
    });
    // A broker that is known and has nothing yet is told everything.
    let folder = root.path().join("data/control/mqtt");
    fs::create_dir_all(&folder).unwrap();
    let positions = folder.join("positions.json");
    let known = json!({"broker": format!("127.0.0.1:{port}/cib/bench"), "sessions": {}});
    fs::write(&positions, known.to_string()).unwrap();
    let begun = Instant::now();
    let (mut child, _) = control_with(root.path(), Some(&mqtt));
    loop {
        let text = fs::read(&positions).unwrap();
        let known: Value = serde_json::from_slice(&text).unwrap_or_default();
        if known["sessions"][session.to_string()] == FRAMES {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "they never came"
        );
        std::thread::park_timeout(LOOK);
    }
    let rate = FRAMES as f64 / begun.elapsed().as_secs_f64();
    end(&mut child);
    end(&mut broker);
    println!("| acknowledged messages a second | |");
    println!("|---|---|");
    println!("| mosquitto_pub | {own:.0} |");
    println!(
        "| the box, from a journal | {rate:.0}, {:.2} times |",
        rate / own
    );
    let figure = format!("MQTT {RATE:.0} messages a second at QoS 1, or mosquitto's own limit");
    hold(rate >= own.min(RATE), &figure);
}

fn mosquitto(config: &std::path::Path, port: u16) -> Child {
    let child = Command::new("mosquitto")
        .arg("-c")
        .arg(config)
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto is there");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it does not listen"
        );
        std::thread::park_timeout(LOOK);
    }
    child
}

/// Messages a second of mosquitto's own client, one a line.
fn client(port: u16) -> f64 {
    let begun = Instant::now();
    let mut child = Command::new("mosquitto_pub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-q",
            "1",
            "-V",
            "5",
            "-t",
            "own",
            "-l",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto-clients is there");
    let mut input = child.stdin.take().unwrap();
    let line = format!("{}\n", "x".repeat(150));
    let many = line.repeat(1000);
    for _ in 0..MESSAGES / 1000 {
        input.write_all(many.as_bytes()).unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    f64::from(MESSAGES) / begun.elapsed().as_secs_f64()
}

/// A journal as a keeper leaves it.
fn journal(root: &std::path::Path, session: SessionId) {
    let folder = root.join("data/sessions").join(session.to_string());
    fs::create_dir_all(&folder).unwrap();
    let mut file = fs::File::create(folder.join(cib_journal::FILE)).unwrap();
    let mut lines = Vec::new();
    let data = Data::Text(Text {
        text: "x".repeat(40),
        ..Text::default()
    });
    for seq in 1..=FRAMES {
        Frame::write_line(&mut lines, session, seq, Timestamp::now(), &data).unwrap();
        if lines.len() > 1 << 20 {
            file.write_all(&lines).unwrap();
            lines.clear();
        }
    }
    file.write_all(&lines).unwrap();
}
