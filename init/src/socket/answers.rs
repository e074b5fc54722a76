//! Keeps answers that are the same for everybody who asks.

use std::rc::Rc;
use std::time::Duration;

use cib_protocol::init::InitRequest;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Handler, written};

/// So long an answer is good enough for whoever may only look.
const FRESH: Duration = Duration::from_secs(1);

/// The last answers. Whoever asks while one is being made waits for it.
#[derive(Default)]
pub(crate) struct Answers {
    status: Mutex<Option<Answer>>,
    health: Mutex<Option<Answer>>,
}

struct Answer {
    made: Instant,
    text: Rc<[u8]>,
}

impl Answers {
    pub(super) async fn shared<H: Handler>(&self, request: InitRequest, handler: &H) -> Rc<[u8]> {
        let kept = match request {
            InitRequest::Status {} => &self.status,
            InitRequest::Healthcheck {} => &self.health,
            other => return written(&handler.handle(other).await).into(),
        };
        let mut kept = kept.lock().await;
        if let Some(answer) = kept.as_ref().filter(|a| a.made.elapsed() < FRESH) {
            return Rc::clone(&answer.text);
        }
        let text: Rc<[u8]> = written(&handler.handle(request).await).into();
        *kept = Some(Answer {
            made: Instant::now(),
            text: Rc::clone(&text),
        });
        text
    }
}
