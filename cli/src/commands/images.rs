//! `cib clean --images`: images of this project's that no box has any more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Context;
use super::image::{OLDER, OURS, VERSION};
use crate::engine::Engine;
use crate::failure::Failure;

/// Removes them; the names of those that went.
pub(super) fn clean(
    context: &Context<'_>,
    engine: &Engine,
    yes: bool,
) -> Result<Vec<String>, Failure> {
    let unused = unused(context, engine)?;
    if unused.is_empty() {
        return Ok(unused);
    }
    if context.can_ask && !yes {
        let question = format!("Remove the images {}?", unused.join(", "));
        if !context.confirm(&question, "--yes")? {
            return Ok(Vec::new());
        }
    }
    let mut removed = Vec::new();
    for name in unused {
        // Another image, or a container of somebody else's, may be made of it.
        match engine.ask_for("remove an image", &["image", "rm", &name]) {
            Ok(_) => removed.push(name),
            Err(error) => context.output.warn(&error.to_string()),
        }
    }
    Ok(removed)
}

/// The names of images of ours that no container is of, and that the next start does not take.
fn unused(context: &Context<'_>, engine: &Engine) -> Result<Vec<String>, Failure> {
    let configuration = context.configuration(Vec::new())?;
    let next = configuration.text("dockerImage").unwrap_or(OURS);
    let next = engine.image(next)?.unwrap_or_default();
    let mut ids = BTreeSet::new();
    for filter in [
        format!("label={VERSION}"),
        format!("label={}=claude-in-box", OLDER.0),
    ] {
        let words = ["image", "ls", "--quiet", "--no-trunc", "--filter", &filter];
        let listed = engine.ask_for("list its images", &words)?;
        ids.extend(listed.lines().map(|id| id.trim().to_owned()));
    }
    let mut unused = Vec::new();
    for id in ids.into_iter().filter(|id| !id.is_empty()) {
        let Some(about) = engine.image(&id)? else {
            continue;
        };
        let filter = format!("ancestor={id}");
        let words = ["ps", "--all", "--quiet", "--filter", &filter];
        let used = !engine.ask_for("list its containers", &words)?.is_empty();
        if !used && about["Id"] != next["Id"] {
            unused.extend(names(&about, &id));
        }
    }
    Ok(unused)
}

/// The names that an image is removed by: all that it has, or its id.
fn names(about: &Value, id: &str) -> Vec<String> {
    let tags = about["RepoTags"].as_array();
    let tags: Vec<String> = tags
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(crate::text::line)
        .collect();
    if tags.is_empty() {
        vec![id.to_owned()]
    } else {
        tags
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_goes_by_every_name_that_it_has() {
        let about = json!({"RepoTags": ["a:1", "b:2"]});
        assert_eq!(names(&about, "sha256:0"), ["a:1", "b:2"]);
        assert_eq!(names(&json!({"RepoTags": []}), "sha256:0"), ["sha256:0"]);
    }
}
