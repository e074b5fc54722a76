//! The way out of a box whose network is a namespace of the test's: real rules and a real
//! redsocks, towards a proxy that does as it is told.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cib_init::spawn::Ids;
use cib_init::sys::identity::act_as;
use cib_protocol::init::{Check, InitReply, InitRequest};
use cib_testkit::netns::Netns;
use cib_testkit::process::{Process, run};
use nix::sched::{CloneFlags, setns};

use crate::boxed::{Recipe, Running};
use crate::support::eventually;

const PROXY: &str = "198.51.100.1:1080";
/// Behind the proxy, as far as anybody here can tell.
const FAR: &str = "203.0.113.80:443";
const REDSOCKS: &str = "127.0.0.1:12345";
const CODER: u32 = 1000;
/// How long a connection may take that nobody lets through.
const IN_VAIN: Duration = Duration::from_secs(3);

/// Is ready and stays; its sockets are init's.
const RESOLVER: &str = "#!/bin/bash\ntrap 'exit 0' TERM\necho >&3\nexec 3>&-\n\
    while :; do sleep 0.05; done\n";

struct Lab {
    inside: Netns,
    _far: Netns,
    /// Whether the proxy refuses every target.
    refuses: Arc<AtomicBool>,
    recipe: Recipe,
}

impl Lab {
    fn new() -> Self {
        let (inside, far) = (Netns::new().unwrap(), Netns::new().unwrap());
        inside
            .join("198.51.100.2/24", &far, "198.51.100.1/24", "eth0")
            .unwrap();
        inside.ip("route add default via 198.51.100.1").unwrap();
        let refuses = Arc::new(AtomicBool::new(false));
        let listener = within(&far, 0, || TcpListener::bind(PROXY).unwrap());
        let told = Arc::clone(&refuses);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let refuses = Arc::clone(&told);
                std::thread::spawn(move || serve(client, refuses.load(Ordering::Relaxed)));
            }
        });
        let mut recipe = Recipe::new();
        recipe
            .set("CIB_PROXY_URL", &format!("socks5://{PROXY}"))
            .program("cib-resolver", RESOLVER);
        Self {
            inside,
            _far: far,
            refuses,
            recipe,
        }
    }

    fn start(&mut self) -> Running {
        let network = format!("--net={}", self.inside.path());
        let enter = ["nsenter", &network, "--"];
        self.recipe.start_in(&enter, &["/opt/box/cib-init", "box"])
    }

    fn rules(&self) -> String {
        self.nft(&["list", "ruleset"])
    }

    fn nft(&self, words: &[&str]) -> String {
        let mut command = self.inside.command("nft");
        command.args(words);
        run(command).unwrap()
    }
}

/// A SOCKS5 server without a password, for one client.
fn serve(mut client: TcpStream, refuses: bool) -> Option<()> {
    let mut offer = [0; 2];
    client.read_exact(&mut offer).ok()?;
    let mut methods = vec![0; offer[1].into()];
    client.read_exact(&mut methods).ok()?;
    client.write_all(&[5, 0]).ok()?;
    let mut request = [0; 10];
    client.read_exact(&mut request).ok()?;
    let reply = if refuses { 2 } else { 0 };
    client.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    if !refuses {
        client.write_all(b"far").ok()?;
    }
    Some(())
}

/// Does something in a namespace, with sockets that are this user's.
fn within<T: Send>(netns: &Netns, uid: u32, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(netns.path()).unwrap();
    std::thread::scope(|scope| {
        let done = scope.spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            let user = Ids {
                uid,
                gid: 0,
                groups: Vec::new(),
            };
            act_as(&user, work).unwrap()
        });
        done.join().unwrap()
    })
}

/// What a user of the box hears from the far side.
fn fetch(lab: &Lab, uid: u32) -> std::io::Result<String> {
    within(&lab.inside, uid, || {
        let far: SocketAddr = FAR.parse().unwrap();
        let mut stream = TcpStream::connect_timeout(&far, IN_VAIN)?;
        stream.set_read_timeout(Some(IN_VAIN))?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    })
}

fn health(running: &mut Running) -> Option<(bool, String)> {
    match running.ask(&InitRequest::Healthcheck {})? {
        InitReply::Health { healthy, detail } => Some((healthy, detail)),
        _ => None,
    }
}

fn checks(running: &mut Running) -> Vec<Check> {
    match running.ask(&InitRequest::EgressTest {}) {
        Some(InitReply::EgressTest { checks }) => checks,
        other => panic!("{other:?}"),
    }
}

fn service(name: &str) -> String {
    name.to_owned()
}

#[test]
fn a_box_that_ends_closes_the_way_and_never_opens_it_again() {
    let mut lab = Lab::new();
    let mut monitor = lab.inside.command("nft");
    monitor.arg("monitor");
    let monitor = Process::spawn(monitor).unwrap();
    // Whether each ruleset that was applied in a text leads to the proxy.
    let opens = |text: &str| -> Vec<bool> {
        let applied = text.split("add table inet cib\n").skip(1);
        applied
            .map(|rules| rules.contains("add set inet cib upstream4"))
            .collect()
    };
    for round in 0..10 {
        let mut running = lab.start();
        running.wait_until_up();
        // What the kernel tells is told in order: what came before this was before the end.
        let mark = |when: &str| {
            let name = format!("{when}{round}");
            lab.nft(&["add", "table", "inet", &name]);
            eventually("the monitor has heard", || {
                let heard = monitor.output();
                heard
                    .contains(&format!("add table inet {name}"))
                    .then_some(heard)
            })
        };
        let before = mark("before");
        assert!(
            opens(&before).contains(&true),
            "the box was open in round {round}"
        );
        assert_eq!(running.stop(), Some(0), "{}", running.said());
        let ended = opens(&mark("after")[before.len()..]);
        // Open for as long as it takes, and closed from then on.
        assert!(
            ended.last() == Some(&false) && ended.is_sorted_by(|one, next| one >= next),
            "round {round}: {ended:?} {}",
            running.said()
        );
        assert!(
            !running.said().contains("changed the rules"),
            "{}",
            running.said()
        );
        let rules = lab.rules();
        assert!(
            rules.contains("chain out") && !rules.contains("upstream4"),
            "{rules}"
        );
    }
}

#[test]
fn a_program_in_redsocks_place_hears_nothing_and_is_named_until_it_has_ended() {
    let mut lab = Lab::new();
    let mut running = lab.start();
    running.wait_until_up();
    eventually("the far side is heard", || {
        fetch(&lab, 1001).ok().filter(|said| said == "far")
    });

    let stop = InitRequest::ServiceStop {
        service: service("redsocks"),
    };
    assert_eq!(running.ask(&stop), Some(InitReply::Done));
    let squatter = within(&lab.inside, CODER, || TcpListener::bind(REDSOCKS).unwrap());
    squatter.set_nonblocking(true).unwrap();
    assert!(
        fetch(&lab, 1001).is_err(),
        "nobody hears before it is known either"
    );
    let restart = InitRequest::ServiceRestart {
        service: service("redsocks"),
    };
    assert_eq!(running.ask(&restart), Some(InitReply::Done));
    eventually("the stranger is named", || {
        let status = running.status()?;
        let named = |line: &&String| line.contains("uid 1000") && line.contains("12345");
        (status.phase == "degraded" && status.warnings.iter().any(|line| named(&line)))
            .then_some(())
    });
    eventually("the box is not well", || {
        (!health(&mut running)?.0).then_some(())
    });
    let claim = "redirected connections come to redsocks alone";
    let check = checks(&mut running)
        .into_iter()
        .find(|check| check.claim == claim);
    assert!(check.is_some_and(|check| !check.passed && check.detail.contains("uid 1000")));
    eventually("it is refused at once", || {
        let error = fetch(&lab, 1001).unwrap_err();
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    assert_ne!(running.service("redsocks").state, "ready");
    assert_eq!(squatter.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

    drop(squatter);
    eventually("all is well again", || {
        fetch(&lab, 1001).ok().filter(|said| said == "far")
    });
    eventually("and healthy", || health(&mut running)?.0.then_some(()));
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn the_resolvers_ports_are_nobodys_while_it_is_down() {
    let mut lab = Lab::new();
    let mut running = lab.start();
    running.wait_until_up();
    let stop = InitRequest::ServiceStop {
        service: service("resolver"),
    };
    assert_eq!(running.ask(&stop), Some(InitReply::Done));
    for address in [
        "127.0.0.1:5301",
        "127.0.0.1:5302",
        "0.0.0.0:5302",
        "[::1]:5302",
    ] {
        within(&lab.inside, CODER, || {
            let taken = TcpListener::bind(address).unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse, "tcp {address}");
            let taken = UdpSocket::bind(address).unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse, "udp {address}");
        });
    }
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_proxy_that_refuses_addresses_is_said_to_and_the_box_is_degraded() {
    let mut lab = Lab::new();
    lab.refuses.store(true, Ordering::Relaxed);
    let mut running = lab.start();
    let said = eventually("the box is not well", || {
        let (healthy, detail) = health(&mut running)?;
        (!healthy && detail.contains("refuses addresses")).then_some(detail)
    });
    assert!(
        said.contains("9.9.9.9") && said.contains("CIB_PROXY_PROBE"),
        "{said}"
    );
    let claim = "a connection by address gets through the upstream";
    let walked = |checks: Vec<Check>| checks.into_iter().find(|check| check.claim == claim);
    let check = walked(checks(&mut running)).unwrap();
    assert!(
        !check.passed && check.detail.contains("refuses addresses"),
        "{check:?}"
    );
    lab.refuses.store(false, Ordering::Relaxed);
    let check = walked(checks(&mut running)).unwrap();
    assert!(check.passed, "{check:?}");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_box_whose_way_is_not_to_be_walked_connects_to_nobody() {
    let mut lab = Lab::new();
    lab.refuses.store(true, Ordering::Relaxed);
    lab.recipe.set("CIB_PROXY_PROBE", "off");
    let mut running = lab.start();
    running.wait_until_up();
    let claims: Vec<_> = checks(&mut running)
        .into_iter()
        .map(|check| check.claim)
        .collect();
    assert!(
        !claims.iter().any(|claim| claim.contains("by address")),
        "{claims:?}"
    );
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_network_with_other_peoples_things_is_left_as_it_was_with_78() {
    let things = [
        ("bridge", "link add br0 type bridge"),
        ("pair", "link add one type veth peer name other"),
        ("listener", ""),
    ];
    for (thing, make) in things {
        let mut lab = Lab::new();
        let mut listener = None;
        if make.is_empty() {
            let bind = || TcpListener::bind("198.51.100.2:8000").unwrap();
            listener = Some(within(&lab.inside, 0, bind));
        } else {
            lab.inside.ip(make).unwrap();
        }
        let mut running = lab.start();
        assert_eq!(
            running.wait().code(),
            Some(78),
            "{thing}: {}",
            running.said()
        );
        running.says("CIB_NETWORK_SHARED=1");
        let said = running.said();
        assert!(said.contains(thing), "{thing}: {said}");
        assert_eq!(lab.rules(), "", "{thing}");

        lab.recipe.set("CIB_NETWORK_SHARED", "1");
        let mut running = lab.start();
        running.wait_until_up();
        assert_eq!(running.stop(), Some(0));
        drop(listener);
    }
}
