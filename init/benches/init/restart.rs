//! A service that was ready is killed: when does its next run begin?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::boxed::Recipe;
use crate::namespace::Namespace;
use crate::peers::Supervisor;
use crate::support::{eventually, pause, signal};
use crate::table::{median, ms, print, row};

const ROUNDS: usize = 7;
/// s6 starts at once only what was ready for longer than a second.
const SETTLED: Duration = Duration::from_secs(3);

/// Writes its number, says that it is ready, and stays.
fn script(dir: &Path) -> String {
    format!(
        "#!/bin/bash\necho $$ > {0}/new; mv {0}/new {0}/pid; echo >&3; exec -a measured sleep 600\n",
        dir.display()
    )
}

/// Kills the service again and again.
fn rounds(pid1: i32, dir: &Path) -> Vec<Duration> {
    let number = || {
        std::fs::read_to_string(dir.join("pid"))
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    (0..ROUNDS)
        .map(|_| {
            let before = eventually("the service runs", number);
            let settled = Instant::now();
            while settled.elapsed() < SETTLED {
                pause();
            }
            let victim = outside(pid1, before.trim());
            let killed = Instant::now();
            signal(victim, libc::SIGKILL);
            while number().as_ref() == Some(&before) {
                assert!(
                    killed.elapsed() < Duration::from_secs(30),
                    "it never came back"
                );
            }
            killed.elapsed()
        })
        .collect()
}

/// The number out here of a process of the namespace.
fn outside(pid1: i32, inner: &str) -> i32 {
    let mut queue = vec![pid1];
    while let Some(pid) = queue.pop() {
        let numbers = crate::support::status_field(pid, "NSpid").unwrap_or_default();
        if numbers.split_whitespace().last() == Some(inner) && pid != pid1 {
            return pid;
        }
        queue.extend(crate::support::children(pid.cast_unsigned()));
    }
    panic!("no process {inner}");
}

pub(crate) fn measure() {
    let mut rows = vec![row([&"supervisor", &"back after kill -9"])];
    let mut recipe = Recipe::new();
    let dir = recipe.folder("workspace");
    recipe.program("service", &script(Path::new("/workspace")));
    recipe.configure("[service.measured]\ncommand = [\"/opt/box/service\"]\nready = { fd = 3 }\n");
    let mut running = recipe.start();
    running.wait_until_up();
    let pid = running.pid();
    rows.push(row([&"cib-init box", &ms(median(&rounds(pid, &dir)))]));
    drop(running);
    for supervisor in Supervisor::ALL {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, script(dir.path())).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let namespace = Namespace::start(&supervisor.configure(dir.path(), &program));
        let took = median(&rounds(namespace.pid, dir.path()));
        rows.push(row([&supervisor.name(), &ms(took)]));
    }
    print(
        &format!("a service that was ready for 3 s, median of {ROUNDS}"),
        &rows,
    );
}
