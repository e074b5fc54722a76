//! What has been told: the state, and the facts about a session. A frame tells only what is
//! new, whichever driver finds it out.

use cib_protocol::frame::{Data, Meta, Status};
use cib_protocol::session::State;

/// The state and the facts that frames have told.
#[derive(Clone, Debug)]
pub struct Ledger {
    state: State,
    /// Milliseconds on the caller's clock when `state` began.
    since_ms: u64,
    told: Meta,
}

impl Ledger {
    /// A session that starts at `now_ms`, of which `told` has been told.
    #[must_use]
    pub fn starting(now_ms: u64, told: Meta) -> Self {
        Self {
            state: State::Starting,
            since_ms: now_ms,
            told,
        }
    }

    /// The same session after it was started again; the facts stay told.
    #[must_use]
    pub fn again(&self, now_ms: u64) -> Self {
        Self::starting(now_ms, self.told.clone())
    }

    /// Where the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Goes to a state; a frame tells it if it is another one.
    pub fn set_state(&mut self, state: State, now_ms: u64, frames: &mut Vec<Data>) {
        if self.state == state {
            return;
        }
        self.state = state;
        let elapsed_ms = now_ms.saturating_sub(self.since_ms);
        self.since_ms = now_ms;
        frames.push(Data::Status(Status { state, elapsed_ms }));
    }

    /// Tells what is new of some facts; a note is always new.
    pub fn tell(&mut self, mut news: Meta, frames: &mut Vec<Data>) {
        fn only_new<T: PartialEq + Clone>(told: &mut Option<T>, news: &mut Option<T>) {
            if news.is_some() && news != told {
                told.clone_from(news);
            } else {
                *news = None;
            }
        }
        let told = &mut self.told;
        only_new(&mut told.model, &mut news.model);
        only_new(&mut told.effort, &mut news.effort);
        only_new(&mut told.workdir, &mut news.workdir);
        only_new(&mut told.permission_mode, &mut news.permission_mode);
        only_new(&mut told.claude_session, &mut news.claude_session);
        only_new(&mut told.claude_version, &mut news.claude_version);
        only_new(&mut told.tools, &mut news.tools);
        only_new(&mut told.driver, &mut news.driver);
        if news != Meta::default() {
            frames.push(Data::Meta(news));
        }
    }

    /// Tells a person something that has no field of its own.
    pub fn note(&mut self, text: impl Into<String>, frames: &mut Vec<Data>) {
        let note = Some(text.into());
        self.tell(
            Meta {
                note,
                ..Meta::default()
            },
            frames,
        );
    }
}
