//! Accounts at forges.

use cib_protocol::forge::{ForgeAccount, ForgeKind};
use cib_protocol::secret::Secret;

use super::catalog as names;
use super::reader::Reader;
use super::variable::Variable;
use super::{Place, Wrong};

/// Fewest characters of a token; what is shorter was cut off.
const TOKEN_LEAST: usize = 8;

/// Each account that has a token.
pub(super) fn forges(reader: &mut Reader<'_>) -> Vec<ForgeAccount> {
    let kinds: [(_, &'static Variable, &'static Variable); 3] = [
        (
            ForgeKind::GitHub,
            &names::CIB_GITHUB_TOKEN,
            &names::CIB_GITHUB_URL,
        ),
        (
            ForgeKind::GitLab,
            &names::CIB_GITLAB_TOKEN,
            &names::CIB_GITLAB_URL,
        ),
        (
            ForgeKind::Gitea,
            &names::CIB_GITEA_TOKEN,
            &names::CIB_GITEA_URL,
        ),
    ];
    let mut accounts: Vec<ForgeAccount> = Vec::new();
    for (kind, token, address) in kinds {
        let faults = reader.faults.len();
        let (secret, url) = (reader.value(token, self::token), reader.value(address, url));
        let is_faulty = reader.faults.len() > faults;
        match (secret, url) {
            (Some(token), Some(url)) => {
                if accounts.iter().any(|known| known.url == url) {
                    let wrong = Wrong::new(
                        "is where another forge is said to be",
                        "give each forge an address of its own",
                    );
                    reader.fault(Place::variable(address.name), wrong);
                }
                if url.starts_with("http://") && !is_near(&url) {
                    reader.warn(
                        address,
                        "is no address of https, so that whoever is on the way reads the token",
                        "write https://",
                    );
                }
                accounts.push(ForgeAccount {
                    kind,
                    url,
                    token: Some(token),
                });
            }
            (Some(_), None) if !is_faulty => {
                let wrong = Wrong::new(
                    "is not set, and the token does not say where it belongs",
                    "set it to the address of the forge, such as https://git.example.com",
                );
                reader.fault(Place::variable(address.name), wrong);
            }
            (None, Some(url)) if url != address.default && !is_faulty => reader.warn(
                address,
                "is set, and there is no token for it",
                &format!("set {} as well", token.file_name()),
            ),
            _ => {}
        }
    }
    accounts
}

fn token(text: &str) -> Result<Secret, Wrong> {
    if text.len() < TOKEN_LEAST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Wrong::new(
            "is no token of a forge: those have 8 characters and more, and no blanks",
            "copy it again from the forge's settings",
        ));
    }
    Ok(Secret::new(text))
}

/// Scheme and host, as `cib_forge` takes them.
fn url(text: &str) -> Result<String, Wrong> {
    let trimmed = text.trim_end_matches('/');
    let wrong = |problem: &str| Err(Wrong::new(problem, "write it as `https://git.example.com`"));
    let Some((scheme, host)) = trimmed.split_once("://") else {
        return wrong("is no address");
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if host.contains('@') {
        return wrong("has a user name or a password in it");
    }
    if host.contains('/') {
        return wrong("has a path behind the host; a forge below a path is not supported");
    }
    if !matches!(scheme, "https" | "http") || host.is_empty() || !host.chars().all(fits) {
        return wrong("is no address of https with a host alone");
    }
    Ok(format!("{scheme}://{}", host.to_ascii_lowercase()))
}

/// Whether nobody is on the way.
fn is_near(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.starts_with("127.")
        || host.starts_with("[::1]")
}
