//! The cases. Each is a future that panics if its claim does not hold.

use std::future::Future;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cib_init::exit::Exit;
use cib_init::process::{LogSink, Processes, Run, RunError, SpawnError};
use cib_init::signals::Signals;
use cib_init::spawn::{Capabilities, Command, Ids, Leads, Resource, Rlimit, Sink, Stdin};
use cib_init::sys::child::Stage;
use nix::sys::signal::SigSet;
use tokio::io::AsyncReadExt;

type Case = fn(Processes) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ALL: &[(&str, Case)] = &[$((stringify!($name), |p| Box::pin($name(p)))),*];
    };
}

cases!(
    a_command_is_fed_and_read,
    exit_codes_and_signals_arrive,
    what_does_not_exist_is_said_at_once,
    a_step_that_fails_in_the_child_is_named,
    a_child_has_nothing_that_it_was_not_given,
    a_child_begins_with_default_signals,
    descriptors_arrive_under_their_numbers,
    a_user_has_its_groups_and_no_capability,
    root_without_withheld_capabilities_cannot_get_them_back,
    limits_and_umask_are_set,
    the_log_gets_both_outputs_in_order,
    a_deadline_kills_the_whole_group,
    a_future_that_is_dropped_leaves_no_process,
    long_output_is_cut_and_said_to_be,
    a_thousand_children_keep_their_own_codes,
    orphans_are_reaped_between_children,
    a_dead_child_cannot_be_signalled,
);

/// Runs a case as the box runs: one thread, signals blocked, one reaper.
pub(crate) fn within_runtime(case: Case) {
    SigSet::all().thread_set_mask().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let processes = Processes::new(Rc::new(NoLog));
        let reaper = processes.reaper().clone();
        let mut signals = Signals::of(&[libc::SIGCHLD]).unwrap();
        tokio::task::spawn_local(async move {
            while signals.next().await.is_ok() {
                reaper.drain().await;
            }
        });
        case(processes).await;
    });
}

struct NoLog;

impl LogSink for NoLog {
    fn open(&self, _: &str) -> std::io::Result<OwnedFd> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

const SOON: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Command {
    Command::new("/bin/bash")
        .args(["-c", script])
        .env([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")])
}

async fn output(processes: &Processes, command: Command) -> String {
    let output = processes.run(command, Run::within(SOON)).await.unwrap();
    assert!(output.exit.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn a_command_is_fed_and_read(processes: Processes) {
    // More than a pipe holds, both ways.
    let text: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let mut run = Run::within(SOON).stdin(text.clone());
    run.capture = 1 << 20;
    let output = processes.run(Command::new("/bin/cat"), run).await.unwrap();
    assert_eq!(output.stdout, text);
    assert_eq!((output.exit, output.truncated), (Exit::Code(0), false));
}

async fn exit_codes_and_signals_arrive(processes: Processes) {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 42", Exit::Code(42)),
        ("kill -9 $$", Exit::Signal(9)),
        ("kill -40 $$", Exit::Signal(40)),
    ] {
        let output = processes
            .run(shell(script), Run::within(SOON))
            .await
            .unwrap();
        assert_eq!(output.exit, exit, "{script}");
    }
}

async fn what_does_not_exist_is_said_at_once(processes: Processes) {
    let error = processes
        .spawn(Command::new("no-such-program"))
        .unwrap_err();
    assert!(matches!(error, SpawnError::NotFound(_)), "{error}");
    let mut child = processes.spawn(Command::new("/no/such/program")).unwrap();
    let error = child.executed().await.unwrap_err();
    assert_eq!(error.to_string(), "/no/such/program: cannot be executed");
    assert_eq!(child.wait().await, Exit::Code(127));
    let mut child = processes.spawn(Command::new("/etc/passwd")).unwrap();
    assert_eq!(child.wait().await, Exit::Code(126));
}

async fn a_step_that_fails_in_the_child_is_named(processes: Processes) {
    let command = shell("true").workdir("/no/such/directory");
    match processes.run(command, Run::within(SOON)).await {
        Err(RunError::Spawn(SpawnError::Child { stage, source, .. })) => {
            assert_eq!(stage, Stage::Directory);
            assert_eq!(source.raw_os_error(), Some(libc::ENOENT));
        }
        other => panic!("{other:?}"),
    }
    // A directory that init may enter and the user may not.
    let dir = tempfile::tempdir().unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(dir.path(), private).unwrap();
    let command = shell("true").workdir(dir.path()).ids(nobody());
    let error = processes.run(command, Run::within(SOON)).await.unwrap_err();
    assert!(matches!(
        error,
        RunError::Spawn(SpawnError::Child {
            stage: Stage::Directory,
            ..
        })
    ));
}

async fn a_child_has_nothing_that_it_was_not_given(processes: Processes) {
    // A descriptor that somebody opened without close-on-exec.
    let leaked = nix::unistd::dup(std::io::stderr()).unwrap();
    let shown = output(
        &processes,
        shell("ls /proc/$$/fd; env | cut -d= -f1 | sort; pwd"),
    )
    .await;
    drop(leaked);
    assert_eq!(shown, "0\n1\n2\nPATH\nPWD\nSHLVL\n_\n/");
    let stat = output(
        &processes,
        shell("cut -d' ' -f1,5,6,7 /proc/self/stat; echo $$"),
    )
    .await;
    let words: Vec<&str> = stat.split_whitespace().collect();
    assert_eq!(
        &words[1..4],
        [words[4], words[4], "0"],
        "session leader, no terminal"
    );
}

async fn a_child_begins_with_default_signals(processes: Processes) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let pipe = ignored & (1 << (libc::SIGPIPE - 1)) != 0;
    assert!(pipe, "Rust's own start ignores it: {ignored:x}");
    let shown = output(
        &processes,
        Command::new("/bin/grep").args(["Sig[BI]", "/proc/self/status"]),
    )
    .await;
    assert_eq!(
        shown,
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"
    );
}

async fn descriptors_arrive_under_their_numbers(processes: Processes) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (other_read, other_write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    // Targets that are each other's sources.
    use std::os::fd::AsRawFd;
    let (a, b) = (write.as_raw_fd(), other_write.as_raw_fd());
    let mut command = shell(&format!("echo to-a >&{b}; echo to-b >&{a}"));
    command.fds = vec![(b, Rc::new(write)), (a, Rc::new(other_write))];
    assert!(
        processes
            .run(command, Run::within(SOON))
            .await
            .unwrap()
            .exit
            .success()
    );
    for (end, expected) in [(read, "to-a\n"), (other_read, "to-b\n")] {
        let mut text = String::new();
        std::fs::File::from(end).read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
}

fn nobody() -> Ids {
    Ids {
        uid: 65534,
        gid: 65534,
        groups: vec![100],
    }
}

async fn a_user_has_its_groups_and_no_capability(processes: Processes) {
    let shown = output(
        &processes,
        shell("id -u; id -g; id -G; grep -E 'Cap|NoNewPrivs' /proc/self/status").ids(nobody()),
    )
    .await;
    let none = "0000000000000000";
    assert_eq!(
        shown,
        format!(
            "65534\n65534\n65534 100\nCapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\nNoNewPrivs:\t1"
        )
    );
}

async fn root_without_withheld_capabilities_cannot_get_them_back(processes: Processes) {
    let try_it = "ip link add x type dummy 2>/dev/null && echo link; \
        mount -t tmpfs x /mnt 2>/dev/null && echo mount; \
        unshare -n true 2>/dev/null && echo unshare; \
        chown 1000 $(mktemp) && echo chown; \
        setpriv --reuid 1000 --clear-groups id -u";
    for no_new_privs in [true, false] {
        let mut command = shell(try_it).capabilities(Capabilities::Reduced);
        command.no_new_privs = no_new_privs;
        assert_eq!(output(&processes, command).await, "chown\n1000");
    }
    let own = shell("unshare -n true && echo unshare").capabilities(Capabilities::Own);
    assert_eq!(
        output(&processes, own).await,
        "unshare",
        "the test could tell"
    );
}

async fn limits_and_umask_are_set(processes: Processes) {
    let mut command = shell("ulimit -n; ulimit -Hn; ulimit -c; umask");
    command.rlimits = vec![
        Rlimit {
            resource: Resource::OpenFiles,
            bound: 77,
        },
        Rlimit {
            resource: Resource::CoreBytes,
            bound: 0,
        },
    ];
    command.umask = 0o027;
    assert_eq!(output(&processes, command).await, "77\n77\n0\n0027");
}

async fn the_log_gets_both_outputs_in_order(_: Processes) {
    struct Log(std::cell::RefCell<Vec<OwnedFd>>, std::cell::Cell<usize>);
    impl LogSink for Log {
        fn open(&self, name: &str) -> std::io::Result<OwnedFd> {
            assert_eq!(name, "service");
            self.1.set(self.1.get() + 1);
            let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
            self.0.borrow_mut().push(read);
            Ok(write)
        }
    }
    let log = Rc::new(Log(std::cell::RefCell::default(), std::cell::Cell::new(0)));
    let processes = Processes::new(log.clone());
    processes
        .spawn(shell("echo one; echo two >&2; echo three").log("service"))
        .unwrap();
    assert_eq!(log.1.get(), 1, "one pipe for both");
    let read = log.0.borrow_mut().pop().unwrap();
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\nthree\n");
}

async fn gone(pid: i32) {
    let end = Instant::now() + SOON;
    while cib_init::sys::signal::send(pid, 0).is_ok() {
        assert!(Instant::now() < end, "{pid} lives");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn a_deadline_kills_the_whole_group(processes: Processes) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "trap '' TERM; sleep 300 & echo $! > {}; wait; wait",
        file.display()
    );
    // The shell has to have begun by then.
    let run = Run::within(Duration::from_millis(3500));
    let error = processes.run(shell(&script), run).await.unwrap_err();
    assert!(
        error.to_string().contains("was still running after 3.5 s"),
        "{error}"
    );
    gone(
        std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap(),
    )
    .await;
    assert_eq!(processes.reaper().alive(), 0);
}

async fn a_future_that_is_dropped_leaves_no_process(processes: Processes) {
    let run = processes.run(Command::new("/bin/sleep").arg("300"), Run::within(SOON));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), run)
            .await
            .is_err()
    );
    let end = Instant::now() + SOON;
    while processes.reaper().alive() > 0 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn long_output_is_cut_and_said_to_be(processes: Processes) {
    let mut run = Run::within(SOON);
    run.capture = 1000;
    let output = processes
        .run(shell("yes | head -c 100000"), run)
        .await
        .unwrap();
    assert_eq!((output.stdout.len(), output.truncated), (1000, true));
    assert!(output.exit.success(), "it was read to its end");
}

async fn a_thousand_children_keep_their_own_codes(processes: Processes) {
    for round in 0..10_u8 {
        let runs: Vec<_> = (0..100_u8)
            .map(|n| {
                let code = n.wrapping_mul(7).wrapping_add(round);
                let mut child = processes.spawn(shell(&format!("exit {code}"))).unwrap();
                tokio::task::spawn_local(async move { (code, child.wait().await) })
            })
            .collect();
        for run in runs {
            let (code, exit) = tokio::time::timeout(SOON, run).await.unwrap().unwrap();
            assert_eq!(exit, Exit::Code(code));
        }
    }
    assert_eq!(processes.reaper().orphans(), 0);
}

async fn orphans_are_reaped_between_children(processes: Processes) {
    let storm = "for (1..1000) { if (!fork) { exit 0 if fork; exit 0 } wait } exit 9";
    let command = Command::new("/usr/bin/perl").args(["-e", storm]);
    let output = processes.run(command, Run::within(SOON)).await.unwrap();
    assert_eq!(output.exit, Exit::Code(9));
    let end = Instant::now() + SOON;
    while processes.reaper().orphans() < 1000 {
        assert!(
            Instant::now() < end,
            "{} reaped",
            processes.reaper().orphans()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn a_dead_child_cannot_be_signalled(processes: Processes) {
    let mut command = shell("echo up; read");
    command.stdin = Stdin::Pipe;
    command.stdout = Sink::Pipe;
    command.leads = Leads::Group;
    let mut child = processes.spawn(command).unwrap();
    let stdin = child.take_stdin();
    let mut up = [0; 3];
    child
        .take_stdout()
        .unwrap()
        .read_exact(&mut up)
        .await
        .unwrap();
    processes
        .reaper()
        .signal(child.id(), libc::SIGWINCH)
        .unwrap();
    drop(stdin);
    child.wait().await;
    assert!(
        processes
            .reaper()
            .signal(child.id(), libc::SIGTERM)
            .is_err()
    );
    assert!(
        processes
            .reaper()
            .signal_group(child.id(), libc::SIGTERM)
            .is_err()
    );
}
