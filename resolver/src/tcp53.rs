//! DNS over one TCP connection, many queries at a time (RFC 7766): each has an id of its own,
//! and the replies come in any order.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use hickory_proto::op::Query;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::exchange::{ExchangeError, Request};
use crate::stub::{question, random_id};

/// How long an unused connection is kept. Public servers close it after some 10 s.
const IDLE: Duration = Duration::from_secs(30);
/// How long the server may send nothing while questions are pending.
const SILENT: Duration = Duration::from_secs(5);

struct Pending {
    /// What the reply must repeat.
    question: Option<Query>,
    answer: oneshot::Sender<Result<Vec<u8>, ExchangeError>>,
}

/// Serves requests until the connection closes, falls silent, or nobody can ask any more.
/// Requests that are then unanswered see their channel close.
pub(crate) async fn drive(mut stream: TcpStream, mut requests: mpsc::Receiver<Request>) {
    let (mut reader, mut writer) = stream.split();
    let mut pending: HashMap<u16, Pending> = HashMap::new();
    let mut heard = Vec::new();
    // When the server last sent something, or got the oldest question.
    let mut since = Instant::now();
    loop {
        let patience = if pending.is_empty() { IDLE } else { SILENT };
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return };
                if pending.is_empty() {
                    since = Instant::now();
                }
                pending.retain(|_, waiting| !waiting.answer.is_closed());
                let Ok(message) = enlist(request, &mut pending) else { return };
                match timeout(SILENT, writer.write_all(&message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            read = reader.read_buf(&mut heard) => {
                match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {
                        since = Instant::now();
                        deliver(&mut heard, &mut pending);
                    }
                }
            }
            () = sleep_until(since + patience) => return,
        }
    }
}

/// Gives a request an id that no pending one has, and returns the message to send.
fn enlist(request: Request, pending: &mut HashMap<u16, Pending>) -> io::Result<Vec<u8>> {
    let Request { query, answer } = request;
    let id = loop {
        let id = random_id()?;
        if !pending.contains_key(&id) {
            break id;
        }
    };
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(2 + query.len());
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&query);
    message[2..4].copy_from_slice(&id.to_be_bytes());
    let question = question(&query).map(|(_, question)| question);
    pending.insert(id, Pending { question, answer });
    Ok(message)
}

/// Hands every whole reply to whoever asked, and leaves the incomplete one in `heard`.
fn deliver(heard: &mut Vec<u8>, pending: &mut HashMap<u16, Pending>) {
    let mut taken = 0;
    while let Some(&[high, low]) = heard[taken..].first_chunk::<2>() {
        let start = taken + 2;
        let end = start + usize::from(u16::from_be_bytes([high, low]));
        let Some(reply) = heard.get(start..end) else {
            break;
        };
        taken = end;
        let Some((header, question)) = question(reply) else {
            continue;
        };
        let id = header.id;
        let matches = pending
            .get(&id)
            .is_some_and(|waiting| waiting.question.as_ref() == Some(&question));
        // A reply to no pending question is ignored.
        if matches && let Some(waiting) = pending.remove(&id) {
            let _ = waiting.answer.send(Ok(reply.to_vec()));
        }
    }
    heard.drain(..taken);
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, OpCode};
    use hickory_proto::rr::{Name, RecordType};
    use proptest::prelude::*;

    use super::*;

    fn asked(name: &str) -> Query {
        Query::query(Name::from_ascii(name).unwrap(), RecordType::A)
    }

    fn reply(id: u16, question: &Query) -> Vec<u8> {
        let mut message = Message::response(id, OpCode::Query);
        message.add_query(question.clone());
        let message = message.to_vec().unwrap();
        let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(&message);
        framed
    }

    proptest! {
        #[test]
        fn replies_reach_their_askers_however_the_stream_is_cut(
            ids in proptest::collection::hash_set(any::<u16>(), 1..20),
            cuts in proptest::collection::vec(1..40_usize, 1..60),
        ) {
            let mut pending = HashMap::new();
            let mut askers = Vec::new();
            let mut stream = Vec::new();
            for &id in &ids {
                let question = asked(&format!("host{id}.example."));
                let (answer, asker) = oneshot::channel();
                stream.extend(reply(id, &asked("other.example.")));
                stream.extend(reply(id, &question));
                pending.insert(id, Pending { question: Some(question), answer });
                askers.push((id, asker));
            }
            let mut heard = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                heard.extend_from_slice(now);
                deliver(&mut heard, &mut pending);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(heard.is_empty());
            for (id, mut asker) in askers {
                let reply = asker.try_recv().unwrap().unwrap();
                prop_assert_eq!(&reply[..2], id.to_be_bytes());
            }
        }
    }
}
