//! What an init adds to the start and end of a command.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::peers::{BARE, YARDSTICK, in_turn};
use crate::table::{median, print, row, us};

const PAIRS: usize = 300;

pub(crate) fn measure() {
    let mut overhead: Vec<Vec<i128>> = vec![Vec::new(); BARE.len()];
    let mut whole: Vec<Vec<Duration>> = vec![Vec::new(); BARE.len()];
    for round in 0..PAIRS {
        // In turn, so that a change of the machine's mood meets all of them.
        for (number, peer) in in_turn(round) {
            let bare = time(&["/bin/true"]);
            let mut words = peer.words.to_vec();
            words.push("/bin/true");
            let with = time(&words);
            whole[number].push(with);
            overhead[number].push(with.as_nanos().cast_signed() - bare.as_nanos().cast_signed());
        }
    }
    let medians: Vec<i128> = overhead.iter().map(|all| median(all)).collect();
    let yardstick = BARE
        .iter()
        .position(|peer| peer.name == YARDSTICK)
        .map(|n| medians[n])
        .unwrap();
    let mut rows = vec![row([&"init", &"whole", &"overhead", &"times tini's"])];
    for (number, peer) in BARE.iter().enumerate() {
        rows.push(row([
            &peer.name,
            &us(median(&whole[number])),
            &format!("{} us", medians[number] / 1000),
            &format!("{:.2}", medians[number] as f64 / yardstick as f64),
        ]));
    }
    print(
        &format!("`X -- /bin/true` against `/bin/true`, median of {PAIRS} pairs"),
        &rows,
    );
}

fn time(words: &[&str]) -> Duration {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = Instant::now();
    command.status().unwrap();
    began.elapsed()
}
