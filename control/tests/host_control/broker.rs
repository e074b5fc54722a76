//! A real broker, with its own clients.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use cib_protocol::mqtt::MqttSettings;
use serde_json::Value;

use crate::common::process::free_address;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// After which silence a listener's mark is said again.
const MOMENT: Duration = Duration::from_millis(200);

/// Tells one listener's mark from another's.
static MARKS: AtomicU64 = AtomicU64::new(0);

/// A mosquitto of one test.
pub(super) struct Broker {
    dir: tempfile::TempDir,
    pub(super) port: u16,
    child: Option<Child>,
}

impl Broker {
    pub(super) fn start(more: &str) -> Self {
        let mut broker = Self {
            dir: tempfile::tempdir().unwrap(),
            port: free_address().port(),
            child: None,
        };
        let (port, dir) = (broker.port, broker.dir.path().display());
        let config = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {dir}/\nlog_dest none\n{more}\n"
        );
        std::fs::write(broker.config(), config).unwrap();
        broker.begin();
        broker
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.path().join("mosquitto.conf")
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn begin(&mut self) {
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is there: apt-get install mosquitto mosquitto-clients");
        self.child = Some(child);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the broker has ended: {ended:?}");
            assert!(began.elapsed() < PATIENCE, "the broker does not listen");
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Ends it in order, so that it writes down what it has; or at once, and then it does not.
    pub(super) fn end(&mut self, is_orderly: bool) {
        if let Some(mut child) = self.child.take() {
            if is_orderly {
                let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
            } else {
                child.kill().unwrap();
            }
            child.wait().unwrap();
        }
    }

    pub(super) fn settings(&self) -> MqttSettings {
        MqttSettings {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: false,
            is_three: false,
            user: None,
            password: None,
            ca: None,
            certificate: None,
            key: None,
            prefix: "cib/desk".to_owned(),
            scopes: Vec::new(),
            kinds: vec!["text.delta".to_owned(), "status".to_owned()],
            coalesce_ms: 0,
            home_assistant: false,
        }
    }

    /// Says something there.
    pub(super) fn publish(&self, topic: &str, payload: impl AsRef<[u8]>, more: &[&str]) {
        let mut child = Command::new("mosquitto_pub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-q",
                "1",
                "-V",
                "5",
            ])
            .args(["-t", topic, "-s"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(payload.as_ref())
            .unwrap();
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Somebody who listens at the broker.
pub(super) struct Listener {
    child: Child,
    lines: Receiver<String>,
}

/// What was said there.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_retained: bool,
}

impl Said {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or(Value::Null)
    }
}

/// What a line of a listener's says.
fn said(line: &str) -> Said {
    let mut parts = line.splitn(3, ' ');
    let is_retained = parts.next() == Some("1");
    let topic = parts.next().unwrap_or_default().to_owned();
    let digits = parts.next().unwrap_or_default().as_bytes();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    Said {
        topic,
        payload: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
        is_retained,
    }
}

impl Listener {
    pub(super) fn of(broker: &Broker, filter: &str, more: &[&str]) -> Self {
        let mut child = Command::new("mosquitto_sub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &broker.port.to_string(),
                "-q",
                "1",
                "-V",
                "5",
            ])
            .args(["-t", filter, "-F", "%r %t %x"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let listener = Self { child, lines };
        // It hears what is said from here on.
        let mark = format!("mark/{}", MARKS.fetch_add(1, Ordering::Relaxed));
        let began = Instant::now();
        if !more.contains(&"--retained-only") {
            let topic = filter.split(['#', '+']).next().unwrap_or_default();
            let hears = || {
                broker.publish(topic.trim_end_matches('/'), &mark, &[]);
                // Others may say much before it.
                let lines = std::iter::from_fn(|| listener.lines.recv_timeout(MOMENT).ok());
                lines.into_iter().any(|line| said(&line).payload == mark)
            };
            while !hears() {
                assert!(began.elapsed() < PATIENCE, "it does not listen");
            }
        }
        listener
    }

    pub(super) async fn next(&self) -> Said {
        let began = Instant::now();
        loop {
            if let Ok(line) = self.lines.try_recv() {
                let said = said(&line);
                if !said.payload.starts_with("mark/") {
                    return said;
                }
                continue;
            }
            assert!(began.elapsed() < PATIENCE, "nothing is said");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is said next under a topic.
    pub(super) async fn under(&self, topic: &str) -> Said {
        loop {
            let said = self.next().await;
            if said.topic == topic {
                return said;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who signs certificates.
pub(super) struct Authority {
    pub(super) pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        // Of another name than what it signs, or that would seem to have signed itself.
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// A certificate for a name, and its key.
    pub(super) fn sign(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}
