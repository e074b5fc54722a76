//! PID 1 that has nothing to do: wake-ups and memory.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::boxed::Recipe;
use crate::namespace::Namespace;
use crate::peers::{BARE, Supervisor};
use crate::support::{field_of, pause, status_field};
use crate::table::{print, row};

const SETTLE: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(20);

/// Proportional set size of a process that has come to rest, in kilobytes of 1024 bytes, again
/// and again: what looks after the proxy wakes up every five seconds.
pub(crate) fn pss(pid: i32) -> Vec<u64> {
    rest(SETTLE);
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed() < WATCHED {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let pss = field_of(&rollup, "Pss").unwrap();
        samples.push(pss.split(' ').next().unwrap().parse().unwrap());
        rest(BETWEEN);
    }
    samples
}

fn rest(span: Duration) {
    let began = Instant::now();
    while began.elapsed() < span {
        pause();
    }
}

fn line(name: &str, pid: i32) -> Vec<String> {
    rest(SETTLE);
    let wakeups = || -> f64 {
        status_field(pid, "voluntary_ctxt_switches")
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = wakeups();
    rest(WATCHED);
    let rate = (wakeups() - before) / WATCHED.as_secs_f64();
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name| field_of(&rollup, name).unwrap();
    let threads = status_field(pid, "Threads").unwrap();
    row([
        &name,
        &format!("{rate:.1}"),
        &field("Rss"),
        &field("Pss"),
        &field("Anonymous"),
        &threads,
    ])
}

pub(crate) fn measure() {
    let mut rows = vec![row([
        &"init",
        &"wake-ups a second",
        &"RSS",
        &"PSS",
        &"anonymous",
        &"threads",
    ])];
    for peer in BARE {
        let mut words = peer.words.to_vec();
        words.extend(["sleep", "600"]);
        let namespace = Namespace::start(&words);
        rows.push(line(peer.name, namespace.pid));
    }
    let mut recipe = Recipe::new();
    recipe.configure("[service.measured]\ncommand = [\"sleep\", \"600\"]\n");
    let mut running = recipe.start();
    running.wait_until_up();
    let pid = running.pid();
    rows.push(line("cib-init box", pid));
    drop(running);
    for supervisor in Supervisor::ALL {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let namespace = Namespace::start(&supervisor.configure(dir.path(), &program));
        rows.push(line(supervisor.name(), namespace.pid));
    }
    print("PID 1 with one sleeping child", &rows);
}
