//! Terminals in the words of ttyd.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::frame::{Data, PtyRaw};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionSpec};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::token;
use crate::common::client::{Client, Socket};
use crate::common::keeper::{Keeper, spec};
use crate::common::world::{MASTER, Server, World};
use crate::common::{soon, until};

fn shown(bytes: &[u8]) -> Data {
    let data = STANDARD.encode(bytes);
    Data::PtyRaw(PtyRaw { data })
}

/// A client of ttyd's, whose password is the token.
fn client(server: &Server, token: &str) -> Client {
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{token}")));
    let client = server.stranger().with_header("authorization", &basic);
    client.with_header("sec-websocket-protocol", "tty")
}

fn shell(world: &World) -> Keeper {
    world.keeper_of(&SessionSpec {
        program: Program::Shell,
        ..spec()
    })
}

async fn heard(socket: &mut Socket) -> Vec<u8> {
    let message = soon(async {
        loop {
            match socket.0.next().await.unwrap().unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    });
    message.await.into_data().to_vec()
}

async fn say(socket: &mut Socket, message: &[u8]) {
    let message = Message::binary(message.to_vec());
    socket.0.send(message).await.unwrap();
}

#[tokio::test]
async fn a_client_of_ttyds_sees_types_and_resizes() {
    let world = World::new();
    let mut shell = shell(&world);
    shell.append(&[shown(b"$ ")]);
    let server = world.serve();
    let client = client(&server, MASTER);
    let path = format!("/api/shells/{}/ttyd", shell.id);
    let token = client.get(&format!("{path}/token")).await.ok();
    assert_eq!(token["token"], "");
    let mut socket = client.socket(&format!("{path}/ws")).await.unwrap();
    say(&mut socket, br#"{"AuthToken":"","columns":100,"rows":30}"#).await;
    assert_eq!(heard(&mut socket).await, b"1claude-in-box");
    assert_eq!(heard(&mut socket).await, b"2{}");
    assert_eq!(heard(&mut socket).await, b"0$ ");
    say(&mut socket, b"0ls\n").await;
    until("it is typed", async || shell.told().len() >= 2).await;
    let size = KeeperRequest::Resize {
        cols: 100,
        rows: 30,
    };
    let keys = KeeperRequest::Raw {
        data: STANDARD.encode("ls\n"),
    };
    assert_eq!(shell.told(), [size, keys]);
    shell.append(&[shown(b"a\r\n\xff")]);
    assert_eq!(heard(&mut socket).await, b"0a\r\n\xff");
    // Who wants to hear nothing for a while hears it afterwards.
    say(&mut socket, b"2").await;
    say(&mut socket, b"0x").await;
    until("it is heard that nothing is to be told", async || {
        shell.told().len() >= 3
    })
    .await;
    shell.append(&[shown(b"more")]);
    let early = timeout(Duration::from_millis(300), heard(&mut socket)).await;
    assert!(early.is_err(), "{early:?}");
    say(&mut socket, b"3").await;
    assert_eq!(heard(&mut socket).await, b"0more");
}

#[tokio::test]
async fn who_may_look_on_types_nothing_and_is_told_so() {
    let world = World::new();
    let shell = shell(&world);
    let server = world.serve();
    let reader = token(&server, &["shells:read"]).await;
    let path = format!("/api/shells/{}/ttyd/ws", shell.id);
    let mut socket = client(&server, &reader).socket(&path).await.unwrap();
    say(&mut socket, b"0rm -rf x\n").await;
    let mut told = heard(&mut socket).await;
    while !told.starts_with(b"0") {
        told = heard(&mut socket).await;
    }
    assert!(
        String::from_utf8_lossy(&told).contains("scope_missing"),
        "{told:?}"
    );
    assert_eq!(shell.told(), []);
}

#[tokio::test]
async fn a_stranger_sees_no_terminal_nor_does_a_page_of_another_origin() {
    let world = World::new();
    let shell = shell(&world);
    let server = world.serve();
    let path = format!("/api/shells/{}/ttyd/ws", shell.id);
    let evil = client(&server, MASTER).with_header("origin", "https://evil.example");
    for client in [client(&server, "wrong"), evil, server.stranger()] {
        let client = client.with_header("sec-websocket-protocol", "tty");
        match client.socket(&path).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 401),
            other => panic!("{:?}", other.is_ok()),
        }
    }
    // A password is a token in front of a terminal and nowhere else.
    let answer = client(&server, MASTER).get("/api/shells").await;
    assert_eq!(answer.status.as_u16(), 401);
}
