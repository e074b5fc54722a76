//! Telling: what is due in the outbox is sent, each by its channel.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::{ChannelTarget, Notice};
use cib_protocol::time::Timestamp;
use tokio::task::JoinSet;

use super::answers::Asked;
use super::bridges::mail::Mail;
use super::bridges::ntfy::Ntfy;
use super::bridges::slack::Slack;
use super::bridges::telegram::{Chat, Telegram};
use super::bridges::{Message, Notifier};
use super::channels::Stored as Channel;
use super::outbox::{Outcome, Stored, To};
use super::outside::Refusal;
use super::push::Browser;
use super::push::subscriptions::Stored as Subscription;
use super::question;
use super::webhook::{self, Webhook};
use crate::app::App;
use crate::auth::scope::Scope;

/// Deliveries that are tried at once.
const AT_ONCE: usize = 8;

/// How long the clock is believed.
const LOOK: Duration = Duration::from_secs(60);

/// The pause before a disk is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Tells what is due, until the box ends.
pub(super) async fn run(app: Arc<App>) {
    let mut shutdown = app.shutdown();
    let mut under_way: HashSet<String> = HashSet::new();
    let mut tries = JoinSet::new();
    loop {
        let now = Timestamp::now();
        let mut wait = LOOK;
        for (at, id) in app.notices.outbox.pending() {
            if under_way.contains(&id) {
                continue;
            }
            let left = u64::try_from(at.as_millis() - now.as_millis()).unwrap_or(0);
            if left > 0 {
                wait = wait.min(Duration::from_millis(left));
                break;
            }
            if under_way.len() == AT_ONCE {
                break;
            }
            under_way.insert(id.clone());
            let app = Arc::clone(&app);
            tries.spawn(async move {
                attempt(&app, &id).await;
                id
            });
        }
        tokio::select! {
            () = shutdown.begun() => return,
            Some(done) = tries.join_next() => match done {
                Ok(id) => drop(under_way.remove(&id)),
                // Which one it was is not known; it is found again.
                Err(error) => {
                    tracing::error!(%error, "a delivery broke");
                    under_way.clear();
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = app.notices.outbox.news.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn attempt(app: &Arc<App>, id: &str) {
    let Some(delivery) = app.notices.outbox.get(id) else {
        return;
    };
    let outcome = tell(app, &delivery).await;
    let Some(mut delivery) = app.notices.outbox.get(id) else {
        return;
    };
    tracing::debug!(delivery = id, ?outcome, "a notice was sent");
    delivery.tried(Timestamp::now(), outcome, jitter());
    if let Err(error) = app.notices.outbox.put(delivery).await {
        // It is sent again after a restart.
        tracing::error!(delivery = id, %error, "what came of a notice is not kept");
        tokio::time::sleep(PAUSE).await;
    }
}

/// From 0 to 1.
fn jitter() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX)
}

/// Whom a delivery is for, as they are now.
enum Receiver {
    Channel(Box<Channel>),
    Browser(Box<Subscription>, bool),
    Task(Box<cib_protocol::api::TaskWebhook>),
}

impl Receiver {
    fn of(app: &App, delivery: &Stored) -> Result<Self, &'static str> {
        let notices = &app.notices;
        match &delivery.to {
            To::Channel(id) => {
                let channel = notices.channels.get(id).ok_or("the channel was removed")?;
                if !channel.enabled {
                    return Err("the channel is switched off");
                }
                Ok(Self::Channel(Box::new(channel)))
            }
            To::Push(id) => {
                let gone = "the browser does not want it any more";
                let one = notices.subscriptions.get(id).ok_or(gone)?;
                let scopes = one.scopes(&app.gate, Timestamp::now());
                let scopes = scopes.ok_or("its account, token or sign-in has ended")?;
                if !scopes.allows(needed(&delivery.notice)) {
                    return Err("its account or token may not read that");
                }
                let answers = scopes.allows(Scope::SessionsInput);
                Ok(Self::Browser(Box::new(one), answers))
            }
            To::Task => {
                let task = delivery.notice.task.ok_or("it is of no task")?;
                let entry = app.tasks.get(&task.to_string());
                let entry = entry.map_err(|_| "the task was removed")?;
                let webhook = entry.record.request.webhook.clone();
                let webhook = webhook.ok_or("the task has no webhook")?;
                Ok(Self::Task(Box::new(webhook)))
            }
        }
    }

    /// Whether it may have what answers a question, and by which name.
    fn answers(&self) -> Option<String> {
        match self {
            Self::Channel(channel) => channel.answers.then(|| channel.label.clone()),
            Self::Browser(one, answers) => answers.then(|| match &*one.label {
                "" => "browser".to_owned(),
                label => label.to_owned(),
            }),
            Self::Task(_) => Some("webhook".to_owned()),
        }
    }
}

/// What somebody has to be allowed who is told of it.
pub(super) fn needed(notice: &Notice) -> Scope {
    match notice.task {
        Some(_) => Scope::TasksRead,
        None => Scope::SessionsRead,
    }
}

async fn tell(app: &Arc<App>, delivery: &Stored) -> Outcome {
    let notices = &app.notices;
    let notice = &delivery.notice;
    let receiver = match Receiver::of(app, delivery) {
        Ok(receiver) => receiver,
        Err(why) => return Outcome::Dropped(why.to_owned()),
    };
    let now = Timestamp::now();
    let mut code = None;
    if let (Some(session), Some(id)) = (notice.session, &notice.question) {
        match question::is_open(app, session, id).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Dropped("the question was answered".to_owned()),
            Err(fault) => return Outcome::Later(fault.detail().to_owned(), 0),
        }
        if let Some(via) = receiver.answers() {
            let asked = Asked {
                session,
                question: id.clone(),
                via,
                until: question::until(notice.at),
            };
            match notices.answers.code(&delivery.id, asked, now).await {
                Ok(made) => code = made,
                Err(error) => return Outcome::Later(error.to_string(), 0),
            }
        }
    }
    let url = notices.public_url.as_deref();
    let link = url.zip(code.as_deref());
    let link = link.map(|(url, code)| format!("{url}/a/{code}"));
    let page = url.and_then(|url| match (notice.task, notice.session) {
        (Some(task), _) => Some(format!("{url}/t/{task}")),
        (None, Some(session)) => Some(format!("{url}/s/{session}")),
        (None, None) => None,
    });
    let message = Message {
        delivery: &delivery.id,
        notice,
        now,
        code: code.as_deref(),
        link: link.as_deref(),
        page: page.as_deref(),
    };
    let told = send(app, &receiver, &message).await;
    match told {
        Ok(()) => Outcome::Delivered,
        Err(Refusal::Later(why, wait)) => {
            Outcome::Later(why, wait.map_or(0, |wait| wait.as_secs()))
        }
        Err(Refusal::Never(why)) => Outcome::Failed(why),
        Err(Refusal::Over(why)) => {
            end(app, &receiver, &why).await;
            Outcome::Failed(why)
        }
    }
}

async fn send(app: &Arc<App>, receiver: &Receiver, message: &Message<'_>) -> Result<(), Refusal> {
    let notices = &app.notices;
    let outside = &notices.outside;
    match receiver {
        Receiver::Channel(channel) => {
            let notifier: Box<dyn Notifier + '_> = match &channel.target {
                ChannelTarget::Webhook { url, secret } => Box::new(Webhook {
                    url,
                    secrets: webhook::current(
                        secret.as_ref(),
                        channel.before.as_ref(),
                        message.now,
                    ),
                }),
                ChannelTarget::Ntfy { url, token } => Box::new(Ntfy {
                    url,
                    token: token.as_ref(),
                }),
                ChannelTarget::Telegram {
                    token,
                    chat,
                    server,
                } => Box::new(Chat {
                    telegram: Telegram {
                        token,
                        chat: *chat,
                        server: server.as_deref(),
                    },
                    channel: &channel.id,
                    answers: &notices.answers,
                }),
                ChannelTarget::Slack { url } => Box::new(Slack { url }),
                ChannelTarget::Mail { server, from, to } => Box::new(Mail { server, from, to }),
            };
            notifier.tell(outside, message).await
        }
        Receiver::Browser(subscription, _) => {
            let vapid = notices.vapid().await;
            let vapid = vapid.map_err(|fault| Refusal::Later(fault.detail().to_owned(), None))?;
            let browser = Browser {
                subscription,
                vapid: &vapid,
                contact: &notices.contact,
            };
            browser.tell(outside, message).await
        }
        Receiver::Task(webhook) => {
            let webhook = Webhook {
                url: &webhook.url,
                secrets: webhook.secret.iter().collect(),
            };
            webhook.tell(outside, message).await
        }
    }
}

/// The other side wants nothing any more.
async fn end(app: &App, receiver: &Receiver, why: &str) {
    match receiver {
        Receiver::Channel(channel) => {
            tracing::warn!(channel = channel.label, why, "a channel ends");
            app.notices.channels.disable(&channel.id, why).await;
        }
        Receiver::Browser(one, _) => {
            tracing::info!(subscription = one.id, why, "a browser is told no more");
            let removed = app.notices.subscriptions.remove(|other| other.id == one.id);
            if let Err(fault) = removed.await {
                fault.log("notices");
            }
        }
        Receiver::Task(_) => {}
    }
    app.notices.changed();
}
