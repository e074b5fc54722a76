//! `cib login`: Claude's own login, in a box.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Context, renew};
use crate::api::Api;
use crate::args::Login;
use crate::failure::{Exit, Failure};
use crate::{process, text};

/// How long the CLI in the box may take to say where to go, and to look at a code.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(context: &Context<'_>, arguments: &Login) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    if arguments.renew {
        return renew::run(context, &engine, &found);
    }
    let api = context.api(&engine, &found)?;
    if arguments.status {
        let status = api.get("/api/auth/claude/status")?;
        let good = status["logged_in"] == true;
        context.output.result(&status, || {
            let who = text::line(status["email"].as_str().unwrap_or("nobody"));
            if good {
                format!("logged in: {who}")
            } else {
                "not logged in".to_owned()
            }
        });
        return Ok(if good { 0 } else { Exit::Credential.code() });
    }
    let status = match &arguments.code {
        Some(code) => api.post("/api/auth/claude/code", &json!({"code": code}))?,
        None => begin(context, &api)?,
    };
    let done = settled(&api, status, "verifying")?;
    match state(&done) {
        "done" => {
            context
                .output
                .result(&json!({"logged_in": true}), || "logged in".to_owned());
            Ok(0)
        }
        other => {
            let detail = text::plain(done["flow"]["detail"].as_str().unwrap_or(other));
            Err(Failure::new(
                Exit::Credential,
                format!("the login has not succeeded: {detail}"),
            ))
        }
    }
}

/// Begins a login and asks for the code that its page shows.
fn begin(context: &Context<'_>, api: &Api) -> Result<Value, Failure> {
    let begun = api.post("/api/auth/claude/start", &json!({}))?;
    let begun = settled(api, begun, "starting")?;
    let url = text::line(begun["flow"]["url"].as_str().unwrap_or_default());
    if !url.starts_with("https://") {
        return Err(Failure::failed("the box does not say where to log in"));
    }
    context
        .output
        .step(&format!("Open this in any browser:\n    {url}"));
    let code = context.ask("Code: ", "--code, with what the page shows")?;
    Ok(api.post("/api/auth/claude/code", &json!({"code": code}))?)
}

fn state(status: &Value) -> &str {
    status["flow"]["state"].as_str().unwrap_or("none")
}

/// Asks until a login is no longer in a state that passes by itself.
fn settled(api: &Api, first: Value, passing: &str) -> Result<Value, Failure> {
    if state(&first) != passing {
        return Ok(first);
    }
    let later = process::wait_for(PATIENCE, || {
        let status = api.get("/api/auth/claude/status").ok()?;
        (state(&status) != passing).then_some(status)
    });
    later.ok_or_else(|| {
        Failure::failed("the box's Claude does not answer").remedy("cib login again")
    })
}
