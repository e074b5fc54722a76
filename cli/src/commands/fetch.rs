//! `cib fetch`.

use super::Context;
use crate::args::Fetch;
use crate::failure::Failure;
use crate::git::fetch;

pub(super) fn run(context: &Context<'_>, arguments: &Fetch) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let repository = context.repository_of(&found)?;
    let all = arguments.all_branches;
    let fetched = fetch::fetch(
        context.around,
        &repository,
        &engine,
        &found,
        all,
        arguments.max_fetch,
    )?;
    for line in &fetched.refused {
        context
            .output
            .warn(&format!("passed over, for its name: {line}"));
    }
    for path in &fetched.missing {
        context.output.warn(&format!(
            "the submodule {path} has a commit that the box does not give"
        ));
    }
    if !fetched.others.is_empty() {
        context.output.note(&format!(
            "other branches: {} (--all-branches)",
            fetched.others.join(", ")
        ));
    }
    context.output.result(&fetched, || {
        let line = |one: &fetch::Brought| {
            let short = |id: &str| id.get(..10).unwrap_or_default().to_owned();
            let from = one.old.as_deref().map_or("new".to_owned(), short);
            format!(
                "{from}..{}  {} -> {}\n",
                short(&one.new),
                one.branch,
                one.reference
            )
        };
        fetched.branches.iter().map(line).collect()
    });
    Ok(0)
}
