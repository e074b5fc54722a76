//! A small name server over UDP and TCP, with a fixed zone and a log of who asked for what.

pub mod lookup;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::log::{Log, Request};
use crate::serve::{Work, listen};

/// How long an answer may be kept, in seconds: short, so that a test can change its mind.
const TTL: u32 = 1;

/// The names a server knows, lower case, without the final dot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone(BTreeMap<String, Vec<IpAddr>>);

/// A `name=address` that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not NAME=ADDRESS[,ADDRESS…]")]
pub struct ZoneError(String);

impl Zone {
    /// Reads `name=address[,address…]` entries. A name that starts with `*.` stands for every
    /// name below it.
    ///
    /// # Errors
    /// An entry has no name or an address that is none.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, ZoneError> {
        let mut zone = BTreeMap::new();
        for entry in entries {
            let bad = || ZoneError(entry.into());
            let (name, addrs) = entry.split_once('=').ok_or_else(bad)?;
            let addrs: Result<Vec<IpAddr>, _> = addrs.split(',').map(IpAddr::from_str).collect();
            let name = name.trim_end_matches('.').to_lowercase();
            if name.is_empty() {
                return Err(bad());
            }
            zone.insert(name, addrs.map_err(|_| bad())?);
        }
        Ok(Self(zone))
    }

    fn find(&self, name: &str) -> Option<&Vec<IpAddr>> {
        let above = || Some(format!("*.{}", name.split_once('.')?.1));
        self.0.get(name).or_else(|| self.0.get(&above()?))
    }

    /// The answer to `query`: addresses of the type asked for, nothing for a known name
    /// without any, and NXDOMAIN for an unknown one.
    #[must_use]
    pub fn answer(&self, query: Message) -> Message {
        let asked = query
            .queries
            .first()
            .map(|query| (query.name.clone(), query.query_type));
        let mut reply = query.into_response();
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = true;
        let Some((name, kind)) = asked else {
            reply.metadata.response_code = ResponseCode::FormErr;
            return reply;
        };
        match self.find(&plain(&name)) {
            None => reply.metadata.response_code = ResponseCode::NXDomain,
            Some(addrs) => {
                for addr in addrs {
                    let data = match (addr, kind) {
                        (IpAddr::V4(v4), RecordType::A) => RData::A((*v4).into()),
                        (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA((*v6).into()),
                        _ => continue,
                    };
                    reply.add_answer(Record::from_rdata(name.clone(), TTL, data));
                }
            }
        }
        reply
    }
}

/// Binds `addr` for UDP and TCP; the work returned serves until dropped. Must be called inside
/// a runtime.
///
/// # Errors
/// The address cannot be bound.
pub fn bind(addr: SocketAddr, zone: Zone, log: Log) -> io::Result<(SocketAddr, Work)> {
    let tcp = listen(addr)?;
    let addr = tcp.local_addr()?;
    let udp = std::net::UdpSocket::bind(addr)?;
    udp.set_nonblocking(true)?;
    let udp = UdpSocket::from_std(udp)?;
    let server = Arc::new(Server { zone, log });
    let work = async move {
        tokio::select! {
            ended = Arc::clone(&server).datagrams(udp) => ended,
            ended = server.streams(tcp) => ended,
        }
    };
    Ok((addr, Box::pin(work)))
}

struct Server {
    zone: Zone,
    log: Log,
}

impl Server {
    async fn datagrams(self: Arc<Self>, socket: UdpSocket) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let (len, peer) = socket.recv_from(&mut buffer).await?;
            if let Some(reply) = self.reply(&buffer[..len], peer, "udp")? {
                socket.send_to(&reply, peer).await?;
            }
        }
    }

    async fn streams(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            let server = Arc::clone(&self);
            // A peer that hangs up in the middle of a query is its own affair.
            tokio::spawn(async move { server.stream(stream, peer).await });
        }
    }

    /// RFC 1035, 4.2.2: each message after its length in two bytes.
    async fn stream(&self, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        while let Ok(len) = stream.read_u16().await {
            let mut query = vec![0; len.into()];
            stream.read_exact(&mut query).await?;
            let Some(reply) = self.reply(&query, peer, "tcp")? else {
                return Ok(());
            };
            let len = u16::try_from(reply.len()).map_err(io::Error::other)?;
            stream.write_u16(len).await?;
            stream.write_all(&reply).await?;
        }
        Ok(())
    }

    /// The reply to a query; nothing to what is not one.
    fn reply(&self, query: &[u8], peer: SocketAddr, over: &str) -> io::Result<Option<Vec<u8>>> {
        let Ok(query) = Message::from_vec(query) else {
            return Ok(None);
        };
        let question = query.queries.first();
        let asked = Request::Dns {
            name: question
                .map(|question| plain(&question.name))
                .unwrap_or_default(),
            kind: question
                .map(|question| question.query_type.to_string())
                .unwrap_or_default(),
            transport: over.into(),
        };
        self.log.add(peer, asked)?;
        self.zone
            .answer(query)
            .to_vec()
            .map(Some)
            .map_err(io::Error::other)
    }
}

fn plain(name: &Name) -> String {
    name.to_lowercase()
        .to_ascii()
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;

    fn ask(name: &str, kind: RecordType) -> Message {
        let zone = Zone::parse([
            "world.test=203.0.113.10,2001:db8::10",
            "*.many.test=203.0.113.10",
        ])
        .unwrap();
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        zone.answer(query)
    }

    #[test]
    fn each_type_gets_its_own_addresses() {
        let reply = ask("World.Test.", RecordType::A);
        assert_eq!(reply.answers.len(), 1);
        assert!(matches!(reply.answers[0].data, RData::A(a) if a.0.octets() == [203, 0, 113, 10]));
        assert_eq!(ask("world.test.", RecordType::AAAA).answers.len(), 1);
        assert_eq!(ask("world.test.", RecordType::TXT).answers.len(), 0);
    }

    #[test]
    fn a_star_stands_for_every_name_below() {
        assert_eq!(ask("n17.many.test.", RecordType::A).answers.len(), 1);
        assert_eq!(ask("many.test.", RecordType::A).answers.len(), 0);
    }

    #[test]
    fn an_unknown_name_does_not_exist() {
        let reply = ask("elsewhere.test.", RecordType::A);
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    }

    #[test]
    fn an_entry_that_is_no_address_is_refused() {
        for bad in ["world.test", "=1.2.3.4", "a=b", "a="] {
            assert_eq!(Zone::parse([bad]), Err(ZoneError(bad.into())));
        }
    }
}
