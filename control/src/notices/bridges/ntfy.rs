//! ntfy: a message to a topic, with buttons that answer.

use bytes::Bytes;
use cib_protocol::api::NoticeEvent;
use cib_protocol::secret::Secret;
use http::Request;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::{Message, Notifier, Telling, Unmade, post};
use crate::notices::outside::{Outside, answered};

/// Buttons that a message may have.
const BUTTONS: usize = 3;

/// A topic of a server.
#[derive(Debug)]
pub(in crate::notices) struct Ntfy<'a> {
    pub(in crate::notices) url: &'a str,
    pub(in crate::notices) token: Option<&'a Secret>,
}

impl Ntfy<'_> {
    fn request(&self, message: &Message<'_>) -> Result<Request<Bytes>, Unmade> {
        let (server, topic) = parts(self.url).ok_or_else(|| Unmade("no topic".to_owned()))?;
        let notice = message.notice;
        let (priority, tag) = match notice.event {
            NoticeEvent::Waiting => (4, "question"),
            NoticeEvent::Finished => (3, "white_check_mark"),
            NoticeEvent::Failed => (4, "x"),
            NoticeEvent::Limit => (3, "hourglass"),
        };
        let mut body = json!({
            "topic": topic,
            "title": notice.title,
            "message": notice.text,
            "priority": priority,
            "tags": [tag],
        });
        if let Some(click) = message.link.or(message.page) {
            body["click"] = click.into();
        }
        let actions = actions(message);
        if !actions.is_empty() {
            body["actions"] = actions.into();
        }
        let mut request = post(server, body.to_string())?;
        if let Some(token) = self.token {
            let mut value: http::HeaderValue = format!("Bearer {}", token.expose()).parse()?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// A button for each answer, which the phone itself sends to the box.
fn actions(message: &Message<'_>) -> Vec<Value> {
    let Some(link) = message.link else {
        return Vec::new();
    };
    let options = &message.notice.options;
    if options.is_empty() || options.len() > BUTTONS {
        return vec![json!({"action": "view", "label": "…", "url": link})];
    }
    let button = |label: &String| {
        json!({
            "action": "http",
            "label": label,
            "url": link,
            "method": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": json!({"answer": label}).to_string(),
            "clear": true,
        })
    };
    options.iter().map(button).collect()
}

/// The server and the topic of an address.
pub(in crate::notices) fn parts(url: &str) -> Option<(&str, &str)> {
    let (server, topic) = url.trim_end_matches('/').rsplit_once('/')?;
    let is_topic = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_one = (1..=64).contains(&topic.len()) && topic.bytes().all(is_topic);
    // `https://host` alone has none.
    (is_one && !server.ends_with('/')).then_some((server, topic))
}

impl Notifier for Ntfy<'_> {
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a> {
        Box::pin(async move { answered(&outside.send(self.request(message)?).await?) })
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::time::Timestamp;

    use super::super::example;
    use super::*;

    #[test]
    fn a_question_comes_with_a_button_for_each_answer_as_ntfy_documents_them() {
        let notice = example();
        let token = Secret::new("tk_1");
        let ntfy = Ntfy {
            url: "https://ntfy.example/my_box",
            token: Some(&token),
        };
        let message = Message {
            delivery: "msg_1",
            notice: &notice,
            now: Timestamp::from_millis(0),
            code: Some("c0de"),
            link: Some("https://box.example/a/c0de"),
            page: Some("https://box.example/s/7"),
        };
        let request = ntfy.request(&message).unwrap();
        assert_eq!(request.uri(), "https://ntfy.example/");
        assert_eq!(request.headers()["authorization"], "Bearer tk_1");
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let button = |label: &str| {
            json!({
                "action": "http", "label": label, "url": "https://box.example/a/c0de",
                "method": "POST", "headers": {"Content-Type": "application/json"},
                "body": format!(r#"{{"answer":"{label}"}}"#), "clear": true,
            })
        };
        assert_eq!(
            body,
            json!({
                "topic": "my_box", "title": "api <b>tests</b>", "message": "Which colour?",
                "priority": 4, "tags": ["question"], "click": "https://box.example/a/c0de",
                "actions": [button("Red"), button("Blue")],
            })
        );
    }

    #[test]
    fn an_address_without_a_topic_is_none() {
        assert_eq!(
            parts("http://10.0.0.1:80/a/topic/"),
            Some(("http://10.0.0.1:80/a", "topic"))
        );
        for bad in [
            "https://ntfy.example",
            "https://ntfy.example/",
            "https://n/a?b",
            "topic",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
