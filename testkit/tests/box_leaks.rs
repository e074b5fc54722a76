//! The leak matrix: every way past the proxy, in every state of the box, as its user and as
//! root inside it. A sniffer outside says what got out. The table is printed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cib_testkit::engine::{Container, Packet};
use cib_testkit::lab::{PROGRAM, Trap};
use cib_testkit::probe::{Outcome, PROBES, Report};
use cib_testkit::wait::wait_until;

const BOOT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);
/// A client that is refused this soon falls back to TCP at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// A service that takes its time to stop, so that there is a shutdown to look at.
const SLOW: &str = r#"
[service.slow]
command = ["/bin/sh", "-c", "trap '' TERM; sleep 600"]
grace = "60s"
"#;

/// The state in which the box may end before every probe has.
const ENDING: &str = "shutting down";

/// The exit code of a program that ended with its box.
const ENDED: i32 = 137;

/// As whom the probes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The user of the box.
    Coder,
    /// Root with everything that Docker gives a container by default. What `docker exec` adds,
    /// NET_ADMIN, no process of the box can have.
    Root,
}

impl Who {
    fn command(self, trap: &Trap, probe: &str) -> Vec<String> {
        let dropped = [
            "setpriv",
            "--bounding-set",
            "-net_admin",
            "--inh-caps",
            "-net_admin",
        ];
        let mut command: Vec<String> = match self {
            Self::Coder => Vec::new(),
            Self::Root => dropped.map(String::from).into(),
        };
        command.extend([PROGRAM, "probe", probe].map(String::from));
        command.extend(trap.aim().arguments());
        command
    }

    fn user(self) -> &'static str {
        match self {
            Self::Coder => "coder",
            Self::Root => "root",
        }
    }

    fn probe(self, trap: &Trap, cage: &Container, probe: &str) -> Vec<Report> {
        let command = self.command(trap, probe);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let ran = cage.exec_as(self.user(), &words);
        // A box that ends takes its probes along, and those that had ended have reported.
        assert!(
            [0, ENDED].contains(&ran.code),
            "{probe} as {self:?}: code {}, {}{}",
            ran.code,
            ran.stdout,
            ran.stderr
        );
        read(&ran.stdout)
    }

    /// One probe in a box that stays. A busy engine may lose what a command said, or the
    /// command itself: then it is tried again.
    fn probe_for_sure(self, trap: &Trap, cage: &Container, probe: &str) -> Report {
        let command = self.command(trap, probe);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let end = Instant::now() + SOON;
        loop {
            let ran = cage.exec_as(self.user(), &words);
            if ran.code == 0
                && let Some(report) = read(&ran.stdout).pop()
            {
                return report;
            }
            assert!(
                Instant::now() < end,
                "{probe} as {self:?} never reported; at last code {}, {}{}",
                ran.code,
                ran.stdout,
                ran.stderr
            );
        }
    }
}

fn read(lines: &str) -> Vec<Report> {
    lines
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{line:?} is no report: {error}"))
        })
        .collect()
}

/// What became of every probe, column by column.
#[derive(Default)]
struct Matrix {
    columns: Vec<String>,
    cells: BTreeMap<(usize, String), String>,
    leaks: Vec<String>,
}

impl Matrix {
    /// Runs all probes in one state, as one user.
    fn column(&mut self, trap: &Trap, cage: &Container, state: &str, who: Who) {
        let (reports, packets) = trap.leaks_during(|| who.probe(trap, cage, "all"));
        self.add(&format!("{state}/{}", who.user()), &reports, packets);
    }

    fn add(&mut self, column: &str, reports: &[Report], mut packets: Vec<Packet>) {
        let place = self.columns.len();
        self.columns.push(column.into());
        let enough = if column.starts_with(ENDING) {
            PROBES.len() / 2
        } else {
            PROBES.len()
        };
        assert!(
            reports.len() >= enough,
            "{column}: only {} probes ran: {reports:?}",
            reports.len()
        );
        for report in reports {
            let is_its = |packet: &Packet| report.seen_at.iter().any(|at| packet.is_to(at));
            let leaked = packets.iter().any(&is_its);
            packets.retain(|packet| !is_its(packet));
            let cell = if leaked {
                "LEAK".into()
            } else {
                word(&report.outcome)
            };
            if leaked {
                self.leaks.push(format!("{column}: {}", report.probe));
            }
            self.cells.insert((place, report.probe.clone()), cell);
        }
        self.leaks
            .extend(packets.iter().map(|packet| format!("{column}: {packet:?}")));
    }

    fn print(&self) {
        let mut table = format!("\n{:<34}", "probe");
        let width = |column: &String| column.len().max(14) + 2;
        for column in &self.columns {
            table.push_str(&format!("{column:<0$}", width(column)));
        }
        for probe in PROBES {
            table.push_str(&format!("\n{:<34}", probe.name));
            for (place, column) in self.columns.iter().enumerate() {
                let cell = self.cells.get(&(place, probe.name.to_owned()));
                let cell = cell.map_or("-", String::as_str);
                table.push_str(&format!("{cell:<0$}", width(column)));
            }
        }
        // Past the harness's capture: the table is wanted from a run that passes as well.
        table.push_str("\n\n");
        std::io::stderr().write_all(table.as_bytes()).unwrap();
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered => "answered".into(),
        Outcome::Sent => "sent".into(),
        Outcome::TimedOut => "timed out".into(),
        Outcome::Untried => "untried".into(),
        Outcome::Failed(error) => error.chars().take(14).collect(),
    }
}

/// Kills redsocks again and again until dropped, so that it is never up for long.
struct Killer(Child);

impl Killer {
    fn start(cage: &Container) -> Self {
        let forever = "while :; do for p in /proc/[0-9]*; do \
                       test \"$(cat $p/comm 2>/dev/null)\" != redsocks || kill -9 ${p#/proc/}; \
                       done; done 2>/dev/null";
        let kill = Command::new("docker")
            .args(["exec", cage.name(), "sh", "-c", forever])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(kill.unwrap())
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_sniffer_sees_nearly_every_probe_of_a_plain_container() {
    let trap = Trap::new();
    let aim = trap.aim().arguments();
    let mut command = vec!["cib-testkit", "probe", "all"];
    command.extend(aim.iter().map(String::as_str));
    let (ran, packets) = trap.leaks_during(|| trap.holder.exec(&command));
    let mut matrix = Matrix::default();
    matrix.add("no box/root", &read(&ran.stdout), packets);
    matrix.print();
    let leaked = matrix.cells.values().filter(|cell| *cell == "LEAK").count();
    assert!(
        leaked >= 55,
        "only {leaked} of {} probes would have been seen",
        PROBES.len()
    );
}

#[test]
fn nothing_leaks_in_any_state_of_the_box() {
    let trap = Trap::new();
    let mut matrix = Matrix::default();

    // Booting: a setup command is the first of the user's own that runs.
    let program = Who::Coder.command(&trap, "all").join(" ");
    let setup = format!(
        "{program} > /tmp/booting && mv /tmp/booting /tmp/booted && \
         until test -e /tmp/go-on; do sleep 0.1; done"
    );
    let cage = trap.a_box(|spec| {
        spec.env("CIB_SETUP_COMMANDS", &setup)
            .env("CIB_SHUTDOWN_TIMEOUT", "60")
    });
    let _ = trap
        .holder
        .sh(&format!("cat > /tmp/slow.toml <<'EOF'\n{SLOW}EOF"));
    cage.copy_from(&trap.holder, "/tmp/slow.toml", "/etc/claude-in-box/init.d");
    let ((), packets) = trap.leaks_during(|| {
        cage.start_again();
        cage.wait_inside(
            BOOT,
            "the probes of the setup command",
            "test -e /tmp/booted",
        );
    });
    matrix.add("booting/coder", &read(&cage.sh("cat /tmp/booted")), packets);
    matrix.column(&trap, &cage, "booting", Who::Root);
    let _ = cage.sh("touch /tmp/go-on");

    cage.wait_healthy(BOOT);
    for who in [Who::Coder, Who::Root] {
        matrix.column(&trap, &cage, "up", who);
    }
    {
        let _killer = Killer::start(&cage);
        for who in [Who::Coder, Who::Root] {
            matrix.column(&trap, &cage, "redsocks killed", who);
        }
    }
    trap.lab.proxy.stop(Duration::ZERO);
    for who in [Who::Coder, Who::Root] {
        matrix.column(&trap, &cage, "proxy stopped", who);
    }
    trap.lab.proxy.start_again();
    trap.lab.wait_for_proxy();

    for who in [Who::Coder, Who::Root] {
        let endings = || cage.logs().matches("the box is ending").count();
        let before = endings();
        let stop = ["stop", "--time", "90", cage.name()].map(String::from);
        let mut stopping = Command::new("docker")
            .args(stop)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(SOON, "the shutdown to begin", || endings() > before);
        matrix.column(&trap, &cage, ENDING, who);
        let stopped = stopping.wait().unwrap();
        assert!(stopped.success(), "{stopped}: {}", cage.logs());
        cage.start_again();
        cage.wait_healthy(BOOT);
    }

    matrix.print();
    assert!(matrix.leaks.is_empty(), "LEAKS: {:#?}", matrix.leaks);
    let up = matrix
        .columns
        .iter()
        .position(|column| column == "up/coder")
        .unwrap();
    assert_eq!(
        matrix.cells[&(up, "tcp".into())],
        "answered",
        "nothing came through the proxy"
    );
}

#[test]
fn datagrams_pings_and_ipv6_are_refused_at_once() {
    let trap = Trap::new();
    let cage = trap.a_box(|spec| spec);
    cage.start_again();
    cage.wait_healthy(BOOT);
    for probe in [
        "udp", "quic", "quic6", "ntp", "udp6", "ping", "tcp6", "lan-tcp", "metadata",
    ] {
        // The quickest of a few: a busy machine may take its time with any single one.
        let reports: Vec<Report> = (0..5)
            .map(|_| Who::Coder.probe_for_sure(&trap, &cage, probe))
            .collect();
        let refused = |report: &Report| matches!(report.outcome, Outcome::Failed(_));
        assert!(
            reports.iter().all(refused),
            "{probe} was not refused: {reports:?}"
        );
        let quickest = reports.iter().map(|report| report.micros).min().unwrap();
        assert!(
            Duration::from_micros(quickest) < AT_ONCE,
            "{probe}: {quickest} us at best of {reports:?}"
        );
    }
}

#[test]
fn fifty_boots_leak_nothing_from_the_first_instruction_of_the_workload() {
    // Two at a time, each in a network of its own: a boot waits more than it works.
    std::thread::scope(|scope| {
        for lane in 0..2 {
            scope.spawn(move || boots_leak_nothing(lane, 25));
        }
    });
}

fn boots_leak_nothing(lane: usize, rounds: usize) {
    let trap = Trap::new();
    let words = |probe: &str| Who::Coder.command(&trap, probe).join(" ");
    let probes = ["udp", "udp6", "tcp6", "ping", "dns-udp", "mdns"]
        .map(words)
        .join("; ");
    for round in 1..=rounds {
        let cage = trap.a_box(|spec| spec.env("CIB_SETUP_COMMANDS", &probes));
        let ((), packets) = trap.leaks_during(|| {
            cage.start_again();
            cage.wait_healthy(BOOT);
        });
        assert!(
            packets.is_empty(),
            "boot {round} of lane {lane} leaked {packets:#?}"
        );
        cage.stop(Duration::from_secs(20));
    }
}
