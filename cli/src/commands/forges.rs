//! The forge that a remote leads to, and what opens it here: a token of that host's and of no other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cib_forge::{Forge, Forges, Head, NewPull, Slug};
use cib_https::{Client, Options};
use cib_protocol::forge::{ForgeAccount, ForgeAccounts, ForgeKind};
use cib_protocol::secret::Secret;

use crate::failure::Failure;
use crate::git::{self, Repository};
use crate::surroundings::Surroundings;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whose API a host speaks: those that everybody knows, the variable that names another, and the
/// variables that its token may be in.
const KNOWN: [(ForgeKind, &[&str], &str, &[&str]); 3] = [
    (
        ForgeKind::GitHub,
        &["github.com"],
        "GH_HOST",
        &["GITHUB_TOKEN", "GH_TOKEN"],
    ),
    (
        ForgeKind::GitLab,
        &["gitlab.com"],
        "GITLAB_HOST",
        &["GITLAB_TOKEN"],
    ),
    (
        ForgeKind::Gitea,
        &["codeberg.org", "gitea.com"],
        "GITEA_HOST",
        &["GITEA_TOKEN", "FORGEJO_TOKEN"],
    ),
];

/// Where systems keep the certificates that they trust.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A token of GitHub's: out of the variables, else the one that `gh` has.
pub(super) fn of_github(around: &Surroundings) -> Option<String> {
    let given = KNOWN[0].3.iter().find_map(|name| around.variable(name));
    if let Some(token) = given {
        return Some(token.to_owned());
    }
    let mut command = std::process::Command::new(around.program("gh")?);
    command.args(["auth", "token"]);
    let ran = crate::process::run(&mut command, b"", PATIENCE).ok()?;
    Some(ran.text()).filter(|token| ran.good() && !token.is_empty())
}

/// A repository at a forge that takes calls.
pub(super) struct Place {
    forge: Arc<Forge>,
    slug: Slug,
}

impl Place {
    /// What a remote leads to, if that is a forge that is known and there is a token for it.
    pub(super) fn of(
        around: &Surroundings,
        repository: &Repository,
        url: &str,
    ) -> Result<Option<Self>, Failure> {
        let Some((scheme, host)) = parted(url) else {
            return Ok(None);
        };
        let known = KNOWN.iter().find(|(_, hosts, variable, _)| {
            hosts.contains(&host.as_str()) || around.variable(variable) == Some(&host)
        });
        let Some((kind, _, _, variables)) = known else {
            return Ok(None);
        };
        let token = variables.iter().find_map(|name| around.variable(name));
        let token = match token {
            Some(token) => Some(token.to_owned()),
            None => stored(repository, scheme, &host)?,
        };
        let Some(token) = token else {
            return Ok(None);
        };
        let accounts = ForgeAccounts {
            forges: vec![ForgeAccount {
                kind: *kind,
                url: format!("{scheme}://{host}"),
                token: Some(Secret::new(token)),
            }],
        };
        let named = around.variable("SSL_CERT_FILE").map(PathBuf::from);
        let usual = BUNDLES.iter().map(PathBuf::from).find(|path| path.exists());
        let proxy = around
            .variable("HTTPS_PROXY")
            .or(around.variable("https_proxy"));
        let mut options = Options {
            patience: PATIENCE,
            // A proxy with a name is nobody's address: the call then says that it gets nowhere.
            bridge: proxy.and_then(|proxy| {
                let rest = proxy.strip_prefix("http://").unwrap_or(proxy);
                rest.trim_end_matches('/').parse().ok()
            }),
            ..Options::default()
        };
        if let Some(bundle) = named.or(usual) {
            options.bundle = bundle;
        }
        let forges = Forges::new(&accounts, &Arc::new(Client::new(options)));
        let forges = forges.map_err(Failure::failed)?;
        let found = forges.find(url).map(|(forge, slug)| Self {
            forge: Arc::clone(forge),
            slug,
        });
        Ok(found)
    }

    /// Whose API it is.
    pub(super) fn kind(&self) -> ForgeKind {
        self.forge.kind()
    }

    /// Opens a pull request, or finds the one that is open; its address, and whether it was there.
    pub(super) fn open(&self, pull: Wanted<'_>) -> Result<(String, bool), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let opened = runtime.block_on(async {
            let base = match pull.base {
                Some(base) => base.to_owned(),
                None => self.forge.repository(&self.slug).await?.default_branch,
            };
            let new = NewPull {
                title: pull.title.to_owned(),
                body: pull.body.to_owned(),
                head: Head {
                    slug: self.slug.clone(),
                    branch: pull.branch.to_owned(),
                },
                base,
                draft: pull.draft,
            };
            self.forge.open_pull(&self.slug, &new).await
        });
        let opened = opened.map_err(Failure::failed)?;
        Ok((opened.pull.url, opened.adopted))
    }
}

/// A pull request that is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub branch: &'a str,
    /// The forge's default branch, if nobody says another.
    pub base: Option<&'a str>,
    pub draft: bool,
}

/// The scheme and host of the API of the forge that an address of git's leads to.
fn parted(url: &str) -> Option<(&'static str, String)> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https" | "ssh", rest)) => ("https", rest),
        Some(_) => return None,
        None => ("https", url.split_once(':')?.0),
    };
    let host = rest.split('/').next()?.rsplit('@').next()?;
    // The port of ssh says nothing of the API's.
    let host = match url.starts_with("ssh://") {
        true => host.split(':').next()?,
        false => host,
    };
    (!host.is_empty()).then(|| (scheme, host.to_ascii_lowercase()))
}

/// What the person's git keeps for a host; nobody is asked.
fn stored(repository: &Repository, scheme: &str, host: &str) -> Result<Option<String>, Failure> {
    let mut command = repository.git();
    command
        .args(["-c", "core.askPass=true", "credential", "fill"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env_remove("SSH_ASKPASS");
    let asked = format!("protocol={scheme}\nhost={host}\n\n");
    let ran = git::run("ask for a credential", &mut command, asked.as_bytes())?;
    let text = ran.text();
    let found = text.lines().find_map(|line| line.strip_prefix("password="));
    Ok(found
        .filter(|found| ran.good() && !found.is_empty())
        .map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_found_however_it_is_written() {
        for (url, expected) in [
            ("https://github.com/a/b.git", Some(("https", "github.com"))),
            ("https://u:p@GitHub.com/a/b", Some(("https", "github.com"))),
            ("git@github.com:a/b.git", Some(("https", "github.com"))),
            ("ssh://git@host:2222/a/b", Some(("https", "host"))),
            (
                "http://127.0.0.1:8000/a/b",
                Some(("http", "127.0.0.1:8000")),
            ),
            ("/srv/a.git", None),
            ("file:///srv/a.git", None),
        ] {
            let found = parted(url);
            let found = found
                .as_ref()
                .map(|(scheme, host)| (*scheme, host.as_str()));
            assert_eq!(found, expected, "{url}");
        }
    }
}
