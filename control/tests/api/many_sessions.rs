//! Ten thousand sessions: what the first list after a start costs, and what is opened for it.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::keeper::text;
use crate::common::process::{Process, free_address};
use crate::common::world::World;
use cib_protocol::frame::{Data, Frame, Meta, Opening, Status, Stop};
use cib_protocol::limits::{Limits, Usage};
use cib_protocol::session::{AuthMode, Program, SessionId, State};
use cib_protocol::time::Timestamp;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const SESSIONS: usize = 10_000;

/// Sessions that are watched for being opened: a kernel may allow no more watches.
const WATCHED: usize = 2_000;

/// How soon a list has to be whole, without a cache and with one, on any machine.
const COLD: Duration = Duration::from_secs(60);
const WARM: Duration = Duration::from_secs(30);

/// Bytes of memory that one session may take.
const MEMORY: u64 = 8 * 1024;

/// Bytes of the cache that one session may take.
const KEPT: u64 = 2 * 1024;

/// A session that has ended, with some talk in it.
fn session(sessions: &Path) -> PathBuf {
    let id = SessionId::new_v4();
    let status = |state| {
        Data::Status(Status {
            state,
            elapsed_ms: 1,
        })
    };
    let mut frames = vec![
        status(State::Starting),
        Data::Meta(Meta {
            title: Some("Mend the fence before the winter".to_owned()),
            workdir: Some("/workspace/fence".to_owned()),
            model: Some("claude-opus-4".to_owned()),
            opening: Some(Box::new(Opening {
                program: Program::Claude,
                created_at: Timestamp::now(),
                auth_mode: AuthMode::default(),
                provider_id: None,
                toolbox: false,
                effort: None,
                limits: Limits::default(),
                resources: None,
                exit_code: None,
                ended_in: None,
            })),
            ..Meta::default()
        }),
    ];
    for _ in 0..10 {
        frames.push(text("It is done, and it stands. ".repeat(15)));
    }
    frames.push(Data::Usage(Usage {
        input: 1000,
        output: 2000,
        cost_usd: 0.1,
        ..Usage::default()
    }));
    frames.push(Data::Stop(Stop {
        reason: "exit".to_owned(),
        last: true,
        ..Stop::default()
    }));
    frames.push(status(State::Stopped));
    let mut lines = Vec::new();
    for (data, seq) in frames.iter().zip(1..) {
        Frame::write_line(&mut lines, id, seq, Timestamp::now(), data).unwrap();
    }
    let dir = sessions.join(id.to_string());
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("transcript.jsonl"), lines).unwrap();
    dir
}

/// Who opens journals is told by the kernel.
struct Opens(Inotify);

impl Opens {
    fn of(dirs: &[PathBuf]) -> Self {
        let opens = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).unwrap();
        for dir in dirs {
            opens.add_watch(dir, AddWatchFlags::IN_OPEN).unwrap();
        }
        Self(opens)
    }

    /// How many were opened since this was asked last.
    fn count(&self) -> usize {
        let mut count = 0;
        loop {
            let events = match self.0.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return count,
                Err(error) => panic!("{error}"),
            };
            for event in events {
                assert!(!event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
                count += usize::from(event.name.is_some_and(|name| name == "transcript.jsonl"));
            }
        }
    }
}

/// A list of one page, once all sessions are known, and how long that took.
async fn list(process: &Process) -> (Duration, Value) {
    let begun = Instant::now();
    loop {
        let list = process.client().get("/api/sessions?limit=100").await.ok();
        if list["incomplete"] != json!(true) {
            return (begun.elapsed(), list);
        }
        assert!(begun.elapsed() < COLD, "{} are known", list["sessions"]);
    }
}

fn memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024
}

fn end(process: &mut Process) {
    process.signal(Signal::SIGTERM);
    let status = process.wait(Duration::from_secs(30)).unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn after_a_restart_a_list_of_ten_thousand_sessions_opens_no_journal_that_did_not_change() {
    let world = World::with_many_files();
    let sessions = world.data().join("sessions");
    let empty = Process::start(&world, free_address());
    list(&empty).await;
    let before = memory(&empty);
    drop(empty);
    let dirs: Vec<_> = (0..SESSIONS).map(|_| session(&sessions)).collect();
    let opens = Opens::of(&dirs[..WATCHED]);
    let cache = world.data().join("control/sessions.jsonl");

    let mut process = Process::start(&world, free_address());
    let (cold, first) = list(&process).await;
    let opened_cold = opens.count();
    let each = memory(&process).saturating_sub(before) / SESSIONS as u64;
    end(&mut process);
    let kept = fs::metadata(&cache).unwrap().len() / SESSIONS as u64;

    let mut process = Process::start(&world, free_address());
    let (warm, second) = list(&process).await;
    let opened_warm = opens.count();
    let (again, third) = list(&process).await;
    let opened_again = opens.count();
    let path = "/api/search?q=mend+fence&in=names&limit=100";
    let found = process.client().get(path).await.ok();
    assert_eq!(found["hits"].as_array().unwrap().len(), 100);
    assert_eq!(opens.count(), 0, "names are looked for in no journal");
    let each_warm = memory(&process).saturating_sub(before) / SESSIONS as u64;
    println!(
        "{SESSIONS} sessions: first list {cold:?} without a cache ({opened_cold} of {WATCHED} \
         journals opened), {warm:?} with one ({opened_warm} opened), the next {again:?} \
         ({opened_again} opened); memory of a session {each} and {each_warm} bytes, of the \
         cache {kept} bytes"
    );
    assert!(opened_cold >= WATCHED, "the kernel tells of what is opened");
    assert_eq!((opened_warm, opened_again), (0, 0));
    assert_eq!(first, second);
    assert_eq!(second, third);
    assert!(cold <= COLD && warm <= WARM, "{cold:?}, {warm:?}");
    assert!(each.max(each_warm) <= MEMORY, "{each}, {each_warm}");
    assert!(kept <= KEPT, "{kept}");

    // What changed while nobody looked is seen, and nothing else is opened for it.
    end(&mut process);
    let mut journal = fs::OpenOptions::new()
        .append(true)
        .open(dirs[0].join("transcript.jsonl"))
        .unwrap();
    let id: SessionId = dirs[0]
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let mut line = Vec::new();
    let news = Data::Meta(Meta {
        title: Some("Mend the gate".to_owned()),
        ..Meta::default()
    });
    Frame::write_line(&mut line, id, 16, Timestamp::now(), &news).unwrap();
    journal.write_all(&line).unwrap();
    opens.count();
    let process = Process::start(&world, free_address());
    list(&process).await;
    assert_eq!(opens.count(), 1);
    let session = process
        .client()
        .get(&format!("/api/sessions/{id}"))
        .await
        .ok();
    assert_eq!(session["title"], "Mend the gate");
}
