//! The agent as the adversary: everything that it can try with its own rights, in every state
//! of a box whose PID 1, control and keepers are the real ones. Needs root; fails without.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panic and shows what its box said, helpers included"
)]

#[path = "../host_init/boxed.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod boxed;
mod cage;
#[path = "../host_init/support.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::io::Write;

use cib_testkit::attack::{Cage, Matrix, plants};

use crate::cage::{Caged, a_box};
use crate::support::eventually;

/// A service that takes its time to stop, so that there is a shutdown to look at.
const SLOW: &str = r#"
[service.slow]
command = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
grace = "110s"
"#;

#[test]
fn nothing_that_the_agent_tries_changes_anything_beyond_its_own_world() {
    let mut recipe = a_box();
    recipe.configure(SLOW).set("CIB_SHUTDOWN_TIMEOUT", "240");
    let mut cage = Caged::start(&mut recipe);
    let mut matrix = Matrix::default();
    let aim = cage.aim();
    matrix.column("up", &mut cage, &aim);

    cage.restart_control();
    matrix.column("after a restart", &mut cage, &aim);

    cage.begin_to_end();
    matrix.column("shutting down", &mut cage, &aim);

    // Past the harness's capture: the table is wanted from a run that passes as well.
    std::io::stderr()
        .write_all(matrix.table().as_bytes())
        .unwrap();
    assert!(matrix.effects().is_empty(), "{:#?}", matrix.effects());
}

#[test]
fn a_box_comes_up_and_works_whatever_the_agent_left_in_its_own_folders() {
    let mut recipe = a_box();
    for plant in plants() {
        let mut cage = Caged::start(&mut recipe);
        let mut words = vec!["attack".to_owned(), plant.name.to_owned()];
        words.extend(cage.aim().arguments());
        let output = cage.as_agent(&words).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", plant.name);
        let harm = cage.harm();
        assert!(harm.is_empty(), "{}: {harm:?}", plant.name);
        cage.open_shell();
        assert_eq!(cage.running.stop(), Some(0), "{}", plant.name);
    }
    let cage = Caged::start(&mut recipe);
    drop(cage);
}

#[test]
fn nothing_of_the_agents_outlives_its_box() {
    let mut recipe = a_box();
    let mut cage = Caged::start(&mut recipe);
    let words = ["attack", "deaf-daemon"].map(str::to_owned);
    assert!(cage.as_agent(&words).status().unwrap().success());
    eventually("the daemon runs", || {
        cage.has_process("redsocks\x00600").then_some(())
    });
    assert_eq!(cage.running.stop(), Some(0));
}
