//! A box begins, says so, and ends.

use std::time::{Duration, Instant};

use cib_protocol::init::{InitReply, InitRequest};

use crate::boxed::{Recipe, TOKEN};
use crate::support::eventually;

#[test]
fn without_a_proxy_it_boots_is_healthy_and_ends_with_0() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    let status = running.wait_until_up().status().unwrap();
    assert_eq!(status.phase, "up");
    let names: Vec<&str> = status.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"read-config"), "{names:?}");
    for step in &status.steps {
        assert!(
            matches!(step.state.as_str(), "done" | "skipped"),
            "{step:?}"
        );
    }
    assert_eq!(status.services[0].name, "control");
    assert_eq!(status.services[0].state, "ready");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn control_runs_as_its_user_without_a_capability_and_without_the_token() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    let pid = running.service("control").pid.unwrap();
    let inner = running.inside(&format!("/proc/{pid}"));
    let status = std::fs::read_to_string(inner.join("status")).unwrap();
    let field = |name| crate::support::field_of(&status, name).unwrap();
    assert_eq!(field("Uid"), "970\t970\t970\t970");
    assert_eq!(field("Gid"), "970\t970\t970\t970");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    for file in ["environ", "cmdline"] {
        let bytes = std::fs::read(inner.join(file)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN), "{file}");
    }
}

#[test]
fn the_token_is_gone_from_pid_1s_own_environment_and_from_the_log() {
    let mut recipe = Recipe::new();
    recipe.program(
        "cib-control",
        &format!("#!/bin/bash\n/opt/box/answers & echo token={TOKEN}; echo >&3; exec sleep 600\n"),
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let environ = std::fs::read(running.inside("/proc/1/environ")).unwrap();
    assert!(String::from_utf8_lossy(&environ).contains("CIB_AUTH_TOKEN="));
    assert!(!String::from_utf8_lossy(&environ).contains(TOKEN));
    running.says("token=***");
    assert!(!running.said().contains(TOKEN));
}

#[test]
fn faults_are_all_said_at_once_with_78_and_nothing_is_changed() {
    let mut recipe = Recipe::new();
    recipe
        .set("CIB_AUTH_TOKEN", "short")
        .set("CIB_MODE", "sideways");
    recipe.configure("[service.web]\ncommand = []\ncolour = \"red\"\n");
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(78));
    running.says("nothing was changed");
    let said = running.said();
    for part in ["CIB_AUTH_TOKEN", "CIB_MODE", "test.toml", "colour"] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert!(!said.contains("short"), "the value is a secret: {said}");
    assert_eq!(std::fs::read_dir(recipe.folder("data")).unwrap().count(), 0);
}

#[test]
fn an_essential_service_that_is_given_up_ends_the_box_with_70() {
    let mut recipe = Recipe::new();
    recipe.configure(
        "[service.doomed]\ncommand = [\"/bin/sh\", \"-c\", \"echo goodbye; exit 3\"]\nready = { fd = 3 }\n\
         essential = true\nrestart_delay = \"10ms\"\ngive_up_after = 3\n",
    );
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(70));
    running.says("doomed");
    assert_eq!(running.said().matches("goodbye").count(), 3);
}

#[test]
fn what_is_killed_after_it_was_ready_is_back_at_once() {
    let mut recipe = Recipe::new();
    // It would be minutes until the next try of what does not work.
    recipe.configure(
        "[service.lasting]\nready = { fd = 3 }\nrestart_delay = \"5m\"\ncommand = [\"/bin/bash\", \
         \"-c\", \"echo >&3; exec 3>&-; while :; do sleep 0.05; done\"]\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let before = running.service("lasting");
    assert_eq!(before.state, "ready");
    let ready = Instant::now();
    eventually("it was ready for a while", || {
        (ready.elapsed() > Duration::from_millis(2500)).then_some(())
    });
    let victim = outer_pid(&mut running, before.pid.unwrap());
    crate::support::signal(victim, libc::SIGKILL);
    let now = eventually("it is back", || {
        let now = running.service("lasting");
        (now.state == "ready" && now.pid != before.pid).then_some(now)
    });
    assert_eq!(now.restarts, 1);
    assert_eq!(now.last_exit.as_deref(), Some("signal KILL"));
}

/// The number out here of a process of the box.
fn outer_pid(running: &mut crate::boxed::Running, inner: u32) -> i32 {
    let pid1 = running.pid().cast_unsigned();
    let found = crate::support::children(pid1).into_iter().find(|pid| {
        let field = crate::support::status_field(*pid, "NSpid").unwrap_or_default();
        field.split_whitespace().last() == Some(&inner.to_string())
    });
    found.expect("the process is there")
}

#[test]
fn daemons_that_services_left_are_asked_to_end_and_awaited() {
    let mut recipe = Recipe::new();
    recipe.configure(
        "[service.forker]\ncommand = [\"/bin/bash\", \"-c\", \"setsid bash -c 'trap \\\"sleep 0.3; echo gone > /workspace/gone; exit\\\" TERM; touch /workspace/up; while :; do sleep 0.05; done' & exec sleep 600\"]\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let workspace = recipe.folder("workspace");
    eventually("the daemon is up", || {
        workspace.join("up").exists().then_some(())
    });
    assert_eq!(running.stop(), Some(0));
    assert!(workspace.join("gone").exists(), "it was awaited");
}

#[test]
fn a_stubborn_box_ends_within_its_budget() {
    let mut recipe = Recipe::new();
    recipe.set("CIB_SHUTDOWN_TIMEOUT", "2");
    recipe.program(
        "cib-control",
        "#!/bin/bash\n/opt/box/answers &\ntrap '' TERM\necho >&3\nwhile :; do sleep 1; done\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let asked = Instant::now();
    assert_eq!(running.stop(), Some(0));
    // Less than where nothing is said.
    assert!(
        asked.elapsed() < Duration::from_secs(7),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_second_term_hurries() {
    let mut recipe = Recipe::new();
    recipe.set("CIB_SHUTDOWN_TIMEOUT", "60");
    recipe.configure(
        "[service.slow]\ncommand = [\"/bin/bash\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]\ngrace = 50\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let asked = Instant::now();
    running.signal(libc::SIGTERM);
    running.says("the box is ending");
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(40),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn under_another_init_it_says_so_and_works() {
    let mut recipe = Recipe::new();
    // `exec -a` gives the outer init a name that is not mistaken for the box.
    let mut running = recipe.start_with(&["bash", "-c", "/opt/box/cib-init box & wait $!"]);
    running.wait_until_up();
    running.says("not PID 1");
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn services_start_after_what_they_need_and_stop_before_it() {
    let mut recipe = Recipe::new();
    let service = |name: &str, needs: &str, ready: &str| {
        format!(
            "[service.{name}]\nneeds = [{needs}]\nready = {ready}\ncommand = [\"/bin/bash\", \"-c\", \
             \"trap 'echo {name}-stops; exit' TERM; echo {name}-starts; sleep 0.2; echo >&4; touch /tmp/{name}; \
             while :; do sleep 0.02; done\"]\n"
        )
    };
    recipe.configure(
        &[
            service("c", "\"b\"", "\"running\""),
            service("b", "\"a\"", "{ path = \"/tmp/b\" }"),
            service("a", "\"control\"", "{ fd = 4 }"),
        ]
        .concat(),
    );
    let mut running = recipe.start();
    running.wait_until_up();
    running.says("c-starts");
    assert_eq!(running.stop(), Some(0));
    running.says("a-stops");
    let said = running.said();
    let order = [
        "a-starts", "b-starts", "c-starts", "c-stops", "b-stops", "a-stops",
    ];
    let places: Vec<usize> = order.iter().map(|word| said.find(word).unwrap()).collect();
    assert!(places.is_sorted(), "{said}");
}

#[test]
fn a_stranger_may_look_and_not_touch() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    let pid = running.pid().to_string();
    let as_coder = |words: &[&str]| {
        let output = std::process::Command::new("nsenter")
            .args([
                "-t", &pid, "-m", "-p", "--root", "--wdns=/", "setpriv", "--reuid", "1000",
                "--regid", "1000",
            ])
            .args(["--clear-groups", "/opt/box/cib-init"])
            .args(words)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(as_coder(&["healthcheck"]).0, Some(0));
    assert_eq!(as_coder(&["status"]).0, Some(0));
    let (code, said) = as_coder(&["svc", "stop", "control"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("only root and cib may change the box"),
        "{said}"
    );
    assert_eq!(running.service("control").state, "ready");
}

#[test]
fn a_stopped_service_stays_down_until_it_is_started() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    let service = || "control".to_owned();
    assert_eq!(
        running.ask(&InitRequest::ServiceStop { service: service() }),
        Some(InitReply::Done)
    );
    assert_eq!(running.service("control").state, "down");
    assert_eq!(
        running.ask(&InitRequest::ServiceStart { service: service() }),
        Some(InitReply::Done)
    );
    assert_eq!(running.service("control").state, "ready");
}

#[test]
fn a_boot_that_takes_long_can_be_looked_at() {
    let mut recipe = Recipe::new();
    recipe.set("CIB_SETUP_COMMANDS", "until [ -e go ]; do sleep 0.02; done");
    let workspace = recipe.folder("workspace");
    let mut running = recipe.start();
    let status = eventually("the setup command runs", || {
        let status = running.status()?;
        let setup = status.steps.iter().find(|step| step.name == "setup")?;
        (setup.state == "running").then_some(status)
    });
    assert_eq!(status.phase, "booting");
    let state = |name| {
        let step = status.steps.iter().find(|step| step.name == name);
        step.map(|step| step.state.as_str())
    };
    assert_eq!(state("read-config"), Some("done"));
    assert_eq!(state("control"), Some("pending"));
    let health = running.ask(&InitRequest::Healthcheck {});
    let detail = "the box is booting".to_owned();
    assert_eq!(
        health,
        Some(InitReply::Health {
            healthy: false,
            detail
        })
    );
    std::fs::write(workspace.join("go"), "").unwrap();
    running.wait_until_up();
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn the_apis_port_and_its_health_are_held_before_any_program_of_coders_runs() {
    let mut recipe = Recipe::new();
    // A setup command that could listen there would wait for the owner's token.
    recipe.set(
        "CIB_SETUP_COMMANDS",
        "! perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(Listen => 1, LocalPort => 8080)'",
    );
    recipe.program(
        "cib-control",
        "#!/bin/bash\n/opt/box/answers &\nfor fd in 4 5; do echo \"$fd is $(readlink /proc/self/fd/$fd)\"; done\n\
         stat -c '%a %U:%G' /run/cib/control /run/cib/control/*\ntrap 'exit 0' TERM\necho >&3\n\
         while :; do sleep 0.05; done\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    running.says("4 is socket:");
    running.says("5 is socket:");
    running.says("750 root:cib");
    running.says("640 root:cib");
    running.says("660 root:cib");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn control_is_told_how_the_log_is_written() {
    let mut recipe = Recipe::new();
    recipe.set("CIB_LOG", "json").set("CIB_LOG_LEVEL", "debug");
    recipe.program(
        "cib-control",
        "#!/bin/bash\n/opt/box/answers &\necho \"$*\"\ntrap 'exit 0' TERM\necho >&3\nwhile :; do sleep 0.05; done\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    running.says("--log json");
    running.says("--log-level debug");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_service_has_the_grace_that_it_asks_for_where_the_box_has_the_time() {
    let mut recipe = Recipe::new();
    recipe.set("CIB_SHUTDOWN_TIMEOUT", "30");
    // Longer than the eight seconds of a box that was told nothing would leave it.
    recipe.configure(
        "[service.slow]\ngrace = \"20s\"\ncommand = [\"/bin/bash\", \"-c\", \"trap 'sleep 4; \
         echo flushed > /workspace/flushed; exit' TERM; echo listens; while :; do sleep 0.02; done\"]\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    running.says("slow      listens");
    assert_eq!(running.stop(), Some(0));
    assert!(recipe.folder("workspace").join("flushed").exists());
}

#[test]
fn a_box_that_is_quiet_holds_a_fraction_of_its_program() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    let rollup = format!("/proc/{}/smaps_rollup", running.pid());
    let of_files = || {
        let rollup = std::fs::read_to_string(&rollup).ok()?;
        let kib = |name| -> Option<u64> {
            let field = crate::support::field_of(&rollup, name)?;
            field.trim_end_matches(" kB").parse().ok()
        };
        Some(kib("Rss")? - kib("Anonymous")?)
    };
    let busy = of_files().unwrap();
    eventually("pages are given back", || {
        (of_files()? < busy / 2).then_some(())
    });
    // And come back for whoever asks.
    assert_eq!(running.status().unwrap().phase, "up");
    assert_eq!(running.stop(), Some(0));
}
