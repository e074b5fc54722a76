//! `cib config`.

use std::process::Command;

use serde_json::{Value, json};

use super::Context;
use crate::args::{Config, ConfigVerb};
use crate::config::{KEYS, Origin};
use crate::failure::{Exit, Failure};
use crate::output::table;

pub(super) fn run(context: &Context<'_>, arguments: &Config) -> Result<u8, Failure> {
    let named = Context {
        around: context.around,
        output: context.output,
        global: crate::args::Global {
            config: arguments
                .path
                .clone()
                .or_else(|| context.global.config.clone()),
            ..context.global.clone()
        },
        can_ask: context.can_ask,
        here: context.here.clone(),
    };
    let verb = match &arguments.verb {
        None if arguments.migrate => Some(ConfigVerb::Migrate),
        None if arguments.schema => Some(ConfigVerb::Schema),
        verb => verb.clone(),
    };
    match verb {
        None | Some(ConfigVerb::Show) => show(&named),
        Some(ConfigVerb::Migrate) => migrate(&named),
        Some(ConfigVerb::Check) => check(&named),
        Some(ConfigVerb::Edit) => edit(&named),
        Some(ConfigVerb::Keys) => {
            keys(&named);
            Ok(0)
        }
        Some(ConfigVerb::Schema) => {
            named.output.line(&format!("{:#}", crate::config::schema()));
            Ok(0)
        }
    }
}

fn show(context: &Context<'_>) -> Result<u8, Failure> {
    let configuration = context.configuration(Vec::new())?;
    let mut all = serde_json::Map::new();
    let mut rows = Vec::new();
    for (key, valued) in configuration.all() {
        let origin = valued.origin.words();
        let value = masked(key.name, &valued.value);
        rows.push(vec![key.name.to_owned(), value.to_string(), origin.clone()]);
        all.insert(
            key.name.to_owned(),
            json!({"value": value, "origin": origin}),
        );
    }
    context.output.result(&all, || table(&rows));
    Ok(0)
}

/// A value as it may be shown: what variables hold may be a secret.
fn masked(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("environment", Value::Object(variables)) => {
            let mask = |(name, _): (&String, &Value)| (name.clone(), json!("…"));
            Value::Object(variables.iter().map(mask).collect())
        }
        _ => value.clone(),
    }
}

fn check(context: &Context<'_>) -> Result<u8, Failure> {
    let configuration = context.configuration(Vec::new())?;
    for (key, valued) in configuration.all() {
        if key.ignored && valued.origin != Origin::Default {
            let what = format!(
                "{}: `{}` is for another agent, and ignored",
                valued.origin.words(),
                key.name
            );
            context.output.warn(&what);
        }
    }
    for key in ["envFile", "dockerfile", "proxyFile"] {
        if let Some(path) = configuration
            .path(key, context.around)
            .filter(|path| !path.is_file())
        {
            let origin = configuration.valued(key).origin.words();
            let what = format!("{origin}: `{key}`: there is no file {}", path.display());
            return Err(Failure::new(Exit::Configuration, what));
        }
    }
    super::mounts::resolve(context, &configuration, &[], false, false)?;
    let file = configuration
        .project
        .as_ref()
        .map(|path| path.display().to_string());
    context
        .output
        .result(&json!({"good": true, "file": file}), String::new);
    Ok(0)
}

fn edit(context: &Context<'_>) -> Result<u8, Failure> {
    let top = context.repository()?.top;
    let path = match &context.global.config {
        Some(path) => context.around.folder.join(path),
        None => crate::config::PROJECT_FILES
            .iter()
            .map(|name| top.join(name))
            .find(|path| path.exists())
            .unwrap_or_else(|| top.join(".cib/config.json")),
    };
    if !context.can_ask {
        return Err(
            Failure::usage("an editor needs a terminal").remedy(format!("edit {}", path.display()))
        );
    }
    if !path.exists() {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, "{\n}\n")?;
    }
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| context.around.variable(name));
    let editor = editor.unwrap_or("vi");
    // As git does it: the variable may hold options.
    let ended = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(&path)
        .status()?;
    if !ended.success() {
        return Err(Failure::failed(format!("{editor} has failed")));
    }
    check(context)
}

/// Writes what the file of the tool before says as a file of ours, with that tool's defaults where
/// ours are others.
fn migrate(context: &Context<'_>) -> Result<u8, Failure> {
    let top = context.repository()?.top;
    let from = match &context.global.config {
        Some(path) => context.around.folder.join(path),
        None => top.join(crate::config::SEED_FILE),
    };
    let to = top.join(".cib/config.json");
    let absent = || {
        Failure::new(
            Exit::Configuration,
            format!("there is no {}", from.display()),
        )
    };
    let read = crate::config::file::read(&from).map_err(crate::config::ConfigError::from)?;
    let read = read.ok_or_else(absent)?;
    // What cannot be meant is told here, and not by the next start.
    context.configuration(Vec::new())?;
    let mut all = serde_json::Map::new();
    let mut left = Vec::new();
    for key in KEYS {
        let set = read.get(key.name).cloned();
        if key.ignored {
            left.extend(set.map(|_| key.name));
            continue;
        }
        let theirs = crate::config::keys::default(key.name, true);
        let differs = theirs != crate::config::keys::default(key.name, false);
        if let Some(value) = set.or_else(|| differs.then_some(theirs)) {
            all.insert(key.name.to_owned(), value);
        }
    }
    if to.symlink_metadata().is_ok() {
        return Err(
            Failure::failed(format!("{} is there already", to.display()))
                .remedy("move it away, or edit it: cib config edit"),
        );
    }
    std::fs::create_dir_all(top.join(".cib"))?;
    std::fs::write(&to, format!("{:#}\n", Value::Object(all)))?;
    let result =
        json!({"from": from.display().to_string(), "file": to.display().to_string(), "left": left});
    context.output.result(&result, || to.display().to_string());
    let name = from.display();
    context
        .output
        .note(&format!("{name} counts as long as it is there: remove it"));
    Ok(0)
}

fn keys(context: &Context<'_>) {
    let rows: Vec<Value> = KEYS
        .iter()
        .map(|key| json!({"key": key.name, "kind": key.kind.words(), "variable": key.variable, "about": key.about}))
        .collect();
    context.output.result(&rows, || {
        let line = |key: &crate::config::Key| {
            vec![
                key.name.to_owned(),
                key.kind.words().to_owned(),
                key.about.to_owned(),
            ]
        };
        table(&KEYS.iter().map(line).collect::<Vec<_>>())
    });
}
