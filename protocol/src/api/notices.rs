//! Notices: who is told when Claude waits, has finished, has failed or has reached a limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::session::SessionId;
use crate::task::TaskId;
use crate::time::Timestamp;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// Claude asks something, or wants a permission.
    Waiting,
    /// A turn is over, or a task is done.
    Finished,
    /// A session or a task failed.
    Failed,
    /// A limit was reached.
    Limit,
}

impl NoticeEvent {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Finished, Self::Failed, Self::Limit];

    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Limit => "limit",
        }
    }
}

/// Something that somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// Its id, the same whoever is told.
    pub id: String,
    /// What happened.
    pub event: NoticeEvent,
    /// When it was seen.
    pub at: Timestamp,
    /// The task that it happened to, if to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The session that it happened to, or that works on the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub session: Option<SessionId>,
    /// What the session or the task is called, at most 100 characters of it.
    pub title: String,
    /// What is asked, was said last or went wrong, at most 500 characters of it.
    pub text: String,
    /// Until when a task waits that has met a limit, and goes on by itself; absent if it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The question that waits for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What answers it, if one of these alone does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Notice {
    /// What kind it is, in a word with a dot: `task.completed`, `session.waiting`.
    #[must_use]
    pub fn kind(&self) -> String {
        match (self.task, self.event) {
            (Some(_), NoticeEvent::Finished) => "task.completed".to_owned(),
            (Some(_), event) => format!("task.{}", event.as_str()),
            (None, event) if self.session.is_some() => format!("session.{}", event.as_str()),
            (None, event) => format!("box.{}", event.as_str()),
        }
    }
}

/// Where notices go. What is secret in it is never shown again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelTarget {
    /// A webhook by the Standard Webhooks specification.
    Webhook {
        /// Where it is sent.
        url: String,
        /// The secret that it is signed with: `whsec_` and the base64 of 24 to 64 bytes. Absent, one is
        /// made, and shown once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<Secret>,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server and the topic: `https://ntfy.example/topic`.
        url: String,
        /// An access token of the server's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Secret>,
    },
    /// A chat of Telegram's.
    Telegram {
        /// The bot's token.
        token: Secret,
        /// The chat's id. Nobody else's answers count.
        chat: i64,
        /// Another server of the same API.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// An incoming webhook of Slack's, or of what takes the same: Mattermost, Rocket.Chat.
    Slack {
        /// Its address, which is the secret.
        url: Secret,
    },
    /// Mail by SMTP.
    Mail {
        /// `smtps://user:password@host`, or `smtp://…` for a server that is asked for TLS first.
        server: Secret,
        /// The sender's address.
        from: String,
        /// The receiver's address.
        to: String,
    },
}

impl ChannelTarget {
    /// What of it must be shown nowhere.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Webhook { secret, .. } => secret.iter().collect(),
            Self::Ntfy { token, .. } => token.iter().collect(),
            Self::Telegram { token, .. } => vec![token],
            Self::Slack { url } => vec![url],
            Self::Mail { server, .. } => vec![server],
        }
    }
}

/// Body of `POST /api/notices/channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateChannel {
    /// A name for people.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub label: String,
    /// Where notices go.
    pub target: ChannelTarget,
    /// Which; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<NoticeEvent>>,
    /// Whether a notice has what answers its question: a link that works once, within an hour.
    #[serde(default = "yes")]
    pub answers: bool,
}

fn yes() -> bool {
    true
}

/// Body of `PATCH /api/notices/channels/{id}`. An absent field stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeChannel {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub label: Option<String>,
    /// Which notices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<NoticeEvent>>,
    /// Whether a notice has what answers its question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
    /// Whether anything is sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Somewhere that notices go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// A name for people.
    pub label: String,
    /// `webhook`, `ntfy`, `telegram`, `slack` or `mail`.
    pub kind: String,
    /// Where it leads, without what is secret.
    pub place: String,
    /// Which notices.
    pub events: Vec<NoticeEvent>,
    /// Whether a notice has what answers its question.
    pub answers: bool,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// Why nothing is, if the other side said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<String>,
    /// Whether it was set by variables of the box, and so cannot be changed here.
    #[serde(default)]
    pub fixed: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// `GET /api/notices/channels`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelList {
    /// Every one, the oldest first.
    pub channels: Vec<Channel>,
    /// Whether answer links can be sent: the box knows its own address (`CIB_PUBLIC_URL`).
    pub links: bool,
}

/// A channel that was made, or has another secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelMade {
    /// The channel.
    pub channel: Channel,
    /// The secret that its webhooks are signed with, shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried, or will be again.
    Pending,
    /// The other side took it.
    Delivered,
    /// It is not tried any more.
    Failed,
    /// It is not needed any more: the question was answered, or its channel was removed.
    Dropped,
}

/// A try to deliver a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeliveryAttempt {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: String,
}

/// A notice on its way to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delivery {
    /// Its id, which a webhook has as `webhook-id`, however often it is sent.
    pub id: String,
    /// The notice.
    pub notice: Notice,
    /// The id of the channel; `task` for the webhook of a task, `push` and an id for a browser.
    pub channel: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// What was tried, the oldest first; at most the last 20.
    pub attempts: Vec<DeliveryAttempt>,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// `GET /api/notices/deliveries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeliveryList {
    /// The newest first.
    pub deliveries: Vec<Delivery>,
}

/// `GET /api/push/key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PushKey {
    /// The public key that a browser subscribes with, as base64url (VAPID, RFC 8292).
    pub key: String,
}

/// Body of `POST /api/push/subscriptions`: what a browser says of its subscription, and what is
/// wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The address at the push service.
    pub endpoint: String,
    /// When the browser ends it, in milliseconds; it is not heeded.
    #[serde(default, rename = "expirationTime")]
    pub expiration_time: Option<f64>,
    /// The browser's keys.
    pub keys: PushKeys,
    /// Which notices; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<NoticeEvent>>,
    /// A name for people.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub label: String,
}

/// The keys of a subscription, as base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PushKeys {
    /// The public key: an uncompressed point on P-256, 65 bytes.
    pub p256dh: String,
    /// The secret, 16 bytes.
    pub auth: Secret,
}

/// A browser that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PushSubscription {
    /// Its id.
    pub id: String,
    /// A name for people.
    pub label: String,
    /// The host of the push service.
    pub service: String,
    /// SHA-256 of the address, by which a browser knows its own.
    pub endpoint_sha256: String,
    /// Which notices.
    pub events: Vec<NoticeEvent>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// `GET /api/push/subscriptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PushSubscriptionList {
    /// Those of the caller's account or token.
    pub subscriptions: Vec<PushSubscription>,
}

/// Body of `POST /a/{code}`. A form has `q0`, `q1` and so on instead, one for each question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkAnswer {
    /// The answer, if there is one question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Answers by the text of the question; none at all refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<BTreeMap<String, String>>,
}

/// The webhook of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskWebhook {
    /// Where it is sent.
    pub url: String,
    /// The secret that it is signed with: `whsec_` and the base64 of 24 to 64 bytes. Without one it is
    /// not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Which notices; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<NoticeEvent>>,
}
