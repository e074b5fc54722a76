//! A plain terminal: the user's shell under a keeper.

use std::path::Path;

use cib_protocol::keeper::KeeperFault;
use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::{Program, State};
use cib_testkit::wait::{wait_for, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::keeper::{Keeper, Place, SOON, data, is_alive};

fn start(place: &Place, more: &Value) -> Keeper {
    let mut spec = place.spec("");
    spec["program"] = "shell".into();
    spec["env"] = json!({"PS1": "$ "});
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let keeper = place.start(&spec);
    keeper.wait_state("idle");
    keeper
}

pub(crate) fn type_in(keeper: &Keeper, text: &str) {
    let data = cib_session::base64::encode(text.as_bytes());
    let reply = keeper.ask(&json!({"op": "raw", "data": data}));
    assert_eq!(reply, KeeperReply::Done);
}

/// Everything that the terminal has shown.
fn shown(keeper: &Keeper) -> String {
    let bytes: Vec<u8> = data(&keeper.frames(), "pty.raw")
        .iter()
        .flat_map(|raw| cib_session::base64::decode(raw["data"].as_str().unwrap()).unwrap())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[track_caller]
pub(crate) fn wait_shown(keeper: &Keeper, text: &str) {
    wait_until(SOON, &format!("{text:?} on the terminal"), || {
        shown(keeper).contains(text)
    });
}

#[test]
fn a_shell_is_typed_into_and_its_output_is_in_the_journal() {
    let place = Place::new();
    let mut shell = start(&place, &json!({"title": "by hand", "size": [91, 17]}));
    type_in(&shell, "echo a$((40+2))b; pwd; stty size; echo $TERM\r");
    wait_shown(&shell, "a42b");
    wait_shown(&shell, &place.path("work").display().to_string());
    wait_shown(&shell, "17 91");
    wait_shown(&shell, "xterm-256color");
    let reply = shell.ask(&json!({"op": "resize", "cols": 70, "rows": 20}));
    assert_eq!(reply, KeeperReply::Done);
    type_in(&shell, "stty size\r");
    wait_shown(&shell, "20 70");
    let sizes = data(&shell.frames(), "pty.size");
    assert_eq!(sizes.last().unwrap(), &json!({"cols": 70, "rows": 20}));
    let resize = json!({"op": "resize", "cols": 71, "rows": 20});
    let told = json!({"op": "as", "by": "ann", "request": resize});
    assert_eq!(shell.ask(&told), KeeperReply::Done);
    assert_eq!(shell.ask(&told), KeeperReply::Done);
    let more = data(&shell.frames(), "pty.size");
    assert_eq!(more.len(), sizes.len() + 1);
    assert_eq!(
        more.last().unwrap(),
        &json!({"cols": 71, "rows": 20, "by": "ann"})
    );
    assert_eq!(shell.meta().program, Program::Shell);
    assert_eq!(shell.meta().claude_session, None);
    type_in(&shell, "exit 3\r");
    assert_eq!(shell.wait_exit(), 0);
    let meta = shell.meta();
    assert_eq!(meta.state, State::Stopped);
    assert_eq!(meta.reason.as_deref(), Some("exit 3"));
    assert_eq!(meta.exit_code, Some(3));
    assert_eq!(meta.last_seq, shell.frames().len() as u64);
    assert_eq!(meta.title.as_deref(), Some("by hand"));
}

#[test]
fn a_shell_refuses_what_only_claude_understands_and_goes_on() {
    let place = Place::new();
    let shell = start(&place, &json!({}));
    for request in [
        json!({"op": "input", "text": "hello"}),
        json!({"op": "interrupt"}),
        json!({"op": "set_model", "model": "m"}),
        json!({"op": "set_driver", "driver": "stream"}),
        json!({"op": "answer", "id": "q", "answers": {}}),
    ] {
        let KeeperReply::Refused { code, .. } = shell.ask(&request) else {
            panic!("{request} was accepted");
        };
        assert_eq!(code, KeeperFault::WrongDriver, "{request}");
    }
    for request in [
        json!({"op": "raw", "data": "no base64"}),
        json!({"op": "resize", "cols": 0, "rows": 1}),
    ] {
        let KeeperReply::Refused { code, .. } = shell.ask(&request) else {
            panic!("{request} was accepted");
        };
        assert_eq!(code, KeeperFault::BadRequest, "{request}");
    }
    type_in(&shell, "echo still$((1))\r");
    wait_shown(&shell, "still1");
}

#[test]
fn ending_a_shell_ends_its_jobs_also_those_that_do_not_want_to() {
    let place = Place::new();
    let mut shell = start(&place, &json!({}));
    let file = place.path("pid");
    let command = format!(
        "setsid sh -c 'trap \"\" HUP TERM; echo $$ > {}.new; mv {0}.new {0}; while :; do sleep 1; done' &\r",
        file.display()
    );
    type_in(&shell, &command);
    let pid = wait_for(SOON, "the job's process id", || pid(&file));
    assert!(is_alive(pid));
    assert_eq!(shell.ask(&json!({"op": "stop"})), KeeperReply::Done);
    assert_eq!(shell.wait_exit(), 0);
    assert_eq!(shell.meta().state, State::Stopped);
    assert_eq!(shell.meta().reason.as_deref(), Some("exit"));
    assert!(!is_alive(pid), "a job outlived its shell");
}

#[test]
fn a_shell_that_has_reached_its_duration_ends_and_says_so() {
    let place = Place::new();
    let mut shell = start(&place, &json!({"limits": {"max_duration": 1}}));
    assert_eq!(shell.wait_exit(), 0);
    let stop = data(&shell.frames(), "stop").pop().unwrap();
    assert_eq!(stop["reason"], "limit max_duration");
}

#[test]
fn a_shell_whose_keeper_is_killed_goes_with_it() {
    let place = Place::new();
    let shell = start(&place, &json!({}));
    let file = place.path("pid");
    type_in(&shell, &format!("echo $$ > {}\r", file.display()));
    let pid = wait_for(SOON, "the shell's process id", || pid(&file));
    shell.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "the shell's end", || !is_alive(pid));
    assert_eq!(place.finish(shell.id), 0);
    assert_eq!(shell.meta().state, State::Interrupted);
}

fn pid(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
