//! The task of a container that does one and ends, as its variables ask for it.

use std::path::{Component, PathBuf};
use std::time::Duration;

use cib_protocol::secret::Secret;
use serde_json::{Map, Value, json};

use super::catalog as names;
use super::fault::Place;
use super::parse::{self, Wrong};
use super::quoted;
use super::reader::{Choice, Reader};
use super::settings::{ProxyMode, Questions, TaskSettings};
use super::source::Purpose;
use super::variable::Variable;

/// What the kernel fills anew, with 122 random bits, at each reading.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// Characters of a key, at most.
const KEY: usize = 200;

impl Choice for Questions {
    const WORDS: &'static [(&'static str, Self)] = &[("fail", Self::Fail), ("wait", Self::Wait)];
}

impl TaskSettings {
    /// The secret of its webhook, as it may turn up in a line.
    #[must_use]
    pub fn webhook_secret(&self) -> Option<String> {
        let request: Value = serde_json::from_str(self.request.expose()).ok()?;
        Some(request["webhook"]["secret"].as_str()?.to_owned())
    }
}

/// A token that nobody can guess. Without the kernel's file there is none, and nobody is let in.
pub(super) fn token() -> Secret {
    let random = || cib_foreign::own::read_to_string(RANDOM).unwrap_or_default();
    Secret::new(format!("{}{}", random().trim(), random().trim()))
}

/// The task, if there is to be one.
pub(super) fn task(reader: &mut Reader<'_>, mode: ProxyMode) -> Option<TaskSettings> {
    let faults = reader.faults.len();
    let prompt = reader.value(&names::CIB_TASK_PROMPT, |text| Ok(text.to_owned()));
    let whole = reader.value(&names::CIB_TASK_REQUEST, object);
    let is_asked = prompt.is_some() || whole.is_some();
    let mut request = whole.unwrap_or_default();
    let mut put = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            request.insert(field.to_owned(), value);
        }
    };
    put("prompt", prompt.map(Value::from));
    for (field, variable) in [
        ("repo", &names::CIB_TASK_REPO),
        ("base", &names::CIB_TASK_BASE),
        ("branch", &names::CIB_TASK_BRANCH),
        ("model", &names::CIB_TASK_MODEL),
        ("effort", &names::CIB_TASK_EFFORT),
    ] {
        put(
            field,
            reader.value(variable, parse::one_line).map(Value::from),
        );
    }
    for (field, variable) in [
        ("push", &names::CIB_TASK_PUSH),
        ("draft", &names::CIB_TASK_DRAFT),
        ("private_prompt", &names::CIB_TASK_PRIVATE_PROMPT),
    ] {
        put(field, reader.value(variable, parse::flag).map(Value::from));
    }
    let setup = reader.commands(&names::CIB_TASK_SETUP);
    put("setup", (!setup.is_empty()).then(|| json!(setup)));
    limits(reader, &mut request);
    let task = TaskSettings {
        request: Secret::new(Value::Object(request).to_string()),
        key: reader.value(&names::CIB_TASK_KEY, key),
        result: reader.value(&names::CIB_TASK_RESULT, result),
        timeout: span(reader, &names::CIB_TASK_TIMEOUT),
        questions: reader.choice(&names::CIB_TASK_QUESTIONS),
    };
    if !is_asked {
        if reader.purpose() == Purpose::Task && reader.faults.len() == faults {
            missing(reader);
        }
        return None;
    }
    if mode == ProxyMode::Hold {
        let wrong = Wrong::new(
            "is set, and a container with CIB_PROXY_MODE=hold does nothing but hold the network",
            "give the task to the container that joins it",
        );
        reader.fault(Place::variable(names::CIB_TASK_PROMPT.name), wrong);
    }
    Some(task)
}

fn missing(reader: &mut Reader<'_>) {
    let wrong = Wrong::new(
        "is not set, so there is no task to do",
        "say --prompt or --prompt-file, or set it",
    );
    reader.fault(Place::variable(names::CIB_TASK_PROMPT.name), wrong);
}

fn limits(reader: &mut Reader<'_>, request: &mut Map<String, Value>) {
    let given = [
        (
            "turns",
            reader.integer(&names::CIB_TASK_TURNS).map(Value::from),
        ),
        (
            "cost_usd",
            reader
                .value(&names::CIB_TASK_COST, dollars)
                .map(Value::from),
        ),
        (
            "duration_s",
            span(reader, &names::CIB_TASK_TIME).map(|time| json!(time.as_secs())),
        ),
    ];
    for (field, value) in given {
        let Some(value) = value else { continue };
        let limits = request.entry("limits").or_insert_with(|| json!({}));
        if let Some(limits) = limits.as_object_mut() {
            limits.insert(field.to_owned(), value);
        }
    }
}

/// A duration that may be unset, for which [`Reader::duration`] gives none.
fn span(reader: &mut Reader<'_>, variable: &'static Variable) -> Option<Duration> {
    let time = reader.duration(variable);
    (!time.is_zero()).then_some(time)
}

/// A file that the agent cannot put another in the place of, whoever the file itself belongs to.
fn result(text: &str) -> Result<PathBuf, Wrong> {
    let path = parse::path(text)?;
    let is_agents = ["/workspace", "/home/coder"]
        .iter()
        .any(|folder| path.starts_with(folder));
    let leads_back = path.components().any(|part| part == Component::ParentDir);
    if is_agents || leads_back {
        return Err(Wrong::new(
            "is in a folder of the agent's, which could put another file there",
            "name a file in a folder of its own, such as a mount at /result",
        ));
    }
    Ok(path)
}

fn object(text: &str) -> Result<Map<String, Value>, Wrong> {
    serde_json::from_str(text).map_err(|error| {
        // Where, and nothing of it: it may have a secret.
        let (line, column) = (error.line(), error.column());
        Wrong::new(
            format!("is not a JSON object: line {line}, column {column}"),
            "write it as the body of POST /api/tasks",
        )
    })
}

fn dollars(text: &str) -> Result<f64, Wrong> {
    let amount = text.parse::<f64>().ok();
    let amount = amount.filter(|amount| amount.is_finite() && *amount > 0.0);
    amount.ok_or_else(|| {
        Wrong::new(
            format!("{} is no amount of money", quoted(text)),
            "write US dollars, such as 2.50",
        )
    })
}

fn key(text: &str) -> Result<String, Wrong> {
    if text.len() <= KEY && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        "is no key",
        "take 1 to 200 printable characters of ASCII without a space",
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::environment::{Auth, Environment, FileSettings, Reading, SecretFileError, Settings};

    fn read_for(purpose: Purpose, pairs: &[(&str, &str)]) -> Reading {
        let environment: Environment = pairs.iter().copied().collect();
        let environment = environment.read_for(purpose, Vec::new());
        let long = |path: &Path| match path.to_str() {
            Some("/long") => Ok("x".repeat(100 * 1024)),
            _ => Err(SecretFileError::NotText),
        };
        Settings::read(&environment, &FileSettings::new(), &long)
    }

    fn read(pairs: &[(&str, &str)]) -> Reading {
        read_for(Purpose::Box, pairs)
    }

    fn request(pairs: &[(&str, &str)]) -> Value {
        let task = read(pairs).settings.unwrap().task.unwrap();
        serde_json::from_str(task.request.expose()).unwrap()
    }

    #[test]
    fn a_box_with_a_task_needs_no_token_and_has_one_that_nobody_knows() {
        let settings = |pairs: &[(&str, &str)]| read(pairs).settings.unwrap();
        let prompt = ("CIB_TASK_PROMPT", "Do it.");
        let first = settings(&[prompt]);
        let Auth::Made(token) = &first.auth else {
            panic!("{:?}", first.auth);
        };
        assert!(token.expose().len() > 60 && !first.auth.serves_others());
        assert_ne!(first.auth, settings(&[prompt]).auth);
        let own = ("CIB_AUTH_TOKEN", "correct-horse-battery-staple");
        assert!(settings(&[prompt, own]).auth.serves_others());
        assert!(read(&[("CIB_TASK_REPO", "a/b")]).settings.is_err());
        assert!(settings(&[("CIB_TASK_REPO", "a/b"), own]).task.is_none());
        // Whoever runs a command in such a box was not told either.
        assert!(read_for(Purpose::Inside, &[]).settings.is_ok());
        let faults = read_for(Purpose::Task, &[]).settings.unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].to_string().contains("there is no task"),
            "{faults:?}"
        );
    }

    #[test]
    fn variables_come_before_what_the_request_says_and_leave_the_rest() {
        let whole = r#"{"prompt":"a","repo":"x/y","priority":3,"limits":{"memory":1},
            "webhook":{"url":"https://h.example","secret":"whsec_0123"}}"#;
        let pairs = [
            ("CIB_TASK_REQUEST", whole),
            ("CIB_TASK_REPO", "acme/api"),
            ("CIB_TASK_DRAFT", "no"),
            ("CIB_TASK_COST", "2.5"),
            ("CIB_TASK_TIME", "30m"),
            ("CIB_TASK_SETUP", "make\nmake check"),
        ];
        let said = request(&pairs);
        assert_eq!(
            (&said["prompt"], &said["repo"]),
            (&json!("a"), &json!("acme/api"))
        );
        assert_eq!(
            (&said["priority"], &said["draft"]),
            (&json!(3), &json!(false))
        );
        assert_eq!(
            said["limits"],
            json!({"memory": 1, "cost_usd": 2.5, "duration_s": 1800})
        );
        assert_eq!(said["setup"], json!(["make", "make check"]));
        assert!(said.get("push").is_none(), "{said}");
        let task = read(&pairs).settings.unwrap().task.unwrap();
        assert_eq!(task.webhook_secret().as_deref(), Some("whsec_0123"));
        assert!(!format!("{task:?}").contains("whsec"), "{task:?}");
    }

    #[test]
    fn a_prompt_may_be_longer_than_a_secret_and_what_is_wrong_is_named() {
        let long = request(&[("CIB_TASK_PROMPT_FILE", "/long")]);
        assert_eq!(long["prompt"].as_str().unwrap().len(), 100 * 1024);
        let prompt = ("CIB_TASK_PROMPT", "x");
        for (name, value) in [
            ("ANTHROPIC_API_KEY_FILE", "/long"),
            ("CIB_TASK_REQUEST", "{\"prompt\": 1"),
            ("CIB_TASK_REQUEST", "[]"),
            ("CIB_TASK_COST", "-1"),
            ("CIB_TASK_COST", "inf"),
            ("CIB_TASK_KEY", "a b"),
            ("CIB_TASK_RESULT", "relative"),
            ("CIB_TASK_RESULT", "/workspace/api/result"),
            ("CIB_TASK_RESULT", "/result/../workspace/x"),
            ("CIB_TASK_TIMEOUT", "0"),
        ] {
            let faults = read(&[prompt, (name, value)]).settings.unwrap_err();
            assert!(
                faults[0].to_string().starts_with(name),
                "{name}: {faults:?}"
            );
        }
        let hold = [
            prompt,
            ("CIB_PROXY_MODE", "hold"),
            ("CIB_PROXY_URL", "socks5://192.0.2.1:1080"),
        ];
        assert!(read(&hold).settings.is_err());
    }
}
