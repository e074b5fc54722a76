//! Asks one name server for one name, over the transport named, and nobody else.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// Over what a question is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A connection.
    Tcp,
}

/// A look-up that gave no addresses.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The name cannot be written in a question.
    #[error("`{0}` is not a name")]
    Name(String),
    /// The server could not be asked, or did not answer in time.
    #[error("no answer from {server}")]
    Transport {
        /// Who was asked.
        server: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server answered with something that is no message.
    #[error("the answer of {0} cannot be read")]
    Garbled(SocketAddr),
    /// The server answered with an error.
    #[error("{0}")]
    Refused(ResponseCode),
}

/// The addresses of `name`: IPv4 ones, or IPv6 ones if `v6`.
///
/// # Errors
/// Nobody answers within `deadline`, or the answer is an error.
pub fn lookup(
    server: SocketAddr,
    transport: Transport,
    name: &str,
    v6: bool,
    deadline: Duration,
) -> Result<Vec<IpAddr>, LookupError> {
    let kind = if v6 { RecordType::AAAA } else { RecordType::A };
    let asked = Name::from_ascii(name).map_err(|_| LookupError::Name(name.into()))?;
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(asked, kind));
    let query = query.to_vec().map_err(|_| LookupError::Name(name.into()))?;
    let answer = match transport {
        Transport::Udp => datagram(server, &query, deadline),
        Transport::Tcp => stream(server, &query, deadline),
    };
    let answer = answer.map_err(|source| LookupError::Transport { server, source })?;
    let answer = Message::from_vec(&answer).map_err(|_| LookupError::Garbled(server))?;
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(LookupError::Refused(answer.metadata.response_code));
    }
    let addr = |data: &RData| match data {
        RData::A(v4) => Some(IpAddr::V4(v4.0)),
        RData::AAAA(v6) => Some(IpAddr::V6(v6.0)),
        _ => None,
    };
    Ok(answer
        .answers
        .iter()
        .filter_map(|record| addr(&record.data))
        .collect())
}

fn datagram(server: SocketAddr, query: &[u8], deadline: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv6() {
        [0_u16; 8].into()
    } else {
        [0_u8; 4].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(deadline))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut answer = vec![0; 4096];
    let len = socket.recv(&mut answer)?;
    answer.truncate(len);
    Ok(answer)
}

fn stream(server: SocketAddr, query: &[u8], deadline: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, deadline)?;
    stream.set_read_timeout(Some(deadline))?;
    let len = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), query].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut answer = vec![0; u16::from_be_bytes(len).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
