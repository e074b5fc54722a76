//! What clients may ask, and what comes of it.

use cib_protocol::frame::{Data, Meta};
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::Driver;
use nix::poll::PollFlags;
use uuid::Uuid;

use super::Keeper;
use super::driver::Input;
use super::end::Why;
use crate::base64;

/// A refusal.
pub(super) struct Refusal {
    code: KeeperFault,
    detail: String,
}

impl Refusal {
    pub(super) fn new(code: KeeperFault, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn into_reply(self) -> KeeperReply {
        KeeperReply::Refused {
            code: self.code,
            detail: self.detail,
        }
    }
}

impl Keeper {
    /// Serves a client that has something to say or takes its replies.
    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        let Some(client) = self.clients.get(index) else {
            return;
        };
        if flags.contains(PollFlags::POLLOUT) {
            client.write();
        }
        let requests = if flags.contains(PollFlags::POLLIN) {
            client.read(&mut self.buffer)
        } else {
            if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                client.hang_up();
            }
            return;
        };
        for request in requests {
            let reply = self.request(request).unwrap_or_else(Refusal::into_reply);
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
                self.measure();
                return Ok(KeeperReply::Status(Box::new(self.record.meta.clone())));
            }
            KeeperRequest::Stop { kill: true } => self.leave_now(),
            KeeperRequest::Stop { kill: false } => self.leave(Why::Asked),
            KeeperRequest::SetTitle { title } => {
                self.record.append([Data::Meta(Meta {
                    title: Some(title),
                    ..Meta::default()
                })]);
            }
            KeeperRequest::SetDriver { driver } => self.set_driver(driver)?,
            KeeperRequest::Raw { data } => self.type_raw(&data)?,
            KeeperRequest::Resize { cols, rows } => self.resize(cols, rows)?,
            to_claude => self.tell_claude(to_claude)?,
        }
        Ok(KeeperReply::Done)
    }

    /// Passes on what Claude has to hear.
    fn tell_claude(&mut self, request: KeeperRequest) -> Result<(), Refusal> {
        self.check_stays()?;
        if let Some(why) = self.record.blocked() {
            return Err(Refusal::new(KeeperFault::Journal, why));
        }
        if self.claude.stdin.is_full() {
            let detail = "Claude does not take its input; try again later, or stop the session";
            return Err(Refusal::new(KeeperFault::Busy, detail));
        }
        let now_ms = self.clock.now_ms();
        let step = match request {
            KeeperRequest::Input { text, id, command } => {
                let input = Input {
                    text,
                    id: id.unwrap_or_else(Uuid::new_v4),
                    is_command: command,
                };
                let typed = self.driver.input(input, now_ms);
                typed.map_err(|error| Refusal::new(KeeperFault::BadRequest, error.to_string()))?
            }
            KeeperRequest::Answer { id, answers } => {
                let answered = self.driver.answer(&id, &answers, now_ms);
                answered
                    .map_err(|error| Refusal::new(KeeperFault::NoSuchQuestion, error.to_string()))?
            }
            KeeperRequest::Interrupt => {
                self.interrupt();
                return Ok(());
            }
            KeeperRequest::SetModel { model } => self.driver.set_model(&model, now_ms),
            KeeperRequest::SetPermissionMode { mode } => {
                let set = self.driver.set_permission_mode(mode);
                set.map_err(|error| wrong_driver(&error.to_string()))?
            }
            _ => return Ok(()),
        };
        self.take(step);
        Ok(())
    }

    /// Presses keys.
    fn type_raw(&mut self, data: &str) -> Result<(), Refusal> {
        self.check_terminal()?;
        let bytes = base64::decode(data)
            .map_err(|error| Refusal::new(KeeperFault::BadRequest, error.to_string()))?;
        if self.claude.stdin.is_full() {
            let detail = "the terminal does not take its input; try again later";
            return Err(Refusal::new(KeeperFault::Busy, detail));
        }
        self.claude.stdin.send(&bytes);
        Ok(())
    }

    fn resize(&mut self, cols: u16, rows: u16) -> Result<(), Refusal> {
        self.check_terminal()?;
        if cols == 0 || rows == 0 {
            let detail = "a terminal has at least one column and one row";
            return Err(Refusal::new(KeeperFault::BadRequest, detail));
        }
        self.size = (cols, rows);
        self.claude
            .resize(self.size)
            .map_err(|error| Refusal::new(KeeperFault::Ending, error.to_string()))
    }

    fn check_terminal(&self) -> Result<(), Refusal> {
        match self.driver.kind() {
            Driver::Tty => self.check_stays(),
            Driver::Stream => Err(wrong_driver("only a tty session has a terminal")),
        }
    }

    /// Whether there is a Claude to speak with that will not be gone in a moment.
    fn check_stays(&self) -> Result<(), Refusal> {
        match &self.leaving {
            Some(leaving) if matches!(leaving.why, Why::Switch(_)) => Err(Refusal::new(
                KeeperFault::Busy,
                "the session is changing its driver; try again in a moment",
            )),
            None if self.exit.is_none() => Ok(()),
            _ => Err(Refusal::new(KeeperFault::Ending, "the session is ending")),
        }
    }

    fn set_driver(&mut self, driver: Driver) -> Result<(), Refusal> {
        self.check_stays()?;
        if driver != self.driver.kind() {
            self.leave(Why::Switch(driver));
        }
        Ok(())
    }
}

fn wrong_driver(detail: &str) -> Refusal {
    Refusal::new(KeeperFault::WrongDriver, detail)
}
