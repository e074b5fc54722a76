//! Decides which variables are scrubbed, which values are masked, and which files are closed.

use super::Survey;
use crate::environment::{CATALOG, ContainerSettings, Fault, Settings, TaskSettings};
use crate::steps::accounts::{Account, Accounts, CODER};
use crate::steps::secrets;

/// Variables whose values are overwritten in what `/proc/1/environ` shows, once they were
/// read. Whoever may `docker inspect` sees them all the same; the `_FILE` twins help there.
pub(super) const VARIABLES: &[&str] = &[
    "CIB_AUTH_TOKEN",
    "CIB_TRUSTED_PROXY_SECRET",
    "CIB_ADMIN_PASSWORD",
    "CIB_NOTICES",
    "CIB_PROXY_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "CIB_AWS_CREDENTIALS",
    "CIB_GOOGLE_CREDENTIALS",
    "CIB_GITHUB_TOKEN",
    "CIB_GITLAB_TOKEN",
    "CIB_GITEA_TOKEN",
    "CIB_TASK_REQUEST",
    "CIB_MQTT_URL",
    "CIB_MQTT_KEY",
];

/// Least characters of a key's line that are masked: a shorter last one may be any word.
const LINE: usize = 16;

/// Coder, with the ids that it is going to have.
pub(super) fn coder(accounts: &Accounts, container: &ContainerSettings) -> Option<Account> {
    let image = accounts.own(CODER).ok()?;
    Some(Account {
        uid: container.puid.unwrap_or(image.uid),
        gid: container.pgid.unwrap_or(image.gid),
        ..image
    })
}

/// Closes the files of secrets to coder, before anything of coder's runs.
///
/// # Errors
/// Coder could still read one, and that is not allowed.
pub(super) fn close(survey: &mut Survey) -> Result<(), Vec<Fault>> {
    let settings = &survey.configuration.settings;
    let accounts = Accounts::read(&survey.paths).unwrap_or_default();
    let Some(coder) = coder(&accounts, &settings.container) else {
        return Ok(());
    };
    let (outcome, faults, warnings) =
        secrets::close(&settings.secrets, &coder, survey.facts.root());
    survey.closed = outcome;
    for warning in warnings {
        if !survey.configuration.warnings.contains(&warning) {
            survey.configuration.warnings.push(warning);
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// Every secret value, as it may turn up in a line.
pub(super) fn values(settings: &Settings) -> Vec<String> {
    debug_assert!(
        CATALOG
            .iter()
            .filter(|v| v.secret())
            .all(|v| VARIABLES.contains(&v.name))
    );
    let mut values = Vec::new();
    values.extend(settings.auth.token().map(|token| token.expose().to_owned()));
    let task = settings.task.iter();
    values.extend(task.filter_map(TaskSettings::webhook_secret));
    let proxy = settings.trusted_proxy_secret.iter();
    values.extend(proxy.map(|secret| secret.expose().to_owned()));
    let channels = settings.channels.iter();
    let secrets = channels.flat_map(|channel| channel.target.secrets());
    values.extend(secrets.map(|secret| secret.expose().to_owned()));
    let admin = settings.admin.iter();
    values.extend(admin.map(|admin| admin.password.expose().to_owned()));
    if let Some(credentials) = settings
        .egress
        .upstream
        .as_ref()
        .and_then(|u| u.credentials())
    {
        let password = credentials.password.expose();
        values.push(String::from_utf8_lossy(password).into_owned());
        // As it stands in a URL.
        let encode = percent_encoding::percent_encode;
        values.push(encode(password, percent_encoding::NON_ALPHANUMERIC).to_string());
    }
    let claude = &settings.claude;
    let own = [
        &claude.api_key,
        &claude.auth_token,
        &claude.oauth_token,
        &claude.bedrock_key,
    ];
    values.extend(
        own.into_iter()
            .flatten()
            .map(|secret| secret.expose().to_owned()),
    );
    values.extend(claude.aws.iter().flat_map(|aws| aws.values()));
    values.extend(claude.google.iter().flat_map(|google| google.values()));
    let forges = settings
        .forges
        .iter()
        .filter_map(|forge| forge.token.as_ref());
    values.extend(forges.map(|token| token.expose().to_owned()));
    if let Some(mqtt) = &settings.mqtt {
        for password in mqtt
            .password
            .iter()
            .map(cib_protocol::secret::Secret::expose)
        {
            values.push(password.to_owned());
            let encode = percent_encoding::utf8_percent_encode;
            values.push(encode(password, percent_encoding::NON_ALPHANUMERIC).to_string());
        }
        // A log has lines, and none of them has the whole of a key.
        let key = mqtt.key.iter().flat_map(|key| key.expose().lines());
        let key = key.filter(|line| !line.starts_with("-----") && line.len() >= LINE);
        values.extend(key.map(str::to_owned));
    }
    values
}
