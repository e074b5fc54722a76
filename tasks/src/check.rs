//! What may be asked of a task.

use cib_protocol::api::CreateTask;

use crate::repository;
use crate::schedule::Schedule;

/// Bytes of a prompt, at most.
pub const MAX_PROMPT: usize = 1024 * 1024;

/// Setup commands, at most.
pub const MAX_SETUP: usize = 20;

/// Bytes of a setup command, at most.
pub const MAX_COMMAND: usize = 4096;

/// Texts that are let through, at most.
const MAX_ALLOWED: usize = 20;

/// Bytes of a branch's name, at most.
const MAX_BRANCH: usize = 200;

/// Priorities on either side of 0.
const PRIORITIES: i32 = 100;

/// Seconds that Claude may work for one task, at most.
const MAX_DURATION: u64 = 24 * 3600;

/// Seconds that a setup command may take, at most.
const MAX_SETUP_TIME: u64 = 4 * 3600;

/// Whether something may be asked.
///
/// # Errors
/// A sentence that names the field.
pub fn check(request: &CreateTask) -> Result<(), String> {
    let prompt = request.prompt.trim();
    if prompt.is_empty() {
        return Err("`prompt` is empty".to_owned());
    }
    if request.prompt.len() > MAX_PROMPT || request.prompt.contains('\0') {
        return Err(format!(
            "`prompt` has more than {MAX_PROMPT} bytes, or a NUL byte"
        ));
    }
    if let Some(repo) = &request.repo {
        repository::parse(repo).map_err(|why| format!("`repo` {why}"))?;
    }
    for (field, name) in [("base", &request.base), ("branch", &request.branch)] {
        if let Some(name) = name
            && !is_branch(name)
        {
            return Err(format!("`{field}` is no name of a branch"));
        }
    }
    if request.branch.is_some() && request.branch == request.base {
        return Err("`branch` is the base itself".to_owned());
    }
    if let Some(schedule) = &request.schedule {
        Schedule::parse(schedule).map_err(|why| format!("`schedule` {why}"))?;
        if request.dedupe_key.is_some() {
            return Err("`dedupe_key` is not for what has a schedule".to_owned());
        }
    }
    if request.depth == Some(0) {
        return Err("`depth` has to be above zero".to_owned());
    }
    if request.setup.len() > MAX_SETUP {
        return Err(format!("`setup` has more than {MAX_SETUP} commands"));
    }
    let is_good = |command: &String| {
        !command.trim().is_empty() && command.len() <= MAX_COMMAND && !command.contains('\0')
    };
    if !request.setup.iter().all(is_good) {
        return Err(format!(
            "`setup` has a command that is empty or longer than {MAX_COMMAND} bytes"
        ));
    }
    let is_text = |text: &String| (8..=1000).contains(&text.len()) && !text.contains('\0');
    if request.allow.len() > MAX_ALLOWED || !request.allow.iter().all(is_text) {
        return Err(format!(
            "`allow` has {MAX_ALLOWED} texts of 8 to 1000 bytes at most"
        ));
    }
    if request.priority.abs() > PRIORITIES {
        return Err(format!(
            "`priority` is between -{PRIORITIES} and {PRIORITIES}"
        ));
    }
    if let Some(key) = &request.dedupe_key
        && !(1..=200).contains(&key.len()) | !key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err("`dedupe_key` has 1 to 200 printable ASCII characters".to_owned());
    }
    limits(request)
}

fn limits(request: &CreateTask) -> Result<(), String> {
    let Some(limits) = &request.limits else {
        return Ok(());
    };
    let whole = [
        ("turns", limits.turns, u64::MAX),
        ("duration_s", limits.duration_s, MAX_DURATION),
        ("setup_s", limits.setup_s, MAX_SETUP_TIME),
        ("quiet_s", limits.quiet_s, MAX_DURATION),
        ("memory", limits.memory, u64::MAX),
    ];
    for (field, value, most) in whole {
        if let Some(value) = value {
            if value == 0 {
                return Err(format!("`limits.{field}` has to be above zero"));
            }
            if value > most {
                return Err(format!("`limits.{field}` is at most {most}"));
            }
        }
    }
    if limits
        .cost_usd
        .is_some_and(|cost| !cost.is_finite() || cost <= 0.0)
    {
        return Err("`limits.cost_usd` has to be above zero".to_owned());
    }
    Ok(())
}

/// Whether a branch may have this name: what git allows, and nothing that could be taken for an
/// option, a commit or another kind of ref.
#[must_use]
pub fn is_branch(name: &str) -> bool {
    let odd =
        |letter: char| letter.is_control() || letter.is_whitespace() || "~^:?*[\\".contains(letter);
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    !name.is_empty()
        && name.len() <= MAX_BRANCH
        && !name.starts_with('-')
        && !name.starts_with("refs/")
        && !matches!(name, "HEAD" | "@")
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
        && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use cib_protocol::api::TaskLimits;

    use super::*;

    fn task() -> CreateTask {
        CreateTask {
            prompt: "do it".to_owned(),
            ..CreateTask::default()
        }
    }

    fn limited(limits: TaskLimits) -> CreateTask {
        CreateTask {
            limits: Some(limits),
            ..task()
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        assert_eq!(check(&task()), Ok(()));
        let text = |text: &str| Some(text.to_owned());
        let wrong: [(&str, CreateTask); 17] = [
            (
                "prompt",
                CreateTask {
                    prompt: " \n".to_owned(),
                    ..task()
                },
            ),
            (
                "prompt",
                CreateTask {
                    prompt: "x".repeat(2 << 20),
                    ..task()
                },
            ),
            (
                "repo",
                CreateTask {
                    repo: text("ext::x"),
                    ..task()
                },
            ),
            (
                "base",
                CreateTask {
                    base: text("-x"),
                    ..task()
                },
            ),
            (
                "branch",
                CreateTask {
                    branch: text("a b"),
                    ..task()
                },
            ),
            (
                "branch",
                CreateTask {
                    branch: text("a"),
                    base: text("a"),
                    ..task()
                },
            ),
            (
                "depth",
                CreateTask {
                    depth: Some(0),
                    ..task()
                },
            ),
            (
                "setup",
                CreateTask {
                    setup: vec![String::new()],
                    ..task()
                },
            ),
            (
                "setup",
                CreateTask {
                    setup: vec!["true".to_owned(); 21],
                    ..task()
                },
            ),
            (
                "priority",
                CreateTask {
                    priority: 101,
                    ..task()
                },
            ),
            (
                "dedupe_key",
                CreateTask {
                    dedupe_key: text("a b"),
                    ..task()
                },
            ),
            (
                "dedupe_key",
                CreateTask {
                    dedupe_key: text(""),
                    ..task()
                },
            ),
            (
                "schedule",
                CreateTask {
                    schedule: text("0 0 30 2 *"),
                    ..task()
                },
            ),
            (
                "dedupe_key",
                CreateTask {
                    schedule: text("* * * * *"),
                    dedupe_key: text("a"),
                    ..task()
                },
            ),
            (
                "limits.turns",
                limited(TaskLimits {
                    turns: Some(0),
                    ..TaskLimits::default()
                }),
            ),
            (
                "limits.duration_s",
                limited(TaskLimits {
                    duration_s: Some(86_401),
                    ..TaskLimits::default()
                }),
            ),
            (
                "limits.cost_usd",
                limited(TaskLimits {
                    cost_usd: Some(f64::NAN),
                    ..TaskLimits::default()
                }),
            ),
        ];
        for (field, request) in wrong {
            let why = check(&request).unwrap_err();
            assert!(why.starts_with(&format!("`{field}`")), "{field}: {why}");
        }
    }

    #[test]
    fn names_of_branches_are_those_of_git_and_safe_to_pass_on() {
        for good in ["main", "claude/a1b2c3d4", "feature/x-1", "v1.0", "\u{fc}"] {
            assert!(is_branch(good), "{good}");
        }
        for bad in [
            "",
            "-x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "@",
            "a@{1}",
            "HEAD",
            "refs/heads/a",
            "a\tb",
            "a\u{7f}",
        ] {
            assert!(!is_branch(bad), "{bad}");
        }
        assert!(!is_branch(&"x".repeat(201)));
    }
}
