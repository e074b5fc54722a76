//! Incoming webhooks of Slack's, which Mattermost, Rocket.Chat and others take as well.

use bytes::Bytes;
use cib_protocol::secret::Secret;
use http::Request;
use serde_json::json;

use super::{Message, Notifier, Telling, Unmade, post};
use crate::notices::outside::{Outside, Refusal, answered};

/// An incoming webhook.
#[derive(Debug)]
pub(in crate::notices) struct Slack<'a> {
    pub(in crate::notices) url: &'a Secret,
}

impl Slack<'_> {
    fn request(&self, message: &Message<'_>) -> Result<Request<Bytes>, Unmade> {
        let notice = message.notice;
        let (title, text) = (escaped(&notice.title), escaped(&notice.text));
        let mut words = format!("{} {title}\n{text}", message.sign());
        if let Some(url) = message.link.or(message.page) {
            words.push_str(&format!("\n<{url}>"));
        }
        // Nothing of what Claude wrote becomes a link, a mention or a picture.
        let body = json!({"text": words, "unfurl_links": false, "unfurl_media": false});
        post(self.url.expose(), body.to_string())
    }
}

/// Text that is shown as it is: the three characters that begin anything else are spelled out.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Notifier for Slack<'_> {
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a> {
        Box::pin(async move {
            let answer = outside.send(self.request(message)?).await?;
            // What Slack says of an address that was taken back.
            if matches!(answer.status().as_u16(), 404 | 410) {
                let said = format!("it answered {}", answer.status().as_u16());
                return Err(Refusal::Over(said));
            }
            answered(&answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::time::Timestamp;
    use serde_json::Value;

    use super::super::example;
    use super::*;

    #[test]
    fn nothing_that_claude_wrote_is_a_link_or_a_mention() {
        let mut notice = example();
        notice.text = "<!channel> <https://evil.example|here> & more".to_owned();
        let url = Secret::new("https://hooks.example/x");
        let message = Message {
            delivery: "msg_1",
            notice: &notice,
            now: Timestamp::from_millis(0),
            code: None,
            link: Some("https://box.example/a/c0de"),
            page: None,
        };
        let request = Slack { url: &url }.request(&message).unwrap();
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(
            body["text"],
            "❓ api &lt;b&gt;tests&lt;/b&gt;\n&lt;!channel&gt; \
             &lt;https://evil.example|here&gt; &amp; more\n<https://box.example/a/c0de>"
        );
    }
}
