//! Ten thousand orphans that die at once.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::boxed::Recipe;
use crate::namespace::Namespace;
use crate::peers::{BARE, Supervisor};
use crate::support::{children, eventually, pause};
use crate::table::{median, ms, print, row};

const ORPHANS: usize = 10_000;
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(25);

/// Makes the orphans, who live as long as a pipe does; says so by a file; lets go when
/// somebody opens the other end of `go`.
fn storm(dir: &Path) -> String {
    format!(
        "#!/usr/bin/perl\nuse POSIX; POSIX::dup2(1, 3) unless -e '/proc/self/fd/3'; \
         pipe(my $r, my $w); my $n = 0;\n\
         for (1..100) {{ if (!fork) {{ for (1..{}) {{ if (!fork) {{ close $w; sysread($r, my $x, 1); POSIX::_exit(0) }} }} POSIX::_exit(0) }} wait }}\n\
         open(my $up, '>', '{1}/up'); close $up; syswrite(STDOUT, \"\"); open(my $r3, '>&=', 3); syswrite($r3, \"\\n\");\n\
         open(my $go, '<', '{1}/go'); my $line = <$go>; close $w; sleep 600;\n",
        ORPHANS / 100,
        dir.display()
    )
}

struct Outcome {
    took: Option<Duration>,
    left: usize,
    ticks: u64,
}

/// Lets the orphans of `pid` go and waits until they are reaped.
fn watch(pid: i32, dir: &Path, before: usize) -> Outcome {
    eventually("the orphans are there", || {
        dir.join("up").exists().then_some(())
    });
    let crowd =
        || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let began = Instant::now();
    File::options()
        .write(true)
        .open(dir.join("go"))
        .unwrap()
        .write_all(b"\n")
        .unwrap();
    let mut took = None;
    while began.elapsed() < LIMIT {
        // The length alone: counting ten thousand words would take the time that is measured.
        if crowd().len() < 100 && children(pid.cast_unsigned()).len() <= before {
            took = Some(began.elapsed());
            break;
        }
        pause();
    }
    let left = children(pid.cast_unsigned()).len().saturating_sub(before);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let field = |n: usize| {
            fields
                .get(n)
                .and_then(|f| f.parse::<u64>().ok())
                .unwrap_or(0)
        };
        field(11) + field(12)
    };
    let at_end = ticks();
    for _ in 0..500 {
        pause();
    }
    Outcome {
        took,
        left,
        ticks: ticks() - at_end,
    }
}

fn prepared() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let script = dir.path().join("storm");
    std::fs::write(&script, storm(dir.path())).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
    nix::unistd::mkfifo(&dir.path().join("go"), mode).unwrap();
    let script = script.to_str().unwrap().to_owned();
    (dir, script)
}

fn bare(words: &[&str]) -> Outcome {
    let (dir, script) = prepared();
    let mut words = words.to_vec();
    words.push(&script);
    let namespace = Namespace::start(&words);
    watch(namespace.pid, dir.path(), 1)
}

fn supervised(by: Supervisor) -> Outcome {
    let (dir, script) = prepared();
    let words = by.configure(dir.path(), Path::new(&script));
    let namespace = Namespace::start(&words);
    watch(namespace.pid, dir.path(), 1)
}

fn in_the_box() -> Outcome {
    let mut recipe = Recipe::new();
    let dir = recipe.folder("bin");
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o777)).unwrap();
    recipe.program("storm", &storm(Path::new("/opt/box")));
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
    nix::unistd::mkfifo(&dir.join("go"), mode).unwrap();
    recipe.configure("[service.storm]\ncommand = [\"/opt/box/storm\"]\nready = { fd = 3 }\nready_timeout = \"5m\"\n");
    let mut running = recipe.start();
    let pid = running.pid();
    watch(pid, &dir, 2)
}

pub(crate) fn measure() {
    let mut rows = vec![row([
        &"init",
        &"all reaped",
        &"left",
        &"CPU ticks in the second after",
    ])];
    let mut add = |name: &str, rounds: usize, run: &dyn Fn() -> Outcome| {
        let outcomes: Vec<Outcome> = (0..rounds).map(|_| run()).collect();
        let times: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.took).collect();
        let took = if times.len() == outcomes.len() {
            ms(median(&times))
        } else {
            "never".to_owned()
        };
        let left = outcomes
            .iter()
            .map(|outcome| outcome.left)
            .max()
            .unwrap_or(0);
        let ticks = outcomes
            .iter()
            .map(|outcome| outcome.ticks)
            .max()
            .unwrap_or(0);
        rows.push(row([&name, &took, &left, &ticks]));
    };
    for peer in BARE {
        add(peer.name, ROUNDS, &|| bare(peer.words));
    }
    add("cib-init box", ROUNDS, &in_the_box);
    for supervisor in Supervisor::ALL {
        add(supervisor.name(), 1, &|| supervised(supervisor));
    }
    print(
        &format!("{ORPHANS} orphans die at once, median of {ROUNDS}"),
        &rows,
    );
}
