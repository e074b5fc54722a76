//! Credentials of the clouds that serve Claude: parsed to what is used of them, and no more.

use std::fmt;

use cib_protocol::secret::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::parse::Wrong;

/// An access key of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Aws {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    /// As `aws configure export-credentials` has it; there is one.
    #[serde(rename = "Version", default)]
    _version: Option<u64>,
    /// When it ends, which AWS itself knows.
    #[serde(rename = "Expiration", default)]
    _expiration: Option<String>,
}

/// What AWS's own libraries read, in the order of [`Aws::values`].
const VARIABLES: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

impl Aws {
    fn parts(&self) -> impl Iterator<Item = &Secret> {
        [&self.access_key_id, &self.secret_access_key]
            .into_iter()
            .chain(&self.session_token)
    }

    /// The variables that Claude gets.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        VARIABLES.into_iter().zip(self.parts().map(Secret::expose))
    }

    /// What may turn up in a line and must not. The key's id is no secret, and helps whoever looks
    /// for who did something.
    pub fn values(&self) -> impl Iterator<Item = String> {
        self.parts().skip(1).map(|part| part.expose().to_owned())
    }
}

/// Parses [`super::catalog::CIB_AWS_CREDENTIALS`].
pub(super) fn aws(text: &str) -> Result<Aws, Wrong> {
    let aws: Aws = serde_json::from_str(text).map_err(|_| {
        Wrong::new(
            "is no JSON with `AccessKeyId`, `SecretAccessKey` and, if there is one, `SessionToken`",
            "take what `aws configure export-credentials` prints",
        )
    })?;
    let is_word = |part: &Secret| {
        let part = part.expose();
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if aws.parts().all(is_word) {
        return Ok(aws);
    }
    Err(Wrong::new(
        "has an empty part, or one with a blank in it",
        "take what `aws configure export-credentials` prints",
    ))
}

/// Application default credentials of Google's.
#[derive(Clone, PartialEq, Eq)]
pub struct Google {
    text: Secret,
    values: Vec<Secret>,
}

impl fmt::Debug for Google {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// The parts that are secrets.
const SECRETS: [&str; 3] = ["client_secret", "refresh_token", "private_key"];

impl Google {
    /// They, as a file has them.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.expose()
    }

    /// What may turn up in a line and must not.
    pub fn values(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|value| value.expose().to_owned())
    }
}

/// Parses [`super::catalog::CIB_GOOGLE_CREDENTIALS`]. Types that name a program to run, or a file
/// of another machine, are none that a box could use.
pub(super) fn google(text: &str) -> Result<Google, Wrong> {
    const REMEDY: &str = "take the file of `gcloud auth application-default login`, or a key file of a service account";
    let object: Map<String, Value> = serde_json::from_str(text)
        .map_err(|_| Wrong::new("is no JSON object of Google's credentials", REMEDY))?;
    let needed: &[&str] = match object.get("type").and_then(Value::as_str) {
        Some("authorized_user") => &["client_id", "client_secret", "refresh_token"],
        Some("service_account") => &["client_email", "private_key"],
        _ => {
            return Err(Wrong::new(
                "is of a type that is neither `authorized_user` nor `service_account`",
                REMEDY,
            ));
        }
    };
    if let Some(name) = needed.iter().find(|name| {
        let value = object.get(**name).and_then(Value::as_str);
        value.is_none_or(str::is_empty)
    }) {
        return Err(Wrong::new(format!("has no `{name}`"), REMEDY));
    }
    let mut values = Vec::new();
    for value in SECRETS
        .iter()
        .filter_map(|name| object.get(*name)?.as_str())
    {
        // A key has lines, and stands in a line of a log as JSON has it or line by line.
        values.extend(
            value
                .lines()
                .filter(|line| line.len() > 16)
                .map(Secret::new),
        );
    }
    Ok(Google {
        text: Secret::new(Value::Object(object).to_string()),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_becomes_the_variables_that_claude_reads() {
        let all = aws(
            r#"{"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "s/+", "SessionToken": "t=="}"#,
        )
        .unwrap();
        assert_eq!(
            all.variables().collect::<Vec<_>>(),
            [
                ("AWS_ACCESS_KEY_ID", "AKIA1"),
                ("AWS_SECRET_ACCESS_KEY", "s/+"),
                ("AWS_SESSION_TOKEN", "t==")
            ]
        );
        assert_eq!(all.values().collect::<Vec<_>>(), ["s/+", "t=="]);
        assert!(!format!("{all:?}").contains("s/+"));
        let two = aws(r#"{"AccessKeyId": "AKIA1", "SecretAccessKey": "s"}"#).unwrap();
        assert_eq!(two.variables().count(), 2);
    }

    #[test]
    fn what_is_no_credential_of_a_cloud_is_refused_and_not_shown() {
        for text in [
            "hunter2",
            "{}",
            r#"{"AccessKeyId": "hunter2"}"#,
            r#"{"AccessKeyId": "hunter2", "SecretAccessKey": ""}"#,
            r#"{"AccessKeyId": "hunter2", "SecretAccessKey": "a b"}"#,
            r#"{"AccessKeyId": "hunter2", "SecretAccessKey": "x", "More": 1}"#,
        ] {
            let wrong = aws(text).unwrap_err();
            assert!(!wrong.problem.contains("hunter2"), "{}", wrong.problem);
        }
        for text in [
            "hunter2",
            "[]",
            r#"{"type": "external_account", "credential_source": {"executable": {"command": "hunter2"}}}"#,
            r#"{"type": "authorized_user", "refresh_token": "hunter2"}"#,
            r#"{"type": "service_account", "private_key": "hunter2"}"#,
        ] {
            let wrong = google(text).unwrap_err();
            assert!(!wrong.problem.contains("hunter2"), "{}", wrong.problem);
        }
    }

    #[test]
    fn of_googles_credentials_every_line_of_a_key_is_a_secret() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n";
        let text = serde_json::json!({"type": "service_account", "client_email": "a@b", "private_key": key});
        let all = google(&format!("{text:#}")).unwrap();
        assert!(!all.text().contains('\n'));
        assert_eq!(serde_json::from_str::<Value>(all.text()).unwrap(), text);
        assert!(
            all.values()
                .any(|value| value == "MIIEvQIBADANBgkqhkiG9w0BAQEF")
        );
        assert_eq!(format!("{all:?}"), "***");
    }
}
