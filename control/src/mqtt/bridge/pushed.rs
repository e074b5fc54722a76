//! What devices have subscribed to under sealed topics.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::super::pushes::{self, Wish};
use super::super::sealed::{self, Outcome, Wished};
use super::super::sources::{self, Line, Origin};
use super::{Bridge, Flight, Outgoing, send};

impl<S> Bridge<'_, S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// A device's message was opened.
    pub(super) fn asked(&mut self, topic: String, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Wish(wished) => self.wish(*wished),
        };
        // It waits before the first frame, so it is the first that the device hears of it.
        self.sealed.push_back((topic, answer));
    }

    fn wish(&mut self, wished: Wished) -> Vec<u8> {
        let Wished {
            sealed,
            caller,
            wish,
        } = wished;
        let sealed = &sealed;
        let wanted = match wish {
            Wish::End => {
                let count = self.known.pushes.end(sealed.responder.sid());
                return sealed::told(sealed, 200, &pushes::ended(count));
            }
            Wish::Begin(wanted) => wanted,
        };
        self.sweep();
        let begun = pushes::begun(wanted.session, wanted.from());
        match self.known.pushes.begin(sealed, caller, wanted) {
            Ok(number) => {
                self.follow_push(number);
                sealed::told(sealed, 200, &begun)
            }
            Err(fault) => {
                let code = fault.code();
                let body = serde_json::json!({"error": code.as_str(), "detail": fault.detail()});
                sealed::told(sealed, code.number(), body.to_string().as_bytes())
            }
        }
    }

    /// Forgets what nobody waits for any more.
    pub(super) fn sweep(&mut self) {
        let envelope = &self.desk.app.envelope;
        self.known.pushes.sweep(|sid| envelope.lives(sid));
    }

    /// Reads the journal on for a subscription.
    pub(super) fn follow_push(&mut self, number: u64) {
        let Some(place) = self.known.pushes.place(number) else {
            return;
        };
        let origin = Origin::Push(number);
        let (app, pieces) = (Arc::clone(&self.desk.app), self.pieces.clone());
        let pause = self.vain.pause(origin);
        let reading = self
            .sources
            .spawn(sources::follow(app, origin, place, pause, pieces));
        self.known.pushes.reads(number, reading);
    }

    /// A subscription's journal has no more for now.
    pub(super) fn rests(&mut self, number: u64) {
        let origin = Origin::Push(number);
        let session = self.known.pushes.rests(number);
        let meta = session.and_then(|session| self.metas.get(&session));
        if meta.is_some_and(|meta| meta.state.is_live()) {
            // It may have begun again meanwhile, or cannot be read, which does not change in a moment.
            self.vain.over(origin);
            self.follow_push(number);
        } else {
            self.vain.forget(origin);
        }
    }

    /// Sends a frame to the device that has subscribed to it, if it may still have it.
    pub(super) fn push(&mut self, number: u64, line: &Line) {
        let envelope = &self.desk.app.envelope;
        let pushes = &mut self.known.pushes;
        let Some(key_id) = pushes.whose(number, |sid| envelope.lives(sid)) else {
            return pushes.remove(number);
        };
        let topic = self.topics.sealed_out(&key_id.to_string());
        let most = self.wire.room_for(&topic);
        let Some(payload) = pushes.seal(number, &line.bytes, most) else {
            return pushes.remove(number);
        };
        let message = Outgoing {
            topic: &topic,
            payload: &payload,
            ..Outgoing::default()
        };
        let flight = Flight::Push(number, line.seq);
        let is_sent = send(&mut self.wire, &mut self.flying, &message, flight);
        pushes.sent(number, line.seq);
        if !is_sent {
            // No later one waits for it.
            pushes.acknowledged(number, line.seq);
        }
        self.desk.app.metrics.published();
    }
}
