//! The way out beside none and beside redsocks as every guide sets it up, in one run on one
//! machine, so that what the machine does to one it does to the others. Losses stay in the
//! tables.
//!
//! ```text
//! cargo bench -p cib-redsocks --bench egress            # everything, some minutes
//! cargo bench -p cib-redsocks --bench egress -- bulk    # one measurement
//! ```
//!
//! Needs root and, from Debian, nftables, redsocks, dante-server and iproute2. The box and the
//! world are two network namespaces; the rules, the redirector and its configuration are those
//! that init brings up.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for a terminal, whose only answer to a failed measurement is to stop"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/host_egress/lab.rs"]
mod lab;
mod load;
mod way;

use std::fmt::Write as _;
use std::time::Duration;

use lab::Lab;
use load::{Load, World};
use way::{Running, Way};

/// Each way is measured so often, in turn, so that a busy moment hits all of them.
const ROUNDS: usize = 9;
/// Of one download.
const BULK: u64 = 512 << 20;
/// Of a small answer: what an API sends before it begins to think.
const SMALL: u64 = 256;
/// Small requests a round, one after the other.
const REQUESTS: usize = 300;
/// And from so many clients at once.
const CLIENTS: usize = 50;
const REQUESTS_OF_CLIENTS: usize = 1500;
/// From the box to the proxy and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);
const FIRST_BYTES: usize = 5;

/// What one way came to in one round, by measurement.
type Figure = f64;

struct Measurement {
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    more_is_better: bool,
    take: fn(&Lab, &Running, &World) -> Figure,
}

const ALL: [Measurement; 5] = [
    Measurement {
        name: "bulk",
        what: "one download",
        unit: "Gbit/s",
        more_is_better: true,
        take: |lab, _, world| {
            let took = load::fetch(lab, world.near, BULK).whole;
            gigabits(BULK) / took.as_secs_f64()
        },
    },
    Measurement {
        name: "sequential",
        what: "small requests, one after the other",
        unit: "requests/s",
        more_is_better: true,
        take: |lab, _, world| {
            let took = load::sequential(lab, world.near, SMALL, REQUESTS);
            count(REQUESTS) / took.as_secs_f64()
        },
    },
    Measurement {
        name: "concurrent",
        what: "small requests, 50 at once",
        unit: "requests/s",
        more_is_better: true,
        take: |lab, _, world| {
            let load = Load {
                clients: CLIENTS,
                requests: REQUESTS_OF_CLIENTS,
                bytes: SMALL,
            };
            let took = load.run(lab, world.near);
            count(REQUESTS_OF_CLIENTS) / took.as_secs_f64()
        },
    },
    Measurement {
        name: "first-byte",
        what: "time to the first byte at a round trip of 40 ms",
        unit: "ms",
        more_is_better: false,
        take: |lab, _, world| {
            let times: Vec<f64> = (0..FIRST_BYTES)
                .map(|_| load::fetch(lab, world.far, SMALL).first.as_secs_f64() * 1000.0)
                .collect();
            median(times)
        },
    },
    Measurement {
        name: "cpu",
        what: "processor time of the redirector for a GiB",
        unit: "s",
        more_is_better: false,
        take: |lab, running, world| {
            let before = running.processor_time();
            let _ = load::fetch(lab, world.near, 2 * BULK);
            let used = running.processor_time().saturating_sub(before);
            used.as_secs_f64() * f64::from(1_u32 << 30) / bytes(2 * BULK)
        },
    },
];

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let unknown = |word: &&String| ALL.iter().all(|m| m.name != **word);
    if let Some(word) = wanted.iter().find(unknown) {
        println!("no measurement is called {word}");
        std::process::exit(64);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("load before: {}", load.trim());
    let lab = Lab::new();
    let world = World::new(&lab, ROUND_TRIP);
    let upstreams = way::Upstreams::start(&lab);
    let mut table = String::from(
        "\n| measured | direct | redsocks, rules that only redirect | the box | box : redsocks | \
         box : direct |\n|---|---|---|---|---|---|\n",
    );
    for measurement in &ALL {
        if wanted.is_empty() || wanted.iter().any(|word| word == measurement.name) {
            table.push_str(&row(measurement, &lab, &world, &upstreams));
        }
    }
    println!("{table}");
}

/// One measurement of every way, as a row.
fn row(measurement: &Measurement, lab: &Lab, world: &World, upstreams: &way::Upstreams) -> String {
    let mut figures: [Vec<Figure>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for (way, figures) in Way::ALL.iter().zip(&mut figures) {
            let running = way.start(lab, upstreams, measurement.name == "first-byte");
            let figure = (measurement.take)(lab, &running, world);
            // The first round warms caches up.
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    let [direct, bare, own] = figures.map(median);
    let ratio = |to: f64| {
        if to == 0.0 {
            return "-".to_owned();
        }
        let ratio = own / to;
        let verdict = match (measurement.more_is_better, ratio) {
            (true, ..0.95) | (false, 1.05..) => " (a loss)",
            _ => "",
        };
        format!("{ratio:.2}{verdict}")
    };
    let direct_shown = if measurement.name == "cpu" {
        "-".to_owned()
    } else {
        shown(direct)
    };
    let mut row = String::new();
    let _ = writeln!(
        row,
        "| {}, {} | {direct_shown} | {} | {} | {} | {} |",
        measurement.what,
        measurement.unit,
        shown(bare),
        shown(own),
        ratio(bare),
        ratio(if measurement.name == "cpu" {
            0.0
        } else {
            direct
        }),
    );
    row
}

fn shown(figure: f64) -> String {
    if figure >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn gigabits(bytes_: u64) -> f64 {
    bytes(bytes_) * 8.0 / 1e9
}

/// Exact up to 2 to the power of 53.
#[expect(clippy::cast_precision_loss, reason = "a few gigabytes at most")]
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

fn count(count: usize) -> f64 {
    bytes(count as u64)
}
