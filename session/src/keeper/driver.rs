//! The two ways to speak with Claude, behind what the keeper needs of either.

use std::collections::BTreeMap;

use cib_protocol::image::Image;
use cib_protocol::offers::Offers;
use cib_protocol::session::{self, PermissionMode, State};
use uuid::Uuid;

use super::hooks::{self, Heard, Hooks};
use super::watch::Watch;
use crate::ledger::Ledger;
use crate::stream_json::lines::Splitter;
use crate::stream_json::{self, NoSuchQuestion, Stream};
use crate::tty::{self, HookId, Tty, Untypable};
use cib_protocol::frame::{Data, PtyRaw};

/// A driver with what it reads from.
pub(super) enum Driver {
    Stream {
        lines: Splitter,
        stream: Box<Stream>,
    },
    Tty(Box<Terminal>),
}

/// The terminal interface and its other sources.
pub(super) struct Terminal {
    pub(super) tty: Tty,
    pub(super) hooks: Hooks,
    pub(super) watch: Watch,
}

/// A message of the user.
pub(super) struct Input {
    pub(super) text: String,
    /// What names it in its frame.
    pub(super) id: Uuid,
    /// Whether it is one for the interface and not for the model.
    pub(super) is_command: bool,
    /// Images that it has, which a terminal cannot be given.
    pub(super) images: Vec<Image>,
}

/// What a driver has come to.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) frames: Vec<Data>,
    /// What Claude is told or what is typed.
    pub(super) to_claude: Vec<String>,
    answers: Vec<(HookId, String)>,
}

impl From<stream_json::Out> for Output {
    fn from(out: stream_json::Out) -> Self {
        Self {
            frames: out.frames,
            to_claude: out.to_claude,
            answers: Vec::new(),
        }
    }
}

/// A request that the driver in use cannot do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongDriver(&'static str);

impl Driver {
    pub(super) fn kind(&self) -> session::Driver {
        match self {
            Self::Stream { .. } => session::Driver::Stream,
            Self::Tty(_) => session::Driver::Tty,
        }
    }

    pub(super) fn state(&self) -> State {
        match self {
            Self::Stream { stream, .. } => stream.state(),
            Self::Tty(terminal) => terminal.tty.state(),
        }
    }

    /// What has been told, for the driver that comes next.
    pub(super) fn ledger(&self) -> &Ledger {
        match self {
            Self::Stream { stream, .. } => stream.ledger(),
            Self::Tty(terminal) => terminal.tty.ledger(),
        }
    }

    /// What Claude has to choose from, as far as it has said so.
    pub(super) fn offers(&self) -> Offers {
        match self {
            Self::Stream { stream, .. } => stream.offers().cloned().unwrap_or_default(),
            // Its interface shows them and does not tell them.
            Self::Tty(_) => Offers::default(),
        }
    }

    pub(super) fn set_state(&mut self, state: State, now_ms: u64) -> Output {
        self.step(
            |stream, out| stream.set_state(state, now_ms, out),
            |tty, out| tty.set_state(state, now_ms, out),
        )
    }

    pub(super) fn input(&mut self, input: Input, now_ms: u64) -> Result<Output, Untypable> {
        let Input {
            text,
            id,
            is_command,
            images,
        } = input;
        match self {
            Self::Stream { stream, .. } => {
                let mut out = stream_json::Out::default();
                stream.input(text, images, id, &mut out);
                stream.waits_from(now_ms);
                Ok(out.into())
            }
            Self::Tty(terminal) => {
                let mut out = tty::Out::default();
                terminal
                    .tty
                    .input(&text, id, is_command, now_ms, &mut out)?;
                Ok(terminal.settle(out))
            }
        }
    }

    /// What Claude waits for before it says its first word, if that is known.
    pub(super) fn waits_for(&self) -> Option<String> {
        match self {
            Self::Stream { stream, .. } => stream.waits_for(),
            Self::Tty(terminal) => terminal.tty.waits_for(),
        }
    }

    /// Since when Claude takes a message and does not begin with it, because of a hook.
    pub(super) fn held_up_since(&self) -> Option<u64> {
        match self {
            // It does not even listen then, and is not asked to.
            Self::Stream { .. } => None,
            Self::Tty(terminal) => terminal.tty.held_up_since(),
        }
    }

    pub(super) fn interrupt(&mut self, now_ms: u64) -> Output {
        self.step(Stream::interrupt, |tty, out| tty.interrupt(now_ms, out))
    }

    pub(super) fn set_model(&mut self, model: &str, now_ms: u64) -> Output {
        self.step(
            |stream, out| stream.set_model(model, out),
            |tty, out| tty.set_model(model, now_ms, out),
        )
    }

    pub(super) fn set_effort(&mut self, effort: &str, now_ms: u64) -> Output {
        self.step(
            |stream, out| stream.set_effort(effort, out),
            |tty, out| tty.set_effort(effort, now_ms, out),
        )
    }

    pub(super) fn set_permission_mode(
        &mut self,
        mode: PermissionMode,
    ) -> Result<Output, WrongDriver> {
        let Self::Stream { stream, .. } = self else {
            let why = "on a terminal the mode is changed with its own keys";
            return Err(WrongDriver(why));
        };
        let mut out = stream_json::Out::default();
        stream.set_permission_mode(mode, &mut out);
        Ok(out.into())
    }

    pub(super) fn answer(
        &mut self,
        id: &str,
        answers: &BTreeMap<String, String>,
        now_ms: u64,
    ) -> Result<Output, NoSuchQuestion> {
        match self {
            Self::Stream { stream, .. } => {
                let mut out = stream_json::Out::default();
                stream.answer(id, answers, now_ms, &mut out)?;
                Ok(out.into())
            }
            Self::Tty(terminal) => {
                let mut out = tty::Out::default();
                terminal.tty.answer(id, answers, now_ms, &mut out)?;
                Ok(terminal.settle(out))
            }
        }
    }

    /// Claude said something, or drew it.
    pub(super) fn heard(&mut self, bytes: &[u8], now_ms: u64) -> Output {
        match self {
            Self::Stream { lines, stream } => {
                let mut out = stream_json::Out::default();
                lines.feed(bytes, |line| stream.line(&line, now_ms, &mut out));
                out.into()
            }
            Self::Tty(terminal) => {
                terminal.tty.drawn(bytes, now_ms);
                Output {
                    frames: vec![Data::PtyRaw(PtyRaw {
                        data: crate::base64::encode(bytes),
                    })],
                    ..Output::default()
                }
            }
        }
    }

    /// Claude will say nothing more.
    pub(super) fn heard_all(&mut self, now_ms: u64) -> Output {
        match self {
            Self::Stream { lines, stream } => {
                let mut out = stream_json::Out::default();
                lines.finish(|line| stream.line(&line, now_ms, &mut out));
                out.into()
            }
            Self::Tty(_) => Output::default(),
        }
    }

    /// A last look at what Claude has written, while somebody can still look.
    pub(super) fn look(&mut self, now_ms: u64) -> Output {
        match self {
            Self::Stream { .. } => Output::default(),
            Self::Tty(terminal) => terminal.look(true, now_ms),
        }
    }

    /// Claude's process has ended.
    pub(super) fn ended(&mut self, now_ms: u64) -> Output {
        match self {
            Self::Stream { .. } => Output::default(),
            Self::Tty(terminal) => {
                let mut step = terminal.look(true, now_ms);
                step.add(terminal.step(|tty, out| tty.ended(now_ms, out)));
                step
            }
        }
    }

    /// Does what is due by time.
    pub(super) fn tick(&mut self, now_ms: u64) -> Output {
        match self {
            Self::Tty(terminal) if terminal.tty.deadline().is_some_and(|at| now_ms >= at) => {
                // What is due may hang on what the files say by now.
                let mut step = terminal.look(false, now_ms);
                step.add(terminal.step(|tty, out| tty.tick(now_ms, out)));
                step
            }
            Self::Stream { stream, .. } => {
                let mut out = stream_json::Out::default();
                stream.tick(now_ms, &mut out);
                out.into()
            }
            Self::Tty(_) => Output::default(),
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        match self {
            Self::Stream { stream, .. } => stream.deadline(),
            Self::Tty(terminal) => terminal.tty.deadline(),
        }
    }

    fn step(
        &mut self,
        with_stream: impl FnOnce(&mut Stream, &mut stream_json::Out),
        with_tty: impl FnOnce(&mut Tty, &mut tty::Out),
    ) -> Output {
        match self {
            Self::Stream { stream, .. } => {
                let mut out = stream_json::Out::default();
                with_stream(stream, &mut out);
                out.into()
            }
            Self::Tty(terminal) => terminal.step(with_tty),
        }
    }
}

impl Terminal {
    /// A hook's connection has something, or has ended.
    pub(super) fn hook(&mut self, index: usize, buffer: &mut [u8], now_ms: u64) -> Output {
        let Some((id, heard)) = self.hooks.read(index, buffer) else {
            return Output::default();
        };
        match heard {
            Heard::Nothing => Output::default(),
            Heard::Gone => self.step(|tty, out| tty.hook_gone(id, now_ms, out)),
            Heard::Everything(told) => {
                let mut out = tty::Out::default();
                let tty = &mut self.tty;
                hooks::told(told, |line| tty.hook(id, &line, now_ms, &mut out));
                self.settle(out)
            }
        }
    }

    /// Has Claude's files looked at.
    fn look(&mut self, is_last: bool, now_ms: u64) -> Output {
        let mut out = tty::Out::default();
        let tty = &mut self.tty;
        let said = self
            .watch
            .look(is_last, |line| tty.transcript(&line, now_ms, &mut out));
        self.seen(said, out, now_ms)
    }

    /// Takes what is told of Claude's files.
    pub(super) fn told(&mut self, now_ms: u64) -> Output {
        let mut out = tty::Out::default();
        let tty = &mut self.tty;
        let said = self
            .watch
            .hear(|line| tty.transcript(&line, now_ms, &mut out));
        self.seen(said, out, now_ms)
    }

    fn seen(&mut self, said: Option<String>, mut out: tty::Out, now_ms: u64) -> Output {
        if let Some(said) = said {
            self.tty.state_file(&said, now_ms, &mut out);
        }
        self.settle(out)
    }

    fn step(&mut self, with: impl FnOnce(&mut Tty, &mut tty::Out)) -> Output {
        let mut out = tty::Out::default();
        with(&mut self.tty, &mut out);
        self.settle(out)
    }

    fn settle(&mut self, out: tty::Out) -> Output {
        if let Some(path) = out.transcript {
            self.watch.follow(path);
        }
        Output {
            frames: out.frames,
            to_claude: out.keys,
            answers: out.answers,
        }
    }
}

impl Output {
    fn add(&mut self, more: Self) {
        self.frames.extend(more.frames);
        self.to_claude.extend(more.to_claude);
        self.answers.extend(more.answers);
    }

    /// Whether hooks wait for an answer that this step has.
    pub(super) fn answers_hooks(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Answers the hooks, after what they told is written down.
    pub(super) fn answer_hooks(&mut self, driver: &mut Driver) {
        if let Driver::Tty(terminal) = driver {
            for (id, answer) in self.answers.drain(..) {
                terminal.hooks.answer(id, &answer);
            }
        }
    }
}
