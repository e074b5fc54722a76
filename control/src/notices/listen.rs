//! Listens to the chats: what is pressed or replied there answers a question.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::ChannelTarget;
use cib_protocol::secret::Secret;
use cib_protocol::time::Timestamp;
use tokio::task::JoinSet;

use super::bridges::telegram::{Said, Telegram};
use super::outside::Refusal;
use super::question::{self, Answered, Choice};
use crate::app::App;
use crate::fault::Fault;

/// The pauses between tries, from the first to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// Characters of a reply that are passed on.
const MAX_TEXT: usize = 4000;

/// A bot, and the chats that it is heard in: their channels by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bot {
    token: Secret,
    server: Option<String>,
    chats: BTreeMap<i64, String>,
}

/// Listens to every chat that answers, until the box ends.
pub(super) async fn run(app: Arc<App>) {
    let mut shutdown = app.shutdown();
    let mut changes = app.notices.changes();
    let mut known = Vec::new();
    let mut listening = JoinSet::new();
    loop {
        changes.borrow_and_update();
        let bots = bots(&app);
        if bots != known {
            listening.abort_all();
            for bot in bots.clone() {
                listening.spawn(listen(Arc::clone(&app), bot));
            }
            known = bots;
        }
        tokio::select! {
            () = shutdown.begun() => return,
            _ = changes.changed() => {}
            Some(_) = listening.join_next() => {}
        }
    }
}

/// One bot is asked by one: of two, each would hear a part.
fn bots(app: &App) -> Vec<Bot> {
    let mut bots: Vec<Bot> = Vec::new();
    for channel in app.notices.channels.all() {
        let ChannelTarget::Telegram {
            token,
            chat,
            server,
        } = channel.target
        else {
            continue;
        };
        if !channel.enabled || !channel.answers {
            continue;
        }
        let same = bots
            .iter_mut()
            .find(|bot| bot.token == token && bot.server == server);
        match same {
            Some(bot) => drop(bot.chats.insert(chat, channel.id)),
            None => bots.push(Bot {
                token,
                server,
                chats: BTreeMap::from([(chat, channel.id)]),
            }),
        }
    }
    bots
}

async fn listen(app: Arc<App>, bot: Bot) {
    let chats: Vec<_> = bot.chats.keys().copied().collect();
    let (mut offset, mut pause) = (0, PAUSE);
    loop {
        let telegram = telegram(&bot, chats[0]);
        match telegram.listen(&app.notices.outside, offset, &chats).await {
            Ok((next, said)) => {
                offset = next;
                pause = PAUSE;
                for one in said {
                    hear(&app, &bot, one).await;
                }
            }
            Err(Refusal::Later(why, _) | Refusal::Never(why) | Refusal::Over(why)) => {
                tracing::warn!(why, "a chat cannot be listened to");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

fn telegram(bot: &Bot, chat: i64) -> Telegram<'_> {
    Telegram {
        token: &bot.token,
        chat,
        server: bot.server.as_deref(),
    }
}

/// Answers with what was said, and says in the chat what came of it.
async fn hear(app: &Arc<App>, bot: &Bot, said: Said) {
    let now = Timestamp::now();
    let answers = &app.notices.answers;
    let told = match &said {
        Said::Pressed { code, option, .. } => match answers.take(code, now).await {
            Ok(taken) => question::choose(app, taken, Choice::Option(*option)).await,
            Err(error) => Err(Fault::internal(error)),
        },
        Said::Replied {
            chat,
            message,
            text,
        } => {
            let Some(channel) = bot.chats.get(chat) else {
                return;
            };
            let text: String = text.chars().take(MAX_TEXT).collect();
            match answers.take_message(channel, *message, now).await {
                Ok(taken) => question::choose(app, taken, Choice::Text(&text)).await,
                Err(error) => Err(Fault::internal(error)),
            }
        }
    };
    let words = match &told {
        Ok(Answered::Given) => "✅".to_owned(),
        Ok(Answered::Over) => {
            "✋ This question is not open any more. 这个问题已不再等待回答。".to_owned()
        }
        Err(fault) => format!("❌ {}", fault.detail()),
    };
    let outside = &app.notices.outside;
    let sent = match &said {
        Said::Pressed { chat, press, .. } => {
            telegram(bot, *chat).heard(outside, press, &words).await
        }
        Said::Replied { chat, .. } => telegram(bot, *chat).say(outside, &words).await,
    };
    if let Err(refusal) = sent {
        tracing::debug!(?refusal, "a chat is not told what came of an answer");
    }
}
