//! Web Push: a browser is told although no page of the box is open (RFC 8030).
//!
//! The push service in between reads nothing of it ([`seal`], RFC 8291), and believes that it comes
//! from this box ([`vapid`], RFC 8292).

pub(super) mod seal;
pub(super) mod subscriptions;
pub(super) mod vapid;

use bytes::Bytes;
use cib_protocol::api::NoticeEvent;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{Request, Uri};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::bridges::{Message, Notifier, Telling, Unmade, post};
use super::outside::{Outside, Refusal, answered};
use subscriptions::Stored;
use vapid::Vapid;

/// Characters of a notice's text that are sent; the rest is read in the session.
const MAX_TEXT: usize = 300;

/// Seconds that a push service keeps a question: as long as it can be answered from there.
const TTL_WAITING: u32 = 3600;

/// Seconds that it keeps anything else.
const TTL: u32 = 24 * 3600;

/// A browser.
#[derive(Debug)]
pub(super) struct Browser<'a> {
    pub(super) subscription: &'a Stored,
    pub(super) vapid: &'a Vapid,
    /// Who a push service can write to about this box: an address of mail or of a page.
    pub(super) contact: &'a str,
}

impl Browser<'_> {
    fn request(&self, message: &Message<'_>) -> Result<Request<Bytes>, Unmade> {
        let notice = message.notice;
        let place = match (notice.session, notice.task) {
            (_, Some(task)) => format!("/t/{task}"),
            (Some(session), None) => format!("/s/{session}"),
            (None, None) => "/".to_owned(),
        };
        let text: String = notice.text.chars().take(MAX_TEXT).collect();
        let about = notice.session.map(|session| session.to_string());
        let payload = json!({
            "title": notice.title,
            "body": text,
            "kind": notice.kind(),
            "tag": about.as_deref().unwrap_or(&notice.id),
            "where": place,
            "session": notice.session,
            "code": message.code,
            "options": if message.code.is_some() { &*notice.options } else { &[] },
        });
        let keys = &self.subscription.keys;
        let sealed = seal::seal(&keys.p256dh, &keys.auth, payload.to_string().as_bytes());
        let sealed = sealed.map_err(|why| Unmade(why.to_owned()))?;
        let url = &*self.subscription.endpoint;
        let mut request = post(url, String::new())?;
        *request.body_mut() = sealed.into();
        let origin = origin(url).ok_or_else(|| Unmade("no origin".to_owned()))?;
        let signed = self.vapid.authorization(&origin, self.contact, message.now);
        let signed = signed.map_err(|why| Unmade(why.to_owned()))?;
        let (ttl, urgency) = match notice.event {
            NoticeEvent::Waiting => (TTL_WAITING, "high"),
            _ => (TTL, "normal"),
        };
        // What comes later about the same takes the place of what was not read.
        let topic = Sha256::digest(payload["tag"].to_string());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, signed.parse()?);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert("ttl", ttl.into());
        headers.insert("urgency", HeaderValue::from_static(urgency));
        headers.insert("topic", cib_base::hex::encode(&topic[..16]).parse()?);
        Ok(request)
    }
}

/// Scheme, host and port of an address.
pub(super) fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

impl Notifier for Browser<'_> {
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a> {
        Box::pin(async move {
            let answer = outside.send(self.request(message)?).await?;
            let status = answer.status().as_u16();
            match status {
                // RFC 8030, section 7.3: the browser has ended it.
                404 | 410 => Err(Refusal::Over(format!("it answered {status}"))),
                // Nothing of it becomes right by waiting.
                400 | 401 | 403 | 413 => match answered(&answer) {
                    Err(Refusal::Later(why, _)) => Err(Refusal::Never(why)),
                    other => other,
                },
                _ => answered(&answer),
            }
        })
    }
}
