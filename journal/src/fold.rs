//! What a session is, folded from the frames of its journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cib_foreign::ForeignError;
use cib_protocol::frame::{Data, Meta, Opening, Status, Stop};
use cib_protocol::limits::{Resources, Usage};
use cib_protocol::session::{
    AuthMode, Driver, PermissionMode, Program, SessionId, SessionMeta, SessionSpec, State,
};
use cib_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::line::{Flaw, Owner};
use crate::seek::Source;
use crate::{FILE, MAX_LINE};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// Why a journal cannot be folded to its end.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It is no file that can be opened.
    #[error(transparent)]
    Open(#[from] ForeignError),
    /// It cannot be read.
    #[error("cannot read the journal {}", path.display())]
    Read {
        /// The journal.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// How far a fold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that is final was taken up.
    Done,
    /// There is more, and the caller wanted to stop.
    More,
}

/// A journal that is taken up from its beginning, as far as it goes, and further when it grows.
#[derive(Clone, Debug)]
pub struct Fold {
    owner: Owner,
    /// What the frames say; `None` before the first.
    meta: Option<Box<SessionMeta>>,
    /// What was wrong first with a line, if anything was.
    flaw: Option<String>,
    /// Whether a keeper has said what the session was asked to be.
    is_opened: bool,
    /// Whether the last frame says that the session has ended.
    is_closed: bool,
    /// Offset behind the last line that was taken up.
    offset: u64,
    /// Bytes behind that in which the end of a long line was not found.
    searched: u64,
}

impl Fold {
    /// An empty journal.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            owner: Owner::new(session),
            meta: None,
            flaw: None,
            is_opened: false,
            is_closed: false,
            offset: 0,
            searched: 0,
        }
    }

    /// A journal whose first `offset` bytes are known to say this.
    #[must_use]
    pub fn known(meta: SessionMeta, is_opened: bool, is_closed: bool, offset: u64) -> Self {
        Self {
            owner: Owner::new(meta.id),
            flaw: meta.damage.clone(),
            meta: Some(Box::new(meta)),
            is_opened,
            is_closed,
            offset,
            searched: 0,
        }
    }

    /// What the session is; `None` if there is no frame.
    #[must_use]
    pub fn meta(&self) -> Option<&SessionMeta> {
        self.meta.as_deref()
    }

    /// What the session is; `None` if there is no frame.
    #[must_use]
    pub fn into_meta(self) -> Option<SessionMeta> {
        self.meta.map(|meta| *meta)
    }

    /// Whether a keeper has said what the session was asked to be, which those of earlier
    /// versions left to a file beside the journal.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.is_opened
    }

    /// Whether the last frame says that the session has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Offset behind the last line that was taken up.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes up what stands in a journal behind what was taken up before, until its last
    /// newline or until `enough` says so, which is asked between two portions.
    ///
    /// # Errors
    /// If the journal cannot be read. [`io::ErrorKind::InvalidData`] if a line has more than
    /// [`MAX_LINE`] bytes; [`io::ErrorKind::UnexpectedEof`] if it is shorter than it was.
    pub fn read(&mut self, file: &File, mut enough: impl FnMut() -> bool) -> io::Result<Progress> {
        let len = file.metadata()?.len();
        if len < self.offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            // A line that goes on beyond a portion is only looked through for its end.
            let read = Source::read_at(file, &mut buffer, self.offset + self.searched)?;
            if self.searched > 0 {
                if let Some(at) = memchr::memchr(b'\n', &buffer[..read]) {
                    let mut line = vec![0; usize::try_from(self.searched).unwrap_or(0) + at];
                    file.read_exact_at(&mut line, self.offset)?;
                    self.line(&line);
                    self.offset += line.len() as u64 + 1;
                    self.searched = 0;
                    continue;
                }
                self.searched += read as u64;
            } else {
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', &buffer[..read]) {
                    self.line(&buffer[start..end]);
                    start = end + 1;
                }
                self.offset += start as u64;
                if start == 0 {
                    self.searched = read as u64;
                }
            }
            if read < buffer.len() {
                // The rest may become a line yet.
                self.searched = 0;
                return Ok(Progress::Done);
            }
            if self.searched > MAX_LINE {
                let what = format!("a line has more than {MAX_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if enough() {
                return Ok(Progress::More);
            }
        }
    }

    /// Takes up a line without its newline.
    pub fn line(&mut self, line: &[u8]) {
        let head = match self.owner.head(line) {
            Ok(head) => head,
            Err(flaw) => return self.spoil(&flaw),
        };
        let last = self.meta.as_ref().map_or(0, |meta| meta.last_seq);
        // What is numbered 0 stands in front of the first frame and is told to nobody.
        if head.seq < last || (head.seq == last && last > 0) || head.seq == u64::MAX {
            return self.damage(format!("seq {} stands behind seq {last}", head.seq));
        }
        if head.seq > last + 1 {
            self.damage(format!("seq {} follows seq {last}", head.seq));
        }
        self.is_closed = false;
        let meta = match &mut self.meta {
            Some(meta) => meta,
            none => {
                let ts = timestamp(line).unwrap_or(Timestamp::from_millis(0));
                let meta = none.insert(Box::new(unknown(self.owner.session(), ts)));
                meta.damage.clone_from(&self.flaw);
                meta
            }
        };
        meta.last_seq = head.seq;
        if !matches!(&*head.kind, "status" | "stop" | "usage" | "meta") {
            return;
        }
        let Some((ts, data)) = payload(line) else {
            return self.spoil(&Flaw::NotAFrame);
        };
        if let Data::Meta(news) = &data {
            self.is_opened |= news.opening.is_some();
            if !self.is_opened && is_a_shells(news) {
                meta.program = Program::Shell;
            }
        }
        apply(meta, head.seq, ts, &data);
        self.is_closed = matches!(&data, Data::Status(status) if !status.state.is_live());
    }

    /// What was wrong first with a line, if anything was.
    #[must_use]
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// Takes up that a line is no frame of the session.
    fn spoil(&mut self, flaw: &Flaw) {
        self.damage(flaw.to_string());
    }

    fn damage(&mut self, what: String) {
        let what = self.flaw.get_or_insert(what);
        if let Some(meta) = &mut self.meta {
            meta.damage.get_or_insert_with(|| what.clone());
        }
    }
}

/// What a journal says that its session is; `None` if there is none, or no frame in it.
///
/// # Errors
/// If it is there and cannot be read.
pub fn load(dir: &Path, session: SessionId) -> Result<Fold, FoldError> {
    let path = dir.join(FILE);
    let mut fold = Fold::new(session);
    let file = match cib_foreign::open(&path) {
        Ok(file) => file,
        Err(error) if error.is_absent() => return Ok(fold),
        Err(error) => return Err(error.into()),
    };
    match fold.read(&file, || false) {
        Ok(_) => Ok(fold),
        Err(source) => Err(FoldError::Read { path, source }),
    }
}

/// What a session is at its first breath, or at its next one after it had ended: what it has
/// used, its turns and its birthday stay.
#[must_use]
pub fn begin(spec: &SessionSpec, earlier: Option<SessionMeta>, now: Timestamp) -> SessionMeta {
    let earlier = earlier.filter(|earlier| earlier.id == spec.id);
    let old = earlier.as_ref();
    SessionMeta {
        id: spec.id,
        program: spec.program,
        workdir: spec.workdir.clone(),
        driver: spec.driver,
        model: spec.model.clone().or_else(|| old?.model.clone()),
        effort: spec.effort.clone(),
        permission_mode: spec.permission_mode,
        auth_mode: spec.auth_mode,
        title: spec.title.clone().or_else(|| old?.title.clone()),
        state: State::Starting,
        reason: None,
        created_at: old.map_or(now, |old| old.created_at),
        started_at: old.and_then(|old| old.started_at),
        stopped_at: None,
        ended_in: None,
        exit_code: None,
        last_seq: old.map_or(0, |old| old.last_seq),
        claude_session: None,
        claude_version: old.and_then(|old| old.claude_version.clone()),
        claude_pid: None,
        usage: old.map(|old| old.usage).unwrap_or_default(),
        last_turn: old.and_then(|old| old.last_turn),
        resources: old.map(|old| old.resources).unwrap_or_default(),
        turns: old.map_or(0, |old| old.turns),
        limits: spec.limits.clone(),
        damage: old.and_then(|old| old.damage.clone()),
    }
}

/// What a keeper says once of a session that begins, so that the journal tells it.
#[must_use]
pub fn opening(meta: &SessionMeta) -> Opening {
    Opening {
        program: meta.program,
        created_at: meta.created_at,
        auth_mode: meta.auth_mode,
        effort: meta.effort.clone(),
        limits: meta.limits.clone(),
        resources: (meta.resources != Resources::default()).then_some(meta.resources),
        exit_code: None,
        ended_in: None,
    }
}

/// Takes up what a frame says.
pub fn apply(meta: &mut SessionMeta, seq: u64, ts: Timestamp, data: &Data) {
    meta.last_seq = seq;
    match data {
        Data::Status(status) => apply_status(meta, ts, status),
        Data::Stop(stop) => apply_stop(meta, stop),
        Data::Usage(usage) => {
            meta.usage.add(usage);
            meta.last_turn = Some(*usage);
        }
        Data::Meta(news) => apply_meta(meta, news),
        _ => {}
    }
}

fn apply_status(meta: &mut SessionMeta, ts: Timestamp, status: &Status) {
    let before = std::mem::replace(&mut meta.state, status.state);
    if status.state.is_live() {
        if !before.is_live() {
            // A keeper has begun where another had ended.
            meta.reason = None;
            meta.stopped_at = None;
            meta.ended_in = None;
            meta.exit_code = None;
        }
        if status.state != State::Starting && meta.started_at.is_none() {
            meta.started_at = Some(ts);
        }
    } else {
        meta.stopped_at.get_or_insert(ts);
        if before.is_live() {
            meta.ended_in.get_or_insert(before);
        }
        meta.claude_pid = None;
    }
}

fn apply_stop(meta: &mut SessionMeta, stop: &Stop) {
    if let Some(resources) = stop.resources {
        meta.resources = resources;
    }
    if stop.last {
        meta.reason = Some(stop.reason.clone());
        meta.exit_code = stop.exit_code;
        meta.ended_in = stop.ended_in.or(meta.ended_in);
    } else if stop.is_users_turn() {
        meta.turns += 1;
    }
}

fn apply_meta(meta: &mut SessionMeta, news: &Meta) {
    if let Some(opening) = &news.opening {
        meta.program = opening.program;
        meta.created_at = opening.created_at;
        meta.auth_mode = opening.auth_mode;
        meta.effort.clone_from(&opening.effort);
        meta.limits = opening.limits.clone();
        meta.resources = opening.resources.unwrap_or(meta.resources);
        meta.exit_code = opening.exit_code.or(meta.exit_code);
        meta.ended_in = opening.ended_in.or(meta.ended_in);
    }
    if let Some(title) = &news.title {
        meta.title = Some(title.clone());
    }
    if let Some(model) = &news.model {
        meta.model = Some(model.clone());
    }
    if let Some(driver) = news.driver {
        meta.driver = driver;
    }
    if let Some(workdir) = &news.workdir {
        meta.workdir = workdir.into();
    }
    if let Some(version) = &news.claude_version {
        meta.claude_version = Some(version.clone());
    }
    let parsed = news.claude_session.as_deref().map(str::parse);
    if let Some(Ok(id)) = parsed {
        meta.claude_session = Some(id);
    }
    let mode = news.permission_mode.as_deref();
    if let Some(mode) = mode.and_then(PermissionMode::named) {
        meta.permission_mode = mode;
    }
}

/// A session of which nothing is known but its id and when it was first heard of.
#[must_use]
pub fn unknown(id: SessionId, at: Timestamp) -> SessionMeta {
    SessionMeta {
        id,
        program: Program::Claude,
        workdir: PathBuf::new(),
        driver: Driver::default(),
        model: None,
        effort: None,
        permission_mode: PermissionMode::default(),
        auth_mode: AuthMode::default(),
        title: None,
        state: State::Starting,
        reason: None,
        created_at: at,
        started_at: None,
        stopped_at: None,
        ended_in: None,
        exit_code: None,
        last_seq: 0,
        claude_session: None,
        claude_version: None,
        claude_pid: None,
        usage: Usage::default(),
        last_turn: None,
        resources: Resources::default(),
        turns: 0,
        limits: cib_protocol::limits::Limits::default(),
        damage: None,
    }
}

/// Whether this is how a keeper of an earlier version began a shell, which it did not say.
fn is_a_shells(news: &Meta) -> bool {
    news.workdir.is_some()
        && news.driver.is_none()
        && news.permission_mode.is_none()
        && news.claude_session.is_none()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    ts: Timestamp,
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The payload of a frame whose kind says something about the session.
fn payload(line: &[u8]) -> Option<(Timestamp, Data)> {
    let envelope: Envelope<'_> = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
    let text = envelope.data.get();
    let data = match envelope.kind.as_str() {
        "status" => Data::Status(serde_json::from_str(text).ok()?),
        "stop" => Data::Stop(serde_json::from_str(text).ok()?),
        "usage" => Data::Usage(serde_json::from_str(text).ok()?),
        "meta" => Data::Meta(serde_json::from_str(text).ok()?),
        _ => return None,
    };
    Some((envelope.ts, data))
}

fn timestamp(line: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Stamp {
        ts: Timestamp,
    }
    let stamp: Stamp = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
    Some(stamp.ts)
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::{Frame, Text};
    use cib_protocol::limits::Limits;
    use cib_protocol::session::Uuid;

    use super::*;

    const ID: SessionId = Uuid::from_u128(7);

    fn write(into: &mut Vec<u8>, seq: u64, data: &Data) {
        let ts = Timestamp::from_millis(i64::try_from(seq).unwrap() * 1000);
        Frame::write_line(into, ID, seq, ts, data).unwrap();
    }

    fn status(state: State) -> Data {
        Data::Status(Status {
            state,
            elapsed_ms: 0,
        })
    }

    fn text() -> Data {
        Data::Text(Text {
            text: "x".to_owned(),
            ..Text::default()
        })
    }

    fn opening_frame(spec: &SessionSpec, earlier: Option<SessionMeta>) -> Data {
        let meta = begin(spec, earlier, Timestamp::from_millis(500));
        Data::Meta(Meta {
            model: meta.model.clone(),
            workdir: Some(meta.workdir.display().to_string()),
            permission_mode: Some(meta.permission_mode.as_str().to_owned()),
            claude_session: Some(Uuid::from_u128(9).to_string()),
            driver: Some(meta.driver),
            title: meta.title.clone(),
            opening: Some(Box::new(opening(&meta))),
            ..Meta::default()
        })
    }

    fn spec() -> SessionSpec {
        serde_json::from_value(serde_json::json!({
            "id": ID, "workdir": "/work", "driver": "tty", "model": "opus", "effort": "high",
            "permission_mode": "plan", "auth_mode": "api_key", "title": "Name",
            "limits": {"max_turns": 3},
        }))
        .unwrap()
    }

    fn lines(frames: &[Data]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (data, seq) in frames.iter().zip(1..) {
            write(&mut bytes, seq, data);
        }
        bytes
    }

    fn fold(bytes: &[u8]) -> Fold {
        let mut fold = Fold::new(ID);
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            fold.line(line);
        }
        fold
    }

    #[test]
    fn everything_that_a_resume_needs_follows_from_the_journal_alone() {
        let usage = Usage {
            input: 1,
            output: 2,
            cost_usd: 0.5,
            ..Usage::default()
        };
        let resources = Resources {
            cpu_ms: Some(12),
            ..Resources::default()
        };
        let frames = [
            status(State::Starting),
            opening_frame(&spec(), None),
            status(State::Working),
            text(),
            Data::Usage(usage),
            Data::Stop(Stop {
                reason: "turn_end".to_owned(),
                resources: Some(resources),
                ..Stop::default()
            }),
            Data::Meta(Meta {
                title: Some("Renamed".to_owned()),
                ..Meta::default()
            }),
            Data::Stop(Stop {
                reason: "exit 3".to_owned(),
                last: true,
                exit_code: Some(3),
                ended_in: Some(State::Working),
                ..Stop::default()
            }),
            status(State::Failed),
        ];
        let fold = fold(&lines(&frames));
        assert!(fold.is_opened() && fold.is_closed());
        let meta = fold.into_meta().unwrap();
        let expected = SessionMeta {
            title: Some("Renamed".to_owned()),
            state: State::Failed,
            reason: Some("exit 3".to_owned()),
            started_at: Some(Timestamp::from_millis(3000)),
            stopped_at: Some(Timestamp::from_millis(9000)),
            ended_in: Some(State::Working),
            exit_code: Some(3),
            last_seq: 9,
            claude_session: Some(Uuid::from_u128(9)),
            usage,
            last_turn: Some(usage),
            resources,
            turns: 1,
            ..begin(&spec(), None, Timestamp::from_millis(500))
        };
        assert_eq!(meta, expected);
    }

    #[test]
    fn a_keeper_that_begins_again_brings_what_was_used_and_nothing_of_the_end() {
        let mut frames = vec![
            status(State::Starting),
            opening_frame(&spec(), None),
            status(State::Idle),
            Data::Stop(Stop {
                reason: "turn_end".to_owned(),
                ..Stop::default()
            }),
            Data::Stop(Stop {
                reason: "exit".to_owned(),
                last: true,
                exit_code: Some(0),
                ..Stop::default()
            }),
            status(State::Stopped),
        ];
        let earlier = fold(&lines(&frames)).into_meta();
        let again = SessionSpec {
            title: None,
            limits: Limits::default(),
            ..spec()
        };
        frames.extend([status(State::Starting), opening_frame(&again, earlier)]);
        let fold = fold(&lines(&frames));
        assert!(!fold.is_closed());
        let meta = fold.into_meta().unwrap();
        assert_eq!(meta.title.as_deref(), Some("Name"));
        assert_eq!(meta.created_at, Timestamp::from_millis(500));
        assert_eq!(meta.limits, Limits::default());
        assert_eq!(meta.turns, 1);
        let end = (meta.reason, meta.stopped_at, meta.ended_in, meta.exit_code);
        assert_eq!(end, (None, None, None, None));
    }

    #[test]
    fn what_is_no_frame_of_the_session_is_told_as_damage_and_nothing_else_is_lost() {
        let mut other = Vec::new();
        Frame::write_line(
            &mut other,
            Uuid::from_u128(8),
            3,
            Timestamp::from_millis(0),
            &status(State::Stopped),
        )
        .unwrap();
        let mut gap = Vec::new();
        write(&mut gap, 7, &text());
        let mut back = Vec::new();
        write(&mut back, 1, &status(State::Stopped));
        for (spoilt, says) in [
            (&b"garbage\n"[..], "a line is no frame"),
            (&other, "a line is another session's"),
            (&gap, "seq 7 follows seq 2"),
            (&back, "seq 1 stands behind seq 2"),
        ] {
            let mut bytes = lines(&[status(State::Starting), opening_frame(&spec(), None)]);
            bytes.extend_from_slice(spoilt);
            write(&mut bytes, 8, &status(State::Idle));
            let meta = fold(&bytes).into_meta().unwrap();
            assert_eq!(meta.damage.as_deref(), Some(says));
            assert_eq!((meta.state, meta.last_seq), (State::Idle, 8));
        }
        let nothing = fold(b"garbage\n");
        assert!(nothing.meta().is_none());
        assert_eq!(nothing.flaw(), Some("a line is no frame"));
    }

    #[test]
    fn a_journal_is_taken_up_in_portions_and_further_when_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut frames = vec![text(); 5000];
        std::fs::write(&path, lines(&frames)).unwrap();
        let file = File::open(&path).unwrap();
        let mut fold = Fold::new(ID);
        assert_eq!(fold.read(&file, || true).unwrap(), Progress::More);
        assert!(fold.meta().unwrap().last_seq < 5000);
        while fold.read(&file, || true).unwrap() == Progress::More {}
        assert_eq!(fold.meta().unwrap().last_seq, 5000);
        frames.push(status(State::Stopped));
        let mut bytes = lines(&frames);
        bytes.extend_from_slice(b"torn");
        std::fs::write(&path, &bytes).unwrap();
        fold.read(&file, || false).unwrap();
        assert!(fold.is_closed());
        assert_eq!(fold.offset(), bytes.len() as u64 - 4);
        std::fs::write(&path, "").unwrap();
        let shrunk = fold.read(&file, || false).unwrap_err();
        assert_eq!(shrunk.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_long_line_is_taken_up_whole_however_often_the_reader_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let long = Data::Text(Text {
            text: "y".repeat(5 * CHUNK + 7),
            ..Text::default()
        });
        std::fs::write(
            &path,
            lines(&[text(), long, text(), status(State::Stopped)]),
        )
        .unwrap();
        let file = File::open(&path).unwrap();
        let mut fold = Fold::new(ID);
        while fold.read(&file, || true).unwrap() == Progress::More {}
        assert!(fold.is_closed());
        let meta = fold.into_meta().unwrap();
        assert_eq!((meta.last_seq, meta.damage), (4, None));
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let file = File::create_new(&path).unwrap();
        file.set_len(15 << 40)
            .or_else(|_| file.set_len(2 << 30))
            .unwrap();
        let Err(FoldError::Read { source, .. }) = load(dir.path(), ID) else {
            panic!("it was read");
        };
        assert_eq!(source.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_shell_of_an_earlier_version_is_known_by_how_it_began() {
        let began = Data::Meta(Meta {
            workdir: Some("/work".to_owned()),
            ..Meta::default()
        });
        let fold = fold(&lines(&[status(State::Starting), began]));
        assert_eq!(fold.meta().unwrap().program, Program::Shell);
    }
}
