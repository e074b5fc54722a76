//! From SIGTERM to PID 1 until its command, and it itself, are gone.

use std::time::{Duration, Instant};

use crate::namespace::{Namespace, Watched};
use crate::peers::{BARE, YARDSTICK, in_turn};
use crate::support::{signal, status_field};
use crate::table::{median, print, row, us};

const ROUNDS: usize = 300;
const LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn measure() {
    let mut command: Vec<Vec<Duration>> = vec![Vec::new(); BARE.len()];
    let mut init = command.clone();
    for round in 0..ROUNDS {
        for (number, peer) in in_turn(round) {
            let mut words = peer.words.to_vec();
            words.extend(["sleep", "600"]);
            let namespace = Namespace::start(&words);
            let sleeper = namespace.find("sleep");
            asleep(sleeper);
            asleep(namespace.pid);
            let (child, first) = (Watched::new(sleeper), Watched::new(namespace.pid));
            let asked = Instant::now();
            signal(namespace.pid, libc::SIGTERM);
            command[number].push(child.gone(asked, LIMIT).unwrap());
            init[number].push(first.gone(asked, LIMIT).unwrap());
        }
    }
    let yardstick = BARE
        .iter()
        .position(|peer| peer.name == YARDSTICK)
        .map(|n| median(&command[n]))
        .unwrap();
    let mut rows = vec![row([
        &"init",
        &"command gone",
        &"init gone",
        &"times tini's",
    ])];
    for (number, peer) in BARE.iter().enumerate() {
        let gone = median(&command[number]);
        rows.push(row([
            &peer.name,
            &us(gone),
            &us(median(&init[number])),
            &format!("{:.2}", gone.as_secs_f64() / yardstick.as_secs_f64()),
        ]));
    }
    print(&format!("SIGTERM to PID 1, median of {ROUNDS}"), &rows);
}

/// Waits until a process waits for something itself.
fn asleep(pid: i32) {
    while status_field(pid, "State").is_some_and(|state| !state.starts_with('S')) {}
}
