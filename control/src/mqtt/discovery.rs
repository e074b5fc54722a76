//! Home Assistant: the box and its sessions as devices, each told in one retained message.

use cib_protocol::session::{SessionId, SessionMeta};
use cib_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::topics::Topics;

/// Sessions that are shown: the newest.
pub(super) const SESSIONS: usize = 16;

/// For how long a session that has ended is shown, in milliseconds.
const SHOWN: i64 = 60 * 60 * 1000;

/// Characters of a name.
const NAME: usize = 60;

/// What Home Assistant is told of.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    /// The box's name, as an object may be called.
    object: String,
    name: String,
    topics: Topics,
    url: Option<String>,
    /// Whether commands are listened to.
    commands: bool,
}

/// An id as Home Assistant takes one.
fn object(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    text.chars().map(fits).collect()
}

/// Whether a session is shown.
pub(super) fn is_shown(meta: &SessionMeta, now: Timestamp) -> bool {
    let ended = meta.stopped_at.unwrap_or(meta.created_at);
    meta.state.is_live() || now.as_millis() - ended.as_millis() < SHOWN
}

impl Discovery {
    pub(super) fn new(name: &str, topics: &Topics, url: Option<String>, commands: bool) -> Self {
        Self {
            object: format!("cib_{}", object(name)),
            name: name.to_owned(),
            topics: topics.clone(),
            url,
            commands,
        }
    }

    pub(super) fn box_topic(&self) -> String {
        format!("homeassistant/device/{}/config", self.object)
    }

    pub(super) fn session_topic(&self, session: SessionId) -> String {
        format!(
            "homeassistant/device/{}/config",
            self.session_object(session)
        )
    }

    fn session_object(&self, session: SessionId) -> String {
        format!("{}_{}", self.object, object(&session.to_string()))
    }

    fn device(&self, device: &Value, parts: &Value) -> Value {
        json!({
            "dev": device,
            "o": {"name": "claude-in-box", "sw": crate::VERSION},
            "avty": [{"t": self.topics.status()}],
            "cmps": parts,
        })
    }

    /// The box.
    pub(super) fn the_box(&self) -> Value {
        let info = self.topics.info();
        let sensor = |key: &str, name: &str, more: &Value| {
            let mut part = json!({
                "p": "sensor",
                "unique_id": format!("{}_{key}", self.object),
                "name": name,
                "stat_t": info,
                "val_tpl": format!("{{{{ value_json.{key} }}}}"),
            });
            merge(&mut part, more);
            part
        };
        let mut parts = json!({
            "working": sensor("working", "Working", &json!({"ic": "mdi:robot"})),
            "waiting": sensor("waiting", "Waiting for input", &json!({"ic": "mdi:chat-question"})),
            "cost": sensor("cost_usd", "Cost", &json!({"unit_of_meas": "USD", "dev_cla": "monetary"})),
            "tokens": sensor("tokens", "Tokens", &json!({"stat_cla": "total_increasing"})),
            "egress": {
                "p": "binary_sensor",
                "unique_id": format!("{}_egress", self.object),
                "name": "Egress",
                "dev_cla": "problem",
                "stat_t": info,
                "val_tpl": "{{ 'ON' if value_json.egress.problem else 'OFF' }}",
            },
        });
        if self.commands {
            parts["new_session"] = json!({
                "p": "text",
                "unique_id": format!("{}_new_session", self.object),
                "name": "New session",
                "cmd_t": self.topics.create(),
                "cmd_tpl": r#"{"workdir":"/workspace","title":{{ value | tojson }}}"#,
                "ic": "mdi:plus",
            });
        }
        let mut device = json!({
            "ids": [self.object],
            "name": self.name,
            "mf": "claude-in-box",
            "sw": crate::VERSION,
        });
        if let Some(url) = &self.url {
            device["cu"] = json!(url);
        }
        self.device(&device, &parts)
    }

    /// A session.
    pub(super) fn session(&self, meta: &SessionMeta) -> Value {
        let (id, object) = (meta.id, self.session_object(meta.id));
        let state = self.topics.state(id);
        let part = |key: &str, name: &str, platform: &str, more: &Value| {
            let mut part = json!({
                "p": platform,
                "unique_id": format!("{object}_{key}"),
                "name": name,
            });
            merge(&mut part, more);
            part
        };
        let told = |template: &str| json!({"stat_t": state, "val_tpl": template});
        let mut states = told("{{ value_json.state }}");
        merge(
            &mut states,
            &json!({"dev_cla": "enum", "options": ["starting", "idle", "working",
                "waiting_for_input", "stopped", "failed", "interrupted"]}),
        );
        // A state has 255 characters at most; the whole is in the attributes.
        let mut question =
            told("{{ (value_json.question.prompt if value_json.question else '')[:255] }}");
        merge(
            &mut question,
            &json!({"json_attr_t": state, "ic": "mdi:chat-question"}),
        );
        let mut cost = told("{{ value_json.cost_usd }}");
        merge(
            &mut cost,
            &json!({"unit_of_meas": "USD", "dev_cla": "monetary"}),
        );
        let todo = told(
            "{{ value_json.todo.done ~ '/' ~ value_json.todo.total if value_json.todo else '' }}",
        );
        let mut parts = json!({
            "state": part("state", "State", "sensor", &states),
            "question": part("question", "Question", "sensor", &question),
            "cost": part("cost", "Cost", "sensor", &cost),
            "todo": part("todo", "To do", "sensor", &todo),
        });
        // An event is told once and not when it is subscribed to.
        parts["event"] = part(
            "event",
            "Event",
            "event",
            &json!({
                "stat_t": self.topics.frames(id, "stop"),
                "evt_typ": ["finished"],
                "val_tpl": r#"{"event_type":"finished"}"#,
            }),
        );
        if self.commands {
            let command = |word: &str| self.topics.command(id, word);
            parts["prompt"] = part(
                "prompt",
                "Prompt",
                "text",
                &json!({"cmd_t": command("input"), "cmd_tpl": r#"{"data":{{ value | tojson }}}"#}),
            );
            let press = |word: &str| json!({"cmd_t": command(word), "payload_press": "{}"});
            parts["interrupt"] = part("interrupt", "Interrupt", "button", &press("interrupt"));
            parts["end"] = part("end", "End", "button", &press("end"));
            parts["answer"] = self.answer(meta, &object);
        }
        let name = meta.title.clone().unwrap_or_else(|| {
            let folder = meta.workdir.file_name().unwrap_or_default();
            format!("{} {}", folder.to_string_lossy(), &id.to_string()[..8])
        });
        let device = json!({
            "ids": [object],
            "name": name.chars().take(NAME).collect::<String>(),
            "mf": "claude-in-box",
            "mdl": meta.model,
            "via_device": self.object,
        });
        self.device(&device, &parts)
    }

    /// A choice of an open question's options; without one the entry has only its platform, which
    /// removes it.
    fn answer(&self, meta: &SessionMeta, object: &str) -> Value {
        let open = meta.open_questions.first();
        let Some(open) = open.filter(|open| !open.options.is_empty()) else {
            return json!({"p": "select"});
        };
        // Both stand in a template, where they must be text and nothing else.
        let (id, prompt) = (in_template(&open.id), in_template(&open.prompt));
        json!({
            "p": "select",
            "unique_id": format!("{object}_answer"),
            "name": "Answer",
            "options": open.options,
            "cmd_t": self.topics.command(meta.id, "answer"),
            "cmd_tpl": format!(r#"{{"id":{id},"answers":{{{prompt}:{{{{ value | tojson }}}}}}}}"#),
        })
    }
}

/// A text as JSON in which no template begins: what an agent asks is not run by who reads it.
fn in_template(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    json.replace('{', "\\u007b")
        .replace('}', "\\u007d")
        .replace('#', "\\u0023")
        .replace('%', "\\u0025")
}

fn merge(part: &mut Value, more: &Value) {
    if let (Value::Object(part), Value::Object(more)) = (part, more) {
        part.extend(more.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_asks_begins_no_template_and_reads_the_same() {
        let text = "{{ states('x') }} {% raw %} {# # %} \"quoted\"";
        let written = in_template(text);
        assert!(!written.contains(['{', '}', '#', '%']), "{written}");
        let read: String = serde_json::from_str(&written).unwrap();
        assert_eq!(read, text);
        let meta: SessionMeta = serde_json::from_value(json!({
            "id": "00000000-0000-4000-8000-000000000001",
            "workdir": "/workspace",
            "driver": "stream",
            "permission_mode": "default",
            "auth_mode": "auto",
            "state": "waiting_for_input",
            "created_at": Timestamp::now(),
            "last_seq": 1,
            "title": text,
            "open_questions": [{"id": text, "prompt": text, "options": [text], "asked_at": Timestamp::now()}],
        }))
        .unwrap();
        let shown = Discovery::new("desk", &Topics::new("cib/desk"), None, true).session(&meta);
        let template = shown["cmps"]["answer"]["cmd_tpl"].as_str().unwrap();
        assert_eq!(template.matches("{{").count(), 1, "{template}");
        assert!(!template.contains("{%") && !template.contains("{#"));
    }
}
