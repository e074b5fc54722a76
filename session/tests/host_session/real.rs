//! The real CLI with a stand-in for the Messages API.

use std::time::Duration;

use cib_protocol::frame::Frame;
use cib_testkit::api::StandIn;
use cib_testkit::wait::wait_until;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::keeper::{Keeper, LastFrames, Place, data};

/// A place whose Claude is the real one and speaks to a stand-in.
pub(crate) struct Real {
    pub(crate) place: Place,
    pub(crate) api: StandIn,
}

impl Real {
    pub(crate) fn new() -> Self {
        Self::named("CIB_TEST_CLAUDE")
    }

    /// The last version that is plain JavaScript, which is what armv7 has.
    pub(crate) fn plain() -> Self {
        Self::named("CIB_TEST_CLAUDE_PLAIN")
    }

    fn named(variable: &str) -> Self {
        let mut place = Place::new();
        let claude = std::env::var_os(variable);
        let claude = claude.unwrap_or_else(|| panic!("{variable} names the real CLI"));
        place.claude = claude.into();
        let api = StandIn::start_keeping(&place.path("bodies")).unwrap();
        Self { place, api }
    }

    /// What the model was told, request by request, as JSON lines.
    pub(crate) fn told(&self) -> String {
        std::fs::read_to_string(self.place.path("bodies")).unwrap()
    }

    pub(crate) fn spec(&self, prompt: &str) -> Value {
        json!({
            "id": Uuid::new_v4(),
            "workdir": self.place.path("work"),
            "prompt": prompt,
            "env": {
                "ANTHROPIC_BASE_URL": self.api.base_url(),
                "ANTHROPIC_API_KEY": "sk-ant-api03-a-key-for-tests-alone-000000000000",
            },
        })
    }

    pub(crate) fn start(&self, prompt: &str) -> Keeper {
        self.place.start(&self.spec(prompt))
    }
}

/// How long a turn may take: the CLI's start alone is five seconds of a processor, which it may
/// have to share.
const TURN: Duration = Duration::from_secs(60);

/// Waits until so many turns have ended.
#[track_caller]
pub(crate) fn wait_turns(keeper: &Keeper, count: usize) -> Vec<Frame> {
    let _told = LastFrames(keeper);
    wait_until(TURN, "the end of a turn", || {
        let frames = keeper.frames();
        let idle = data(&frames, "status")
            .last()
            .is_some_and(|status| status["state"] == "idle");
        idle && data(&frames, "stop").len() >= count
    });
    keeper.frames()
}

/// All that somebody said in the main thread.
pub(crate) fn text(frames: &[Frame], role: &str) -> String {
    data(frames, "text.delta")
        .iter()
        .filter(|text| text["role"] == role && text.get("agent").is_none())
        .map(|text| text["text"].as_str().unwrap())
        .collect()
}
