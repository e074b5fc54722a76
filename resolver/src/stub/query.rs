//! One question to one server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP, and TCP when the answer did not fit.
    UdpThenTcp,
    /// TCP alone.
    Tcp,
}

/// Why one server gave no answer.
#[derive(Debug, Error)]
pub(crate) enum QueryError {
    #[error("there is no such name")]
    NoSuchName,
    #[error("the server failed")]
    Failed,
    #[error("the server's answer is not DNS")]
    Malformed,
    #[error("the server did not answer in time")]
    TimedOut,
    #[error("the server cannot be reached")]
    Io(#[from] io::Error),
}

/// The A and AAAA records of an absolute name. No record of either kind is an empty list.
pub(super) async fn addresses(
    server: SocketAddr,
    name: &str,
    transport: Transport,
    within: Duration,
) -> Result<Vec<IpAddr>, QueryError> {
    let name = Name::from_ascii(name).map_err(|_| QueryError::NoSuchName)?;
    let (v4, v6) = tokio::join!(
        timeout(within, records(server, &name, RecordType::A, transport)),
        timeout(within, records(server, &name, RecordType::AAAA, transport)),
    );
    let v4 = v4.unwrap_or(Err(QueryError::TimedOut));
    let v6 = v6.unwrap_or(Err(QueryError::TimedOut));
    match (v4, v6) {
        (Ok(mut v4), Ok(v6)) => {
            v4.extend(v6);
            Ok(v4)
        }
        // Some servers fail on one type alone; what the other gave is good.
        (Ok(one), Err(_)) | (Err(_), Ok(one)) if !one.is_empty() => Ok(one),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

async fn records(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    transport: Transport,
) -> Result<Vec<IpAddr>, QueryError> {
    let mut query = Message::new(random_id()?, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name.clone(), kind));
    let query = query.to_vec().map_err(|_| QueryError::Malformed)?;
    let reply = exchange(server, &query, transport).await?;
    let reply = Message::from_vec(&reply).map_err(|_| QueryError::Malformed)?;
    match reply.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Err(QueryError::NoSuchName),
        _ => return Err(QueryError::Failed),
    }
    Ok(reply
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect())
}

/// Sends a query and gives back the reply to it: same id, same question. No time limit.
pub(crate) async fn exchange(
    server: SocketAddr,
    query: &[u8],
    transport: Transport,
) -> Result<Vec<u8>, QueryError> {
    if transport == Transport::UdpThenTcp {
        let reply = over_udp(server, query).await?;
        let is_truncated = question(&reply).is_some_and(|(header, _)| header.truncation);
        if !is_truncated {
            return Ok(reply);
        }
    }
    over_tcp(server, query).await
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>, QueryError> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], query) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> Result<Vec<u8>, QueryError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(|_| QueryError::Malformed)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await?;
    if answers(&reply, query) {
        Ok(reply)
    } else {
        Err(QueryError::Malformed)
    }
}

/// Whether `reply` is a response with the query's id and question.
fn answers(reply: &[u8], query: &[u8]) -> bool {
    let (Some((theirs, answered)), Some((ours, asked))) = (question(reply), question(query)) else {
        return false;
    };
    theirs.message_type == MessageType::Response && theirs.id == ours.id && answered == asked
}

/// The header and the question of a message that has exactly one question. Two questions are
/// equal whatever the case of their letters.
pub(crate) fn question(message: &[u8]) -> Option<(Metadata, Query)> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    if header.counts.queries != 1 {
        return None;
    }
    let question = Query::read(&mut decoder).ok()?;
    Some((header.metadata, question))
}

pub(crate) fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(id))
}
