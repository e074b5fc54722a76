//! What the broker sends: acknowledgements, commands, and sealed messages.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::super::commands::{self, Answer, Work};
use super::super::topics::Subject;
use super::super::wire::{Heard, Message};
use super::super::{Broken, sealed, sources};
use super::{Bridge, Done, Flight};

/// Commands that are under way at once.
const COMMANDS: usize = 16;

/// Answers that wait for the broker.
const ANSWERS: usize = 256;

/// Requests for frames that are under way at once.
const REPLAYS: u64 = 4;

impl<S> Bridge<'_, S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// Takes what the broker sent.
    ///
    /// # Errors
    /// A [`Broken`] that ends the connection.
    pub(super) fn hear(&mut self, heard: Vec<Heard>) -> Result<(), Broken> {
        for heard in heard {
            match heard {
                Heard::Acknowledged(id, is_taken) => {
                    if !is_taken {
                        self.desk.status.unwanted();
                    }
                    match self.flying.remove(&id) {
                        Some(Flight::Frame(session, seq)) => {
                            self.known.positions.acknowledged(session, seq);
                        }
                        Some(Flight::Push(number, seq)) => {
                            self.known.pushes.acknowledged(number, seq);
                        }
                        Some(Flight::Other) | None => {}
                    }
                }
                Heard::Message(message) => self.message(message),
                Heard::Deaf => self.desk.status.deaf(),
                Heard::Over(why) => return Err(Broken::Protocol(why)),
                Heard::Refused(refusal) => return Err(Broken::Refused(refusal)),
                Heard::Connected => {}
            }
        }
        Ok(())
    }

    fn message(&mut self, message: Message) {
        let subject = self.topics.subject(&message.topic);
        match subject {
            Subject::Other => {}
            Subject::HomeAssistant => {
                if message.payload == b"online" && !message.is_retained {
                    self.anew();
                }
            }
            // One that is retained would be a replay at each connect.
            Subject::Sealed(_) if message.is_retained => {}
            Subject::Sealed(key_id) => {
                if self.work.len() < COMMANDS && self.sealed.len() < ANSWERS {
                    let (app, inside) = (Arc::clone(&self.desk.app), self.desk.inside.clone());
                    let topic = self.topics.sealed_out(&key_id);
                    let most = self.wire.room_for(&topic);
                    self.work.spawn(async move {
                        let outcome = sealed::take(&app, &inside, &message.payload, most).await;
                        Done::Sealed(topic, outcome)
                    });
                }
            }
            subject => self.command(&subject, &message),
        }
    }

    fn command(&mut self, subject: &Subject, message: &Message) {
        let Some(caller) = &self.caller else {
            return;
        };
        if self.work.len() >= COMMANDS || self.answers.len() >= ANSWERS {
            // Whoever sends so many hears nothing, and sends it again.
            self.desk.status.busy();
            return;
        }
        let now = std::time::Instant::now();
        let memory = &mut self.known.memory;
        let work = commands::work(subject, message, caller, &self.topics, memory, now);
        match work {
            Work::Ask(asked, back) => {
                let inside = self.desk.inside.clone();
                tracing::info!(
                    method = asked.method.as_str(),
                    target = asked.target,
                    "asked by MQTT"
                );
                self.work
                    .spawn(async move { Done::Answer(commands::ask(inside, *asked, back).await) });
            }
            Work::Again(wanted, back) => {
                if self.replays.len() as u64 >= REPLAYS {
                    let busy = br#"{"error":"busy","detail":"too many replays at once"}"#;
                    self.answer(back.answer(503, busy));
                    self.known.memory.undone(&back);
                    return;
                }
                let number = self.next_replay;
                self.next_replay += 1;
                self.replays.insert(number, back);
                let app = Arc::clone(&self.desk.app);
                let pieces = self.pieces.clone();
                self.sources
                    .spawn(sources::again(app, wanted, number, pieces));
            }
            Work::Answer(answer) => self.answer(answer),
            Work::Nothing => {}
        }
    }

    /// Has an answer wait for the broker.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.known.memory.done(&answer);
        if self.answers.len() < ANSWERS {
            self.answers.push_back(answer);
        }
    }
}
