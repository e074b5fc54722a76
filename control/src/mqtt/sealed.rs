//! The sealed envelope inside MQTT: a device's key protects it from the broker and from everybody
//! there, without TLS.

use crate::app::App;
use crate::envelope::answer;
use crate::fault::Fault;
use crate::http::inside::Inside;
use crate::routes::envelope::{Opened, open_whole};

/// Bytes around a sealed answer's body, at the least length of a record: what a broker takes of a message
/// holds a body of this part of it.
const PART: usize = 2;

/// The answer to a message: a challenge, one that is sealed, or a word in the clear.
pub(super) async fn answer(app: &App, inside: &Inside, message: &[u8], most: usize) -> Vec<u8> {
    let mut sealed = match open_whole(app, inside.arrival(), message).await {
        Opened::Clear(bytes) => return bytes,
        Opened::Sealed(sealed) => sealed,
    };
    let most = most.min(super::commands::ANSWER) / PART;
    let asked = std::mem::replace(&mut sealed.asked, Err(Fault::internal("it is answered")));
    let (status, body) = match asked {
        Ok(asked) => inside.ask(asked, most).await,
        Err(fault) => inside.told(&fault, most).await,
    };
    answer::whole(&sealed, status, &body).unwrap_or_default()
}
