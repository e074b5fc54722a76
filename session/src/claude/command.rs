//! The command line and the environment of the CLI.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use cib_protocol::session::{AuthMode, GOOGLE_CREDENTIALS, PermissionMode, SessionSpec, Toolbox};
use serde_json::json;
use uuid::Uuid;

/// Which conversation the CLI runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversation {
    /// A new one.
    New(Uuid),
    /// An old one, continued.
    Resume(Uuid),
    /// A copy of an old one.
    Fork {
        /// The old one, which stays as it is.
        from: Uuid,
        /// The copy.
        to: Uuid,
    },
}

impl Conversation {
    /// The conversation that will be written to.
    #[must_use]
    pub fn id(self) -> Uuid {
        match self {
            Self::New(id) | Self::Resume(id) | Self::Fork { to: id, .. } => id,
        }
    }

    /// The same conversation for the next process that runs it.
    #[must_use]
    pub fn again(self) -> Self {
        Self::Resume(self.id())
    }
}

/// What every CLI of the box gets unless the user has set it. `IS_SANDBOX` lets a root user
/// skip permissions; the rest keeps it from calling home, updating itself or asking for
/// things that a box has no use for.
pub const DEFAULTS: [(&str, &str); 7] = [
    ("IS_SANDBOX", "1"),
    ("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1"),
    ("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("LANG", "C.UTF-8"),
];

/// Variables that the CLI takes a credential from instead of the stored login.
pub const CREDENTIALS: [&str; 3] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// Variables that make the CLI use a cloud's credentials before any of its own.
const CLOUDS: [&str; 2] = ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"];

/// Options that a version may not know; without them it only says less.
const OPTIONAL: [&str; 3] = [
    "--forward-subagent-text",
    "--include-hook-events",
    "--thinking-display",
];

/// What the server of a toolbox is called.
const TOOLBOX: &str = "box";

/// What the file says of a toolbox.
#[must_use]
pub fn toolbox(toolbox: &Toolbox) -> String {
    let key = format!("Bearer {}", toolbox.key.expose());
    let server = json!({
        "type": "http",
        "url": toolbox.url,
        "headers": {"Authorization": key},
    });
    json!({"mcpServers": {TOOLBOX: server}}).to_string()
}

/// Everything that the command line is made of.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program.
    pub program: PathBuf,
    /// Which conversation it runs.
    pub conversation: Conversation,
    /// A settings file on top of the user's.
    pub settings: Option<PathBuf>,
    /// A file that says where the only tools are that Claude has.
    pub toolbox: Option<PathBuf>,
    /// A file with Google's credentials.
    pub google: Option<PathBuf>,
    /// Options that this version has refused.
    refused: Vec<String>,
}

impl CommandLine {
    /// A command line with everything that the newest known version understands.
    #[must_use]
    pub fn new(program: PathBuf, conversation: Conversation) -> Self {
        Self {
            program,
            conversation,
            settings: None,
            toolbox: None,
            google: None,
            refused: Vec::new(),
        }
    }

    /// The stream driver's process.
    #[must_use]
    pub fn stream(&self, spec: &SessionSpec, model: Option<&str>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-p", "--verbose"]);
        command.args(["--input-format", "stream-json"]);
        command.args(["--output-format", "stream-json"]);
        command.args(["--include-partial-messages", "--replay-user-messages"]);
        command.args(["--permission-prompt-tool", "stdio"]);
        self.optional(&mut command, "--include-hook-events", None);
        self.optional(&mut command, "--forward-subagent-text", None);
        self.optional(&mut command, "--thinking-display", Some("summarized"));
        if let Some(most) = spec.limits.max_cost_usd {
            // The keeper counts when a turn ends; the CLI can stop in the middle of one.
            command.args(["--max-budget-usd", &most.to_string()]);
        }
        self.common(&mut command, spec, model);
        command
    }

    /// The terminal interface's process.
    #[must_use]
    pub fn tty(&self, spec: &SessionSpec, model: Option<&str>) -> Command {
        let mut command = Command::new(&self.program);
        // What a terminal of today can do; the user's own values go before.
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        self.common(&mut command, spec, model);
        command
    }

    /// What both drivers need.
    fn common(&self, command: &mut Command, spec: &SessionSpec, model: Option<&str>) {
        match spec.permission_mode {
            // As a setting this mode opens a dialog; as an option it does not.
            PermissionMode::BypassPermissions => {
                command.arg("--dangerously-skip-permissions");
            }
            mode => {
                command.args(["--permission-mode", mode.as_str()]);
                // Without it the mode could not be lifted later, while the session runs.
                command.arg("--allow-dangerously-skip-permissions");
            }
        }
        match self.conversation {
            Conversation::New(id) => command.args(["--session-id", &id.to_string()]),
            Conversation::Resume(id) => command.args(["--resume", &id.to_string()]),
            Conversation::Fork { from, to } => command
                .args(["--resume", &from.to_string(), "--fork-session"])
                .args(["--session-id", &to.to_string()]),
        };
        if let Some(model) = model {
            command.args(["--model", model]);
        }
        if let Some(effort) = &spec.effort {
            command.args(["--effort", effort]);
        }
        if let Some(settings) = &self.settings {
            command.arg("--settings").arg(settings);
        }
        if let (Some(toolbox), Some(file)) = (&spec.toolbox, &self.toolbox) {
            let named = |tool: &String| format!("mcp__{TOOLBOX}__{tool}");
            let tools: Vec<_> = toolbox.tools.iter().map(named).collect();
            // No other server's, none of its own, and nothing that a folder's settings bring.
            command.arg("--mcp-config").arg(file);
            command.args(["--strict-mcp-config", "--tools", ""]);
            command.args(["--allowedTools", &tools.join(",")]);
            command.args(["--setting-sources", "user"]);
        }
        command.current_dir(&spec.workdir);
        if let Some(google) = &self.google {
            command.env("GOOGLE_APPLICATION_CREDENTIALS", google);
        }
        environment(command, spec);
    }

    fn optional(&self, command: &mut Command, option: &str, value: Option<&str>) {
        if !self.refused.iter().any(|refused| refused == option) {
            command.arg(option).args(value);
        }
    }

    /// Leaves out the option that the CLI complains about. Returns whether there is one, so
    /// that starting it again has a point.
    pub fn learn(&mut self, complaints: &str) -> bool {
        let Some((_, rest)) = complaints.split_once("unknown option '") else {
            return false;
        };
        let option = rest.split('\'').next().unwrap_or_default();
        let option = option.split([' ', '=']).next().unwrap_or_default();
        let new = OPTIONAL.contains(&option) && !self.refused.iter().any(|o| o == option);
        if new {
            self.refused.push(option.to_owned());
        }
        new
    }
}

/// Sets the child's environment on top of this process's own, which init has made for it.
pub fn environment(command: &mut Command, spec: &SessionSpec) {
    for (name, value) in DEFAULTS {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let hidden: &[&str] = match spec.auth_mode {
        AuthMode::Auto => &[],
        AuthMode::Subscription => &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
        AuthMode::ApiKey => &["CLAUDE_CODE_OAUTH_TOKEN"],
        AuthMode::Provider => &CREDENTIALS,
    };
    for name in hidden {
        command.env_remove(name);
    }
    if spec.auth_mode != AuthMode::Auto {
        for name in CLOUDS {
            command.env_remove(name);
        }
    }
    // The keeper's own; of it comes a file.
    command.env_remove(GOOGLE_CREDENTIALS);
    command.env("CIB_SESSION", spec.id.to_string());
    command.envs(spec.env.iter().map(|(name, value)| (name, value.expose())));
}

/// Sets a plain shell's environment: the same, less everything that pays or that opens doors.
/// Whoever runs Claude in it by hand has the stored login.
pub fn shell_environment(command: &mut Command, spec: &SessionSpec) {
    for name in CREDENTIALS {
        command.env_remove(name);
    }
    environment(command, spec);
}

/// Finds the program: as it is if it names a path, else on `PATH`.
#[must_use]
pub fn find(program: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return program.is_file().then(|| program.to_owned());
    }
    std::env::split_paths(&path.map_or_else(OsString::new, OsStr::to_owned))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolbox_is_all_that_claude_has_and_its_key_is_on_no_command_line() {
        let spec: SessionSpec = serde_json::from_value(json!({
            "id": Uuid::from_u128(7), "workdir": "/work", "permission_mode": "default",
            "toolbox": {"url": "http://127.0.0.1/mcp", "key": "secret", "tools": ["find", "choose"]},
        }))
        .unwrap();
        let id = Uuid::from_u128(8);
        let (from, to) = (id, Uuid::from_u128(9));
        for conversation in [
            Conversation::New(id),
            Conversation::Resume(id),
            Conversation::Fork { from, to },
        ] {
            let mut line = CommandLine::new("claude".into(), conversation);
            line.toolbox = Some("/run/tools.json".into());
            for command in [line.stream(&spec, None), line.tty(&spec, None)] {
                let words: Vec<_> = command
                    .get_args()
                    .map(|word| word.to_string_lossy())
                    .collect();
                let has = |wanted: &[&str]| words.windows(wanted.len()).any(|it| it == wanted);
                for wanted in [
                    &["--mcp-config", "/run/tools.json", "--strict-mcp-config"][..],
                    &["--tools", ""],
                    &["--allowedTools", "mcp__box__find,mcp__box__choose"],
                    &["--setting-sources", "user"],
                    &["--permission-mode", "default"],
                ] {
                    assert!(has(wanted), "{wanted:?} is not in {words:?}");
                }
                assert!(!has(&["--dangerously-skip-permissions"]), "{words:?}");
                let tells = words.iter().any(|word| word.contains("secret"));
                assert!(!tells, "{words:?}");
            }
        }
        let file = toolbox(&spec.toolbox.unwrap());
        assert!(
            file.contains(r#""Authorization":"Bearer secret""#),
            "{file}"
        );
    }
}
