//! The upstream does not work, or not for everything.

use std::time::{Duration, Instant};

use cib_upstream::Upstream;
use hickory_proto::op::ResponseCode;
use tokio::net::TcpListener;

use crate::client::{Resolver, config};
use crate::names::{KNOWN, Names};
use crate::world::{Route, World};

const SERVER: &str = "192.0.2.53:53";
/// Less than the second and a half that a server is waited for, and time for a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn a_dead_upstream_means_servfail_at_once_and_a_new_one_is_found() {
    let world = World::start().await;
    let listen = (world.address, world.upstream.port()).into();
    let resolver = Resolver::start(config(&world, SERVER)).await;
    world.stop().await;
    for number in 0..20 {
        let begin = Instant::now();
        let answer = resolver.look_up(&format!("host{number}.example.")).await;
        assert_eq!(answer, Err(ResponseCode::ServFail));
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    }
    let world = World::at(listen).await;
    let names = Names::on_tcp().await;
    world.route(SERVER, Route::To(names.address));
    let end = Instant::now() + Duration::from_secs(60);
    while resolver.look_up("host.example.").await != Ok(vec![KNOWN.into()]) {
        assert!(Instant::now() < end, "the resolver does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_frozen_upstream_means_servfail_in_time_and_later_at_once() {
    // Its kernel takes connections, and nobody answers on them.
    let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = frozen.local_addr().unwrap().port();
    let world = World::start().await;
    let mut config = config(&world, SERVER);
    config.upstream = Upstream::parse(&format!("socks5://127.0.0.1:{port}")).unwrap();
    config.addresses = vec!["127.0.0.1".parse().unwrap()];
    let resolver = Resolver::start(config).await;
    let begin = Instant::now();
    assert_eq!(
        resolver.look_up("host.example.").await,
        Err(ResponseCode::ServFail)
    );
    // Clients give up after five.
    assert!(
        begin.elapsed() < Duration::from_millis(4900),
        "{:?}",
        begin.elapsed()
    );
    // Meanwhile it is known that the upstream is down; from then on nobody waits.
    for _ in 0..100 {
        let begin = Instant::now();
        assert_eq!(
            resolver.look_up("host.example.").await,
            Err(ResponseCode::ServFail)
        );
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

#[tokio::test]
async fn the_second_server_is_asked_when_the_first_hangs() {
    let (world, names) = (World::start().await, Names::on_tcp().await);
    world.route("192.0.2.53:53", Route::Hang);
    world.route("192.0.2.54:53", Route::To(names.address));
    world.route("192.0.2.54:443", Route::Refuse(2));
    let resolver = Resolver::start(config(&world, "192.0.2.53,192.0.2.54")).await;
    assert_eq!(
        resolver.look_up("host.example.").await,
        Ok(vec![KNOWN.into()])
    );
    let begin = Instant::now();
    assert_eq!(
        resolver.look_up("other.example.").await,
        Ok(vec![KNOWN.into()])
    );
    assert!(
        begin.elapsed() < AT_ONCE,
        "the server that works is asked first from now on"
    );
}

#[tokio::test]
async fn more_queries_than_there_is_room_for_are_turned_away_at_once() {
    let world = World::start().await;
    world.route(SERVER, Route::Hang);
    world.route("192.0.2.53:443", Route::Hang);
    let mut config = config(&world, SERVER);
    config.queries = 1;
    let resolver = Resolver::start(config).await;
    let slow = resolver.look_up("first.example.");
    let quick = async {
        let end = Instant::now() + Duration::from_secs(60);
        while world.targets().is_empty() {
            assert!(Instant::now() < end);
            tokio::task::yield_now().await;
        }
        let begin = Instant::now();
        let answer = resolver.look_up("second.example.").await;
        (answer, begin.elapsed())
    };
    let (_, (answer, after)) = tokio::join!(slow, quick);
    assert_eq!(answer, Err(ResponseCode::ServFail));
    assert!(after < AT_ONCE, "{after:?}");
}
