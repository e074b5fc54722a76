//! A resolver under test, and a client of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cib_resolver::ResolverConfig;
use cib_upstream::service::{Ready, Sockets};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::world::{World, own_address};

const SOON: Duration = Duration::from_secs(60);

/// A resolver; dropping it ends it.
pub(crate) struct Resolver {
    /// What was meant for Docker's DNS.
    pub(crate) docker: SocketAddr,
    /// Everything else.
    pub(crate) any: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A configuration for a resolver behind `world` that asks `server`.
pub(crate) fn config(world: &World, server: &str) -> ResolverConfig {
    let address = own_address();
    let mut config = ResolverConfig::new(world.upstream.clone(), vec![world.address]);
    config.servers = server
        .split(',')
        .map(|server| server.parse().unwrap())
        .collect();
    config.listen_docker = vec![(address, 5301).into()];
    config.listen_any = vec![(address, 5302).into()];
    config
}

impl Resolver {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(config: ResolverConfig) -> Self {
        let (docker, any) = (config.listen_docker[0], config.listen_any[0]);
        let task = tokio::spawn(async move {
            cib_resolver::run(config, Ready::nobody(), Sockets::default())
                .await
                .unwrap();
        });
        let resolver = Self { docker, any, task };
        let up = async {
            while TcpStream::connect(any).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, up).await.unwrap();
        resolver
    }

    /// The addresses of a name, or the code of the answer that has none.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResponseCode> {
        addresses(&udp(self.any, &query(name, RecordType::A)).await)
    }
}

pub(crate) fn query(name: &str, kind: RecordType) -> Message {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    query
}

pub(crate) fn addresses(answer: &Message) -> Result<Vec<IpAddr>, ResponseCode> {
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(answer.metadata.response_code);
    }
    let address = |data: &RData| match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    };
    Ok(answer
        .answers
        .iter()
        .filter_map(|record| address(&record.data))
        .collect())
}

pub(crate) async fn udp(server: SocketAddr, query: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&query.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(SOON, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    checked(&buffer[..length])
}

pub(crate) async fn tcp(server: SocketAddr, query: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let query = query.to_vec().unwrap();
    stream
        .write_u16(query.len().try_into().unwrap())
        .await
        .unwrap();
    stream.write_all(&query).await.unwrap();
    let length = timeout(SOON, stream.read_u16()).await.unwrap().unwrap();
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await.unwrap();
    checked(&reply)
}

fn checked(reply: &[u8]) -> Message {
    let reply = Message::from_vec(reply).unwrap();
    assert_eq!(reply.metadata.id, 4711);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert!(
        reply.metadata.recursion_available,
        "glibc does not believe a server without it"
    );
    reply
}
