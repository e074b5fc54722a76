//! Says whether the box works, and not only whether its processes run.
//!
//! Control is asked over a socket that init made and lent it: its answer went through what it
//! serves with. Services are asked for what they are ready for. What the boot could not do and
//! what the way out lacks counts as well. Nothing here takes longer than [`PATIENCE`], and
//! control is asked at most once a second, whoever wants to know.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Control answers within a second whatever happens.
const PATIENCE: Duration = Duration::from_millis(1500);
/// An answer is a sentence.
const LONGEST: u64 = 4096;
/// So long the last answer is good enough.
const FRESH: Duration = Duration::from_secs(1);
/// As much of control's sentence is shown.
const SHOWN: usize = 300;

/// What control said last. Whoever asks while it is being asked waits for the answer.
pub(super) struct Control {
    socket: PathBuf,
    last: Mutex<Option<Said>>,
}

struct Said {
    when: Instant,
    /// Control's process, whose successor is asked anew.
    by: Option<u32>,
    fault: Option<String>,
}

/// What control writes.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    detail: String,
}

impl Control {
    /// Control answers there.
    pub(super) fn at(socket: PathBuf) -> Self {
        Self {
            socket,
            last: Mutex::default(),
        }
    }

    /// What is wrong with control, which runs as this process; nothing if it works.
    pub(super) async fn fault(&self, pid: Option<u32>) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some(said) = last.as_ref()
            && said.by == pid
            && said.when.elapsed() < FRESH
        {
            return said.fault.clone();
        }
        let fault = self.ask().await;
        *last = Some(Said {
            when: Instant::now(),
            by: pid,
            fault: fault.clone(),
        });
        fault
    }

    async fn ask(&self) -> Option<String> {
        let exchange = async {
            let mut text = String::new();
            let stream = UnixStream::connect(&self.socket).await?;
            stream.take(LONGEST).read_to_string(&mut text).await?;
            Ok::<_, io::Error>(text)
        };
        let silent = || Some("control does not answer".to_owned());
        match timeout(PATIENCE, exchange).await {
            // A box without this socket has a control that was never told of it.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Ok(Ok(text)) => match serde_json::from_str::<Answer>(&text) {
                Ok(Answer { ok: true, .. }) => None,
                Ok(Answer { detail, .. }) => {
                    Some(format!("control does not work: {}", plain(&detail)))
                }
                Err(_) => silent(),
            },
            Ok(Err(_)) | Err(_) => silent(),
        }
    }
}

/// One line without anything that a terminal acts on.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(SHOWN).map(plain).collect()
}

/// What is wrong, as one sentence; and whether it is so bad that the box does not count as
/// healthy.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    /// Something that the box is for does not work.
    pub(super) fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// Something is missing that the box does without.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Whether nothing at all is wrong.
    pub(super) fn is_well(&self) -> bool {
        self.faults.is_empty() && self.notes.is_empty()
    }

    /// For the health check.
    pub(super) fn verdict(&self) -> (bool, String) {
        if self.is_well() {
            return (true, "everything is ready".to_owned());
        }
        let all: Vec<&str> = self
            .faults
            .iter()
            .chain(&self.notes)
            .map(String::as_str)
            .collect();
        let all = all.join("; ");
        if self.faults.is_empty() {
            (true, format!("degraded: {all}"))
        } else {
            (false, all)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixListener;
    use tokio::task::LocalSet;

    use super::*;

    /// What is found at a control that answers each connection with this, or not at all.
    fn found(answer: Option<&'static [u8]>) -> (Option<String>, u32, Duration) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.sock");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = UnixListener::bind(&path).unwrap();
            let asked = std::rc::Rc::new(std::cell::Cell::new(0));
            let counter = std::rc::Rc::clone(&asked);
            tokio::task::spawn_local(async move {
                let mut held = Vec::new();
                while let Ok((mut stream, _)) = listener.accept().await {
                    counter.set(counter.get() + 1);
                    match answer {
                        Some(answer) => drop(stream.write_all(answer).await),
                        None => held.push(stream),
                    }
                }
            });
            let control = Control::at(path.clone());
            let began = Instant::now();
            let first = control.fault(Some(7)).await;
            assert_eq!(control.fault(Some(7)).await, first);
            let took = began.elapsed();
            assert_eq!(asked.get(), 1, "asked again within a second");
            control.fault(Some(8)).await;
            (first, asked.get(), took)
        })
    }

    #[test]
    fn control_is_well_if_it_says_so_and_a_successor_is_asked_anew() {
        let (fault, asked, _) = found(Some(b"{\"ok\":true,\"detail\":\"fine\"}\n"));
        assert_eq!((fault, asked), (None, 2));
    }

    #[test]
    fn a_control_that_says_what_is_wrong_is_quoted_and_no_terminal_is_spoken_to() {
        let (fault, ..) = found(Some(b"{\"ok\":false,\"detail\":\"no \\u001b[2Jdisk\"}\n"));
        assert_eq!(fault.unwrap(), "control does not work: no  [2Jdisk");
    }

    #[test]
    fn silence_nonsense_and_an_early_end_are_no_answer() {
        for answer in [
            Some(&b""[..]),
            Some(&b"{\"ok\":tr"[..]),
            Some(&[0xff; 9000][..]),
        ] {
            let (fault, ..) = found(answer);
            assert_eq!(fault.as_deref(), Some("control does not answer"));
        }
        let (fault, _, took) = found(None);
        assert_eq!(fault.as_deref(), Some("control does not answer"));
        assert!(took < Duration::from_millis(2500), "{took:?}");
    }

    #[test]
    fn what_the_box_does_without_leaves_it_healthy_and_is_said() {
        let mut findings = Findings::default();
        assert_eq!(findings.verdict(), (true, "everything is ready".to_owned()));
        findings.note("no agent");
        assert_eq!(findings.verdict(), (true, "degraded: no agent".to_owned()));
        findings.fault("no control");
        let (healthy, said) = findings.verdict();
        assert!(!healthy && !findings.is_well());
        assert_eq!(said, "no control; no agent");
    }
}
