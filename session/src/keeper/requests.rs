//! What clients may ask, and what comes of it.

use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::{Driver, State};
use rustix::event::PollFlags;
use uuid::Uuid;

use super::Keeper;
use super::end::Why;
use crate::stream::Out;

/// A refusal.
struct Refusal {
    code: KeeperFault,
    detail: String,
}

impl Refusal {
    fn new(code: KeeperFault, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl Keeper {
    /// Serves a client that has something to say or takes its replies.
    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        let Some(client) = self.clients.get(index) else {
            return;
        };
        if flags.contains(PollFlags::OUT) {
            client.write();
        }
        let requests = if flags.contains(PollFlags::IN) {
            client.read(&mut self.buffer)
        } else {
            if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
                client.hang_up();
            }
            return;
        };
        for request in requests {
            let reply = match self.request(request) {
                Ok(reply) => reply,
                Err(Refusal { code, detail }) => KeeperReply::Refused { code, detail },
            };
            // What was accepted is written down before that is said.
            self.record.flush(self.clock.now_ms());
            if let Some(client) = self.clients.get(index) {
                client.reply(&reply);
            }
        }
    }

    fn request(&mut self, request: KeeperRequest) -> Result<KeeperReply, Refusal> {
        match request {
            KeeperRequest::Status => {
                return Ok(KeeperReply::Status(Box::new(self.record.meta.clone())));
            }
            KeeperRequest::Stop { kill: true } => self.leave_now(),
            KeeperRequest::Stop { kill: false } => self.leave(Why::Asked),
            KeeperRequest::SetTitle { title } => {
                self.record.amend(|meta| meta.title = Some(title));
            }
            KeeperRequest::SetDriver { driver } => self.set_driver(driver)?,
            KeeperRequest::Raw { .. } | KeeperRequest::Resize { .. } => {
                return Err(wrong_driver("only a tty session has a terminal"));
            }
            to_claude => self.tell_claude(to_claude)?,
        }
        Ok(KeeperReply::Done)
    }

    /// Passes on what Claude has to hear.
    fn tell_claude(&mut self, request: KeeperRequest) -> Result<(), Refusal> {
        if self.leaving.is_some() || self.exit.is_some() {
            return Err(Refusal::new(KeeperFault::Ending, "the session is ending"));
        }
        if let Some(why) = self.record.blocked() {
            return Err(Refusal::new(KeeperFault::Journal, why));
        }
        if self.claude.stdin.is_full() {
            let detail = "Claude does not take its input; try again later, or stop the session";
            return Err(Refusal::new(KeeperFault::Busy, detail));
        }
        let mut out = Out::default();
        let now_ms = self.clock.now_ms();
        match request {
            KeeperRequest::Input { text } => self.stream.input(text, Uuid::new_v4(), &mut out),
            KeeperRequest::Answer { id, answers } => self
                .stream
                .answer(&id, &answers, now_ms, &mut out)
                .map_err(|error| Refusal::new(KeeperFault::NoSuchQuestion, error.to_string()))?,
            KeeperRequest::Interrupt => {
                if matches!(self.stream.state(), State::Working | State::WaitingForInput) {
                    self.stream.interrupt(&mut out);
                }
            }
            KeeperRequest::SetModel { model } => self.stream.set_model(&model, &mut out),
            KeeperRequest::SetPermissionMode { mode } => {
                self.stream.set_permission_mode(mode, &mut out);
            }
            _ => {}
        }
        self.take(out);
        Ok(())
    }

    fn set_driver(&mut self, driver: Driver) -> Result<(), Refusal> {
        if driver == self.record.meta.driver {
            return Ok(());
        }
        Err(wrong_driver("this keeper has only the stream driver"))
    }
}

fn wrong_driver(detail: &str) -> Refusal {
    Refusal::new(KeeperFault::WrongDriver, detail)
}
