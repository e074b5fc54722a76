//! A session as clients of agentapi know an agent: messages of two speakers, and whether it is at
//! work.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use cib_protocol::api::{Encoding, FileRoots, Input, MakeFolder, Transcript};
use cib_protocol::frame::{Data, Role};
use cib_protocol::session::{Program, SessionId, SessionMeta, State, Uuid};
use cib_protocol::time::Timestamp;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use super::call::{Call, Reply};
use super::within::{At, Frames, Step, Within};
use crate::fault::{Code, Fault};
use crate::talk::question::told;
use crate::talk::turn::give;
use crate::talk::{Message, Speaker};

/// What an agent of ours is called there.
const AGENT: &str = "claude";

/// Kinds of which messages are made.
const KINDS: &str = "text.delta,ask.question,status";

/// Bytes of messages that are told, the newest.
const MOST: usize = 8 * 1024 * 1024;

/// Bytes of one message that are told, the newest.
const LONGEST: usize = 1024 * 1024;

/// What a message counts for besides its text.
const EACH: usize = 128;

/// How often what changes is told, at most: each time all of a message is.
const PACE: Duration = Duration::from_millis(250);

/// How long a journal is read for them.
const LOOK: Duration = Duration::from_secs(10);

/// Where files go that are sent.
const UPLOADS: &str = "uploads";

/// The root that they are in.
const ROOT: &str = "workspace";

pub(super) async fn status(call: Call) -> Result<Reply, Fault> {
    let (within, id) = of(&call)?;
    let meta: SessionMeta = within.get("get_session", Some(id), "").await?;
    Reply::json(&status_of(meta.state))
}

fn of(call: &Call) -> Result<(Within, SessionId), Fault> {
    Ok((Within::new(call)?, call.id(Program::Claude)?))
}

fn status_of(state: State) -> Value {
    let word = match state {
        State::Starting | State::Working => "running",
        _ => "stable",
    };
    json!({"agent_type": AGENT, "status": word})
}

#[derive(Deserialize)]
struct Sent {
    content: String,
    #[serde(rename = "type")]
    kind: String,
}

pub(super) async fn send(call: Call) -> Result<Reply, Fault> {
    let (within, id) = of(&call)?;
    let sent: Sent = call.json()?;
    match &*sent.kind {
        "user" => {
            let meta: SessionMeta = within.get("get_session", Some(id), "").await?;
            let mut message = Message::of(Speaker::User);
            message.say(&sent.content);
            give(&within, &meta, message).await?;
        }
        "raw" => {
            let input = Input {
                data: sent.content,
                encoding: Encoding::Raw,
                ..Input::default()
            };
            within.post("send_input", Some(id), &input).await?;
        }
        _ => return Err(Fault::new(Code::BadValue, "`type` is `user` or `raw`")),
    }
    Reply::json(&json!({"ok": true}))
}

pub(super) async fn messages(call: Call) -> Result<Reply, Fault> {
    let (within, id) = of(&call)?;
    let (said, _) = past(&within, id).await?;
    let messages = said.messages.iter().map(
        |one| json!({"id": one.id, "role": one.role(), "content": one.text, "time": one.time}),
    );
    Reply::json(&json!({"messages": messages.collect::<Vec<_>>()}))
}

/// What was said up to now, and up to which frame that is. It is read backwards, page by page, until
/// there is enough of it.
async fn past(within: &Within, id: SessionId) -> Result<(Said, u64), Fault> {
    let by = Instant::now() + LOOK;
    let (mut pages, mut size, mut before, mut end) = (Vec::new(), 0, u64::MAX, None);
    loop {
        let query = format!("before={before}&kinds={KINDS}");
        let page: Transcript = within.get("get_transcript", Some(id), &query).await?;
        end.get_or_insert(page.next);
        before = page.previous.unwrap_or_default();
        size += page
            .frames
            .iter()
            .map(|frame| frame.data.get().len())
            .sum::<usize>();
        pages.push(page.frames);
        if before == 0 || size > MOST || Instant::now() > by {
            break;
        }
    }
    let mut said = Said::default();
    for frame in pages.iter().rev().flatten() {
        if let Ok(Some(data)) = frame.decode() {
            said.take(At::of(frame), &data);
        }
    }
    Ok((said, end.unwrap_or_default()))
}

pub(super) async fn events(call: Call) -> Result<Reply, Fault> {
    let (within, id) = of(&call)?;
    let (said, from) = past(&within, id).await?;
    let frames = within.follow(id, from, KINDS).await?;
    let live = Live {
        said,
        frames,
        count: 0,
        due: Instant::now(),
    };
    let chunks = stream::unfold(Some(live), |live| async move {
        let (text, live) = live?.next().await;
        Some((Ok::<_, Infallible>(text.into()), live))
    });
    Ok(Reply::Chunks {
        media: "text/event-stream",
        chunks: Box::pin(chunks),
    })
}

/// A message.
#[derive(Debug)]
struct One {
    /// Seq of its first frame.
    id: u64,
    is_user: bool,
    text: String,
    time: Timestamp,
    /// Claude's message that is being said.
    saying: Option<String>,
}

impl One {
    fn role(&self) -> &'static str {
        if self.is_user { "user" } else { "agent" }
    }

    fn size(&self) -> usize {
        EACH + self.text.len()
    }

    /// Cuts the front of what is too long: half of it at once, so that not each piece that comes
    /// moves all of it.
    fn cut(&mut self) {
        if self.text.len() > LONGEST {
            let front = self.text.len() - LONGEST / 2;
            self.text.drain(..self.text.ceil_char_boundary(front));
        }
    }
}

/// A session as messages: what Claude says from one message of the user's to the next is one.
#[derive(Debug)]
struct Said {
    messages: VecDeque<One>,
    size: usize,
    /// The oldest message that is not told as it is now.
    changed: u64,
    state: State,
    is_state_told: bool,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            size: 0,
            changed: 0,
            state: State::Starting,
            is_state_told: false,
        }
    }
}

impl Said {
    fn take(&mut self, at: At, data: &Data) {
        match data {
            Data::Text(text) if text.agent.is_none() => {
                let is_user = text.role == Role::User;
                self.say(at, is_user, text.message_id.as_ref(), &text.text);
            }
            Data::AskQuestion(question) => self.say(at, false, None, &told(question)),
            Data::Status(status) => {
                self.is_state_told &= status_of(self.state) == status_of(status.state);
                self.state = status.state;
            }
            _ => {}
        }
    }

    fn say(&mut self, at: At, is_user: bool, saying: Option<&String>, text: &str) {
        let last = match self.messages.back_mut() {
            Some(last) if !is_user && !last.is_user => {
                self.size = self.size.saturating_sub(last.size());
                if last.saying.as_ref() != saying {
                    last.text.push_str("\n\n");
                    last.saying = saying.cloned();
                }
                last.text.push_str(text);
                last
            }
            _ => self.messages.push_back_mut(One {
                id: at.seq,
                is_user,
                text: text.to_owned(),
                time: at.time,
                saying: saying.cloned(),
            }),
        };
        last.cut();
        self.size += last.size();
        self.changed = self.changed.min(last.id);
        while self.size > MOST && self.messages.len() > 1 {
            let gone = self.messages.pop_front();
            self.size = self.size.saturating_sub(gone.map_or(0, |gone| gone.size()));
        }
    }

    fn has_news(&self) -> bool {
        self.changed != u64::MAX || !self.is_state_told
    }

    /// What has changed since it was told last.
    fn news(&mut self, count: &mut u64) -> String {
        let mut out = String::new();
        let mut event = |name: &str, data: &Value| {
            out.push_str(&format!("id: {count}\nevent: {name}\ndata: {data}\n\n"));
            *count += 1;
        };
        for one in self.messages.iter().filter(|one| one.id >= self.changed) {
            let data = json!({
                "id": one.id, "role": one.role(), "message": one.text, "time": one.time,
            });
            event("message_update", &data);
        }
        if !self.is_state_told {
            event("status_change", &status_of(self.state));
        }
        self.is_state_told = true;
        self.changed = u64::MAX;
        out
    }
}

/// The events of a session.
struct Live {
    said: Said,
    frames: Frames,
    count: u64,
    /// When the next events may be told.
    due: Instant,
}

impl Live {
    /// The next events, and whether more come.
    async fn next(mut self) -> (String, Option<Self>) {
        loop {
            let has_news = self.said.has_news();
            // What came together is told together.
            if has_news && !self.frames.has_more() && Instant::now() >= self.due {
                self.due = Instant::now() + PACE;
                return (self.said.news(&mut self.count), Some(self));
            }
            let next = self.frames.next();
            let step = if has_news {
                match timeout_at(self.due.into(), next).await {
                    Ok(step) => step,
                    Err(_) => continue,
                }
            } else {
                next.await
            };
            match step {
                Step::Life if has_news => {}
                Step::Life => return (":keepalive\n\n".to_owned(), Some(self)),
                Step::End(_) => {
                    let news = self.said.news(&mut self.count);
                    return (news + ":end\n\n", None);
                }
                Step::Frame(at, data) => self.said.take(at, &data),
            }
        }
    }
}

pub(super) async fn upload(call: Call) -> Result<Reply, Fault> {
    let (within, id) = of(&call)?;
    let media = call.headers.get(CONTENT_TYPE);
    let media = media.and_then(|media| media.to_str().ok());
    let file = File::find(media.unwrap_or_default(), &call.body).ok_or_else(|| {
        let detail = "the body is no multipart/form-data with a part `file`";
        Fault::new(Code::BadValue, detail)
    })?;
    // There has to be such a session, though the file is the box's.
    let _: SessionMeta = within.get("get_session", Some(id), "").await?;
    let roots: FileRoots = within.get("list_file_roots", None, "").await?;
    let root = roots.roots.into_iter().find(|root| root.name == ROOT);
    let root = root.ok_or_else(|| Fault::new(Code::NoSuchFile, "there is no workspace"))?;
    let folder = MakeFolder {
        root: Some(ROOT.to_owned()),
        path: UPLOADS.to_owned(),
        parents: true,
    };
    within.post("make_folder", None, &folder).await?;
    let path = format!("{UPLOADS}/{}-{}", Uuid::new_v4().simple(), file.name);
    let query = format!(
        "root={ROOT}&path={}",
        utf8_percent_encode(&path, NON_ALPHANUMERIC)
    );
    let bytes = call.body.slice_ref(file.bytes);
    within.ask("upload_file", None, &query, bytes).await?;
    Reply::json(&json!({"ok": true, "filePath": format!("{}/{path}", root.path)}))
}

/// Looks for a file in a form, for the fuzzer.
pub(crate) fn fuzz(media: &str, body: &[u8]) {
    if let Some(file) = File::find(media, body) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!(file.name.bytes().all(is_plain), "{}", file.name);
        assert!(!["", ".", ".."].contains(&&*file.name) && file.name.len() <= 100);
    }
}

/// A file in a form.
#[derive(Debug, PartialEq, Eq)]
struct File<'b> {
    name: String,
    bytes: &'b [u8],
}

impl<'b> File<'b> {
    /// The part of a form that is called `file`.
    fn find(media: &str, body: &'b [u8]) -> Option<Self> {
        let (kind, parameters) = media.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary").filter(|text| !text.is_empty())?;
        let (first, between) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
        let mut rest = &body[memmem::find(body, first.as_bytes())? + first.len()..];
        loop {
            // `--` ends the form.
            rest = rest.strip_prefix(b"\r\n")?;
            let head = memmem::find(rest, b"\r\n\r\n")?;
            let end = head + 4 + memmem::find(&rest[head + 4..], between.as_bytes())?;
            let headers = std::str::from_utf8(&rest[..head]).ok()?;
            let disposition = headers.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_it = name.eq_ignore_ascii_case("content-disposition");
                is_it.then_some(value)
            });
            if let Some(disposition) = disposition
                && parameter(disposition, "name").as_deref() == Some("file")
            {
                let name = parameter(disposition, "filename").unwrap_or_default();
                return Some(Self {
                    name: plain(&name),
                    bytes: &rest[head + 4..end],
                });
            }
            rest = &rest[end + between.len()..];
        }
    }
}

/// A parameter of a header's value.
fn parameter(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        known
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.to_owned())
    })
}

/// A name that is one name and nothing more.
fn plain(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = last.chars().map(|letter| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => letter,
        _ => '_',
    });
    let kept: String = kept.take(100).collect();
    if kept.trim_matches('.').is_empty() {
        return "file".to_owned();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "multipart/form-data; boundary=xy";

    #[test]
    fn a_file_is_found_in_its_form_whatever_is_in_it() {
        let body = b"--xy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xy\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"../a b.txt\"\r\n\
            Content-Type: text/plain\r\n\r\none\r\n--x\r\ntwo\r\n--xy--\r\n";
        let file = File::find(FORM, body).unwrap();
        assert_eq!(file.name, "a_b.txt");
        assert_eq!(file.bytes, b"one\r\n--x\r\ntwo");
        for size in 0..body.len() - 8 {
            assert_eq!(File::find(FORM, &body[..size]), None, "{size}");
        }
        assert_eq!(File::find("multipart/form-data; boundary=zz", body), None);
        assert_eq!(File::find("multipart/form-data; boundary=\"\"", body), None);
        assert_eq!(File::find("application/json", body), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_form_is_its_file_is_a_part_of_it(
            head in "[a-zA-Z:;=\"\r\n -]{0,80}",
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        ) {
            let part = b"--xy\r\nContent-Disposition: form-data; name=file\r\n";
            let body = [&part[..], head.as_bytes(), b"\r\n\r\n", &bytes, b"\r\n--xy--"].concat();
            for body in [&body[..], &bytes] {
                if let Some(file) = File::find(FORM, body) {
                    proptest::prop_assert!(memmem::find(body, file.bytes).is_some());
                    proptest::prop_assert!(!file.name.contains('/'));
                }
            }
        }
    }

    #[test]
    fn a_name_leads_nowhere() {
        for (name, kept) in [
            ("..", "file"),
            ("", "file"),
            ("a/../../b", "b"),
            ("C:\\x\\y.png", "y.png"),
            ("\u{202e}x", "_x"),
        ] {
            assert_eq!(plain(name), kept);
        }
    }

    #[test]
    fn what_claude_says_between_two_messages_is_one_and_only_what_changed_is_told() {
        let mut said = Said::default();
        let data = |kind: &str, data: Value| -> Data {
            serde_json::from_value(json!({"kind": kind, "data": data})).unwrap()
        };
        let mut seq = 0;
        let mut at = || {
            seq += 1;
            let time = Timestamp::from_millis(0);
            At { seq, time }
        };
        let text = |role: &str, id: &str, text: &str| {
            data(
                "text.delta",
                json!({"role": role, "message_id": id, "text": text}),
            )
        };
        for frame in [
            text("user", "u", "hi"),
            text("assistant", "a", "hel"),
            text("assistant", "a", "lo"),
            text("assistant", "b", "there"),
            data("status", json!({"state": "idle", "elapsed_ms": 1})),
        ] {
            said.take(at(), &frame);
        }
        let mut count = 0;
        let news = said.news(&mut count);
        assert_eq!(count, 3, "{news}");
        assert!(news.contains(r#""message":"hello\n\nthere""#), "{news}");
        assert!(news.contains(r#""status":"stable""#), "{news}");
        assert_eq!(said.news(&mut count), "");
        said.take(at(), &text("assistant", "b", "!"));
        let news = said.news(&mut count);
        assert_eq!((count, news.contains("there!")), (4, true), "{news}");
        said.take(
            at(),
            &data("status", json!({"state": "working", "elapsed_ms": 1})),
        );
        assert!(said.news(&mut count).contains("running"));
    }

    #[test]
    fn no_more_is_kept_than_is_told_whatever_it_is_made_of() {
        let mut said = Said::default();
        let mut seq = 0;
        let mut say = |is_user, id: &str, text: &str| {
            seq += 1;
            let time = Timestamp::from_millis(0);
            said.say(At { seq, time }, is_user, Some(&id.to_owned()), text);
            let sizes = said.messages.iter().map(One::size);
            assert_eq!(said.size, sizes.sum::<usize>());
            let longest = said.messages.iter().map(|one| one.text.len()).max();
            assert!(said.size <= MOST && longest.unwrap() <= LONGEST);
            said.messages.len()
        };
        // Paragraphs of nothing.
        for id in ["a", "b", "a", "b"] {
            say(false, id, "");
        }
        let long = "\u{e4}".repeat(300_000);
        for _ in 0..20 {
            say(false, "a", &long);
        }
        for _ in 0..40 {
            say(true, "u", &long);
        }
        for _ in 0..100 {
            say(true, "u", "");
        }
        assert!(say(false, "a", "!") > 100);
    }
}
