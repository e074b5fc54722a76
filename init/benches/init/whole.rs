//! From the first instruction of `/init` to a box that says that it is up.

use std::time::Duration;

use crate::boxed::Recipe;
use crate::table::{median, ms, print, row};

const ROUNDS: usize = 20;

pub(crate) fn measure() {
    let mut up = Vec::new();
    let mut steps: Vec<(String, Vec<Duration>)> = Vec::new();
    for _ in 0..ROUNDS {
        let mut recipe = Recipe::new();
        let mut running = recipe.start();
        running.wait_until_up();
        running.says("the box is up after ");
        let said = running.said();
        let after = said.split("the box is up after ").nth(1).unwrap();
        let millis: u64 = after.split_whitespace().next().unwrap().parse().unwrap();
        up.push(Duration::from_millis(millis));
        for step in running.status().unwrap().steps {
            let took = Duration::from_micros(step.elapsed_us);
            match steps.iter_mut().find(|(name, _)| *name == step.name) {
                Some((_, all)) => all.push(took),
                None => steps.push((step.name, vec![took])),
            }
        }
        running.stop();
    }
    let mut rows = vec![row([&"step", &"took"])];
    for (name, took) in &steps {
        rows.push(row([name, &ms(median(took))]));
    }
    rows.push(row([&"the whole", &ms(median(&up))]));
    print(
        &format!(
            "boot without a proxy and with a control that is ready at once, median of {ROUNDS}"
        ),
        &rows,
    );
}
