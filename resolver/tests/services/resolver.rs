//! The ordinary case: the upstream works.

use std::collections::BTreeSet;

use cib_resolver::config::LocalName;
use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::client::{Resolver, addresses, config, query, tcp, udp};
use crate::names::{KNOWN, Names};
use crate::world::{Route, World};

const SERVER: &str = "192.0.2.53:53";

async fn lab() -> (World, Names) {
    let (world, names) = (World::start().await, Names::on_tcp().await);
    world.route(SERVER, Route::To(names.address));
    (world, names)
}

#[tokio::test]
async fn many_queries_share_one_connection_through_the_upstream() {
    let (world, names) = lab().await;
    let resolver = Resolver::start(config(&world, SERVER)).await;
    let ask = |number: usize| {
        let resolver = &resolver;
        async move { resolver.look_up(&format!("host{number}.example.")).await }
    };
    let answers = futures(40, ask).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == Ok(vec![KNOWN.into()])),
        "{answers:?}"
    );
    assert_eq!(names.asked().len(), 40);
    assert_eq!((names.connections(), world.connections()), (1, 1));
}

/// Runs `count` of them at once.
async fn futures<F: Future>(count: usize, make: impl Fn(usize) -> F) -> Vec<F::Output> {
    let mut running: Vec<_> = (0..count).map(|number| Box::pin(make(number))).collect();
    let mut done = Vec::with_capacity(count);
    std::future::poll_fn(|context| {
        running.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}

#[tokio::test]
async fn a_second_question_is_answered_from_memory_whatever_its_spelling() {
    let (world, names) = lab().await;
    let resolver = Resolver::start(config(&world, SERVER)).await;
    assert_eq!(
        resolver.look_up("host.example.").await,
        Ok(vec![KNOWN.into()])
    );
    assert_eq!(
        resolver.look_up("HOST.example.").await,
        Ok(vec![KNOWN.into()])
    );
    assert_eq!(
        resolver.look_up("missing.example.").await,
        Err(ResponseCode::NXDomain)
    );
    assert_eq!(
        resolver.look_up("missing.example.").await,
        Err(ResponseCode::NXDomain)
    );
    assert_eq!(
        resolver.look_up("failing.example.").await,
        Err(ResponseCode::ServFail)
    );
    assert_eq!(
        resolver.look_up("failing.example.").await,
        Err(ResponseCode::ServFail)
    );
    let asked = [
        "host.example. A",
        "missing.example. A",
        "failing.example. A",
        "failing.example. A",
    ];
    assert_eq!(names.asked(), asked);
}

#[tokio::test]
async fn an_ipv6_address_is_never_given_and_never_asked_for() {
    let (world, names) = lab().await;
    let resolver = Resolver::start(config(&world, SERVER)).await;
    for server in [resolver.any, resolver.docker] {
        let answer = udp(server, &query("host.example.", RecordType::AAAA)).await;
        assert_eq!(addresses(&answer), Ok(vec![]));
    }
    assert!(names.asked().is_empty(), "{:?}", names.asked());
}

#[tokio::test]
async fn queries_with_edns_and_over_tcp_are_answered() {
    let (world, _names) = lab().await;
    let resolver = Resolver::start(config(&world, SERVER)).await;
    let mut asked = query("host.example.", RecordType::A);
    asked.metadata.authentic_data = true;
    asked.set_edns(Edns::new());
    for answer in [
        udp(resolver.any, &asked).await,
        tcp(resolver.docker, &asked).await,
    ] {
        assert_eq!(addresses(&answer), Ok(vec![KNOWN.into()]));
        assert!(answer.edns.is_some());
    }
}

#[tokio::test]
async fn docker_is_asked_for_the_listed_names_alone_and_from_its_own_door_alone() {
    let (world, names) = lab().await;
    let docker = Names::on_udp().await;
    let mut config = config(&world, SERVER);
    config.docker_dns = docker.address;
    config.local_names = BTreeSet::from(["postgres".parse::<LocalName>().unwrap()]);
    let resolver = Resolver::start(config).await;
    let ask = async |server, name| addresses(&udp(server, &query(name, RecordType::A)).await);
    assert_eq!(
        ask(resolver.docker, "Postgres.").await,
        Ok(vec![KNOWN.into()])
    );
    assert_eq!(
        ask(resolver.any, "postgres.").await,
        Err(ResponseCode::NXDomain)
    );
    assert_eq!(
        ask(resolver.docker, "redis.").await,
        Err(ResponseCode::NXDomain)
    );
    assert_eq!(
        ask(resolver.docker, "host.example.").await,
        Ok(vec![KNOWN.into()])
    );
    assert_eq!(docker.asked(), ["Postgres. A"]);
    assert_eq!(names.asked(), ["host.example. A"]);
}

#[tokio::test]
async fn garbage_is_survived() {
    let (world, _names) = lab().await;
    let resolver = Resolver::start(config(&world, SERVER)).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for garbage in [&b""[..], b"x", &[0xff; 600], &[0; 12]] {
        socket.send_to(garbage, resolver.any).await.unwrap();
    }
    assert_eq!(
        resolver.look_up("host.example.").await,
        Ok(vec![KNOWN.into()])
    );
}

#[tokio::test]
async fn a_server_that_closes_an_idle_connection_is_asked_again_on_a_new_one() {
    let (world, names) = lab().await;
    let resolver = Resolver::start(config(&world, SERVER)).await;
    assert_eq!(
        resolver.look_up("host.example.").await,
        Ok(vec![KNOWN.into()])
    );
    // The name makes the server close the connection, twice: the query was sent again once.
    assert_eq!(
        resolver.look_up("hangup.example.").await,
        Err(ResponseCode::ServFail)
    );
    assert_eq!(
        resolver.look_up("other.example.").await,
        Ok(vec![KNOWN.into()])
    );
    assert!(names.connections() >= 2);
}
