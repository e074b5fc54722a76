//! What a session uses is told, and its limits on that end it by name: in real control groups
//! where the host has them, and without any.

use std::fs;

use cib_cgroup::Bounds;
use cib_protocol::keeper::KeeperReply;
use cib_protocol::limits::Resources;
use cib_protocol::session::State;
use cib_testkit::wait::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::groups::Groups;
use crate::keeper::{Keeper, Place, SOON, data};

/// Runs a test without a group, and once more in one, if this host can bound what it has to.
fn with_and_without_a_group(bounds: &Bounds, test: impl Fn(&Place, &str)) {
    let mut place = Place::new();
    place.options = ["--grace-ms", "600"].map(String::from).to_vec();
    test(&place, "without a group");
    let Some(groups) = Groups::new() else {
        return;
    };
    if let Some(group) = groups.around(&mut place, bounds) {
        test(&place, "in a group");
        wait_until(SOON, "an empty group", || {
            group.members().is_ok_and(|members| members.is_empty())
        });
    }
}

fn start(place: &Place, fake: &str, limits: Value) -> Keeper {
    let mut spec = place.spec(fake);
    spec["limits"] = limits;
    place.start(&spec)
}

/// Waits for the end of a session, which has to be for this reason, and leave nothing running.
#[track_caller]
fn ended_by(mut keeper: Keeper, limit: &str, case: &str) {
    assert_eq!(keeper.wait_exit(), 0, "{case}");
    let frames = keeper.frames();
    let stop = data(&frames, "stop").pop().unwrap();
    assert_eq!(stop["reason"], format!("limit {limit}"), "{case}");
    assert_eq!(stop["last"], true);
    let meta = keeper.meta();
    assert_eq!(meta.state, State::Stopped, "{case}");
    assert_eq!(meta.reason, Some(format!("limit {limit}")), "{case}");
    let resources = meta.resources;
    assert!(resources.cpu_ms.is_some() && resources.memory_peak.is_some());
    assert_eq!((resources.memory, resources.pids), (None, None), "{case}");
}

fn resources(keeper: &Keeper) -> Resources {
    match keeper.ask(&json!({"op": "status"})) {
        KeeperReply::Status(meta) => meta.resources,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_that_takes_more_memory_than_it_may_is_ended_and_says_so() {
    const MOST: u64 = 30_000_000;
    let bounds = Bounds {
        memory: Some(MOST),
        ..Bounds::default()
    };
    with_and_without_a_group(&bounds, |place, case| {
        for fake in ["eats", "swells"] {
            let keeper = start(place, fake, json!({"memory": MOST}));
            ended_by(keeper, "memory", &format!("{fake} {case}"));
        }
    });
}

#[test]
fn a_session_that_starts_more_processes_than_it_may_is_ended_and_says_so() {
    let bounds = Bounds {
        tasks: Some(20),
        ..Bounds::default()
    };
    with_and_without_a_group(&bounds, |place, case| {
        let keeper = start(place, "forks", json!({"pids": 20}));
        ended_by(keeper, "pids", case);
    });
}

#[test]
fn a_session_gets_no_more_cpus_than_it_may() {
    // Without a group a limit is of whole CPUs, so it is one here.
    let bounds = Bounds {
        cpu_milli: Some(300),
        ..Bounds::default()
    };
    with_and_without_a_group(&bounds, |place, case| {
        let (limit, most) = match case {
            "in a group" => (0.3, 0.5),
            _ => (1.0, 1.2),
        };
        let mut keeper = start(place, "spins", json!({"cpus": limit}));
        keeper.wait_state("idle");
        let cpus = wait_for(SOON, "CPUs in use", || {
            resources(&keeper).cpus.filter(|cpus| *cpus > 0.05)
        });
        assert!(
            cpus < most,
            "{case}: {cpus} CPUs are in use, {limit} allowed"
        );
        let claude = keeper.meta().claude_pid.unwrap();
        let status = fs::read_to_string(format!("/proc/{claude}/status")).unwrap();
        let allowed = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .unwrap();
        if case != "in a group" {
            let cpu: Result<u32, _> = allowed.trim().parse();
            assert!(cpu.is_ok(), "a single CPU: {allowed}");
        }
        keeper.ask(&json!({"op": "stop"}));
        assert_eq!(keeper.wait_exit(), 0);
    });
}

#[test]
fn what_a_session_uses_is_told_now_and_in_total_over_its_runs() {
    with_and_without_a_group(&Bounds::default(), |place, case| {
        let spec = place.spec("spins");
        let mut keeper = place.start(&spec);
        keeper.wait_state("idle");
        let now = wait_for(SOON, "a second of CPU time", || {
            let now = resources(&keeper);
            (now.cpu_ms? >= 1000 && now.cpus.is_some()).then_some(now)
        });
        assert!(now.cpus.unwrap() > 0.1, "{case}: {now:?}");
        // The keeper, Claude and its two children at least.
        assert!(now.pids.unwrap() >= 4, "{case}: {now:?}");
        assert!(now.memory.unwrap() > 500_000, "{case}: {now:?}");
        assert!(now.memory_peak >= now.memory, "{case}: {now:?}");
        keeper.input("a turn");
        keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
        assert_eq!(keeper.meta().last_turn.unwrap().input, 1);
        assert_eq!(keeper.meta().usage.input, 1);
        keeper.ask(&json!({"op": "stop"}));
        assert_eq!(keeper.wait_exit(), 0);
        let first = keeper.meta();

        let mut again = spec.clone();
        again["resume"] = json!({"claude_session": spec["id"]});
        again["env"]["FAKE"] = "echo".into();
        let mut resumed = place.start(&again);
        wait_until(SOON, "the second run", || {
            resumed.meta().state == State::Idle
        });
        resumed.input("another turn");
        wait_until(SOON, "the second turn", || resumed.meta().turns == 2);
        let second = resumed.meta();
        assert!(second.resources.cpu_ms >= first.resources.cpu_ms, "{case}");
        assert!(second.resources.memory_peak >= first.resources.memory_peak);
        assert_eq!(
            (second.last_turn.unwrap().input, second.usage.input),
            (1, 2)
        );
        resumed.ask(&json!({"op": "stop"}));
        assert_eq!(resumed.wait_exit(), 0);
    });
}
