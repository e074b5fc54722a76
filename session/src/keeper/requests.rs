//! What clients may ask, and what comes of it.

use cib_protocol::frame::{Data, Meta, PtySize};
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::Driver;
use nix::poll::PollFlags;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::driver::Input;
use super::end::Why;
use super::record::Record;
use super::{Keeper, authors};
use crate::{base64, settings};

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

impl Record {
    /// Takes up who asks, and returns what is asked; `None` for a message that was taken already,
    /// because whoever sent it did not hear so and sent it again.
    pub(super) fn hear(
        &mut self,
        request: KeeperRequest,
    ) -> Result<Option<KeeperRequest>, Refusal> {
        let (by, mut request) = match request {
            KeeperRequest::As { by, request } => (Some(authors::name(&by)), *request),
            plain => (None, plain),
        };
        if let KeeperRequest::As { .. } = request {
            let detail = "one asks as one person";
            return Err(Refusal::new(KeeperFault::BadRequest, detail));
        }
        if let KeeperRequest::Input { id, .. } = &mut request {
            let id = *id.get_or_insert_with(Uuid::new_v4);
            if self.authors.has(id) {
                return Ok(None);
            }
        }
        self.authors.note(&request, by.as_ref());
        Ok(Some(request))
    }
}

/// The frame that tells a terminal's size.
pub(super) fn sized((cols, rows): (u16, u16)) -> Data {
    Data::PtySize(PtySize {
        cols,
        rows,
        by: None,
    })
}

impl Keeper {
    /// Serves a client that has something to say or takes its replies.
    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        for request in self.clients.serve(index, flags, &mut self.buffer) {
            let reply = self.request(request).unwrap_or_else(Refusal::into_reply);
            // What was accepted is written down before that is said.
            self.record.flush(self.clock.now_ms());
            if let Some(client) = self.clients.get(index) {
                client.reply(&reply);
            }
        }
    }

    fn request(&mut self, request: KeeperRequest) -> Result<KeeperReply, Refusal> {
        let Some(request) = self.record.hear(request)? else {
            return Ok(KeeperReply::Done);
        };
        match request {
            KeeperRequest::Status => {
                self.measure();
                return Ok(KeeperReply::Status(Box::new(self.record.meta.clone())));
            }
            KeeperRequest::Offers => {
                return Ok(KeeperReply::Offers(Box::new(self.driver.offers())));
            }
            KeeperRequest::Hooks => {
                return Ok(KeeperReply::Hooks(
                    self.spec.hooks.clone().unwrap_or_default(),
                ));
            }
            KeeperRequest::SetHooks { hooks } => self.set_hooks(hooks)?,
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
            to_claude => {
                let message = match &to_claude {
                    KeeperRequest::Input { id, .. } => *id,
                    _ => None,
                };
                let told = self.tell_claude(to_claude);
                if told.is_err()
                    && let Some(id) = message
                {
                    self.record.authors.forget(id);
                }
                told?;
            }
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
        let output = match request {
            KeeperRequest::Input {
                text,
                id,
                command,
                images,
            } => {
                if !images.is_empty() && self.driver.kind() == Driver::Tty {
                    let detail = "a terminal takes no images; put the file where Claude can read \
                                  it, and say where that is";
                    return Err(wrong_driver(detail));
                }
                let input = Input {
                    images,
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
            KeeperRequest::SetEffort { effort } => self.driver.set_effort(&effort, now_ms),
            KeeperRequest::SetPermissionMode { mode } => {
                let set = self.driver.set_permission_mode(mode);
                set.map_err(|error| wrong_driver(&error.to_string()))?
            }
            _ => return Ok(()),
        };
        self.take(output);
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
        let is_news = self.size != (cols, rows);
        self.size = (cols, rows);
        self.claude
            .resize(self.size)
            .map_err(|error| Refusal::new(KeeperFault::Ending, error.to_string()))?;
        if is_news {
            self.record.append([sized(self.size)]);
        }
        Ok(())
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

    /// Keeps other hooks for when Claude starts again. The one that runs has read its own.
    fn set_hooks(&mut self, hooks: Map<String, Value>) -> Result<(), Refusal> {
        let kept = settings::own_hooks(&self.options.dir, Some(hooks), false);
        self.spec.hooks = kept.map_err(|error| {
            let detail = format!("the hooks cannot be kept: {error}");
            Refusal::new(KeeperFault::Journal, detail)
        })?;
        self.record.append([Data::Meta(Meta {
            note: Some("the session's hooks were changed; they hold from its next start".into()),
            ..Meta::default()
        })]);
        Ok(())
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
