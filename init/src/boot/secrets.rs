//! Decides which variables are scrubbed, which values are masked, and which files are closed.

use super::Ground;
use crate::environment::{Auth, CATALOG, ContainerSettings, Fault, Settings};
use crate::steps::accounts::{Account, Accounts, CODER};
use crate::steps::secrets;

/// Variables whose values are overwritten in what `/proc/1/environ` shows, once they were
/// read. Whoever may `docker inspect` sees them all the same; the `_FILE` twins help there.
pub(super) const VARIABLES: &[&str] = &[
    "CIB_AUTH_TOKEN",
    "CIB_TRUSTED_PROXY_SECRET",
    "CIB_PROXY_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

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
pub(super) fn close(ground: &mut Ground) -> Result<(), Vec<Fault>> {
    let settings = &ground.configuration.settings;
    let accounts = Accounts::read(&ground.paths).unwrap_or_default();
    let Some(coder) = coder(&accounts, &settings.container) else {
        return Ok(());
    };
    let (outcome, faults, warnings) =
        secrets::close(&settings.secrets, &coder, ground.facts.root());
    ground.closed = outcome;
    for warning in warnings {
        if !ground.configuration.warnings.contains(&warning) {
            ground.configuration.warnings.push(warning);
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
    if let Auth::Token(token) = &settings.auth {
        values.push(token.expose().to_owned());
    }
    let proxy = settings.trusted_proxy_secret.iter();
    values.extend(proxy.map(|secret| secret.expose().to_owned()));
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
    let own = [&claude.api_key, &claude.auth_token, &claude.oauth_token];
    values.extend(
        own.into_iter()
            .flatten()
            .map(|secret| secret.expose().to_owned()),
    );
    values
}
