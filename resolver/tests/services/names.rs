//! A DNS server on TCP that knows a few names and remembers what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What every known name has for an address.
pub(crate) const KNOWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);

#[derive(Default)]
struct State {
    asked: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

/// The server; it runs as long as the test.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Names {
    pub(crate) async fn on_tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let names = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let serving = names.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serving.state.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        names
    }

    pub(crate) async fn on_udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = Self {
            address: socket.local_addr().unwrap(),
            state: Arc::default(),
        };
        let serving = names.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                let reply = serving.answer(&buffer[..length]).unwrap();
                socket.send_to(&reply, client).await.unwrap();
            }
        });
        names
    }

    /// One that only answers what it is handed, by some other way in.
    pub(crate) fn detached() -> Self {
        Self {
            address: "127.0.0.1:0".parse().unwrap(),
            state: Arc::default(),
        }
    }

    /// `name TYPE` of every question so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// `None` closes the connection: the name `hangup.example` makes it.
    pub(crate) fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut message = Message::from_vec(query).unwrap();
        let question = message.queries[0].clone();
        let name = question.name.to_ascii();
        self.state
            .asked
            .lock()
            .unwrap()
            .push(format!("{name} {}", question.query_type));
        message.metadata.message_type = MessageType::Response;
        message.metadata.recursion_available = true;
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 60);
        let negative = Record::from_rdata(Name::root(), 60, RData::SOA(soa));
        match (name.as_str(), question.query_type) {
            ("hangup.example.", _) => return None,
            ("missing.example.", _) => {
                message.metadata.response_code = ResponseCode::NXDomain;
                message.add_authority(negative);
            }
            ("failing.example.", _) => message.metadata.response_code = ResponseCode::ServFail,
            (_, RecordType::A) => {
                let data = RData::A(KNOWN.into());
                message.add_answer(Record::from_rdata(question.name, 60, data));
            }
            _ => {
                message.add_authority(negative);
            }
        }
        Some(message.to_vec().unwrap())
    }
}

async fn serve(mut stream: TcpStream, names: Names) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.unwrap();
        let Some(reply) = names.answer(&query) else {
            return;
        };
        let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(&reply);
        stream.write_all(&framed).await.unwrap();
    }
}
