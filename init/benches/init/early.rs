//! A SIGTERM in the first milliseconds of PID 1.

use std::time::{Duration, Instant};

use crate::namespace::{Namespace, Watched};
use crate::peers::{BARE, YARDSTICK, in_turn};
use crate::support::signal;
use crate::table::{print, row};

const ROUNDS: u32 = 300;
const WINDOW: Duration = Duration::from_millis(3);
/// Who has not ended by then never will.
const LOST: Duration = Duration::from_millis(500);

pub(crate) fn measure() {
    let mut lost = vec![0_u32; BARE.len()];
    for round in 0..ROUNDS {
        for (number, peer) in in_turn(round as usize) {
            let mut words = peer.words.to_vec();
            words.extend(["sleep", "600"]);
            let namespace = Namespace::start(&words);
            let began = Instant::now();
            let watched = Watched::new(namespace.pid);
            // Spread evenly, and the same moments for everybody.
            let moment = WINDOW * round / ROUNDS;
            while began.elapsed() < moment {}
            signal(namespace.pid, libc::SIGTERM);
            if watched.gone(Instant::now(), LOST).is_none() {
                lost[number] += 1;
            }
        }
    }
    let yardstick = BARE
        .iter()
        .position(|peer| peer.name == YARDSTICK)
        .map(|n| lost[n])
        .unwrap();
    let mut rows = vec![row([&"init", &"lost", &"times tini's"])];
    for (number, peer) in BARE.iter().enumerate() {
        rows.push(row([
            &peer.name,
            &format!(
                "{:.1} %",
                f64::from(lost[number]) * 100.0 / f64::from(ROUNDS)
            ),
            &format!("{:.2}", f64::from(lost[number]) / f64::from(yardstick)),
        ]));
    }
    let title = format!(
        "SIGTERM 0 to {} ms after PID 1 exists, {ROUNDS} rounds",
        WINDOW.as_millis()
    );
    print(&title, &rows);
}
