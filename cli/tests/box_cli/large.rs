//! A large repository goes into a box about as fast as git clones it.

use std::time::{Duration, Instant};

use crate::stage::Stage;

/// What else runs on the machine may spoil one measurement, but not each of them.
const ROUNDS: usize = 3;

#[test]
fn a_large_repository_goes_in_in_half_as_much_again_as_git_takes_for_a_clone() {
    let stage = Stage::new();
    // 50,000 files and a gigabyte that does not compress.
    // Random bytes have no deltas to look for and nothing to compress; git would try for minutes.
    let make = "git config core.bigFileThreshold 1m; git config core.compression 0; \
                for d in $(seq 1 500); do mkdir d$d; for f in $(seq 1 100); do echo $d $f > d$d/f$f; done; done; \
                for b in $(seq 1 16); do head -c 64M /dev/urandom > big; git add -A; git commit -qm $b; done; \
                rm big; git commit -qam gone";
    stage.run("sh", &["-c", make]);
    let mut measured = Vec::new();
    for _ in 0..ROUNDS {
        let ((start, boot), clone) = (copied(&stage), cloned(&stage));
        measured.push(format!(
            "started in {start:?}, again in {boot:?}, cloned in {clone:?}"
        ));
        // Where it took no longer than without the copy, something else was measured.
        let copy = start.checked_sub(boot);
        if copy.is_some_and(|copy| copy.as_secs_f64() <= 1.5 * clone.as_secs_f64()) {
            return;
        }
    }
    panic!("{measured:?}");
}

fn cloned(stage: &Stage) -> Duration {
    let (here, there) = (stage.path(""), stage.home().join("clone"));
    let (here, there) = (here.display().to_string(), there.display().to_string());
    let begun = Instant::now();
    stage.run("git", &["clone", "-q", "--no-local", &here, &there]);
    let took = begun.elapsed();
    std::fs::remove_dir_all(there).unwrap();
    took
}

/// How long a box takes to start, and how long without the copy.
fn copied(stage: &Stage) -> (Duration, Duration) {
    let begun = Instant::now();
    let name = stage.start(&["--shell"]);
    let start = begun.elapsed();
    stage.good(&["stop", &name]);
    // What a box takes to come up is none of the copy's.
    let begun = Instant::now();
    stage.good(&["start", "--again", &name]);
    let boot = begun.elapsed();
    let files = stage.inside(&name, "git ls-files | wc -l");
    assert_eq!(files.trim(), "50004");
    stage.good(&["rm", "--force", &name]);
    (start, boot)
}
