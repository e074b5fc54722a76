//! The image that a box is made of.

use serde_json::Value;

use super::Context;
use crate::config::{Configuration, Origin};
use crate::engine::{Engine, EngineError};
use crate::failure::{Exit, Failure};
use crate::release::Version;
use crate::text;

/// The image that stands for those of the tool before.
pub(super) const OURS: &str = "claude-in-box:latest";

/// The image that a configuration names, if the engine has it and it is one.
///
/// # Errors
/// It is there, and of no use.
pub(super) fn here(engine: &Engine, name: &str) -> Result<bool, Failure> {
    let name = if is_the_seeds(name) { OURS } else { name };
    let about = engine.image(name)?;
    about.map_or(Ok(false), |about| checked(name, &about).map(|_| true))
}

/// What the engine says of the image that a configuration names, if it is one to have and not to
/// build.
///
/// # Errors
/// Its answer makes no sense.
pub(super) fn known(
    engine: &Engine,
    configuration: &Configuration,
) -> Result<Option<Value>, EngineError> {
    if configuration.is("buildImage") && configuration.text("dockerfile").is_some() {
        return Ok(None);
    }
    let name = configuration.text("dockerImage").unwrap_or(OURS);
    engine.image(if is_the_seeds(name) { OURS } else { name })
}

/// The name of an image that the engine has, and whose first program is the box's. `known` is what
/// [`known`] has found out.
pub(super) fn resolve(
    context: &Context<'_>,
    engine: &Engine,
    configuration: &Configuration,
    known: Option<Value>,
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
        return checked(&id, &engine.image(&id)?.unwrap_or_default());
    }
    let mut name = configuration.text("dockerImage").unwrap_or(OURS).to_owned();
    if is_the_seeds(&name) {
        output.note(&format!(
            "{name} is another program's image; {OURS} is taken instead"
        ));
        OURS.clone_into(&mut name);
    }
    let named = configuration.valued("buildImage").origin != Origin::Default;
    let mut about = known;
    if (!build && named) || about.is_none() {
        output.step(&format!("Fetching {name}"));
        let arguments = ["pull".to_owned(), "--quiet".to_owned(), name.clone()];
        let fetched = engine.make_image("fetch the image", &arguments);
        about = engine.image(&name)?;
        if let Err(error) = fetched {
            if about.is_none() {
                return Err(Failure::from(error).remedy(format!(
                    "name another with --image, or build it: docker buildx bake makes {OURS}"
                )));
            }
            output.warn(&format!(
                "{name} could not be fetched; the one that is here is taken"
            ));
        }
    }
    checked(&name, &about.unwrap_or_default())
}

/// Names under which the tool before this one has its image.
fn is_the_seeds(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split([':', '@']).next() == Some("claude-code-runner")
}

/// The label by which an image says which version of the box's programs is in it. Images that are
/// made of ours inherit it, whatever their makers call their own version.
pub(super) const VERSION: &str = "claude-in-box.image";

/// The same in images that were made before there was that label, if they are called ours.
pub(super) const OLDER: (&str, &str) = (
    "org.opencontainers.image.title",
    "org.opencontainers.image.version",
);

/// The name again, if what the engine says of the image makes it a box's.
fn checked(name: &str, about: &Value) -> Result<String, Failure> {
    let first = about.pointer("/Config/Entrypoint/0");
    if first.and_then(Value::as_str) != Some("/init") {
        return Err(Failure::new(
            Exit::Configuration,
            format!("the image {name} is no box: its first program is not /init"),
        )
        .remedy(format!(
            "begin its Dockerfile with FROM {OURS}, and leave ENTRYPOINT as it is"
        )));
    }
    let said = said(about);
    if is_of_use(said.as_deref(), &Version::of_this_program()) {
        return Ok(name.to_owned());
    }
    let what = match &said {
        Some(said) => format!(
            "the image {name} is older than this cib: it has version {} of the box, and this is {}",
            text::line(said),
            Version::of_this_program(),
        ),
        None => format!("the image {name} does not say which version of the box is in it"),
    };
    Err(Failure::new(Exit::Configuration, what).remedy(format!(
        "fetch it anew (\"buildImage\": false), or build it: docker buildx bake makes {OURS}; what begins FROM another has to be built anew, too"
    )))
}

/// What an image says of the version of the box's programs in it.
fn said(about: &Value) -> Option<String> {
    let label = |name: &str| {
        let value = about.pointer("/Config/Labels")?.get(name)?.as_str()?;
        Some(value.to_owned()).filter(|value| !value.is_empty())
    };
    label(VERSION).or_else(|| {
        label(OLDER.0).filter(|title| title == "claude-in-box")?;
        label(OLDER.1)
    })
}

/// Whether a box of an image with this version is understood by a program of that one. Fixes, the
/// last of its numbers, change nothing of what one says to the other.
fn is_of_use(said: Option<&str>, this: &Version) -> bool {
    match said {
        // Built from source, or of what is going to be the next release.
        Some("latest" | "edge") => true,
        Some(said) => Version::parse(said).is_some_and(|version| version.series() >= this.series()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn an_image_of_an_older_box_or_of_none_that_is_known_is_of_no_use() {
        let this = Version::parse("1.4.2").unwrap();
        for (said, good) in [
            (Some("latest"), true),
            (Some("edge"), true),
            (Some("1.4.0"), true),
            (Some("1.5.0"), true),
            (Some("2.0.0-rc.1"), true),
            (Some("1.3.9"), false),
            (Some("0.9.0"), false),
            (Some("whatever"), false),
            (None, false),
        ] {
            assert_eq!(is_of_use(said, &this), good, "{said:?}");
        }
    }

    #[test]
    fn a_version_is_that_of_the_box_and_not_of_who_made_an_image_of_it() {
        let of = |labels: Value| said(&json!({"Config": {"Labels": labels}}));
        let (title, version) = OLDER;
        assert_eq!(
            of(json!({VERSION: "1.2.3", version: "9.0.0"})).as_deref(),
            Some("1.2.3")
        );
        assert_eq!(
            of(json!({title: "claude-in-box", version: "1.0.0"})).as_deref(),
            Some("1.0.0")
        );
        assert_eq!(of(json!({title: "of mine", version: "1.0.0"})), None);
        assert_eq!(of(Value::Null), None);
    }
}
