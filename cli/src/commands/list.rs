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
    if arguments.schema {
        context.output.line(&format!("{:#}", schema()));
        return Ok(0);
    }
    let engine = context.engine()?;
    let repository = context.repository().ok().map(|repository| repository.id());
    let all_repos = arguments.all_repos || context.around.as_before || repository.is_none();
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
    let inside = Inside::of(engine, found);
    row["commits"] = json!(inside.commits);
    row["uncommitted"] = json!(inside.uncommitted);
    row["memory"] = json!(inside.memory);
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

/// What `--json` prints, as a JSON schema: what a person's programs may rely on.
fn schema() -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    let perhaps = |kind: &str, what: &str| json!({"type": [kind, "null"], "description": what});
    let is = |what: &str| json!({"type": "boolean", "description": what});
    let mut properties = json!({
        "name": text("Its name, by which every command knows it"),
        "id": text("Its container's id"),
        "state": text("What its container does: running, exited, created or another word of the engine's"),
        "image": text("Its image"),
        "repository": text("A digest of where its repository is"),
        "path": text("The working tree that it is of"),
        "branch": text("Its branch"),
        "base": text("The commit that it began with"),
        "tree": text("The tree that it began with, with files that git does not know"),
        "remote": perhaps("string", "The remote that its branch is pushed to"),
        "holder": perhaps("string", "The container that holds its network"),
        "runner": is("Whether it is its repository's runner"),
        "no_push": is("Whether watch pushes nothing of it by itself"),
        "no_pr": is("Whether watch opens no pull request of it by itself"),
        "version": text("The version of cib that has made it"),
        "created": text("When it was made"),
        "port": perhaps("integer", "The port of its API on this machine's loopback, while it runs"),
        "commits": perhaps("integer", "How many commits its branch is ahead of its base, while it runs"),
        "uncommitted": perhaps("integer", "How many files have changes that are not committed, while it runs"),
        "memory": perhaps("integer", "Bytes of memory that it uses, while it runs"),
        "credential_ends": perhaps("string", "When its credential ends, if it does"),
    });
    let required: Vec<String> = properties
        .as_object()
        .map(|all| all.keys().cloned().collect())
        .unwrap_or_default();
    // Only of a box whose API answers.
    properties["sessions"] =
        json!({"type": "integer", "description": "How many sessions live in it"});
    properties["waiting"] = is("Whether one of them waits for a person");
    properties["cost_usd"] =
        json!({"type": "number", "description": "What its sessions have cost"});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cib list --json",
        "type": "array",
        "items": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        },
    })
}

/// Asked in one go: a line each, empty if it cannot be said.
const LOOK: &str = r#"cd /workspace
echo "$(git rev-list --count "$1" 2>/dev/null)"
echo "$(git status --porcelain 2>/dev/null | wc -l)"
cat /sys/fs/cgroup/memory.current 2>/dev/null || cat /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null
"#;

/// What a box that runs says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Inside {
    /// How many commits its branch is ahead of where it began.
    commits: Option<u64>,
    /// How many files have changes that are not committed.
    uncommitted: Option<u64>,
    /// Bytes of memory that it uses.
    memory: Option<u64>,
}

impl Inside {
    fn of(engine: &Engine, found: &Found) -> Self {
        if !found.runs() || !git::refs::is_id(&found.base) || !git::refs::is_usable(&found.branch) {
            return Self::default();
        }
        let range = format!("{}..refs/heads/{}", found.base, found.branch);
        let mut command = found.shell(engine, LOOK, &[&range]);
        let ran = process::run(&mut command, b"", std::time::Duration::from_secs(20));
        ran.map(|ran| Self::read(&ran.text())).unwrap_or_default()
    }

    fn read(said: &str) -> Self {
        let mut lines = said.lines().map(|line| line.trim().parse().ok());
        let mut next = || lines.next().flatten();
        Self {
            commits: next(),
            uncommitted: next(),
            memory: next(),
        }
    }
}

/// Bytes as a person reads them.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut left, mut unit) = (count, 0);
    while left >= 10_000 && unit + 1 < UNITS.len() {
        left /= 1024;
        unit += 1;
    }
    format!("{left} {}", UNITS[unit])
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
        "CHANGED",
        "SESSIONS",
        "COST",
        "MEMORY",
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
            number("uncommitted"),
            sessions,
            cost.map_or("-".to_owned(), |cost| format!("${cost:.2}")),
            row["memory"].as_u64().map_or("-".to_owned(), bytes),
            number("port"),
            text("path"),
        ]);
    }
    table(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_box_says_of_itself_is_numbers_or_nothing() {
        let said = |text| {
            let inside = Inside::read(text);
            (inside.commits, inside.uncommitted, inside.memory)
        };
        assert_eq!(said("2\n0\n1048576\n"), (Some(2), Some(0), Some(1 << 20)));
        assert_eq!(said("\n 7\n"), (None, Some(7), None));
        assert_eq!(said("\u{1b}[2J\n-1\nmuch"), (None, None, None));
    }

    #[test]
    fn memory_is_told_in_units_that_a_person_reads() {
        for (count, told) in [
            (0, "0 B"),
            (9_999, "9999 B"),
            (300 << 20, "300 MiB"),
            (64 << 30, "64 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(count), told);
        }
    }
}
