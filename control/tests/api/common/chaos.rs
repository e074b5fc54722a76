//! Readers that drop and come back at random, and what they have read compared with the
//! journal.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cib_envelope::client::Device;
use cib_protocol::session::{SessionId, State};
use futures_util::StreamExt as _;
use http::Method;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, Events};
use super::keeper::{Keeper, text};
use super::sealed::{self, Sealed, Told};

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Events,
    Socket,
    /// As a device does that has a key.
    Sealed,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Socket, Self::Sealed];
}

/// Random numbers that a failed run can be repeated with.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// From the system; printed, so that a failed run shows it.
    pub fn fresh() -> Self {
        let seed = getrandom::u64().unwrap();
        println!("seed {seed}");
        Self::new(seed)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    /// Another generator, independent enough.
    pub fn split(&mut self) -> Self {
        Self::new(self.below(u64::MAX))
    }
}

/// What was read: for each frame its seq and a hash of its whole line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record(pub Vec<(u64, u64)>);

impl Record {
    fn push(&mut self, seq: u64, line: &[u8]) {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        self.0.push((seq, hasher.finish()));
    }

    fn last(&self) -> u64 {
        self.0.last().map_or(0, |(seq, _)| *seq)
    }

    /// What a journal holds.
    pub fn of_journal(journal: &[u8]) -> Self {
        let mut record = Self::default();
        for line in journal
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            record.push(seq(line), line);
        }
        record
    }

    /// Fails at the first frame that is missing, doubled, out of order or different.
    #[track_caller]
    pub fn assert_is(&self, journal: &Self) {
        for (place, (read, written)) in self.0.iter().zip(&journal.0).enumerate() {
            assert_eq!(read, written, "at place {place}");
        }
        assert_eq!(self.0.len(), journal.0.len());
    }
}

fn seq(line: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Seq {
        seq: u64,
    }
    serde_json::from_slice::<Seq>(line).unwrap().seq
}

/// Reads a session to its end, leaving and coming back at random.
pub async fn read(
    client: &Client,
    session: SessionId,
    transport: Transport,
    mut random: Random,
) -> Record {
    let mut record = Record::default();
    let mut device = None;
    loop {
        let stay = 1 + random.below(400);
        let from = record.last();
        let is_over = match transport {
            Transport::Events => read_events(client, session, from, stay, &mut record).await,
            Transport::Socket => read_socket(client, session, from, stay, &mut record).await,
            Transport::Sealed => {
                if device.is_none() {
                    device = sealed::device(client).await;
                }
                match &device {
                    Some(device) => {
                        let place = (session, from);
                        read_sealed(client, device, place, stay, &mut record).await
                    }
                    None => false,
                }
            }
        };
        if is_over {
            return record;
        }
        // A server that is just not there is given a moment.
        tokio::time::sleep(Duration::from_millis(random.below(10))).await;
    }
}

/// Reads for a while; returns whether the session is over.
async fn read_events(
    client: &Client,
    session: SessionId,
    from: u64,
    stay: u64,
    record: &mut Record,
) -> bool {
    let path = format!("/sse/sessions/{session}?from={from}");
    let Ok(response) = client.send(Method::GET, &path, "".into()).await else {
        return false;
    };
    assert!(response.status().is_success(), "{response:?}");
    let mut events = Events::new(response.into_body());
    for _ in 0..stay {
        let Some(event) = events.next().await else {
            return false;
        };
        match event.id {
            Some(seq) => record.push(seq, event.data.as_bytes()),
            None if event.event == "end" => return event.json()["reason"] == "stopped",
            None => {}
        }
    }
    false
}

async fn read_socket(
    client: &Client,
    session: SessionId,
    from: u64,
    stay: u64,
    record: &mut Record,
) -> bool {
    let path = format!("/ws/sessions/{session}?from={from}");
    let Ok(mut socket) = client.socket(&path).await else {
        return false;
    };
    for _ in 0..stay {
        match socket.0.next().await {
            Some(Ok(Message::Text(text))) => record.push(seq(text.as_bytes()), text.as_bytes()),
            Some(Ok(Message::Close(frame))) => {
                return frame.is_some_and(|frame| frame.reason == "stopped");
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
    }
    false
}

async fn read_sealed(
    client: &Client,
    device: &Device,
    (session, from): (SessionId, u64),
    stay: u64,
    record: &mut Record,
) -> bool {
    let Some(mut stream) = Sealed::open(client, device, session, from).await else {
        return false;
    };
    for _ in 0..stay {
        match stream.next().await {
            Some(Told::Frame(line)) => record.push(seq(&line), &line),
            Some(Told::End(end)) => return end["reason"] == "stopped",
            None => return false,
        }
    }
    false
}

/// Writes frames of many sizes, whole and torn in the middle, until told to end. Blocks.
pub fn write(mut keeper: Keeper, mut random: Random, is_over: &AtomicBool) -> Keeper {
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..random.below(8) {
            let size = match random.below(100) {
                0 => 100_000,
                1..10 => random.below(5000),
                _ => random.below(200),
            };
            let data = text("x".repeat(usize::try_from(size).unwrap()));
            if random.below(4) == 0 {
                let line = keeper.next_line(&data);
                let tear = usize::try_from(random.below(line.len() as u64)).unwrap();
                keeper.append_bytes(&line[..tear]);
                std::thread::yield_now();
                keeper.append_bytes(&line[tear..]);
            } else {
                keeper.append(&[data]);
            }
        }
        std::thread::park_timeout(Duration::from_millis(1 + random.below(40)));
    }
    keeper.end(State::Stopped);
    keeper
}
