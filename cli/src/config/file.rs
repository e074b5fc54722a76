//! One file of configuration: JSON or TOML, each key checked by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::keys;

/// Bytes that a file may have.
const MOST: u64 = 1 << 20;

/// A file that cannot be used, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {what}", path.display(), at(*line))]
pub struct FileFault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, if it is of one.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What the reader said, if it could not be read.
    #[source]
    pub source: Option<cib_foreign::ForeignError>,
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

/// Reads a file; nothing if there is none.
///
/// # Errors
/// It cannot be read, or something in it cannot be used.
pub fn read(path: &Path) -> Result<Option<BTreeMap<String, Value>>, FileFault> {
    let text = match cib_foreign::read_to_string(path, MOST) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => {
            return Err(FileFault {
                path: path.to_owned(),
                line: None,
                what: "it cannot be read".to_owned(),
                source: Some(error),
            });
        }
    };
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    parse(&text, is_toml)
        .map(Some)
        .map_err(|(line, what)| FileFault {
            path: path.to_owned(),
            line,
            what,
            source: None,
        })
}

/// A place in a text and what is wrong there.
type Fault = (Option<usize>, String);

/// Reads a text.
///
/// # Errors
/// The line, if there is one, and what is wrong there.
pub fn parse(text: &str, is_toml: bool) -> Result<BTreeMap<String, Value>, Fault> {
    let values: Value = if is_toml {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            (line, crate::text::line(error.message()))
        })?
    } else {
        serde_json::from_str(text).map_err(|error| (Some(error.line()), error.to_string()))?
    };
    let Value::Object(values) = values else {
        return Err((Some(1), "it holds no object".to_owned()));
    };
    let mut good = BTreeMap::new();
    for (name, value) in values {
        let line = line_of_key(text, &name);
        let shown = crate::text::line(&name);
        let Some(key) = keys::find(&name) else {
            let meant = keys::nearest(&name);
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
            let what = format!("`{shown}` is no key{}", meant.unwrap_or_default());
            return Err((line, what));
        };
        if !key.kind.fits(&value) {
            let what = format!("`{shown}` has to be {}", key.kind.words());
            return Err((line, what));
        }
        good.insert(name, value);
    }
    Ok(good)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The line in which a key of the outermost object stands, as far as a search can tell.
fn line_of_key(text: &str, name: &str) -> Option<usize> {
    let quoted = serde_json::to_string(name).ok()?;
    let of = |line: &str| {
        let line = line.trim_start().trim_start_matches('{').trim_start();
        let behind = line
            .strip_prefix(&quoted)
            .or_else(|| line.strip_prefix(name));
        behind.is_some_and(|rest| rest.trim_start().starts_with([':', '=']))
    };
    text.lines().position(of).map(|line| line + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_has_its_line_and_a_suggestion() {
        let fault = |text: &str, toml| parse(text, toml).unwrap_err();
        assert_eq!(
            fault(
                "{\n  \"detached\": true,\n  \"dockerimage\": \"a\"\n}",
                false
            ),
            (
                Some(3),
                "`dockerimage` is no key; did you mean `dockerImage`?".to_owned()
            )
        );
        assert_eq!(
            fault("{\n\n\"detached\": \"yes\"}", false),
            (Some(3), "`detached` has to be true or false".to_owned())
        );
        assert_eq!(fault("{\n\"detached\": yes\n}", false).0, Some(2));
        assert_eq!(fault("[]", false).0, Some(1));
        assert_eq!(fault("detached = true\nenviroment = 1", true).0, Some(2));
        assert_eq!(fault("detached = true\nx = = 1", true).0, Some(2));
    }

    #[test]
    fn json_and_toml_say_the_same() {
        let json = r#"{"detached": true, "mounts": [{"source": "a", "target": "b"}], "pids": 5}"#;
        let toml = "detached = true\npids = 5\n[[mounts]]\nsource = \"a\"\ntarget = \"b\"\n";
        assert_eq!(parse(json, false).unwrap(), parse(toml, true).unwrap());
        let mounts = &parse(json, false).unwrap()["mounts"];
        assert_eq!(mounts, &json!([{"source": "a", "target": "b"}]));
    }

    #[test]
    fn a_pipe_in_the_files_place_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claude-run.config.json");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&path).is_err());
        assert!(read(&folder.path().join("none.json")).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn whatever_a_file_holds_it_is_read_or_refused(text: String, toml: bool) {
            if let Ok(values) = parse(&text, toml) {
                prop_assert!(values.keys().all(|name| keys::find(name).is_some()));
            }
        }
    }
}
