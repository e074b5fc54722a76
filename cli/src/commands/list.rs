//! `cib list`.

use serde_json::{Value, json};

use super::{Context, renew};
use crate::args::List;
use crate::boxes::{Boxes, Found};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::output::table;
use crate::{git, process};

pub(super) fn run(context: &Context<'_>, arguments: &List) -> Result<u8, Failure> {
    let engine = context.engine()?;
    let repository = context.repository().ok().map(|repository| repository.id());
    let all_repos = arguments.all_repos || repository.is_none();
    let boxes = Boxes::of(&engine)?.0.into_iter().filter(|found| {
        (all_repos || Some(&found.repository) == repository.as_ref())
            && (arguments.all || found.runs())
    });
    if arguments.names || (context.output.quiet && !context.output.json) {
        for found in boxes {
            context.output.line(&found.name);
        }
        return Ok(0);
    }
    let boxes: Vec<Found> = boxes.collect();
    let rows: Vec<Value> = boxes
        .iter()
        .map(|found| described(context, &engine, found))
        .collect();
    context.output.result(&rows, || shown(&rows));
    for found in boxes.iter().filter(|found| found.runs()) {
        renew::tell(context, found);
    }
    Ok(0)
}

pub(super) fn described(context: &Context<'_>, engine: &Engine, found: &Found) -> Value {
    let mut row = json!(found);
    row["commits"] = json!(commits(engine, found));
    row["credential_ends"] = json!(renew::ends(context, found).map(|at| at.to_string()));
    // A box that is starting, or has no API any more, is listed all the same.
    let sessions = found
        .runs()
        .then(|| context.api(engine, found).ok()?.get("/api/sessions").ok())
        .flatten();
    if let Some(sessions) = sessions
        .as_ref()
        .and_then(|list| list["sessions"].as_array())
    {
        let live = |session: &&Value| {
            matches!(
                session["state"].as_str(),
                Some("starting" | "idle" | "working" | "waiting_for_input")
            )
        };
        let costs = sessions
            .iter()
            .filter_map(|session| session["usage"]["cost_usd"].as_f64());
        // The sum of no numbers is negative zero.
        let cost = costs.fold(0.0, |sum, cost| sum + cost);
        row["sessions"] = json!(sessions.iter().filter(live).count());
        row["waiting"] = json!(sessions.iter().any(|s| s["state"] == "waiting_for_input"));
        row["cost_usd"] = json!(cost);
    }
    row
}

/// How many commits a box's branch is ahead of where it began.
fn commits(engine: &Engine, found: &Found) -> Option<u64> {
    if !found.runs() || !git::refs::is_id(&found.base) || !git::refs::is_usable(&found.branch) {
        return None;
    }
    let range = format!("{}..refs/heads/{}", found.base, found.branch);
    let mut command = found.git(engine, &["-C", "/workspace", "rev-list", "--count", &range]);
    let ran = process::run(&mut command, b"", std::time::Duration::from_secs(20)).ok()?;
    ran.text().parse().ok()
}

fn shown(rows: &[Value]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads = [
        "NAME",
        "STATE",
        "BRANCH",
        "COMMITS",
        "SESSIONS",
        "COST",
        "PORT",
        "REPOSITORY",
    ];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let number = |key: &str| row[key].as_u64().map_or("-".to_owned(), |n| n.to_string());
        let mut sessions = number("sessions");
        if row["waiting"] == true {
            sessions.push_str(" (asks)");
        }
        let cost = row["cost_usd"].as_f64();
        lines.push(vec![
            text("name"),
            text("state"),
            text("branch"),
            number("commits"),
            sessions,
            cost.map_or("-".to_owned(), |cost| format!("${cost:.2}")),
            number("port"),
            text("path"),
        ]);
    }
    table(&lines)
}
