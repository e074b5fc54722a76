use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use cib_protocol::frame::{Data, Frame, Meta, Opening, Status, Stop, Text};
use cib_protocol::limits::{Limits, Resources, Usage};
use cib_protocol::session::{AuthMode, State, Uuid};
use cib_protocol::time::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of sessions, a cache, and the numbers that make every frame unlike all others.
struct World {
    dir: TempDir,
    clock: i64,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sessions")).unwrap();
        Self { dir, clock: 0 }
    }

    fn sessions(&self) -> PathBuf {
        self.dir.path().join("sessions")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("sessions.jsonl")
    }

    fn index(&self) -> Index {
        Index::new(self.sessions(), self.cache())
    }

    /// One that knows nothing beforehand.
    fn fresh(&self) -> Index {
        Index::new(self.sessions(), self.dir.path().join("none"))
    }

    fn journal(&self, id: SessionId) -> PathBuf {
        self.sessions().join(id.to_string()).join(FILE)
    }

    fn line(&mut self, id: SessionId, seq: u64, kind: u8) -> Vec<u8> {
        self.clock += 1;
        let data = match kind % 6 {
            0 => Data::Status(Status {
                state: [State::Idle, State::Working, State::Stopped][usize::from(kind) % 3],
                elapsed_ms: 1,
            }),
            1 => Data::Usage(Usage {
                input: u64::from(kind),
                cost_usd: 0.1 / f64::from(u32::from(kind) + 3),
                ..Usage::default()
            }),
            2 => Data::Stop(Stop {
                reason: format!("turn {kind}"),
                ..Stop::default()
            }),
            3 => Data::Meta(Meta {
                title: Some(format!("title {}", self.clock)),
                ..Meta::default()
            }),
            4 => Data::Meta(Meta {
                opening: Some(Box::new(Opening {
                    program: Program::Claude,
                    created_at: Timestamp::from_millis(self.clock),
                    auth_mode: AuthMode::default(),
                    provider_id: None,
                    toolbox: false,
                    effort: None,
                    limits: Limits::default(),
                    resources: Some(Resources::default()),
                    exit_code: None,
                    ended_in: None,
                })),
                ..Meta::default()
            }),
            _ => Data::Text(Text {
                text: "y".repeat(usize::from(kind) * 40),
                ..Text::default()
            }),
        };
        let mut line = Vec::new();
        let ts = Timestamp::from_millis(self.clock);
        Frame::write_line(&mut line, id, seq, ts, &data).unwrap();
        line
    }

    fn append(&mut self, id: SessionId, kinds: &[u8]) {
        let path = self.journal(id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = fs::read(&path).unwrap_or_default();
        let mut seq = before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let mut bytes = before;
        for kind in kinds {
            seq += 1;
            bytes.extend(self.line(id, seq, *kind));
        }
        let mut how = OpenOptions::new();
        let file = how
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }

    /// Writes a byte in the middle, and waits until the file system's clock has noticed.
    fn edit(&self, id: SessionId, at: u64) {
        let path = self.journal(id);
        let Ok(before) = fs::metadata(&path) else {
            return;
        };
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let changed = |file: &fs::Metadata| (file.ctime(), file.ctime_nsec());
        while before.len() > 0 && changed(&file.metadata().unwrap()) == changed(&before) {
            file.write_all_at(b"#", at % before.len()).unwrap();
        }
    }
}

fn by() -> Instant {
    Instant::now() + PATIENCE
}

fn id(n: u8) -> SessionId {
    Uuid::from_u128(u128::from(n % 3) + 1)
}

#[derive(Clone, Debug)]
enum Act {
    Append(u8, Vec<u8>),
    Tear(u8, u8),
    Cut(u8, u64),
    Replace(u8, Vec<u8>),
    Edit(u8, u64),
    Remove(u8),
    Look,
    Restart,
    Die,
    Damage(u64, u8),
}

fn act() -> impl Strategy<Value = Act> {
    let kinds = || prop::collection::vec(any::<u8>(), 1..6);
    prop_oneof![
        6 => (any::<u8>(), kinds()).prop_map(|(n, kinds)| Act::Append(n, kinds)),
        1 => any::<(u8, u8)>().prop_map(|(n, bytes)| Act::Tear(n, bytes)),
        2 => any::<(u8, u64)>().prop_map(|(n, len)| Act::Cut(n, len)),
        1 => (any::<u8>(), kinds()).prop_map(|(n, kinds)| Act::Replace(n, kinds)),
        1 => any::<(u8, u64)>().prop_map(|(n, at)| Act::Edit(n, at)),
        1 => any::<u8>().prop_map(Act::Remove),
        3 => Just(Act::Look),
        3 => Just(Act::Restart),
        1 => Just(Act::Die),
        1 => any::<(u64, u8)>().prop_map(|(at, byte)| Act::Damage(at, byte)),
    ]
}

fn agree(index: &Index, fresh: &Index) {
    assert!(index.scan(&mut Pass::default(), by()).unwrap());
    for n in 0..3 {
        assert_eq!(index.look(id(n), by()), fresh.look(id(n), by()));
    }
}

fn live_through(acts: &[Act]) {
    let mut world = World::new();
    let mut index = world.index();
    for act in acts {
        match act {
            Act::Append(n, kinds) => world.append(id(*n), kinds),
            Act::Tear(n, bytes) => {
                let path = world.journal(id(*n));
                if let Ok(mut bytes_before) = fs::read(&path) {
                    bytes_before.extend(std::iter::repeat_n(b'{', usize::from(*bytes)));
                    let file = OpenOptions::new().write(true).open(path).unwrap();
                    file.write_all_at(&bytes_before, 0).unwrap();
                }
            }
            Act::Cut(n, len) => {
                if let Ok(file) = OpenOptions::new().write(true).open(world.journal(id(*n))) {
                    let before = file.metadata().unwrap().len();
                    file.set_len(len % (before + 1)).unwrap();
                }
            }
            Act::Replace(n, kinds) => {
                let id = id(*n);
                let path = world.journal(id);
                if path.parent().unwrap().exists() {
                    let lines: Vec<_> = kinds
                        .iter()
                        .zip(1..)
                        .flat_map(|(kind, seq)| world.line(id, seq, *kind))
                        .collect();
                    fs::write(path.with_extension("new"), lines).unwrap();
                    fs::rename(path.with_extension("new"), &path).unwrap();
                }
            }
            Act::Edit(n, at) => {
                // What changes in the middle is noticed as long as the end did not move.
                agree(&index, &world.fresh());
                index.save().unwrap();
                world.edit(id(*n), *at);
                agree(&index, &world.fresh());
                index.save().unwrap();
            }
            Act::Remove(n) => {
                let _ = fs::remove_dir_all(world.sessions().join(id(*n).to_string()));
            }
            Act::Look => agree(&index, &world.fresh()),
            Act::Restart => {
                index.save().unwrap();
                index = world.index();
            }
            Act::Die => index = world.index(),
            Act::Damage(at, byte) => {
                if let Ok(mut bytes) = fs::read(world.cache()) {
                    let at = usize::try_from(*at).unwrap_or(0) % bytes.len();
                    if byte % 2 == 0 {
                        bytes[at] ^= byte | 1;
                    } else {
                        bytes.truncate(at);
                    }
                    fs::write(world.cache(), bytes).unwrap();
                }
                index = world.index();
            }
        }
    }
    agree(&index, &world.fresh());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_happens_to_journals_and_cache_the_index_says_what_the_journals_say(
        acts in prop::collection::vec(act(), 1..40),
    ) {
        live_through(&acts);
    }
}

#[test]
fn a_journal_that_was_cut_and_grew_again_between_two_lives_is_read_anew() {
    let mut world = World::new();
    world.append(id(0), &[0, 5, 5, 3]);
    let index = world.index();
    agree(&index, &world.fresh());
    index.save().unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(world.journal(id(0)))
        .unwrap();
    file.set_len(10).unwrap();
    file.set_len(0).unwrap();
    world.append(id(0), &[0, 5, 5, 3, 5, 5, 5]);
    agree(&world.index(), &world.fresh());
}

#[test]
fn an_edit_in_the_middle_is_noticed_as_long_as_the_journal_has_not_grown() {
    let mut world = World::new();
    world.append(id(0), &[0, 3, 251, 251]);
    let index = world.index();
    agree(&index, &world.fresh());
    index.save().unwrap();
    world.edit(id(0), 10);
    agree(&index, &world.fresh());
    agree(&world.index(), &world.fresh());
    let View::Known(meta) = index.look(id(0), by()) else {
        panic!("it is not there");
    };
    assert!(meta.damage.is_some());
}

/// An index with one session, whose state in the cache nobody could know from the journal.
fn remembered() -> (World, String) {
    let mut world = World::new();
    world.append(id(0), &[0, 3, 5]);
    let index = world.index();
    assert!(index.scan(&mut Pass::default(), by()).unwrap());
    index.save().unwrap();
    let text = fs::read_to_string(world.cache()).unwrap();
    (world, text)
}

fn title(index: &Index) -> Option<String> {
    match index.look(id(0), by()) {
        View::Known(meta) => meta.title.clone(),
        other => panic!("{other:?}"),
    }
}

/// The file with something changed, and a last line that fits.
fn forged(text: &str, from: &str, to: &str) -> String {
    use sha2::{Digest as _, Sha256};
    assert!(text.contains(from), "{text}");
    let changed = text.replace(from, to);
    let at = changed.trim_end().rfind('\n').unwrap() + 1;
    let digest = |text: &str| cib_base::hex::encode(&Sha256::digest(text));
    let before = &text[..text.trim_end().rfind('\n').unwrap() + 1];
    let last = changed[at..].replace(&digest(before), &digest(&changed[..at]));
    format!("{}{last}", &changed[..at])
}

#[test]
fn a_cache_that_is_whole_is_used_and_any_other_is_thrown_away() {
    let (world, text) = remembered();
    let told = title(&world.fresh()).unwrap();
    let marked = |text: &str| forged(text, &told, "from the cache");
    // That this is believed shows that the others would be, too.
    fs::write(world.cache(), marked(&text)).unwrap();
    assert_eq!(title(&world.index()).as_deref(), Some("from the cache"));
    let good = marked(&text);
    let mut flipped = good.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("cut", good.as_bytes()[..good.len() - 1].to_vec()),
        ("cut in the middle", good.as_bytes()[..middle].to_vec()),
        ("empty", Vec::new()),
        ("flipped", flipped),
        (
            "of another format",
            marked(&forged(&text, "\"format\":3", "\"format\":0")).into_bytes(),
        ),
        (
            "of another version",
            marked(&forged(&text, crate::VERSION, "0.0.0")).into_bytes(),
        ),
        (
            "with a field that nobody knows",
            marked(&forged(&text, "\"is_done\"", "\"more\":1,\"is_done\"")).into_bytes(),
        ),
        ("no text", vec![0xff; 100]),
        ("another's", b"{\"tokens\":[]}\n".to_vec()),
    ];
    for (name, bytes) in bad {
        fs::write(world.cache(), bytes).unwrap();
        let index = world.index();
        assert_eq!(title(&index).as_ref(), Some(&told), "{name}");
        // It is not left there for the next one.
        assert!(index.is_due(), "{name}");
        index.save().unwrap();
        assert_eq!(fs::read_to_string(world.cache()).unwrap(), text, "{name}");
    }
}

#[test]
fn a_session_that_is_gone_is_not_kept() {
    let (world, text) = remembered();
    let told = title(&world.index()).unwrap();
    assert!(text.contains(&told));
    let index = world.index();
    assert!(index.scan(&mut Pass::default(), by()).unwrap());
    assert!(!index.is_due());
    fs::remove_dir_all(world.sessions().join(id(0).to_string())).unwrap();
    assert!(index.scan(&mut Pass::default(), by()).unwrap());
    assert!(index.is_due());
    index.save().unwrap();
    assert!(!fs::read_to_string(world.cache()).unwrap().contains(&told));
}

#[test]
fn what_cannot_be_written_is_not_given_up_and_changes_nothing() {
    let (world, text) = remembered();
    let nowhere = Index::new(world.sessions(), world.dir.path().join("no/such/file"));
    assert!(nowhere.scan(&mut Pass::default(), by()).unwrap());
    nowhere.save().unwrap_err();
    nowhere.save().unwrap_err();
    assert_eq!(fs::read_to_string(world.cache()).unwrap(), text);
}

#[test]
fn a_pass_goes_on_however_short_its_portions_are() {
    let mut world = World::new();
    for n in 0..3 {
        world.append(id(n), &[0]);
    }
    fs::create_dir(world.sessions().join(Uuid::from_u128(9).to_string())).unwrap();
    let index = world.index();
    let mut pass = Pass::default();
    let past = Instant::now();
    let portions = (1..).find(|_| index.scan(&mut pass, past).unwrap());
    assert!(portions <= Some(5), "{portions:?}");
    assert_eq!(index.snapshot().len(), 3);
}

#[test]
fn whoever_waits_for_a_session_gets_it_when_it_is_free_or_goes_in_time() {
    let slot = Slot::new(id(0), Entry::new(id(0)));
    let held = slot.take(by()).unwrap();
    let asked = Instant::now();
    assert!(slot.take(asked + Duration::from_millis(30)).is_none());
    assert!(asked.elapsed() >= Duration::from_millis(30));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| slot.take(by()).is_some());
        drop(held);
        assert!(waiting.join().unwrap());
    });
}
