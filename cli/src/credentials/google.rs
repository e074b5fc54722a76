//! A credential for Vertex AI: Google's application default credentials, reduced to what is used.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{Credential, CredentialError, MOST, Wanted};
use crate::surroundings::Surroundings;

/// What makes Claude speak to Vertex AI.
pub(super) const SWITCH: &str = "CLAUDE_CODE_USE_VERTEX";

/// What goes in beside the credential, if it is set here.
const BESIDE: [&str; 2] = ["CLOUD_ML_REGION", "ANTHROPIC_VERTEX_BASE_URL"];

/// Where a project may stand, the best first.
const PROJECTS: [&str; 3] = [
    "ANTHROPIC_VERTEX_PROJECT_ID",
    "GOOGLE_CLOUD_PROJECT",
    "GCLOUD_PROJECT",
];

/// A credential for Vertex AI, if there is one.
///
/// # Errors
/// It is of a kind that would be of no use in a box, or no project is known.
pub(super) fn find(
    around: &Surroundings,
    wanted: &Wanted<'_>,
) -> Result<Option<Credential>, CredentialError> {
    let path = wanted.variable("GOOGLE_APPLICATION_CREDENTIALS");
    let path = match path {
        Some(path) => Some(around.path(&path, &around.folder)),
        None => usual(around),
    };
    let Some(path) = path else {
        return Ok(None);
    };
    let Ok(text) = cib_foreign::read_to_string(&path, MOST) else {
        return Ok(None);
    };
    let origin = path.display().to_string();
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(&text) else {
        return Err(CredentialError::Kind(origin, "no JSON object".to_owned()));
    };
    let value = reduced(&object).map_err(|kind| CredentialError::Kind(origin.clone(), kind))?;
    let mut beside: Vec<(&'static str, String)> = vec![(SWITCH, "1".to_owned())];
    for name in BESIDE {
        beside.extend(wanted.variable(name).map(|value| (name, value)));
    }
    let of_file = ["project_id", "quota_project_id"]
        .iter()
        .find_map(|name| Some(object.get(*name)?.as_str()?.to_owned()));
    let project = PROJECTS.iter().find_map(|name| wanted.variable(name));
    let project = project.or(of_file).ok_or(CredentialError::Project)?;
    beside.push(("ANTHROPIC_VERTEX_PROJECT_ID", project));
    Ok(Some(Credential {
        variable: "CIB_GOOGLE_CREDENTIALS",
        origin,
        value,
        ends: None,
        beside,
    }))
}

/// Where `gcloud auth application-default login` puts them.
fn usual(around: &Surroundings) -> Option<PathBuf> {
    let folder = match around.variable("CLOUDSDK_CONFIG") {
        Some(folder) => around.path(folder, &around.folder),
        None => around.home()?.join(".config/gcloud"),
    };
    Some(folder.join("application_default_credentials.json"))
}

/// What of them is used, on one line; else what they are.
fn reduced(object: &Map<String, Value>) -> Result<String, String> {
    let kind = object.get("type").and_then(Value::as_str);
    let names: &[&str] = match kind {
        Some("authorized_user") => &[
            "type",
            "client_id",
            "client_secret",
            "refresh_token",
            "quota_project_id",
            "universe_domain",
        ],
        Some("service_account") => &[
            "type",
            "project_id",
            "private_key_id",
            "private_key",
            "client_email",
            "client_id",
            "token_uri",
            "universe_domain",
        ],
        other => return Err(crate::text::line(other.unwrap_or("nothing"))),
    };
    let part = |name: &&str| Some(((*name).to_owned(), object.get(*name)?.clone()));
    let kept: Map<String, Value> = names.iter().filter_map(part).collect();
    Ok(Value::Object(kept).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::around;
    use super::super::{Choice, found};
    use super::*;

    #[test]
    fn gclouds_own_credentials_are_found_and_reduced() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/gcloud");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("application_default_credentials.json"),
            r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "account": "me@example.com", "quota_project_id": "mine"}"#,
        )
        .unwrap();
        let around = around(
            home.path(),
            &[(SWITCH, "1"), ("CLOUD_ML_REGION", "europe-west1")],
        );
        let found = found(&around, None, Choice::Auto).unwrap().unwrap();
        assert_eq!(
            found.value,
            r#"{"client_id":"c","client_secret":"s","quota_project_id":"mine","refresh_token":"r","type":"authorized_user"}"#
        );
        assert_eq!(
            found.beside,
            [
                (SWITCH, "1".to_owned()),
                ("CLOUD_ML_REGION", "europe-west1".to_owned()),
                ("ANTHROPIC_VERTEX_PROJECT_ID", "mine".to_owned())
            ]
        );
    }

    #[test]
    fn credentials_that_start_a_program_or_have_no_project_are_told_and_not_used() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("key.json");
        let path = file.display().to_string();
        let mut around = around(
            home.path(),
            &[(SWITCH, "1"), ("GOOGLE_APPLICATION_CREDENTIALS", &path)],
        );
        std::fs::write(
            &file,
            r#"{"type": "external_account", "credential_source": {"executable": {"command": "x"}}}"#,
        )
        .unwrap();
        let failure = found(&around, None, Choice::Auto).unwrap_err();
        assert!(
            failure.to_string().contains("external_account"),
            "{failure}"
        );
        let key = r#"{"type": "service_account", "client_email": "a", "private_key": "k"}"#;
        std::fs::write(&file, key).unwrap();
        assert!(matches!(
            found(&around, None, Choice::Auto),
            Err(CredentialError::Project)
        ));
        around
            .variables
            .insert("GOOGLE_CLOUD_PROJECT".into(), "p".into());
        let found = found(&around, None, Choice::Auto).unwrap().unwrap();
        assert_eq!(found.beside[1].1, "p");
    }
}
