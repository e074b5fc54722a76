//! A credential for Amazon Bedrock: a key of Bedrock's, or an access key out of variables, of a
//! profile, or of what `aws` makes of a login.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Credential, MOST, Wanted, word};
use crate::process;
use crate::surroundings::Surroundings;

/// What makes Claude speak to Bedrock.
pub(super) const SWITCH: &str = "CLAUDE_CODE_USE_BEDROCK";

/// How long `aws` may take, which may ask a service for a key.
const PATIENCE: Duration = Duration::from_secs(60);

/// What goes in beside the credential, if it is set here.
const BESIDE: [&str; 3] = [
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_SMALL_FAST_MODEL_AWS_REGION",
    "AWS_REGION",
];

/// A credential for Bedrock, if there is one.
pub(super) fn find(around: &Surroundings, wanted: &Wanted<'_>) -> Option<Credential> {
    let profile = Profile::of(around, wanted);
    let mut beside: Vec<(&'static str, String)> = vec![(SWITCH, "1".to_owned())];
    for name in BESIDE {
        beside.extend(wanted.variable(name).map(|value| (name, value)));
    }
    if !beside.iter().any(|(name, _)| *name == "AWS_REGION") {
        let region = wanted
            .variable("AWS_DEFAULT_REGION")
            .or_else(|| profile.value("region"));
        beside.extend(region.map(|region| ("AWS_REGION", region)));
    }
    let made = |variable, origin, value, ends| Credential {
        variable,
        origin,
        value,
        ends,
        beside: beside.clone(),
    };
    if let Some(value) = around.variable("AWS_BEARER_TOKEN_BEDROCK") {
        let origin = "$AWS_BEARER_TOKEN_BEDROCK".to_owned();
        let variable = "AWS_BEARER_TOKEN_BEDROCK";
        return Some(made(variable, origin, value.to_owned(), None));
    }
    let (origin, key) = profile.key(around)?;
    let ends = key["Expiration"].as_str();
    let ends = ends.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let ends = ends.map(|at| at.as_second());
    let key = reduced(&key)?;
    Some(made("CIB_AWS_CREDENTIALS", origin, key, ends))
}

/// What of a key is used, on one line.
fn reduced(key: &Value) -> Option<String> {
    let mut out = serde_json::Map::new();
    for name in ["AccessKeyId", "SecretAccessKey"] {
        out.insert(name.to_owned(), json!(word(key.get(name)?)?));
    }
    if let Some(token) = key.get("SessionToken").and_then(word) {
        out.insert("SessionToken".to_owned(), json!(token));
    }
    Some(Value::Object(out).to_string())
}

/// A profile of AWS's files.
#[derive(Debug, Default)]
struct Profile {
    name: String,
    /// Whether a person has named it.
    named: bool,
    /// Its values in the file of credentials, and that file.
    secret: Option<(PathBuf, BTreeMap<String, String>)>,
    /// Its values in the file of configuration, and that file.
    about: Option<(PathBuf, BTreeMap<String, String>)>,
}

impl Profile {
    fn of(around: &Surroundings, wanted: &Wanted<'_>) -> Self {
        let named = wanted.variable("AWS_PROFILE");
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        let read = |variable: &str, usual: &str, section: &str| {
            let path = match around.variable(variable) {
                Some(path) => around.path(path, &around.folder),
                None => around.home()?.join(".aws").join(usual),
            };
            let text = cib_foreign::read_to_string(&path, MOST).ok()?;
            Some((path, section_of(&text, section)?))
        };
        let section = if name == "default" {
            name.clone()
        } else {
            format!("profile {name}")
        };
        Self {
            secret: read("AWS_SHARED_CREDENTIALS_FILE", "credentials", &name),
            about: read("AWS_CONFIG_FILE", "config", &section),
            named: named.is_some(),
            name,
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        let both = [&self.about, &self.secret].into_iter().flatten();
        both.filter_map(|(_, values)| values.get(name).cloned())
            .find(|value| !value.is_empty())
    }

    /// Where a key is, and it, as `aws configure export-credentials` has one.
    fn key(&self, around: &Surroundings) -> Option<(String, Value)> {
        let variables = around
            .variable("AWS_ACCESS_KEY_ID")
            .zip(around.variable("AWS_SECRET_ACCESS_KEY"));
        // As AWS's own library for Claude's language has it: a profile that was named goes first.
        if let Some((id, key)) = variables.filter(|_| !self.named) {
            let token = around.variable("AWS_SESSION_TOKEN");
            let key = json!({"AccessKeyId": id, "SecretAccessKey": key, "SessionToken": token});
            return Some(("$AWS_ACCESS_KEY_ID".to_owned(), key));
        }
        for (path, values) in [&self.secret, &self.about].into_iter().flatten() {
            let id = values.get("aws_access_key_id");
            if let Some((id, key)) = id.zip(values.get("aws_secret_access_key")) {
                let token = values.get("aws_session_token");
                let origin = format!("the profile {} in {}", self.name, path.display());
                let key = json!({"AccessKeyId": id, "SecretAccessKey": key, "SessionToken": token});
                return Some((origin, key));
            }
        }
        // A login, a role, a program: AWS's own command knows them all, and makes a key of them
        // that ends.
        self.about.as_ref()?;
        let mut command = Command::new(around.program("aws")?);
        command.args(["configure", "export-credentials", "--format", "process"]);
        command.args(["--profile", &self.name]);
        let ran = process::run(&mut command, b"", PATIENCE).ok()?;
        let key = serde_json::from_slice(&ran.stdout).ok();
        let origin = format!("the profile {}, by aws", self.name);
        Some((origin, key.filter(|_| ran.good())?))
    }
}

/// The values of a section of a file as AWS has them. Lines that are set in belong to a value of
/// its own kind, which is of no use here.
fn section_of(text: &str, wanted: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            let name: Vec<&str> = name.split_whitespace().collect();
            inside = name.join(" ") == wanted;
            if inside {
                found.get_or_insert_default();
            }
            continue;
        }
        if !inside || line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let (Some((name, value)), Some(found)) = (trimmed.split_once('='), &mut found) {
            found.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{around, program};
    use super::super::{Choice, found};
    use super::*;

    #[test]
    fn a_key_of_a_profile_goes_in_alone_and_with_its_region() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(
            home.path().join(".aws/credentials"),
            "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = of-the-default\n\n[work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=of-the-work\n",
        )
        .unwrap();
        std::fs::write(
            home.path().join(".aws/config"),
            "[profile work]\nregion = eu-central-1\ns3 =\n  region = nowhere\n",
        )
        .unwrap();
        let around = around(home.path(), &[(SWITCH, "1"), ("AWS_PROFILE", "work")]);
        let found = found(&around, None, Choice::Auto).unwrap().unwrap();
        assert_eq!(
            found.value,
            r#"{"AccessKeyId":"AKIAWORK","SecretAccessKey":"of-the-work"}"#
        );
        assert_eq!(found.variable, "CIB_AWS_CREDENTIALS");
        assert_eq!(
            found.beside,
            [
                (SWITCH, "1".to_owned()),
                ("AWS_REGION", "eu-central-1".to_owned())
            ]
        );
        assert!(found.origin.starts_with("the profile work in "));
    }

    #[test]
    fn a_login_becomes_a_key_that_ends_by_awss_own_command() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(
            home.path().join(".aws/config"),
            "[profile sso]\nsso_session = my\nregion = us-east-1\n[sso-session my]\nsso_region = x\n",
        )
        .unwrap();
        let key = r#"{"Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2033-05-18T03:33:20+00:00"}"#;
        program(
            home.path(),
            "aws",
            &format!(
                "test \"$*\" = 'configure export-credentials --format process --profile sso' && echo '{key}'"
            ),
        );
        let path = home.path().display().to_string();
        let around = around(
            home.path(),
            &[(SWITCH, "1"), ("AWS_PROFILE", "sso"), ("PATH", &path)],
        );
        let found = found(&around, None, Choice::Auto).unwrap().unwrap();
        assert_eq!(
            found.value,
            r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"s","SessionToken":"t"}"#
        );
        assert_eq!(found.ends, Some(2_000_000_000));
    }

    #[test]
    fn a_key_in_variables_is_of_no_use_unless_bedrock_is_wanted() {
        let home = tempfile::tempdir().unwrap();
        let key = [
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", "of-somebody"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let around = around(home.path(), &key);
        assert_eq!(found(&around, None, Choice::Auto).unwrap(), None);
        let found = found(&around, None, Choice::Bedrock).unwrap().unwrap();
        assert_eq!(found.origin, "$AWS_ACCESS_KEY_ID");
        assert!(!format!("{found:?}").contains("of-somebody"));
    }
}
