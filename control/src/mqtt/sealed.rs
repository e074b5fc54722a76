//! The sealed envelope inside MQTT: a device's key protects it from the broker and from everybody
//! there, without TLS.

use cib_protocol::session::Program;

use super::pushes::{self, Wish};
use crate::app::App;
use crate::auth::Caller;
use crate::envelope::{Sealed, answer};
use crate::fault::{Code, Fault};
use crate::http::inside::Inside;
use crate::routes::envelope::{Opened, open_whole};

/// Bytes around a sealed answer's body, at the least length of a record: what a broker takes of a message
/// holds a body of this part of it.
const PART: usize = 2;

/// What becomes of a message.
pub(super) enum Outcome {
    /// It is answered: by a challenge, by a sealed answer, or by a word in the clear.
    Answer(Vec<u8>),
    /// It subscribes to something, or ends that, for which there is more to do.
    Wish(Box<Wished>),
}

/// What a device wishes.
pub(super) struct Wished {
    pub(super) sealed: Sealed,
    pub(super) caller: Caller,
    pub(super) wish: Wish,
}

/// Opens a message and asks a route what it asks.
pub(super) async fn take(app: &App, inside: &Inside, message: &[u8], most: usize) -> Outcome {
    let mut sealed = match open_whole(app, inside.arrival(), message).await {
        Opened::Clear(bytes) => return Outcome::Answer(bytes),
        Opened::Sealed(sealed) => sealed,
    };
    let most = most.min(super::commands::ANSWER) / PART;
    let asked = std::mem::replace(&mut sealed.asked, Err(Fault::internal("it is answered")));
    let (status, body) = match asked {
        Ok(asked) => match pushes::wish(&asked) {
            None => inside.ask(asked, most).await,
            Some(wish) => match possible(app, wish).await {
                Ok(wish) => {
                    let (sealed, caller) = (*sealed, asked.caller);
                    return Outcome::Wish(Box::new(Wished {
                        sealed,
                        caller,
                        wish,
                    }));
                }
                Err(fault) => inside.told(&fault, most).await,
            },
        },
        Err(fault) => inside.told(&fault, most).await,
    };
    Outcome::Answer(told(&sealed, status, &body))
}

/// What a device is told, sealed.
pub(super) fn told(sealed: &Sealed, status: u16, body: &[u8]) -> Vec<u8> {
    answer::whole(sealed, status, body).unwrap_or_default()
}

/// A wish, if there is what it is for. Only sessions are: a shell has a scope of its own.
async fn possible(app: &App, wish: Result<Wish, Fault>) -> Result<Wish, Fault> {
    let wish = wish?;
    if let Wish::Begin(wanted) = &wish {
        let session = wanted.session;
        app.store.admit(Program::Claude, session).await?;
        let tail = crate::routes::streams::tail(app, session).await?;
        tail.map_err(|error| Fault::new(Code::NoSuchSession, error.to_string()))?;
    }
    Ok(wish)
}
