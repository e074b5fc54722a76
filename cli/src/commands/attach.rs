//! `cib attach`: this terminal for a session or shell of a box.

use serde_json::{Value, json};

use super::{Context, open, renew};
use crate::api::Api;
use crate::api::stream::{Left, lives};
use crate::args::Attach;
use crate::boxes::Found;
use crate::engine::Engine;
use crate::failure::{Exit, Failure};
use crate::terminal::keys::{self, Matcher};
use crate::text;

pub(super) fn run(context: &Context<'_>, arguments: &Attach) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let api = context.api(&engine, &found)?;
    renew::tell(context, &found);
    // The tool before attached the browser, unless it was told not to.
    let browser = context.around.as_before && !arguments.no_web && arguments.session.is_none();
    if browser && api.has_pages() {
        return open::page(context, &engine, &api, &found);
    }
    let session = chosen(&api, &found, arguments)?;
    to(context, &engine, &found, &session, arguments)
}

/// The session or shell that is meant: by its id, else the newest that lives.
fn chosen(api: &Api, found: &Found, arguments: &Attach) -> Result<Value, Failure> {
    let newest = newest(api, arguments.session.as_deref(), true)?;
    newest.ok_or_else(|| {
        Failure::failed(format!("no session lives in {}", found.name)).remedy(format!(
            "cib shell {}, or cib open {}",
            found.name, found.name
        ))
    })
}

/// The newest session, and with `shells` the newest of both, whose id begins with a word, or
/// without a word the newest that lives.
pub(super) fn newest(
    api: &Api,
    word: Option<&str>,
    shells: bool,
) -> Result<Option<Value>, Failure> {
    let mut all = Vec::new();
    let lists = [
        ("/api/sessions", "sessions", "claude"),
        ("/api/shells", "shells", "shell"),
    ];
    for (path, list, kind) in lists.into_iter().take(1 + usize::from(shells)) {
        let answer = api.get(path)?;
        for one in answer[list].as_array().into_iter().flatten() {
            let mut one = one.clone();
            one["program"] = json!(kind);
            all.push(one);
        }
    }
    let meant = |one: &Value| match word {
        Some(word) => one["id"].as_str().unwrap_or_default().starts_with(word),
        None => lives(one),
    };
    all.retain(meant);
    Ok(all
        .into_iter()
        .max_by_key(|one| one["created_at"].as_str().unwrap_or_default().to_owned()))
}

/// A session's id, if it is one that can stand in a path.
///
/// # Errors
/// It is none.
pub(super) fn id_of(session: &Value) -> Result<&str, Failure> {
    let id = session["id"].as_str().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.is_empty() || !id.bytes().all(plain) {
        return Err(Failure::failed("the box names a session by no id"));
    }
    Ok(id)
}

/// Gives this terminal to a session or shell; what it ended with, if it did.
pub(super) fn to(
    context: &Context<'_>,
    engine: &Engine,
    found: &Found,
    session: &Value,
    arguments: &Attach,
) -> Result<u8, Failure> {
    if !context.around.can_ask || !context.around.shows {
        return Err(Failure::usage("attach needs a terminal")
            .remedy(format!("cib exec {} COMMAND runs one without", found.name)));
    }
    let given = arguments.detach_keys.as_deref();
    let named = given
        .or_else(|| context.around.variable("CIB_DETACH_KEYS"))
        .unwrap_or(keys::DEFAULT);
    let matcher =
        Matcher::new(named).map_err(|what| Failure::usage(format!("--detach-keys: {what}")))?;
    let api = context.api(engine, found)?;
    let id = id_of(session)?;
    let is_shell = session["program"] == "shell" || session.get("driver").is_none();
    let path = format!("/api/{}/{id}", if is_shell { "shells" } else { "sessions" });
    if !is_shell && session["driver"] != "tty" {
        if arguments.driver.is_none() {
            return Err(
                Failure::failed("the session has no terminal: it speaks in frames").remedy(
                    format!(
                        "cib open {0} shows it; cib attach {0} --driver tty makes a terminal of it",
                        found.name
                    ),
                ),
            );
        }
        api.post(&format!("{path}/driver"), &json!({"driver": "tty"}))?;
    }
    context.output.step(&format!(
        "{} of {}; {named} leaves it as it is",
        if is_shell { "Shell" } else { "Session" },
        found.name
    ));
    match api.attach(&path, matcher, arguments.read_only)? {
        Left::Detached => {
            context
                .output
                .note(&format!("left; cib attach {} comes back", found.name));
            Ok(0)
        }
        Left::Told => Err(Failure::new(Exit::Interrupted, "told to end")),
        Left::Lost => Err(Failure::failed("the box does not come back")
            .remedy(format!("cib logs {}", found.name))),
        Left::Ended(reason) => {
            let about = api.get(&path).unwrap_or_default();
            let code = about["exit_code"]
                .as_u64()
                .and_then(|code| u8::try_from(code).ok());
            context
                .output
                .note(&format!("ended: {}", text::line(&reason)));
            Ok(code.unwrap_or_default())
        }
    }
}
