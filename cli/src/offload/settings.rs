//! The hooks of an offload in a settings file of Claude's: put in, and taken out again.

use std::path::Path;

use serde_json::json;

use crate::ordered::Ordered;

/// What every command of ours begins with. A box has the variable, and no hook of this machine's
/// is for it: the same file may be in its copy of the repository.
const GUARD: &str = r#"[ -n "${CIB_SESSION-}${CIB_BOX-}" ] || "#;

/// The words that follow the program.
const WORDS: &str = " offload hook";

/// The first line of what is appended to git's exclusions.
const MARK: &str = "# cib offload";

/// Why a settings file is not changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is no JSON.
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    /// It is JSON of another kind.
    #[error("{0} is not what Claude has there")]
    Shape(&'static str),
    /// The program's path cannot stand in a hook.
    #[error("this program is at a path that no hook can name")]
    Program,
}

/// The command of both hooks: of a program that is gone it runs nothing.
///
/// # Errors
/// The path has a quote in it, or is no text.
pub fn command(program: &Path, branch: Option<&str>) -> Result<String, SettingsError> {
    let program = program.to_str().ok_or(SettingsError::Program)?;
    if program.contains(['\'', '\n']) {
        return Err(SettingsError::Program);
    }
    let branch = branch.map_or(String::new(), |branch| format!(" --branch {branch}"));
    Ok(format!(
        "{GUARD}[ ! -x '{program}' ] || exec '{program}'{WORDS}{branch}"
    ))
}

fn is_ours(hook: &Ordered) -> bool {
    let command = hook.get("command").and_then(Ordered::as_str);
    // Of whatever version of this program: what stands behind the first variable has grown.
    let begins = GUARD.split("${CIB_BOX").next().unwrap_or(GUARD);
    command.is_some_and(|command| command.starts_with(begins) && command.contains(WORDS))
}

/// A settings file with the hooks in it; of what is there already nothing moves.
///
/// # Errors
/// The file cannot be understood.
pub fn with(text: Option<&str>, command: &str) -> Result<String, SettingsError> {
    let mut all = without(text.unwrap_or("{}"))?;
    let hook = |more: serde_json::Value| {
        let mut pairs = vec![
            ("type".to_owned(), Ordered::text("command")),
            ("command".to_owned(), Ordered::text(command)),
        ];
        for (key, value) in more.as_object().into_iter().flatten() {
            pairs.push((key.clone(), Ordered::Plain(value.clone())));
        }
        Ordered::Object(pairs)
    };
    // A start of a box may take its time. A guard that fails must not let a tool run here.
    let ours = [
        ("PostToolUse", "ExitPlanMode", hook(json!({"timeout": 900}))),
        (
            "PreToolUse",
            "*",
            hook(json!({"timeout": 60, "onFailure": "block"})),
        ),
    ];
    let Ordered::Object(keys) = &mut all else {
        return Err(SettingsError::Shape("the file"));
    };
    let Ordered::Object(events) = entry(keys, "hooks", Ordered::Object(Vec::new())) else {
        return Err(SettingsError::Shape("`hooks`"));
    };
    for (event, matcher, hook) in ours {
        let Ordered::Array(groups) = entry(events, event, Ordered::Array(Vec::new())) else {
            return Err(SettingsError::Shape("an event of `hooks`"));
        };
        groups.push(Ordered::Object(vec![
            ("matcher".to_owned(), Ordered::text(matcher)),
            ("hooks".to_owned(), Ordered::Array(vec![hook])),
        ]));
    }
    written(&all)
}

fn entry<'a>(pairs: &'a mut Vec<(String, Ordered)>, key: &str, none: Ordered) -> &'a mut Ordered {
    let at = match pairs.iter().position(|(name, _)| name == key) {
        Some(at) => at,
        None => {
            pairs.push((key.to_owned(), none));
            pairs.len() - 1
        }
    };
    &mut pairs[at].1
}

/// A settings file without the hooks, and without what only they were in.
///
/// # Errors
/// The file is no JSON.
pub fn without(text: &str) -> Result<Ordered, SettingsError> {
    let mut all: Ordered = serde_json::from_str(text)?;
    let Ordered::Object(keys) = &mut all else {
        return Ok(all);
    };
    retain(keys, "hooks", |events| {
        let Ordered::Object(events) = events else {
            return false;
        };
        let mut emptied = false;
        events.retain_mut(|(_, groups)| {
            let gone = take_out(groups);
            emptied |= gone;
            !gone
        });
        emptied && events.is_empty()
    });
    Ok(all)
}

/// Drops the value of a key if `empties` says that nothing is left in it.
fn retain(
    pairs: &mut Vec<(String, Ordered)>,
    key: &str,
    mut empties: impl FnMut(&mut Ordered) -> bool,
) {
    pairs.retain_mut(|(name, value)| name != key || !empties(value));
}

/// Takes our hooks out of the groups of an event; whether there was nothing else.
fn take_out(groups: &mut Ordered) -> bool {
    let Ordered::Array(groups) = groups else {
        return false;
    };
    let mut emptied = false;
    groups.retain_mut(|group| {
        let Ordered::Object(pairs) = group else {
            return true;
        };
        let mut gone = false;
        for (key, hooks) in pairs {
            if let ("hooks", Ordered::Array(hooks)) = (key.as_str(), hooks) {
                let before = hooks.len();
                hooks.retain(|hook| !is_ours(hook));
                gone |= hooks.is_empty() && before > 0;
            }
        }
        emptied |= gone;
        !gone
    });
    emptied && groups.is_empty()
}

/// Whether a settings file has the hooks.
#[must_use]
pub fn has(text: &str) -> bool {
    let read: Result<Ordered, _> = serde_json::from_str(text);
    matches!((read, without(text)), (Ok(all), Ok(less)) if all != less)
}

/// As Claude itself writes its settings.
///
/// # Errors
/// None that is known.
pub fn written(all: &Ordered) -> Result<String, SettingsError> {
    let mut text = serde_json::to_string_pretty(all)?;
    text.push('\n');
    Ok(text)
}

/// Git's exclusions with ours behind them: what an offload leaves in a working tree is neither
/// committed nor taken into a box.
#[must_use]
pub fn excluded(text: Option<&str>) -> String {
    let mut text = text.unwrap_or_default().to_owned();
    if text.contains(MARK) {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(MARK);
    text.push_str("\n/.claude/settings.local.json\n/.claude/offload_done\n");
    text
}

/// Git's exclusions without ours.
#[must_use]
pub fn included(text: &str) -> String {
    let ours = excluded(None);
    text.replace(&ours, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAND_MADE: &str = "{\n    \"zebra\": 1, \"hooks\": {\"Stop\": [], \"PreToolUse\": [ {\"matcher\": \"Bash\", \"hooks\": [{\"type\": \"command\", \"command\": \"true\"}]} ]},\n\t\"a\": [1.5]\n}";

    fn installed(text: Option<&str>) -> String {
        let command = command(Path::new("/opt/a b/cib"), None).unwrap();
        with(text, &command).unwrap()
    }

    #[test]
    fn what_was_put_in_is_taken_out_and_nothing_else() {
        assert!(has(&installed(Some(HAND_MADE))) && !has(HAND_MADE));
        assert_eq!(
            without(&installed(Some(HAND_MADE))).unwrap(),
            serde_json::from_str(HAND_MADE).unwrap()
        );
        assert_eq!(
            without(&installed(None)).unwrap(),
            Ordered::Object(Vec::new())
        );
    }

    #[test]
    fn putting_in_twice_is_putting_in_once() {
        let once = installed(Some(HAND_MADE));
        assert_eq!(installed(Some(&once)), once);
        assert!(once.find("zebra") < once.find("\"hooks\""), "{once}");
        assert_eq!(once.matches("offload hook").count(), 2);
    }

    #[test]
    fn what_is_no_settings_file_is_not_changed() {
        for text in [
            "",
            "[]",
            "{\"hooks\": 1}",
            "{\"hooks\": {\"PreToolUse\": {}}}",
            "// x\n{}",
        ] {
            assert!(with(Some(text), "c").is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_that_could_end_its_quotes_is_refused() {
        assert!(command(Path::new("/a'; touch x; '/cib"), None).is_err());
    }

    #[test]
    fn the_command_does_nothing_in_a_box_and_nothing_without_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("cib");
        let ran = |inside: &str| {
            let command = command(&program, Some("feature/x")).unwrap();
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &command]).env("CIB_SESSION", inside);
            let output = shell.output().unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stdout).unwrap(),
            )
        };
        assert_eq!(ran(""), (Some(0), String::new()));
        std::fs::write(&program, "#!/bin/sh\necho \"$@\"\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let words = "offload hook --branch feature/x\n";
        assert_eq!(ran(""), (Some(0), words.to_owned()));
        assert_eq!(ran("a-session"), (Some(0), String::new()));
        // A shell and a setup command have no session, and are in a box all the same.
        let command = command(&program, None).unwrap();
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &command]).env("CIB_BOX", "1").output();
        assert_eq!(output.unwrap().stdout, b"");
    }

    #[test]
    fn exclusions_are_appended_once_and_taken_out_as_they_were() {
        for text in ["", "a\n", "a\nb\n"] {
            let after = excluded(Some(text));
            assert_eq!(excluded(Some(&after)), after);
            assert_eq!(included(&after), text);
            assert_eq!(
                included(&format!("{after}later\n")),
                format!("{text}later\n")
            );
        }
    }
}
