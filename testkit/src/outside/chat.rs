//! A server of chats that speaks Telegram's API for bots, as far as a bot that asks questions needs it:
//! messages with buttons, what is pressed and replied, and waiting for it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::serve::{Running, listen};

#[derive(Debug, Default)]
struct Memory {
    token: String,
    /// What the bot called, with what.
    calls: Vec<(String, Value)>,
    messages: i64,
    updates: Vec<Value>,
}

#[derive(Debug)]
struct Shared {
    memory: Mutex<Memory>,
    news: Notify,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server of chats running in this process until dropped.
#[derive(Debug)]
pub struct Chats {
    running: Running,
    shared: Arc<Shared>,
}

impl Chats {
    /// Starts on a free port of the loopback, with one bot.
    ///
    /// # Errors
    /// No port can be bound.
    pub fn start(token: &str) -> io::Result<Self> {
        let memory = Memory {
            token: token.to_owned(),
            ..Memory::default()
        };
        let shared = Arc::new(Shared {
            memory: Mutex::new(memory),
            news: Notify::new(),
        });
        let state = Arc::clone(&shared);
        let running = Running::start(move || {
            let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            let address = listener.local_addr()?;
            let service = Router::new()
                .route("/{bot}/{method}", post(call))
                .with_state(state);
            Ok((
                address,
                Box::pin(async move { axum::serve(listener, service).await }),
            ))
        })?;
        Ok(Self { running, shared })
    }

    /// Where its API is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.running.addr())
    }

    /// What the bot called so far, but for waiting.
    #[must_use]
    pub fn calls(&self) -> Vec<(String, Value)> {
        let memory = self.shared.held();
        let calls = memory.calls.iter();
        calls
            .filter(|(method, _)| method != "getUpdates")
            .cloned()
            .collect()
    }

    /// Somebody in a chat presses a button.
    pub fn press(&self, chat: i64, data: &str) {
        self.happens(json!({"callback_query": {
            "id": "press", "from": {"id": 1, "is_bot": false, "first_name": "Ann"}, "data": data,
            "message": {"message_id": 1, "date": 0, "chat": {"id": chat, "type": "private"}},
        }}));
    }

    /// Somebody in a chat replies to a message.
    pub fn reply(&self, chat: i64, message: i64, text: &str) {
        let to = json!({"message_id": message, "date": 0, "chat": {"id": chat, "type": "private"}});
        self.happens(json!({"message": {
            "message_id": 1000, "date": 0, "chat": {"id": chat, "type": "private"}, "text": text,
            "reply_to_message": to,
        }}));
    }

    fn happens(&self, mut update: Value) {
        let mut memory = self.shared.held();
        update["update_id"] = (memory.updates.len() + 1).into();
        memory.updates.push(update);
        drop(memory);
        self.shared.news.notify_waiters();
    }
}

async fn call(
    State(shared): State<Arc<Shared>>,
    Path((bot, method)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> (axum::http::StatusCode, Json<Value>) {
    let refused = |code: u16, why: &str| {
        let status = axum::http::StatusCode::from_u16(code);
        let body = json!({"ok": false, "error_code": code, "description": why});
        (status.unwrap_or_default(), Json(body))
    };
    {
        let mut memory = shared.held();
        if bot != format!("bot{}", memory.token) {
            return refused(401, "Unauthorized");
        }
        memory.calls.push((method.clone(), body.clone()));
    }
    let result = match &*method {
        "getUpdates" => updates(&shared, &body).await,
        "answerCallbackQuery" => json!(true),
        "sendMessage" => {
            let mut memory = shared.held();
            memory.messages += 1;
            json!({"message_id": memory.messages, "date": 0, "chat": {"id": body["chat_id"]}})
        }
        _ => return refused(404, "Not Found"),
    };
    (
        axum::http::StatusCode::OK,
        Json(json!({"ok": true, "result": result})),
    )
}

/// What happened since then; it is waited for as long as is asked.
async fn updates(shared: &Shared, body: &Value) -> Value {
    let from = body["offset"].as_i64().unwrap_or(0);
    let wait = Duration::from_secs(body["timeout"].as_u64().unwrap_or(0));
    let waited = tokio::time::timeout(wait, async {
        loop {
            let news = shared.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let new: Vec<_> = {
                let memory = shared.held();
                let is_new = |update: &&Value| update["update_id"].as_i64() >= Some(from);
                memory.updates.iter().filter(is_new).cloned().collect()
            };
            if !new.is_empty() {
                return new;
            }
            news.await;
        }
    });
    waited.await.unwrap_or_default().into()
}
