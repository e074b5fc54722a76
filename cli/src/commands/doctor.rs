//! `cib doctor`: everything that boxes need, and what helps where it is missing.

use super::Context;
use crate::config::Configuration;
use crate::credentials::{self, Choice, Credential};
use crate::engine::{Engine, find};
use crate::failure::{Exit, Failure};
use crate::git;
use crate::output::table;

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
struct Look {
    what: &'static str,
    good: bool,
    found: String,
    remedy: Option<String>,
}

fn look(what: &'static str, found: impl Into<String>) -> Look {
    Look {
        what,
        good: true,
        found: found.into(),
        remedy: None,
    }
}

fn missing(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Look {
    Look {
        what,
        good: false,
        found: found.into(),
        remedy: Some(remedy.into()),
    }
}

pub(super) fn run(context: &Context<'_>) -> Result<u8, Failure> {
    let mut exit = 0;
    let mut looks = Vec::new();
    match git::program(context.around) {
        Ok((path, version)) => looks.push(look("git", format!("{version} ({})", path.display()))),
        Err(error) => {
            exit = Exit::Failed.code();
            looks.push(missing(
                "git",
                error.to_string(),
                "install git 2.31 or newer",
            ));
        }
    }
    match context.repository() {
        Ok(repository) => looks.push(look("repository", repository.top.display().to_string())),
        Err(failure) => looks.push(missing(
            "repository",
            failure.error.to_string(),
            failure.remedy.unwrap_or_default(),
        )),
    }
    let configuration = match context.configuration(Vec::new()) {
        Ok(configuration) => {
            let file = configuration.project.as_ref();
            let file = file.map_or("no file; defaults".to_owned(), |path| {
                path.display().to_string()
            });
            looks.push(look("configuration", file));
            Some(configuration)
        }
        Err(failure) => {
            exit = Exit::Configuration.code();
            looks.push(missing(
                "configuration",
                failure.error.to_string(),
                "correct the file",
            ));
            None
        }
    };
    let engine = match &configuration {
        Some(configuration) => context.engine_of(configuration),
        None => Engine::find(context.around, context.global.engine.as_deref(), None)
            .map_err(Failure::from),
    };
    match engine {
        Ok(engine) => {
            let found = format!(
                "{} {} ({}, {})",
                engine.kind.program(),
                engine.version,
                engine.program.display(),
                engine.origin
            );
            looks.push(look("engine", found));
            looks.push(image(&engine, configuration.as_ref()));
        }
        Err(failure) => {
            exit = Exit::Engine.code();
            let remedy = failure.remedy.unwrap_or_else(|| find::remedy(&[]));
            looks.push(missing("engine", failure.error.to_string(), remedy));
        }
    }
    looks.push(credential(context, configuration.as_ref()));
    context.output.result(&looks, || shown(&looks));
    Ok(exit)
}

fn image(engine: &Engine, configuration: Option<&Configuration>) -> Look {
    let name = configuration
        .and_then(|configuration| configuration.text("dockerImage"))
        .unwrap_or("claude-in-box:latest");
    match super::image::here(engine, name) {
        Ok(true) => look("image", name),
        Err(failure) => missing("image", failure.words(), failure.remedy.unwrap_or_default()),
        Ok(false) => missing(
            "image",
            format!("{name} is not here"),
            "cib start fetches it; docker buildx bake builds claude-in-box:latest",
        ),
    }
}

fn credential(context: &Context<'_>, configuration: Option<&Configuration>) -> Look {
    let file = configuration
        .and_then(|configuration| configuration.path("claudeConfigPath", context.around));
    let choice = configuration
        .and_then(|configuration| Choice::of(configuration.text("credential")?))
        .unwrap_or_default();
    let line = |one: &Credential| {
        let value = credentials::masked(&one.value);
        format!("{} {value} from {}", one.variable, one.origin)
    };
    let used = match credentials::found(context.around, file.as_deref(), choice) {
        Ok(Some(used)) => used,
        Ok(None) => {
            return missing(
                "credential",
                "none of Claude's",
                "set ANTHROPIC_API_KEY, or CLAUDE_CODE_OAUTH_TOKEN from `claude setup-token`",
            );
        }
        Err(error) => {
            let failure = Failure::from(error);
            let remedy = failure.remedy.clone().unwrap_or_default();
            return missing("credential", failure.words(), remedy);
        }
    };
    let mut lines = vec![line(&used)];
    let all = credentials::find(context.around, file.as_deref());
    lines.extend(all.iter().filter(|one| **one != used).map(line));
    look("credential", lines.join("; "))
}

fn shown(looks: &[Look]) -> String {
    let mut rows = Vec::new();
    for look in looks {
        let mark = if look.good { "ok" } else { "--" };
        let mut lines = look.found.lines();
        rows.push(vec![
            mark.to_owned(),
            look.what.to_owned(),
            lines.next().unwrap_or_default().to_owned(),
        ]);
        for line in lines {
            rows.push(vec![
                String::new(),
                String::new(),
                line.trim_start().to_owned(),
            ]);
        }
        if let Some(remedy) = &look.remedy {
            rows.push(vec![String::new(), String::new(), format!("→ {remedy}")]);
        }
    }
    table(&rows)
}
