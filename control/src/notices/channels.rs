//! Channels: where notices go, as an administrator set them up.
//!
//! The file is `<data>/control/notices/channels.json`, readable by control alone, because it holds
//! what the other sides trust. Nothing of that is ever shown again.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cib_base::hex;
use cib_protocol::api::{ChangeChannel, Channel, ChannelTarget, CreateChannel, NoticeEvent};
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;
use http::Uri;
use serde::{Deserialize, Serialize};

use super::bridges::{mail, ntfy};
use super::outside::Outside;
use super::webhook;
use crate::auth::store::{Damage, File, OpenError};
use crate::fault::{Code, Fault};

/// Channels that there may be.
const MOST: usize = 32;

/// Characters of a label.
const MAX_LABEL: usize = 100;

/// A channel as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) target: ChannelTarget,
    pub(super) events: Vec<NoticeEvent>,
    pub(super) answers: bool,
    pub(super) enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) disabled_by: Option<String>,
    /// The secret before this one, and until when it signs as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<(Secret, Timestamp)>,
    pub(super) created_at: Timestamp,
    /// Whether the box's variables have it.
    #[serde(skip)]
    pub(super) fixed: bool,
}

impl Stored {
    /// Whether it is told of such a thing.
    pub(super) fn wants(&self, event: NoticeEvent) -> bool {
        self.enabled && self.events.contains(&event)
    }

    /// As it is shown.
    pub(super) fn shown(&self) -> Channel {
        let (kind, place) = match &self.target {
            ChannelTarget::Webhook { url, .. } => ("webhook", url.clone()),
            ChannelTarget::Ntfy { url, .. } => ("ntfy", url.clone()),
            ChannelTarget::Telegram { chat, .. } => ("telegram", chat.to_string()),
            ChannelTarget::Slack { url } => ("slack", host(url.expose())),
            ChannelTarget::Mail { to, .. } => ("mail", to.clone()),
        };
        Channel {
            id: self.id.clone(),
            label: self.label.clone(),
            kind: kind.to_owned(),
            place,
            events: self.events.clone(),
            answers: self.answers,
            enabled: self.enabled,
            disabled_by: self.disabled_by.clone(),
            fixed: self.fixed,
            created_at: self.created_at,
        }
    }
}

/// The host of an address that is a secret as a whole.
fn host(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_default()
}

/// The channels of the box.
#[derive(Debug)]
pub(super) struct Channels {
    file: File,
    channels: Mutex<Vec<Stored>>,
}

impl Channels {
    /// Those that are kept in a folder, and those of the box's variables.
    pub(super) fn open(folder: &Path, fixed: Vec<CreateChannel>) -> Result<Self, OpenError> {
        let (file, kept) = File::open(folder, "channels.json", parse)?;
        let mut channels: Vec<Stored> = kept.unwrap_or_default();
        let fixed = fixed.into_iter().map(|asked| Stored {
            // The same at each start: what is on its way to it finds it again.
            id: format!("box-{}", asked.label),
            fixed: true,
            ..stored(asked, String::new(), Timestamp::from_millis(0))
        });
        channels.splice(0..0, fixed);
        Ok(Self {
            file,
            channels: Mutex::new(channels),
        })
    }

    pub(super) fn all(&self) -> Vec<Stored> {
        self.held().clone()
    }

    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        self.held().iter().find(|channel| channel.id == id).cloned()
    }

    /// Makes one, with a secret if it needs one that was not given.
    pub(super) async fn create(
        &self,
        mut asked: CreateChannel,
        outside: &Outside,
    ) -> Result<(Stored, Option<Secret>), Fault> {
        check_label(&asked.label)?;
        check_target(&asked.target, outside)?;
        check_events(asked.events.as_deref())?;
        let mut made = None;
        if let ChannelTarget::Webhook { secret, .. } = &mut asked.target
            && secret.is_none()
        {
            let fresh = webhook::fresh().map_err(Fault::internal)?;
            *secret = Some(fresh.clone());
            made = Some(fresh);
        }
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(Fault::internal)?;
        let channel = stored(asked, hex::encode(&id), Timestamp::now());
        {
            let mut channels = self.held();
            if channels.len() >= MOST {
                let detail = format!("there are {MOST} channels already; remove one first");
                return Err(Fault::new(Code::TooManyChannels, detail));
            }
            channels.push(channel.clone());
        }
        self.save().await?;
        Ok((channel, made))
    }

    /// Changes one.
    pub(super) async fn change(&self, id: &str, asked: ChangeChannel) -> Result<Stored, Fault> {
        asked.label.as_deref().map_or(Ok(()), check_label)?;
        check_events(asked.events.as_deref())?;
        self.edit(id, |channel| {
            channel.label = asked.label.unwrap_or(std::mem::take(&mut channel.label));
            channel.events = asked.events.unwrap_or(std::mem::take(&mut channel.events));
            channel.answers = asked.answers.unwrap_or(channel.answers);
            channel.enabled = asked.enabled.unwrap_or(channel.enabled);
            if channel.enabled {
                channel.disabled_by = None;
            }
            Ok(())
        })
        .await
    }

    /// Gives a webhook another secret; the one before signs on for a day.
    pub(super) async fn rotate(&self, id: &str) -> Result<(Stored, Secret), Fault> {
        let fresh = webhook::fresh().map_err(Fault::internal)?;
        let new = fresh.clone();
        let channel = self.edit(id, |channel| {
            let ChannelTarget::Webhook { secret, .. } = &mut channel.target else {
                let detail = "only a webhook has a secret that the box makes";
                return Err(Fault::new(Code::BadValue, detail));
            };
            let until = Timestamp::now().as_millis() + webhook::OVERLAP;
            let before = secret.replace(new);
            channel.before = before.map(|secret| (secret, Timestamp::from_millis(until)));
            Ok(())
        });
        Ok((channel.await?, fresh))
    }

    /// Ends one because the other side said so.
    pub(super) async fn disable(&self, id: &str, why: &str) {
        let ended = self.edit_any(id, |channel| {
            channel.enabled = false;
            channel.disabled_by = Some(why.to_owned());
            Ok(())
        });
        if let Err(fault) = ended.await {
            fault.log("notices");
        }
    }

    /// Removes one.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Fault> {
        {
            let mut channels = self.held();
            let at = channels.iter().position(|channel| channel.id == id);
            let at = at.ok_or_else(|| no_such(id))?;
            check_free(&channels[at])?;
            channels.remove(at);
        }
        self.save().await
    }

    async fn edit(
        &self,
        id: &str,
        edit: impl FnOnce(&mut Stored) -> Result<(), Fault>,
    ) -> Result<Stored, Fault> {
        self.edit_any(id, |channel| {
            check_free(channel)?;
            edit(channel)
        })
        .await
    }

    async fn edit_any(
        &self,
        id: &str,
        edit: impl FnOnce(&mut Stored) -> Result<(), Fault>,
    ) -> Result<Stored, Fault> {
        let changed = {
            let mut channels = self.held();
            let channel = channels.iter_mut().find(|channel| channel.id == id);
            let channel = channel.ok_or_else(|| no_such(id))?;
            edit(channel)?;
            channel.clone()
        };
        self.save().await?;
        Ok(changed)
    }

    async fn save(&self) -> Result<(), Fault> {
        let content = || {
            let channels = self.held();
            let own = channels.iter().filter(|channel| !channel.fixed);
            own.cloned().collect::<Vec<_>>()
        };
        self.file.save(content).await.map_err(Fault::internal)
    }

    fn held(&self) -> MutexGuard<'_, Vec<Stored>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored(asked: CreateChannel, id: String, created_at: Timestamp) -> Stored {
    Stored {
        id,
        label: asked.label,
        target: asked.target,
        events: asked.events.unwrap_or_else(|| NoticeEvent::ALL.to_vec()),
        answers: asked.answers,
        enabled: true,
        disabled_by: None,
        before: None,
        created_at,
        fixed: false,
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Stored>, Damage> {
    Ok(serde_json::from_slice(bytes)?)
}

fn bad(detail: String) -> Fault {
    Fault::new(Code::BadValue, detail)
}

fn no_such(id: &str) -> Fault {
    Fault::new(Code::NoSuchChannel, format!("there is no channel {id:?}"))
}

/// What the box's variables say is changed there.
fn check_free(channel: &Stored) -> Result<(), Fault> {
    if channel.fixed {
        let detail = "variables of the box set this channel up; it is changed there".to_owned();
        return Err(bad(detail));
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), Fault> {
    let length = label.trim().chars().count();
    if length == 0 || length > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(bad(format!(
            "`label` has 1 to {MAX_LABEL} characters and no control characters"
        )));
    }
    Ok(())
}

fn check_events(events: Option<&[NoticeEvent]>) -> Result<(), Fault> {
    if events.is_some_and(<[_]>::is_empty) {
        return Err(bad("`events` is empty; nothing would be told".to_owned()));
    }
    Ok(())
}

/// Whether a target can be one.
pub(super) fn check_target(target: &ChannelTarget, outside: &Outside) -> Result<(), Fault> {
    let url = |url: &str| {
        let checked = outside.check(url);
        checked.map_err(|why| bad(format!("`url` {why}")))
    };
    let word = |name: &str, secret: &Secret| {
        let text = secret.expose();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(format!("`{name}` is no word of printable ASCII")));
        }
        Ok(())
    };
    match target {
        ChannelTarget::Webhook { url: at, secret } => {
            url(at)?;
            let secret = secret.as_ref().map(webhook::decode).transpose();
            secret
                .map(drop)
                .map_err(|why| bad(format!("`secret`: {why}")))
        }
        ChannelTarget::Ntfy { url: at, token } => {
            url(at)?;
            token
                .as_ref()
                .map_or(Ok(()), |token| word("token", token))?;
            ntfy::parts(at).map(drop).ok_or_else(|| {
                bad("`url` is a server and a topic, such as https://ntfy.example/topic".to_owned())
            })
        }
        ChannelTarget::Telegram { token, server, .. } => {
            server.as_deref().map_or(Ok(()), url)?;
            word("token", token)?;
            if token.expose().contains(['/', '?', '#', '%']) {
                return Err(bad("`token` is none of Telegram's".to_owned()));
            }
            Ok(())
        }
        ChannelTarget::Slack { url: at } => url(at.expose()),
        ChannelTarget::Mail { server, from, to } => {
            let server =
                mail::Server::parse(server).map_err(|why| bad(format!("`server` {why}")))?;
            let checked = outside.check_host(&server.host);
            checked.map_err(|why| bad(format!("`server` {why}")))?;
            for (name, address) in [("from", from), ("to", to)] {
                mail::check_address(address).map_err(|why| bad(format!("`{name}` {why}")))?;
            }
            Ok(())
        }
    }
}
