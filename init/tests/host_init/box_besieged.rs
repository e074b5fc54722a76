//! What coder's processes, and services that do not work, can do to PID 1: nothing.

use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cib_init::socket::client::ask;
use cib_protocol::init::{InitReply, InitRequest};

use crate::boxed::{Recipe, Running};
use crate::support::{children, eventually, pause};

/// A command in the box, as coder.
fn as_coder(running: &mut Running, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["-t", &running.pid().to_string(), "-m", "-p", "-n"])
        .args(["--root", "--wdns=/", "setpriv", "--reuid", "1000"])
        .args(["--regid", "1000", "--clear-groups"])
        .args(words)
        .env("HOME", "/home/coder");
    command
}

/// Kept until the test is over.
struct Siege(Child);

impl Drop for Siege {
    fn drop(&mut self) {
        // The processes below it have it as their parent, and end with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sixteen processes that do this in a loop, as coder, until theirs is gone.
fn siege(running: &mut Running, each: &str) -> Siege {
    let script = format!(
        "use IO::Socket::UNIX; my $top = $$; for (1..16) {{ next if fork; \
         while (kill 0, $top) {{ {each} }} exit }} sleep 600"
    );
    let mut command = as_coder(running, &["perl", "-e", &script]);
    Siege(command.stderr(Stdio::null()).spawn().unwrap())
}

const SOCKET: &str = r#"my $s = IO::Socket::UNIX->new(Peer => "/run/cib/init.sock") or next;"#;

/// Time of the processor that PID 1 has taken so far.
fn used(pid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    let ticks: Vec<u64> = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap())
        .collect();
    Duration::from_millis(10 * ticks.iter().sum::<u64>())
}

/// The share of a processor that PID 1 takes over some seconds, while root is served.
fn share(running: &mut Running) -> f64 {
    let pid = running.pid();
    let (began, before) = (Instant::now(), used(pid));
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        let door = running.inside(cib_init::socket::client::OWN_PATH);
        let health = ask(&door, &InitRequest::Healthcheck {}, Duration::from_secs(10));
        assert!(matches!(health, Ok(InitReply::Health { .. })), "{health:?}");
        slowest = slowest.max(asked.elapsed());
        for _ in 0..50 {
            pause();
        }
    }
    assert!(slowest < Duration::from_secs(8), "root waited {slowest:?}");
    (used(pid) - before).as_secs_f64() / began.elapsed().as_secs_f64()
}

#[test]
fn clients_that_ask_without_a_pause_leave_pid_1_most_of_its_time() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    for each in [
        // Asks on one connection as fast as it is answered, and ahead of that.
        r#"print $s qq({"op":"status"}\n) x 50; $s->flush; for (1..50) { <$s> // last }"#,
        // Does not read what it asked for.
        r#"print $s qq({"op":"logs","service":"init","lines":1000}\n) x 500; $s->flush; sleep 1"#,
        // Never ends its line.
        r#"print $s "[" x 60000; $s->flush; <$s>"#,
        // Connects and goes.
        "close $s",
    ] {
        let siege = siege(&mut running, &format!("{SOCKET} {each}"));
        let share = share(&mut running);
        drop(siege);
        assert!(share < 0.15, "{share:.2} of a processor: {each}");
    }
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_service_that_ends_at_once_is_paused_counted_given_up_and_said() {
    let mut recipe = Recipe::new();
    recipe.configure(
        "[service.typo]\ncommand = [\"/bin/false\"]\nrestart_delay = \"20ms\"\ngive_up_after = 5\n",
    );
    let mut running = recipe.start();
    eventually("it is given up", || {
        let status = running.status()?;
        let typo = status.services.iter().find(|s| s.name == "typo")?;
        (typo.state == "given_up").then_some(())
    });
    assert_eq!(running.service("typo").restarts, 4);
    assert_eq!(running.status().unwrap().phase, "degraded");
    let health = running.ask(&InitRequest::Healthcheck {});
    let detail = "`typo` was given up, last exit 1".to_owned();
    let healthy = false;
    assert_eq!(health, Some(InitReply::Health { healthy, detail }));
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn a_service_that_no_longer_listens_is_missed() {
    let mut recipe = Recipe::new();
    // It closes what it was ready by when it is told to, and lives on.
    recipe.configure(
        "[service.door]\ncommand = [\"perl\", \"-MIO::Socket::INET\", \"-e\", '''\
         my $door = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1:4000\") or die; \
         $SIG{USR1} = sub { close $door }; sleep 600 while 1''']\n\
         ready = { listen = \"127.0.0.1:4000\" }\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let health = |running: &mut Running| match running.ask(&InitRequest::Healthcheck {}) {
        Some(InitReply::Health { healthy, detail }) => (healthy, detail),
        other => panic!("{other:?}"),
    };
    let well = (true, "everything is ready".to_owned());
    assert_eq!(health(&mut running), well);
    let pid = running.service("door").pid.unwrap();
    running.as_coder(&format!("kill -USR1 {pid}"));
    let missed = (false, "`door` no longer listens".to_owned());
    eventually("it is missed", || {
        (health(&mut running) == missed).then_some(())
    });
    assert_eq!(running.service("door").state, "ready");
}

#[test]
fn a_box_ends_with_70_when_what_it_needs_crashes_as_often_as_it_is_started() {
    let mut recipe = Recipe::new();
    // Ready each time, and gone a moment later.
    recipe.configure(
        "[service.doomed]\ncommand = [\"/bin/bash\", \"-c\", \"echo >&3; echo again; sleep 0.2; exit 1\"]\n\
         ready = { fd = 3 }\nessential = true\nrestart_delay = \"10ms\"\ngive_up_after = 3\n",
    );
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(70));
    assert_eq!(running.said().matches("again").count(), 3);
}

#[test]
fn a_control_that_does_not_answer_is_not_healthy_whatever_its_process_says() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    // In the place of what control answers on: a queue that nobody takes from.
    let path = running.inside("/run/cib/control/health.sock");
    let _ = std::fs::remove_file(&path);
    let silent = UnixListener::bind(&path).unwrap();
    let asked = eventually("it is seen", || {
        let asked = Instant::now();
        match running.ask(&InitRequest::Healthcheck {})? {
            InitReply::Health {
                healthy: false,
                detail,
            } => Some((asked.elapsed(), detail)),
            _ => None,
        }
    });
    assert!(asked.0 < Duration::from_secs(15), "{:?}", asked.0);
    assert_eq!(asked.1, "control does not answer");
    let status = running.status().unwrap();
    assert_eq!(status.phase, "degraded");
    assert_eq!(running.service("control").state, "ready");
    let health = as_coder(&mut running, &["/opt/box/cib-init", "healthcheck"]);
    let output = { health }.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"control does not answer\n");
    drop(silent);
}

#[test]
fn every_word_for_stop_ends_the_box_in_order() {
    for number in [
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGPWR,
        // RTMIN+3 to +5, as a manager asks a machine to halt, power off and reboot.
        37,
        38,
        39,
        47,
    ] {
        let mut recipe = Recipe::new();
        let mut running = recipe.start();
        running.wait_until_up();
        running.signal(number);
        assert_eq!(running.wait().code(), Some(0), "signal {number}");
        running.says("the box is ending");
    }
}

/// Whether a process of the box was started with this word.
fn runs(running: &mut Running, word: &str) -> bool {
    let mut queue = vec![running.pid().cast_unsigned()];
    while let Some(pid) = queue.pop() {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if words.split(|b| *b == 0).any(|w| w == word.as_bytes()) {
            return true;
        }
        queue.extend(children(pid).into_iter().map(i32::cast_unsigned));
    }
    false
}

#[test]
fn a_setup_command_that_takes_too_long_leaves_nobody_behind() {
    let mut recipe = Recipe::new();
    recipe
        // Long enough for all of them to be seen.
        .set("CIB_SETUP_TIMEOUT", "6")
        .set("CIB_SETUP_ON_FAILURE", "continue")
        .set(
            "CIB_SETUP_COMMANDS",
            "trap '' TERM; setsid sleep 4001 & (setsid setsid -f bash -c 'trap \"\" TERM HUP; \
             while :; do sleep 4002; done' &); (sleep 4003 & disown; setsid -f sleep 4004); \
             touch started; sleep 4005",
        );
    let workspace = recipe.folder("workspace");
    let world = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::create_dir_all(&workspace).unwrap();
    std::fs::set_permissions(&workspace, world).unwrap();
    let mut running = recipe.start();
    eventually("all of them run", || {
        let all = ["4001", "4002", "4003", "4004", "4005"];
        all.iter()
            .all(|word| runs(&mut running, word))
            .then_some(())
    });
    running.wait_until_up();
    running.says("(CIB_SETUP_TIMEOUT) and was killed");
    for word in ["4001", "4002", "4003", "4004", "4005"] {
        assert!(!runs(&mut running, word), "{word} was left");
    }
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn the_log_of_whom_the_box_speaks_with_is_not_coders_to_read() {
    let mut recipe = Recipe::new();
    let mut running = recipe.start();
    running.wait_until_up();
    let mut logs = |service: &str| {
        let words = ["/opt/box/cib-init", "svc", "logs", service];
        as_coder(&mut running, &words).output().unwrap()
    };
    let refused = logs("control");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    assert_eq!(logs("init").status.code(), Some(0));
}

/// A box whose `~/.ssh/config` is this, made by `prepare` before init begins.
fn with_ssh(prepare: &str, config: &str) -> (Recipe, Running) {
    let mut recipe = Recipe::new();
    let script = format!(
        "mkdir -p /home/coder/.ssh; chmod 700 /home/coder/.ssh; cd /home/coder/.ssh; \
         printf '{config}' > config; chmod 600 config; chown -R 1000:1000 .; {prepare}; \
         cd /; exec /opt/box/cib-init box"
    );
    let mut running = recipe.start_with(&["bash", "-c", &script]);
    running.wait_until_up();
    (recipe, running)
}

fn ssh(running: &mut Running, arguments: &[&str]) -> (bool, String) {
    let words = [&["ssh"], arguments].concat();
    let output = as_coder(running, &words).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&both).into_owned();
    (output.status.success(), said)
}

const MAIN: [&str; 4] = ["-F", "/run/cib/ssh/main", "-G", "example"];

#[test]
fn an_ssh_configuration_from_another_kind_of_machine_works_and_its_lines_are_named() {
    let config = r"UseKeychain yes\nIdentityAgent /nowhere/agent\nHost example\n  User somebody\n";
    let (_recipe, mut running) = with_ssh(":", config);
    running.says("config, line 1: ssh does not know `usekeychain` here, and it is ignored");
    let (works, said) = ssh(&mut running, &["-G", "example"]);
    assert!(
        !works && said.contains("Bad configuration option"),
        "{said}"
    );
    let (works, said) = ssh(&mut running, &MAIN);
    assert!(works && said.contains("user somebody"), "{said}");
    assert!(said.contains("stricthostkeychecking accept-new"), "{said}");
    let git = std::fs::read_to_string(running.inside("/run/cib/git/config")).unwrap();
    assert!(
        git.contains("sshCommand = ssh -F /run/cib/ssh/main"),
        "{git}"
    );
    let warnings = running.status().unwrap().warnings;
    assert!(
        warnings.iter().any(|line| line.contains("line 1")),
        "{warnings:?}"
    );
}

#[test]
fn a_read_only_ssh_configuration_that_ssh_does_not_trust_is_read_from_a_copy() {
    let prepare = "mkdir conf.d; printf 'Host example\\n  User somebody\\n' > conf.d/x; \
                   chown -R 501:20 .; chmod -R 777 .; \
                   mount --bind . .; cd /; mount -o remount,bind,ro /home/coder/.ssh";
    let (_recipe, mut running) = with_ssh(prepare, r"Include conf.d/*\nHost other\n  User else\n");
    let (works, said) = ssh(&mut running, &["-G", "example"]);
    assert!(
        !works && said.contains("Bad owner or permissions"),
        "{said}"
    );
    let (works, said) = ssh(&mut running, &MAIN);
    assert!(works && said.contains("user somebody"), "{said}");
}

#[test]
fn an_ssh_configuration_that_ssh_takes_is_left_to_it() {
    let (_recipe, mut running) = with_ssh(":", r"Host example\n  User somebody\n");
    assert!(!running.inside("/run/cib/ssh/main").exists());
    let warnings = running.status().unwrap().warnings;
    assert!(
        !warnings.iter().any(|line| line.contains(".ssh")),
        "{warnings:?}"
    );
}
