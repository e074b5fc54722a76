//! Telegram: a message to one chat, with buttons; what is pressed or replied there comes back by
//! asking for it, so a box behind any router can be answered.

use bytes::Bytes;
use cib_protocol::secret::Secret;
use http::{Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Message, Notifier, Telling, Unmade, post};
use crate::notices::answers::Answers;
use crate::notices::outside::{LONG_POLL, Outside, Refusal, answered};

/// Where the API is, unless a server of one's own is named.
const SERVER: &str = "https://api.telegram.org";

/// Bytes that a button may carry.
const MAX_DATA: usize = 64;

/// A chat, and the bot that is in it.
#[derive(Debug)]
pub(in crate::notices) struct Telegram<'a> {
    pub(in crate::notices) token: &'a Secret,
    pub(in crate::notices) chat: i64,
    pub(in crate::notices) server: Option<&'a str>,
}

/// Telling in a chat: what was sent is remembered, so that it can be replied to.
#[derive(Debug)]
pub(in crate::notices) struct Chat<'a> {
    pub(in crate::notices) telegram: Telegram<'a>,
    pub(in crate::notices) channel: &'a str,
    pub(in crate::notices) answers: &'a Answers,
}

/// Something that somebody in the chat wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notices) enum Said {
    /// A button was pressed.
    Pressed {
        /// In which chat.
        chat: i64,
        /// Which press, for the answer to it.
        press: String,
        /// The code of the question.
        code: String,
        /// The number of the option.
        option: usize,
    },
    /// Somebody replied to a message.
    Replied {
        /// In which chat.
        chat: i64,
        /// To which.
        message: i64,
        /// With what.
        text: String,
    },
}

impl Telegram<'_> {
    fn call(&self, method: &str, body: &Value) -> Result<Request<Bytes>, Unmade> {
        let server = self.server.unwrap_or(SERVER).trim_end_matches('/');
        let url = format!("{server}/bot{}/{method}", self.token.expose());
        post(&url, body.to_string())
    }

    fn message(&self, message: &Message<'_>) -> Value {
        let notice = message.notice;
        let mut rows = Vec::new();
        if let Some(code) = message.code {
            let button = |(at, label): (usize, &String)| {
                let data = format!("{code}:{at}");
                (data.len() <= MAX_DATA).then(|| json!([{"text": label, "callback_data": data}]))
            };
            rows.extend(notice.options.iter().enumerate().filter_map(button));
        }
        if let Some(url) = message.link.or(message.page) {
            rows.push(json!([{"text": "↗", "url": url}]));
        }
        // Without a `parse_mode` text is text, whatever Claude wrote.
        let mut body = json!({
            "chat_id": self.chat,
            "text": format!("{} {}\n{}", message.sign(), notice.title, notice.text),
            "link_preview_options": {"is_disabled": true},
        });
        if !rows.is_empty() {
            body["reply_markup"] = json!({"inline_keyboard": rows});
        }
        body
    }

    /// Asks what was said in these chats since `offset`, and waits for it. The offset to ask with next
    /// comes with it. Of other chats nothing is heard: whoever finds the bot can write to it.
    pub(in crate::notices) async fn listen(
        &self,
        outside: &Outside,
        offset: i64,
        chats: &[i64],
    ) -> Result<(i64, Vec<Said>), Refusal> {
        let body = json!({
            "offset": offset,
            "timeout": LONG_POLL.as_secs(),
            "allowed_updates": ["message", "callback_query"],
        });
        let answer = outside.wait(self.call("getUpdates", &body)?).await?;
        let updates: Updates = read(&answer)?;
        let next = updates
            .result
            .iter()
            .map(|update| update.update_id + 1)
            .max();
        let said = updates.result.into_iter();
        let said = said.filter_map(|update| update.said(chats)).collect();
        Ok((next.unwrap_or(offset), said))
    }

    /// Says in the chat that a press was heard.
    pub(in crate::notices) async fn heard(
        &self,
        outside: &Outside,
        press: &str,
        text: &str,
    ) -> Result<(), Refusal> {
        let body = json!({"callback_query_id": press, "text": text});
        answered(
            &outside
                .send(self.call("answerCallbackQuery", &body)?)
                .await?,
        )
    }

    /// Says something in the chat.
    pub(in crate::notices) async fn say(
        &self,
        outside: &Outside,
        text: &str,
    ) -> Result<(), Refusal> {
        let body = json!({"chat_id": self.chat, "text": text});
        answered(&outside.send(self.call("sendMessage", &body)?).await?)
    }
}

impl Notifier for Chat<'_> {
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a> {
        Box::pin(async move {
            let body = self.telegram.message(message);
            let request = self.telegram.call("sendMessage", &body)?;
            let answer = outside.send(request).await?;
            answered(&answer)?;
            if let Some(code) = message.code
                && let Ok(sent) = read::<Sent>(&answer)
                && let Err(error) = self
                    .answers
                    .sent(code, self.channel, sent.result.message_id)
                    .await
            {
                tracing::warn!(%error, "a message of a chat cannot be replied to");
            }
            Ok(())
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: &Response<Bytes>) -> Result<T, Refusal> {
    answered(answer)?;
    serde_json::from_slice(answer.body()).map_err(|error| {
        Refusal::Later(
            format!("it does not answer as Telegram does: {error}"),
            None,
        )
    })
}

#[derive(Deserialize)]
struct Sent {
    result: MessageId,
}

#[derive(Deserialize)]
struct MessageId {
    message_id: i64,
}

#[derive(Deserialize)]
struct Updates {
    result: Vec<Update>,
}

#[derive(Deserialize)]
struct Update {
    update_id: i64,
    #[serde(default)]
    message: Option<Heard>,
    #[serde(default)]
    callback_query: Option<Press>,
}

#[derive(Deserialize)]
struct Heard {
    chat: Place,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    reply_to_message: Option<MessageId>,
}

#[derive(Deserialize)]
struct Place {
    id: i64,
}

#[derive(Deserialize)]
struct Press {
    id: String,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    message: Option<Under>,
}

#[derive(Deserialize)]
struct Under {
    chat: Place,
}

impl Update {
    /// What was said, if it was in one of these chats and is anything for us.
    fn said(self, chats: &[i64]) -> Option<Said> {
        if let Some(press) = self.callback_query {
            let data = press.data?;
            let (code, option) = data.split_once(':')?;
            let chat = press.message?.chat.id;
            return chats.contains(&chat).then_some(Said::Pressed {
                chat,
                press: press.id,
                code: code.to_owned(),
                option: option.parse().ok()?,
            });
        }
        let heard = self.message?;
        let chat = heard.chat.id;
        if !chats.contains(&chat) {
            return None;
        }
        Some(Said::Replied {
            chat,
            message: heard.reply_to_message?.message_id,
            text: heard.text?,
        })
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::time::Timestamp;

    use super::super::example;
    use super::*;

    #[test]
    fn a_message_has_a_button_for_each_answer_and_its_text_is_text() {
        let (notice, token) = (example(), Secret::new("1:a"));
        let telegram = Telegram {
            token: &token,
            chat: -5,
            server: None,
        };
        let message = Message {
            delivery: "msg_1",
            notice: &notice,
            now: Timestamp::from_millis(0),
            code: Some("c0de"),
            link: None,
            page: Some("https://box.example/s/7"),
        };
        let body = telegram.message(&message);
        assert_eq!(
            body,
            json!({
                "chat_id": -5,
                "text": "❓ api <b>tests</b>\nWhich colour?",
                "link_preview_options": {"is_disabled": true},
                "reply_markup": {"inline_keyboard": [
                    [{"text": "Red", "callback_data": "c0de:0"}],
                    [{"text": "Blue", "callback_data": "c0de:1"}],
                    [{"text": "↗", "url": "https://box.example/s/7"}],
                ]},
            })
        );
        let request = telegram.call("sendMessage", &body).unwrap();
        assert_eq!(request.uri(), "https://api.telegram.org/bot1:a/sendMessage");
    }

    #[test]
    fn what_is_said_in_other_chats_is_not_heard() {
        let updates = json!({"ok": true, "result": [
            {"update_id": 1, "callback_query": {"id": "p", "from": {"id": 9}, "data": "c0de:1",
                "message": {"message_id": 3, "chat": {"id": 7, "type": "private"}}}},
            {"update_id": 2, "callback_query": {"id": "q", "data": "c0de:1",
                "message": {"message_id": 3, "chat": {"id": 8}}}},
            {"update_id": 3, "message": {"message_id": 4, "chat": {"id": 7}, "text": "Green",
                "reply_to_message": {"message_id": 3, "chat": {"id": 7}}}},
            {"update_id": 4, "message": {"message_id": 4, "chat": {"id": 8}, "text": "Green",
                "reply_to_message": {"message_id": 3}}},
            {"update_id": 5, "message": {"message_id": 4, "chat": {"id": 7}, "text": "hello"}},
            {"update_id": 6, "callback_query": {"id": "r", "data": "c0de:x",
                "message": {"message_id": 3, "chat": {"id": 7}}}},
            {"update_id": 7, "edited_message": {}},
        ]});
        let updates: Updates = serde_json::from_value(updates).unwrap();
        let said: Vec<_> = updates
            .result
            .into_iter()
            .filter_map(|update| update.said(&[7]))
            .collect();
        assert_eq!(
            said,
            [
                Said::Pressed {
                    chat: 7,
                    press: "p".to_owned(),
                    code: "c0de".to_owned(),
                    option: 1
                },
                Said::Replied {
                    chat: 7,
                    message: 3,
                    text: "Green".to_owned()
                },
            ]
        );
    }
}
