//! Services that die at random while clients of every kind hammer the control socket.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cib_init::socket::client::ask;
use cib_protocol::init::{InitReply, InitRequest};

use crate::boxed::{Recipe, Running};
use crate::support::{children, eventually, field_of, pause};

const STORM: Duration = Duration::from_secs(60);
/// Time in which buffers and tables reach the size that they need.
const WARM_UP: Duration = Duration::from_secs(10);
const SERVICES: usize = 10;

/// Becomes ready or not, leaves an orphan now and then, and dies by itself or by a signal.
fn service(number: usize) -> String {
    format!(
        "[service.storm-{number}]\nready = {{ fd = 4 }}\nready_timeout = \"1s\"\nrestart_delay = \"20ms\"\n\
         restart_delay_max = \"200ms\"\ngive_up_after = 0\ngrace = \"500ms\"\ncommand = [\"/usr/bin/perl\", \"-e\", '''\n\
         print \"up\\n\"; if (rand() < 0.8) {{ open(my $r, '>&=', 4); syswrite($r, \"\\n\") }}\n\
         if (rand() < 0.3 && !fork) {{ fork; select(undef, undef, undef, rand(0.3)); exit 0 }}\n\
         select(undef, undef, undef, rand(0.8)); kill 9, $$ if rand() < 0.5; exit int rand 3;\n''']\n"
    )
}

/// What a client does in one go; each comes back to a socket that still works.
fn misbehave(socket: &Path, turn: u64) {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = stream.set_write_timeout(Some(Duration::from_secs(2)));
    let mut answer = [0; 512];
    match turn % 6 {
        0 => drop(stream.write_all(b"not json\n")),
        1 => drop(stream.write_all(&vec![b'['; 200_000])),
        2 => drop(stream.write_all(b"{\"op\":\"status\"")),
        3 => drop(stream.write_all(b"{\"op\":\"status\"}\n{\"op\":\"status\"}\n{\"op\":\"heal")),
        4 => drop(stream.write_all(b"{\"op\":\"logs\",\"service\":\"\xff\",\"lines\":7}\n")),
        _ => {}
    }
    if !turn.is_multiple_of(6) {
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut answer);
    }
}

fn behave(socket: &Path, turn: u64) -> bool {
    let service = format!("storm-{}", turn as usize % SERVICES);
    let request = match turn % 7 {
        0 => InitRequest::ServiceRestart { service },
        1 if turn.is_multiple_of(3) => InitRequest::ServiceStop { service },
        2 => InitRequest::Logs { service, lines: 10 },
        3 => InitRequest::Healthcheck {},
        _ => InitRequest::Status {},
    };
    ask(socket, &request, Duration::from_secs(20)).is_ok()
}

/// What must not grow.
#[derive(Debug)]
struct Size {
    descriptors: usize,
    kib: u64,
}

fn size(pid: i32) -> Size {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let anonymous = field_of(&rollup, "Anonymous").unwrap();
    Size {
        descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count(),
        kib: anonymous.trim_end_matches(" kB").trim().parse().unwrap(),
    }
}

/// Processes of the box whose parent is PID 1, by their numbers in the box, and zombies.
fn family(pid: i32) -> (BTreeSet<u32>, usize) {
    let mut zombies = 0;
    let mut inner = BTreeSet::new();
    for child in children(pid.cast_unsigned()) {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{child}/status")) else {
            continue;
        };
        if field_of(&status, "State").is_some_and(|state| state.starts_with('Z')) {
            zombies += 1;
        }
        let numbers = field_of(&status, "NSpid").unwrap_or_default();
        inner.extend(
            numbers
                .split_whitespace()
                .last()
                .and_then(|n| n.parse::<u32>().ok()),
        );
    }
    (inner, zombies)
}

#[test]
fn nothing_leaks_in_a_storm_and_status_tells_the_truth_after_it() {
    let mut recipe = Recipe::new();
    recipe.configure(&(0..SERVICES).map(service).collect::<String>());
    let mut running = recipe.start();
    eventually("control is up", || {
        let status = running.status()?;
        let control = status
            .services
            .iter()
            .find(|service| service.name == "control")?;
        (control.state == "ready").then_some(())
    });
    let before = running.service("control").pid;
    let (answered, restarts) = storm(&mut running);
    assert!(answered > 500, "the clients were served: {answered}");
    assert!(restarts > 200, "the services died: {restarts}");
    assert_eq!(
        running.service("control").pid,
        before,
        "control was left alone"
    );
    calm_and_true(&mut running);
    assert_eq!(running.stop(), Some(0));
}

/// Lets it rage; how many requests were answered and how many runs were started again.
fn storm(running: &mut Running) -> (u64, u64) {
    let pid = running.pid();
    let socket: PathBuf = running.inside("/run/cib/init.sock");
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4_u64)
        .map(|client| {
            let (socket, over, answered) =
                (socket.clone(), Arc::clone(&over), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut turn = client;
                while !over.load(Ordering::Relaxed) {
                    turn += 4;
                    if client.is_multiple_of(2) {
                        misbehave(&socket, turn / 4);
                    } else if behave(&socket, turn / 4) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    pause();
                }
            })
        })
        .collect();
    let began = Instant::now();
    let mut early = None;
    let mut stopped = 0_usize;
    while began.elapsed() < STORM {
        if early.is_none() && began.elapsed() > WARM_UP {
            early = Some(size(pid));
        }
        // What a client stopped is started again, so that the storm goes on.
        let service = format!("storm-{}", stopped % SERVICES);
        stopped += 1;
        if running.service(&service).state == "down" {
            let socket = socket.clone();
            std::thread::spawn(move || {
                let start = InitRequest::ServiceStart { service };
                ask(&socket, &start, Duration::from_secs(20))
            });
        }
        for _ in 0..50 {
            pause();
        }
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let early = early.unwrap();
    eventually("connections are closed", || {
        (size(pid).descriptors <= early.descriptors + 8).then_some(())
    });
    let late = size(pid);
    assert!(
        late.kib <= early.kib + early.kib / 4 + 128,
        "memory grew: {early:?} {late:?}"
    );
    let restarts = running
        .status()
        .unwrap()
        .services
        .iter()
        .map(|service| service.restarts)
        .sum();
    (answered.load(Ordering::Relaxed), restarts)
}

/// Stops the services, and compares what `status` says with what there is.
fn calm_and_true(running: &mut Running) {
    let pid = running.pid();
    for number in 0..SERVICES {
        let service = format!("storm-{number}");
        let reply = running.ask(&InitRequest::ServiceStop { service });
        assert_eq!(reply, Some(InitReply::Done));
    }
    eventually("only control is left, and no zombie", || {
        let status = running.status()?;
        let told: BTreeSet<u32> = status
            .services
            .iter()
            .filter_map(|service| service.pid)
            .collect();
        let (there, zombies) = family(pid);
        (there == told && told.len() == 1 && zombies == 0).then_some(())
    });
    for service in running.status().unwrap().services {
        let expected = if service.name == "control" {
            "ready"
        } else {
            "down"
        };
        assert_eq!(service.state, expected, "{service:?}");
    }
}
