//! `cib runner`: a box of the repository that stays, with a shell to work in.

use serde_json::{Value, json};

use super::{Context, exec, start, stop};
use crate::args::{Runner, Start, Stop, Which};
use crate::boxes::{Boxes, Found};
use crate::failure::Failure;

pub(super) fn run(context: &Context<'_>, verb: &Runner) -> Result<u8, Failure> {
    let found = runner(context)?;
    match (verb, found) {
        (Runner::Start, Some(found)) => start::again(context, &found.name),
        (Runner::Start, None) => begin(context),
        (_, None) => {
            Err(Failure::failed("this repository has no runner").remedy("cib runner start"))
        }
        (Runner::Shell, Some(found)) => exec::shell(context, &which(&found)),
        (Runner::Stop, Some(found)) => {
            let arguments = Stop {
                which: which(&found),
                time: 15,
                ..Stop::default()
            };
            stop::stop(context, &arguments)
        }
    }
}

fn which(found: &Found) -> Which {
    Which {
        name: Some(found.name.clone()),
    }
}

/// The repository's runner; of several the one that runs, else the newest.
fn runner(context: &Context<'_>) -> Result<Option<Found>, Failure> {
    let id = context.repository()?.id();
    let mut boxes = Boxes::of(&context.engine()?)?.0;
    boxes.retain(|found| found.runner && found.repository == id);
    let at = boxes.iter().position(Found::runs).unwrap_or(0);
    Ok((at < boxes.len()).then(|| boxes.swap_remove(at)))
}

fn begin(context: &Context<'_>) -> Result<u8, Failure> {
    let arguments = Start {
        runner: true,
        // Whoever has none logs in there, and that stays.
        without_credential: true,
        skip_reconnect_check: true,
        ..Start::default()
    };
    let started = start::make(context, &arguments, |_, _| Ok(Value::Null))?;
    let (name, branch) = (&started.name, &started.branch);
    let url = start::reached(&started.engine, &started.api);
    let result = json!({"name": name, "branch": branch, "url": url});
    context.output.result(&result, || {
        let url = start::address(&started.engine, &started.api, name);
        format!(
            "Box     {name}\nBranch  {branch}\nURL     {url}\n\ncib runner shell   claude, and the first time /login\ncib apply {name}   takes over what was committed"
        )
    });
    Ok(0)
}
