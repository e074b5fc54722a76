//! From the exec of `/init` to a healthy box, step by step, and what PID 1 then holds.

use std::time::Duration;

use crate::idle::pss;
use crate::real::{Real, Way};
use crate::table::{median, ms, print, row};

const ROUNDS: usize = 20;
/// What a boot may take, without a proxy and with one.
const LIMITS: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(300)];
/// What PID 1 may hold.
const MEMORY: &str = "1.200 MB";

/// What the boots of one kind took.
#[derive(Default)]
struct Boots {
    whole: Vec<Duration>,
    /// In none of the steps: the program's own start, and the way of the answer.
    rest: Vec<Duration>,
    steps: Vec<(String, Vec<Duration>)>,
}

impl Boots {
    fn add(&mut self, boot: &Real) {
        let mut rest = boot.took;
        for step in &boot.status.steps {
            let took = Duration::from_micros(step.elapsed_us);
            rest = rest.saturating_sub(took);
            match self.steps.iter_mut().find(|(name, _)| *name == step.name) {
                Some((_, all)) => all.push(took),
                None => self.steps.push((step.name.clone(), vec![took])),
            }
        }
        self.rest.push(rest);
        self.whole.push(boot.took);
    }
}

pub(crate) fn measure() {
    let mut boots = [Boots::default(), Boots::default()];
    let mut memory = Vec::new();
    for round in 1..=ROUNDS {
        for (way, boots) in Way::ALL.into_iter().zip(&mut boots) {
            let mut real = Real::start(way);
            boots.add(&real);
            if round == ROUNDS {
                memory.push(pss(real.running.pid()));
            }
            real.running.stop();
        }
    }
    let [direct, proxy] = &boots;
    let line = |name: &str, one: &[Duration], other: &[Duration]| {
        row([&name, &ms(median(one)), &ms(median(other))])
    };
    let head = row([&"step", &"without a proxy", &"with one"]);
    let mut rows = vec![head];
    for ((name, one), (_, other)) in direct.steps.iter().zip(&proxy.steps) {
        rows.push(line(name, one, other));
    }
    rows.push(line("in no step", &direct.rest, &proxy.rest));
    rows.push(line("the whole", &direct.whole, &proxy.whole));
    rows.push(row([&"its limit", &ms(LIMITS[0]), &ms(LIMITS[1])]));
    print(
        &format!("from the exec of init to a healthy box, median of {ROUNDS}"),
        &rows,
    );

    let megabytes = |kilobytes: u64| {
        let bytes = kilobytes * 1024;
        format!("{}.{:03} MB", bytes / 1_000_000, bytes / 1000 % 1000)
    };
    let mut rows = vec![row([
        &"what runs",
        &"PSS, median",
        &"at most",
        &"its limit",
    ])];
    let running = ["control", "control, the resolver and redsocks"];
    for (what, held) in running.into_iter().zip(memory) {
        let most = held.iter().copied().max().unwrap();
        let (half, most) = (megabytes(median(&held)), megabytes(most));
        rows.push(row([&what, &half, &most, &MEMORY]));
    }
    print("PID 1 of an idle box", &rows);
}
