//! Claude's credentials on this machine: where they are found, and as what a box gets them.

mod aws;
mod google;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::process;
use crate::surroundings::Surroundings;

/// Bytes that a file of credentials may have.
const MOST: u64 = 1 << 20;

/// As what Claude keeps its login in a keychain.
const KEYCHAIN: &str = "Claude Code-credentials";

/// How long a person has to say whether a keychain may be read.
const ASKED: Duration = Duration::from_secs(60);

/// A credential of Claude's.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The variable that the box takes it by, as `NAME_FILE`.
    pub variable: &'static str,
    /// Where it was found, for people.
    pub origin: String,
    /// It.
    pub value: String,
    /// When it ends, in seconds since 1970, if that is known.
    pub ends: Option<i64>,
    /// Variables that go in beside it, which are no secrets.
    pub beside: Vec<(&'static str, String)>,
}

/// Which credential a person wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that Claude on this machine would use.
    #[default]
    Auto,
    /// None.
    Nothing,
    /// A key or a token of Anthropic's.
    Key,
    /// A subscription.
    Subscription,
    /// Amazon Bedrock.
    Bedrock,
    /// Google's Vertex AI.
    Vertex,
}

/// Their words, as `--credential` and the key `credential` have them.
pub const CHOICES: [(&str, Choice); 6] = [
    ("auto", Choice::Auto),
    ("none", Choice::Nothing),
    ("key", Choice::Key),
    ("subscription", Choice::Subscription),
    ("bedrock", Choice::Bedrock),
    ("vertex", Choice::Vertex),
];

impl Choice {
    /// The choice of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let found = CHOICES.iter().find(|(name, _)| *name == word)?;
        Some(found.1)
    }
}

/// Why what was found is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nothing was found that was asked for.
    #[error("no credential for {0} was found")]
    Missing(&'static str),
    /// A box could not use it.
    #[error("{0} is of a kind that a box cannot use: {1}")]
    Kind(String, String),
    /// Vertex AI needs one.
    #[error("no project of Google Cloud's is known")]
    Project,
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        let remedy = match &error {
            CredentialError::Missing("Bedrock") => {
                "aws sso login, a profile in AWS_PROFILE, or AWS_BEARER_TOKEN_BEDROCK; or --credential none"
            }
            CredentialError::Missing(_) => {
                "gcloud auth application-default login, or a key file in GOOGLE_APPLICATION_CREDENTIALS; or --credential none"
            }
            CredentialError::Kind(..) => {
                "gcloud auth application-default login, or a service account's key file"
            }
            CredentialError::Project => "set ANTHROPIC_VERTEX_PROJECT_ID",
        };
        Self::new(Exit::Credential, error).remedy(remedy)
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} from {}", self.variable, self.origin)
    }
}

/// The variables that hold one of Anthropic's, in the order in which Claude itself prefers them.
const ANTHROPICS: [&str; 3] = [
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// Every variable that can hold one and that a box takes by a file.
pub const VARIABLES: [&str; 4] = [
    ANTHROPICS[0],
    ANTHROPICS[1],
    ANTHROPICS[2],
    "AWS_BEARER_TOKEN_BEDROCK",
];

/// What Claude's own settings say besides this process's variables.
struct Wanted<'a> {
    around: &'a Surroundings,
    settings: Value,
}

impl<'a> Wanted<'a> {
    fn of(around: &'a Surroundings) -> Self {
        let text = folder(around).and_then(|folder| {
            cib_foreign::read_to_string(&folder.join("settings.json"), MOST).ok()
        });
        let settings = text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        Self {
            around,
            settings: settings.unwrap_or_default(),
        }
    }

    /// A variable as Claude on this machine has it: its settings may set it, too.
    fn variable(&self, name: &str) -> Option<String> {
        let own = self.around.variable(name).map(str::to_owned);
        own.or_else(|| word(self.settings.get("env")?.get(name)?))
    }

    fn is_on(&self, name: &str) -> bool {
        let value = self.variable(name).unwrap_or_default().to_lowercase();
        matches!(value.as_str(), "1" | "true" | "yes" | "on")
    }
}

/// The credential that goes into a box, if there is one.
///
/// # Errors
/// A cloud is wanted, and nothing for it can be used: another credential would be charged to
/// somebody else.
pub fn found(
    around: &Surroundings,
    config: Option<&Path>,
    choice: Choice,
) -> Result<Option<Credential>, CredentialError> {
    let wanted = Wanted::of(around);
    let cloud = match choice {
        Choice::Auto if wanted.is_on(aws::SWITCH) => Choice::Bedrock,
        Choice::Auto if wanted.is_on(google::SWITCH) => Choice::Vertex,
        other => other,
    };
    let subscription = |found: &Credential| found.variable == "CLAUDE_CODE_OAUTH_TOKEN";
    let mut all = find(around, config).into_iter();
    Ok(match cloud {
        Choice::Nothing => None,
        Choice::Auto => all.next(),
        Choice::Key => all.find(|found| !subscription(found)),
        Choice::Subscription => all.find(subscription),
        Choice::Bedrock => {
            let found = aws::find(around, &wanted);
            Some(found.ok_or(CredentialError::Missing("Bedrock"))?)
        }
        Choice::Vertex => {
            let found = google::find(around, &wanted)?;
            Some(found.ok_or(CredentialError::Missing("Vertex AI"))?)
        }
    })
}

/// Every credential of Anthropic's that can be found, the one that is used first.
///
/// A subscription gives its access token alone. The refresh token beside it is good for one use:
/// a box that used it would log this machine out.
#[must_use]
pub fn find(around: &Surroundings, config: Option<&Path>) -> Vec<Credential> {
    let mut found = Vec::new();
    for variable in ANTHROPICS {
        if let Some(value) = around.variable(variable) {
            found.push(Credential {
                variable,
                origin: format!("${variable}"),
                value: value.to_owned(),
                ends: None,
                beside: Vec::new(),
            });
        }
    }
    found.extend(of_login(around));
    if cfg!(target_os = "macos") {
        found.extend(of_keychain(around));
    }
    found.extend(config.and_then(of_old_file));
    found
}

/// The folder that Claude keeps its things in.
#[must_use]
pub fn folder(around: &Surroundings) -> Option<PathBuf> {
    let named = around.variable("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    named.or_else(|| Some(around.home()?.join(".claude")))
}

fn of_login(around: &Surroundings) -> Option<Credential> {
    let path = folder(around)?.join(".credentials.json");
    let text = cib_foreign::read_to_string(&path, MOST).ok()?;
    login(&text, path.display().to_string())
}

/// The login in a keychain of macOS, which asks its owner whether it may be read.
fn of_keychain(around: &Surroundings) -> Option<Credential> {
    let mut command = Command::new(around.program("security")?);
    command.args(["find-generic-password", "-s", KEYCHAIN, "-w"]);
    let ran = process::run(&mut command, b"", ASKED).ok()?;
    let found = ran.good().then(|| ran.text())?;
    login(&found, "the keychain".to_owned())
}

/// A login as Claude keeps it.
fn login(text: &str, origin: String) -> Option<Credential> {
    let login: Value = serde_json::from_str(text).ok()?;
    let login = login.get("claudeAiOauth")?;
    Some(Credential {
        variable: "CLAUDE_CODE_OAUTH_TOKEN",
        origin,
        value: word(login.get("accessToken")?)?,
        ends: login
            .get("expiresAt")
            .and_then(Value::as_i64)
            .map(|ms| ms / 1000),
        beside: Vec::new(),
    })
}

fn of_old_file(path: &Path) -> Option<Credential> {
    let text = cib_foreign::read_to_string(path, MOST).ok()?;
    let values: Value = serde_json::from_str(&text).ok()?;
    Some(Credential {
        variable: "ANTHROPIC_API_KEY",
        origin: path.display().to_string(),
        value: word(values.get("api_key")?)?,
        ends: None,
        beside: Vec::new(),
    })
}

fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A secret as a person may see it: that it is there, and how it ends.
#[must_use]
pub fn masked(value: &str) -> String {
    let end: Vec<char> = value.chars().rev().take(4).collect();
    if value.chars().count() < 16 || value.starts_with('{') {
        return "…".to_owned();
    }
    format!("…{}", end.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn around(home: &Path, variables: &[(&str, &str)]) -> Surroundings {
        let home = home.display().to_string();
        let own = [("HOME", home.as_str())];
        let all = variables.iter().chain(&own);
        Surroundings {
            variables: all
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Surroundings::default()
        }
    }

    pub(super) fn program(folder: &Path, name: &str, script: &str) {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }

    #[test]
    fn a_person_chooses_which_credential_goes_in_and_a_cloud_has_no_other_in_its_place() {
        let home = tempfile::tempdir().unwrap();
        let all = [
            ("ANTHROPIC_API_KEY", "sk-ant-key"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat"),
        ];
        let of = |variables: &[(&str, &str)], choice| {
            let found = found(&around(home.path(), variables), None, choice);
            found.map(|found| found.map(|found| found.value))
        };
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(of(&all, Choice::Auto).unwrap(), value("sk-ant-key"));
        assert_eq!(of(&all, Choice::Subscription).unwrap(), value("sk-ant-oat"));
        assert_eq!(of(&all, Choice::Key).unwrap(), value("sk-ant-key"));
        assert_eq!(of(&all, Choice::Nothing).unwrap(), None);
        for switch in [aws::SWITCH, google::SWITCH] {
            let mut all = all.to_vec();
            all.push((switch, "1"));
            let failure = Failure::from(of(&all, Choice::Auto).unwrap_err());
            assert_eq!(failure.exit.code(), 4);
        }
        // Claude's own settings turn it on as well.
        std::fs::create_dir(home.path().join(".claude")).unwrap();
        let settings = r#"{"env": {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu-west-3"}}"#;
        std::fs::write(home.path().join(".claude/settings.json"), settings).unwrap();
        assert!(of(&all, Choice::Auto).is_err());
    }

    #[test]
    fn a_login_gives_its_access_token_and_never_the_one_that_would_log_out_here() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".claude")).unwrap();
        std::fs::write(
            home.path().join(".claude/.credentials.json"),
            r#"{"claudeAiOauth": {"accessToken": "sk-ant-oat01-access", "refreshToken": "sk-ant-ort01-refresh", "expiresAt": 4000000000000}}"#,
        )
        .unwrap();
        let mut around = Surroundings::default();
        around
            .variables
            .insert("HOME".into(), home.path().display().to_string());
        let found = find(&around, None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value, "sk-ant-oat01-access");
        assert_eq!(found[0].ends, Some(4_000_000_000));
        around
            .variables
            .insert("ANTHROPIC_API_KEY".into(), "sk-ant-key-0123456789".into());
        assert_eq!(find(&around, None)[0].variable, "ANTHROPIC_API_KEY");
    }

    #[test]
    fn a_login_in_a_keychain_gives_its_access_token() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("security");
        let script = r#"#!/bin/sh
test "$*" = "find-generic-password -s Claude Code-credentials -w" &&
echo '{"claudeAiOauth": {"accessToken": "sk-ant-oat01-access", "refreshToken": "no"}}'
"#;
        std::fs::write(&program, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let around = Surroundings {
            variables: [("PATH".to_owned(), folder.path().display().to_string())].into(),
            ..Surroundings::default()
        };
        let found = of_keychain(&around).unwrap();
        assert_eq!(
            (found.value.as_str(), found.origin.as_str()),
            ("sk-ant-oat01-access", "the keychain")
        );
        assert_eq!(of_keychain(&Surroundings::default()), None);
    }

    #[test]
    fn no_secret_is_shown() {
        let around = Surroundings {
            variables: [(
                "ANTHROPIC_API_KEY".to_owned(),
                "sk-ant-key-0123456789".to_owned(),
            )]
            .into(),
            ..Surroundings::default()
        };
        let shown = format!("{:?}", find(&around, None));
        assert!(!shown.contains("0123456789"), "{shown}");
        assert_eq!(masked("sk-ant-key-0123456789"), "…6789");
        assert_eq!(masked("short"), "…");
        assert_eq!(masked(r#"{"SecretAccessKey":"0123456789"}"#), "…");
    }
}
