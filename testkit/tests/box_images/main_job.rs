//! The main job, end to end: the real Claude works in the box, and every packet goes through
//! the proxy that the user named.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cib_testkit::client::{Frame, said};
use cib_testkit::engine::{Container, Engine, Sniffer};
use cib_testkit::lab::{Lab, WORLD_NAME};
use cib_testkit::log::Request;
use cib_testkit::socks::Kind;
use cib_testkit::wait::wait_until;

const BOOT: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_secs(60);
/// "Within seconds": what a person at a prompt puts up with.
const SECONDS: Duration = Duration::from_secs(15);

/// Fetches a page as the user whom Claude runs as; whether it came, and how long that took.
fn fetch(cage: &Container, page: &str) -> (bool, Duration) {
    let began = Instant::now();
    let ran = cage.exec_as(
        "coder",
        &["curl", "-sS", "--fail", "--max-time", "60", page],
    );
    (ran.code == 0, began.elapsed())
}

/// The kinds that make up a turn, each run of one kind said once.
fn outline(frames: &[Frame]) -> Vec<&str> {
    let told = [
        "thinking",
        "text.delta",
        "tool.use.start",
        "tool.use.result",
        "usage",
        "stop",
    ];
    let from_user = |frame: &&Frame| frame.word("role") == "user";
    let mut kinds: Vec<&str> = frames
        .iter()
        .filter(|frame| !from_user(frame))
        .map(|frame| frame.kind.as_str())
        .filter(|kind| told.contains(kind))
        .collect();
    kinds.dedup();
    kinds
}

/// Every packet that the box sent on its network with the proxy went to the proxy's port.
fn assert_only_proxied(lab: &Lab, sniffer: &Sniffer) {
    let gateway = lab.inside.addr(1).to_string();
    let proxy = lab.proxy_inside();
    let allowed = format!("{}.{}", proxy.ip(), proxy.port());
    let packets = sniffer.packets_until_now(&lab.proxy, &gateway);
    let strays: Vec<_> = packets
        .iter()
        .filter(|packet| packet.is_from(&lab.box_inside()) && !packet.is_tcp_to(&allowed))
        .collect();
    assert!(
        strays.is_empty(),
        "these left the box past the proxy: {strays:#?}"
    );
    assert!(
        packets.iter().any(|packet| packet.is_tcp_to(&allowed)),
        "the sniffer saw nothing at all"
    );
}

/// Whoever asked the world for anything was the proxy.
fn assert_world_saw_only_the_proxy(lab: &Lab) {
    let peers: Vec<IpAddr> = lab
        .world_log()
        .iter()
        .map(|entry| entry.peer.ip())
        .collect();
    assert!(!peers.is_empty(), "the world was asked for nothing");
    assert!(
        peers.iter().all(|peer| *peer == lab.proxy_outside()),
        "the world saw {peers:?}"
    );
}

#[test]
fn claude_runs_a_command_and_fetches_a_page_and_the_world_sees_only_the_proxy() {
    let lab = Lab::new();
    let sniffer = Sniffer::start(Engine::get(), &lab.inside);
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();

    let session = api.open(&format!(
        "Fetch the page and keep it.\n\
         @think The page is on another machine.\n\
         @text Fetching the page.\n\
         @bash curl -sS http://{WORLD_NAME}/news > /workspace/news && cat /workspace/news\n\
         @text The page is kept."
    ));
    let streamed = api.events(&session, 0).unwrap().until(TURN, Frame::is_stop);

    let seqs: Vec<u64> = streamed.iter().map(|frame| frame.seq).collect();
    assert_eq!(seqs, (1..=streamed.len() as u64).collect::<Vec<_>>());
    let of_others: Vec<_> = streamed.iter().filter(|f| f.session != session).collect();
    assert!(of_others.is_empty(), "{of_others:?}");
    let turn = outline(&streamed);
    let expected = [
        "thinking",
        "text.delta",
        "tool.use.start",
        "tool.use.result",
        "text.delta",
    ];
    assert_eq!(turn[..5], expected, "{turn:?}");
    assert!(
        turn.contains(&"usage") && turn.contains(&"stop"),
        "{turn:?}"
    );
    assert_eq!(said(&streamed), "Fetching the page.The page is kept.");
    let call = streamed
        .iter()
        .find(|frame| frame.kind == "tool.use.start")
        .unwrap();
    let result = streamed
        .iter()
        .find(|frame| frame.kind == "tool.use.result")
        .unwrap();
    assert_eq!(call.word("tool_use_id"), result.word("tool_use_id"));
    assert!(
        result.data["output"].to_string().contains("page /news"),
        "{}",
        result.data
    );
    assert_eq!(streamed.last().unwrap().word("reason"), "turn_end");

    let kept = api.transcript(&session, 0);
    assert_eq!(
        kept[..streamed.len()],
        streamed,
        "the transcript tells another story"
    );
    let last = streamed[2].seq;
    let again = api
        .events(&session, last)
        .unwrap()
        .until(TURN, Frame::is_stop);
    assert_eq!(
        again,
        streamed[3..],
        "a reader that comes back misses frames or sees some twice"
    );

    assert_eq!(cage.sh("cat /workspace/news"), "page /news\n");
    assert_eq!(cage.sh("stat -c %U /workspace/news"), "coder\n");
    assert_world_saw_only_the_proxy(&lab);
    let asked = lab.world_log();
    let name_asked = |entry: &cib_testkit::log::Entry| matches!(&entry.request, Request::Dns { name, .. } if name == WORLD_NAME);
    assert!(
        asked.iter().any(name_asked),
        "the name was not looked up through the proxy"
    );
    assert_only_proxied(&lab, &sniffer);
}

#[test]
fn a_second_message_continues_the_same_conversation() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    let session = api.open("@text First.");
    let mut events = api.events(&session, 0).unwrap();
    assert_eq!(said(&events.until(TURN, Frame::is_stop)), "First.");
    api.say(&session, "@bash echo two > /workspace/two\n@text Second.");
    assert_eq!(said(&events.until(TURN, Frame::is_stop)), "Second.");
    assert_eq!(cage.sh("cat /workspace/two"), "two\n");
    let gone = api.delete(&format!("/api/sessions/{session}")).unwrap();
    assert!(gone.status < 300, "{}: {}", gone.status, gone.body);
    let ended = events.until(TURN, |frame| frame.is_stop() && frame.data["last"] == true);
    assert!(ended.last().unwrap().seq > 1, "{ended:?}");
}

#[test]
fn a_box_whose_network_has_no_way_out_works_by_its_proxy_alone() {
    let lab = Lab::without_a_route(Kind::Dante);
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let session = lab.api().open(&format!(
        "@bash curl -sS http://{WORLD_NAME}/inner && touch /workspace/done\n@text Fetched."
    ));
    let frames = lab
        .api()
        .events(&session, 0)
        .unwrap()
        .until(TURN, Frame::is_stop);
    assert_eq!(said(&frames), "Fetched.");
    assert_eq!(cage.sh("ls /workspace"), "done\n");
    assert_world_saw_only_the_proxy(&lab);
}

#[test]
fn with_the_proxy_stopped_a_fetch_of_claudes_fails_within_seconds_and_nothing_gets_out() {
    let lab = Lab::new();
    let sniffer = Sniffer::start(Engine::get(), &lab.inside);
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    let session = api.open(&format!(
        "@bash until test -e /workspace/go; do sleep 0.1; done; \
         curl -sS --max-time 60 http://{}/late; echo code $?\n@text Done.",
        lab.world_addr()
    ));
    let mut events = api.events(&session, 0).unwrap();
    let _ = events.until(TURN, |frame| frame.kind == "tool.use.start");

    lab.proxy.stop(Duration::ZERO);
    let asked_before = lab.world_log().len();
    let began = Instant::now();
    let _ = cage.sh("touch /workspace/go");
    let frames = events.until(TURN, |frame| frame.kind == "tool.use.result");
    let output = frames.last().unwrap().data["output"].to_string();
    assert!(
        output.contains("code ") && !output.contains("code 0"),
        "{output}"
    );
    assert!(
        began.elapsed() < SECONDS,
        "Claude's fetch failed only after {:?}",
        began.elapsed()
    );

    let (came, took) = fetch(&cage, &format!("http://{WORLD_NAME}/by-name"));
    assert!(
        !came && took < SECONDS,
        "by name: came {came}, took {took:?}"
    );
    let (came, took) = fetch(&cage, &format!("http://{}/by-address", lab.world_addr()));
    assert!(
        !came && took < SECONDS,
        "by address: came {came}, took {took:?}"
    );
    assert_eq!(
        lab.world_log().len(),
        asked_before,
        "something reached the world"
    );

    lab.proxy.start_again();
    lab.wait_for_proxy();
    wait_until(SECONDS, "fetches to work again with the proxy back", || {
        fetch(&cage, &format!("http://{WORLD_NAME}/back")).0
    });
    assert_world_saw_only_the_proxy(&lab);
    assert_only_proxied(&lab, &sniffer);
}

#[test]
fn redsocks_killed_comes_back_by_itself_and_nothing_leaks_meanwhile() {
    let lab = Lab::new();
    let sniffer = Sniffer::start(Engine::get(), &lab.inside);
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    // Asks without a pause while redsocks dies and lives again, past the proxy if it could.
    let asking = format!(
        "i=0; until test -e /tmp/enough; do i=$((i+1)); \
         curl -s --max-time 2 http://{}/loop-$i >/dev/null; done",
        lab.world_addr()
    );
    let detached = format!("({asking}) >/dev/null 2>&1 &");
    assert_eq!(cage.exec_as("coder", &["sh", "-c", &detached]).code, 0);
    wait_until(SECONDS, "the loop to get its first page", || {
        !lab.pages().is_empty()
    });

    for round in 1..=3 {
        let killed = cage.sh(&kill_all("redsocks"));
        assert!(
            !killed.trim().is_empty(),
            "no redsocks was running in round {round}"
        );
        let pages = lab.pages().len();
        wait_until(SECONDS, "redsocks to come back by itself", || {
            lab.pages().len() > pages
        });
        let now = cage.sh(&pids_of("redsocks"));
        assert!(
            !now.trim().is_empty() && now != killed,
            "was {killed:?}, is {now:?}"
        );
    }
    let _ = cage.sh("touch /tmp/enough");
    assert_world_saw_only_the_proxy(&lab);
    assert_only_proxied(&lab, &sniffer);
}

/// Prints the pids of every process called `name`. The image has no pgrep.
fn pids_of(name: &str) -> String {
    format!(
        "for p in /proc/[0-9]*; do \
         test \"$(cat $p/comm 2>/dev/null)\" != {name} || echo ${{p#/proc/}}; done"
    )
}

/// Kills every process called `name`, and prints which they were.
fn kill_all(name: &str) -> String {
    format!("pids=$({}); echo $pids; kill -9 $pids", pids_of(name))
}
