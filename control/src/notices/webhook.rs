//! Webhooks by the Standard Webhooks specification: what is sent, and how it is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;
use http::{Request, StatusCode};
use ring::hmac;
use serde_json::json;

use super::bridges::{Message, Notifier, Telling, Unmade, post};
use super::outside::{Outside, Refusal, answered};

/// How a secret begins.
const PREFIX: &str = "whsec_";

/// Bytes that a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of a secret that is made here.
const MADE: usize = 32;

/// How long a secret that was replaced still signs beside the new one, in milliseconds.
pub(super) const OVERLAP: i64 = 24 * 3600 * 1000;

/// A webhook.
#[derive(Debug)]
pub(super) struct Webhook<'a> {
    pub(super) url: &'a str,
    /// What it is signed with: the newest first, none for no signature.
    pub(super) secrets: Vec<&'a Secret>,
}

impl Webhook<'_> {
    fn request(&self, message: &Message<'_>) -> Result<Request<Bytes>, Unmade> {
        let body = body(message);
        let seconds = message.now.as_millis() / 1000;
        let signed: Result<Vec<_>, _> = self
            .secrets
            .iter()
            .map(|secret| sign(secret, message.delivery, seconds, &body))
            .collect();
        let signed = signed.map_err(|why| Unmade(why.to_owned()))?;
        let mut request = post(self.url, body)?;
        let headers = request.headers_mut();
        headers.insert("webhook-id", message.delivery.parse()?);
        headers.insert("webhook-timestamp", seconds.into());
        if !signed.is_empty() {
            headers.insert("webhook-signature", signed.join(" ").parse()?);
        }
        Ok(request)
    }
}

impl Notifier for Webhook<'_> {
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a> {
        Box::pin(async move {
            let answer = outside.send(self.request(message)?).await?;
            // The specification has this one status end it.
            if answer.status() == StatusCode::GONE {
                return Err(Refusal::Over("it answered 410: gone".to_owned()));
            }
            answered(&answer)
        })
    }
}

/// The body: the same at each try, but for the link.
fn body(message: &Message<'_>) -> String {
    let notice = message.notice;
    let data = json!({
        "id": notice.id,
        "event": notice.event,
        "task": notice.task,
        "session": notice.session,
        "title": notice.title,
        "text": notice.text,
        "until": notice.until,
        "question": notice.question,
        "options": notice.options,
        "url": message.page,
        "answer_url": message.link,
    });
    json!({"type": notice.kind(), "timestamp": notice.at, "data": data}).to_string()
}

/// The signature of a body.
fn sign(secret: &Secret, id: &str, seconds: i64, body: &str) -> Result<String, &'static str> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &decode(secret)?);
    let signed = format!("{id}.{seconds}.{body}");
    let tag = hmac::sign(&key, signed.as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(tag)))
}

/// The bytes of a secret.
pub(super) fn decode(secret: &Secret) -> Result<Vec<u8>, &'static str> {
    let wrong = "a secret is `whsec_` and the base64 of 24 to 64 bytes";
    let text = secret.expose().strip_prefix(PREFIX).ok_or(wrong)?;
    let bytes = STANDARD.decode(text).map_err(|_| wrong)?;
    BYTES.contains(&bytes.len()).then_some(bytes).ok_or(wrong)
}

/// A new secret.
pub(super) fn fresh() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0; MADE];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// Those of two secrets that sign now.
pub(super) fn current<'a>(
    secret: Option<&'a Secret>,
    before: Option<&'a (Secret, Timestamp)>,
    now: Timestamp,
) -> Vec<&'a Secret> {
    let before = before.filter(|(_, until)| *until > now);
    secret
        .into_iter()
        .chain(before.map(|(secret, _)| secret))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_s_own_library_is_signed_alike() {
        let secret = Secret::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        let body = r#"{"type":"task.completed","timestamp":"2023-11-14T22:13:20Z","data":{"id":"ab12cd34"}}"#;
        assert_eq!(
            sign(&secret, "msg_1", 1_700_000_000, body).unwrap(),
            "v1,/N3OvZ/T49TrEFhdOUabH+FKLUTl38DhXu7HPGJgsLk="
        );
    }

    #[test]
    fn a_secret_of_any_other_form_or_length_is_refused() {
        assert!(decode(&fresh().unwrap()).is_ok());
        let short = format!("whsec_{}", STANDARD.encode([0; 23]));
        let long = format!("whsec_{}", STANDARD.encode([0; 65]));
        for bad in [
            "",
            "whsec_",
            "whsec_?",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
            &short,
            &long,
        ] {
            assert!(decode(&Secret::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_that_was_replaced_signs_on_for_a_while() {
        let at = Timestamp::from_millis;
        let (new, old) = (Secret::new("new"), (Secret::new("old"), at(10)));
        assert_eq!(current(Some(&new), Some(&old), at(9)), [&new, &old.0]);
        assert_eq!(current(Some(&new), Some(&old), at(10)), [&new]);
    }
}
