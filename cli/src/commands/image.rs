//! The image that a box is made of.

use serde_json::Value;

use super::Context;
use crate::config::{Configuration, Origin};
use crate::engine::Engine;
use crate::failure::{Exit, Failure};

/// The image that stands for those of the tool before.
const OURS: &str = "claude-in-box:latest";

/// The name of an image that the engine has, and whose first program is the box's.
pub(super) fn resolve(
    context: &Context<'_>,
    engine: &Engine,
    configuration: &Configuration,
) -> Result<String, Failure> {
    let output = context.output;
    let build = configuration.is("buildImage");
    if let (true, Some(file)) = (build, configuration.path("dockerfile", context.around)) {
        let folder = file.parent().unwrap_or(&file).display().to_string();
        let name = "cib-local:latest".to_owned();
        output.step(&format!("Building the image from {}", file.display()));
        let arguments = [
            "build",
            "--quiet",
            "--tag",
            &name,
            "--file",
            &file.display().to_string(),
            &folder,
        ]
        .map(str::to_owned);
        let id = engine.make_image("build the image", &arguments)?;
        // The name is everybody's; the id is of what was built.
        let id = id.lines().last().unwrap_or(&name).trim().to_owned();
        return checked(engine, &id);
    }
    let mut name = configuration.text("dockerImage").unwrap_or(OURS).to_owned();
    if is_the_seeds(&name) {
        output.note(&format!(
            "{name} is another program's image; {OURS} is taken instead"
        ));
        OURS.clone_into(&mut name);
    }
    let named = configuration.valued("buildImage").origin != Origin::Default;
    if (!build && named) || engine.image(&name)?.is_none() {
        output.step(&format!("Fetching {name}"));
        let arguments = ["pull".to_owned(), "--quiet".to_owned(), name.clone()];
        if let Err(error) = engine.make_image("fetch the image", &arguments) {
            if engine.image(&name)?.is_none() {
                return Err(Failure::from(error).remedy(format!(
                    "name another with --image, or build it: docker buildx bake makes {OURS}"
                )));
            }
            output.warn(&format!(
                "{name} could not be fetched; the one that is here is taken"
            ));
        }
    }
    checked(engine, &name)
}

/// Names under which the tool before this one has its image.
fn is_the_seeds(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split([':', '@']).next() == Some("claude-code-runner")
}

fn checked(engine: &Engine, name: &str) -> Result<String, Failure> {
    let about = engine.image(name)?;
    let first = about
        .as_ref()
        .and_then(|about| about.pointer("/Config/Entrypoint/0"))
        .and_then(Value::as_str);
    if first == Some("/init") {
        return Ok(name.to_owned());
    }
    Err(Failure::new(
        Exit::Configuration,
        format!("the image {name} is no box: its first program is not /init"),
    )
    .remedy(format!(
        "begin its Dockerfile with FROM {OURS}, and leave ENTRYPOINT as it is"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_the_tool_before_are_known_by_all_their_names() {
        for name in [
            "claude-code-runner",
            "claude-code-runner:latest",
            "registry.example/someone/claude-code-runner:latest",
            "registry.example:5000/x/claude-code-runner@sha256:00",
        ] {
            assert!(is_the_seeds(name), "{name}");
        }
        for name in ["claude-in-box:latest", "my/claude-code-runner-fork:1", OURS] {
            assert!(!is_the_seeds(name), "{name}");
        }
    }
}
