//! The environment of every child: empty, and then what it needs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::accounts::{Account, CODER};
use crate::config::Service;
use crate::environment::{Aws, CATALOG, Credentials, Environment, ProxyMode, Settings};

/// `PATH` where the image sets none: Debian's own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Shorter secrets occur in ordinary values by chance.
const SHORTEST_SECRET: usize = 6;
/// What never goes through a proxy.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

/// Variables of a child, by name.
pub type Variables = BTreeMap<String, String>;

/// Everything that environments are made of. Made once; each child gets a map of its own.
#[derive(Clone)]
pub struct ChildEnvironment {
    /// For everybody: `PATH`, `LANG`, `TZ`.
    common: Variables,
    /// For coder's processes: what the user gave the container, and what init adds.
    given: Variables,
    credentials: Credentials,
    /// Variables that were given and that no child gets, because a secret is in their value.
    pub withheld: Vec<String>,
    /// Proxy variables that were given and that no child gets, because the box may not reach
    /// the address that they name.
    pub unreachable: Vec<String>,
}

/// What the steps of the boot found out that coder's processes have to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// `SSH_AUTH_SOCK`
    pub ssh_agent: Option<PathBuf>,
    /// `GNUPGHOME`
    pub gnupg_home: Option<PathBuf>,
    /// Port of the connect bridge on the box's loopback, with `CIB_PROXY_MODE=env`.
    pub bridge_port: Option<u16>,
    /// `CIB_CLAUDE_VERSION`: what the box has decided, which is seldom what it was given.
    pub claude_version: Option<String>,
}

impl ChildEnvironment {
    /// From what the container was given.
    #[must_use]
    pub fn new(outside: &Environment, settings: &Settings, additions: &Additions) -> Self {
        let secrets = secrets(settings);
        let mut given = Variables::new();
        let mut withheld = Vec::new();
        let mut unreachable = Vec::new();
        for (name, value) in outside.iter().filter(|(name, value)| passes(name, value)) {
            if secrets.iter().any(|secret| value.contains(secret)) {
                withheld.push(name.to_owned());
            } else if settings.egress.upstream.is_some() && leads_nowhere(name, value, settings) {
                unreachable.push(name.to_owned());
            } else {
                given.insert(name.to_owned(), value.to_owned());
            }
        }
        // What runs here can tell that it does, and hooks that start boxes stay silent.
        given.insert("CIB_BOX".to_owned(), "1".to_owned());
        let mut add = |name: &str, path: &Option<PathBuf>| {
            if let Some(path) = path {
                given.insert(name.to_owned(), path.display().to_string());
            }
        };
        add("SSH_AUTH_SOCK", &additions.ssh_agent);
        add("GNUPGHOME", &additions.gnupg_home);
        if let Some(version) = &additions.claude_version {
            given.insert(crate::claude::VARIABLE.to_owned(), version.clone());
        }
        if let (ProxyMode::Env, Some(port)) = (settings.egress.mode, additions.bridge_port) {
            bridge(&mut given, port);
        }
        let mut common = Variables::new();
        common.insert(
            "PATH".to_owned(),
            outside.get("PATH").unwrap_or(PATH).to_owned(),
        );
        common.insert(
            "LANG".to_owned(),
            outside.get("LANG").unwrap_or("C.UTF-8").to_owned(),
        );
        if let Some(zone) = &settings.container.time_zone {
            common.insert("TZ".to_owned(), zone.clone());
        }
        Self {
            common,
            given,
            credentials: settings.claude.clone(),
            withheld,
            unreachable,
        }
    }

    /// Of one of the box's own services, and of everything that is not coder's.
    #[must_use]
    pub fn plain(&self, account: &Account) -> Variables {
        let mut variables = self.common.clone();
        let home = account.home.display().to_string();
        for (name, value) in [
            ("HOME", home.as_str()),
            ("USER", &account.name),
            ("LOGNAME", &account.name),
            ("SHELL", &account.shell.display().to_string()),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        variables
    }

    /// Of coder's processes: setup commands, shells, services of the user's own.
    #[must_use]
    pub fn coder(&self, account: &Account) -> Variables {
        let mut variables = self.given.clone();
        variables.extend(self.plain(account));
        variables
    }

    /// What everybody is given: all that a program of the box's own needs.
    #[must_use]
    pub fn common(&self) -> Variables {
        self.common.clone()
    }

    /// Claude's credentials, which reach the keepers of its sessions and nobody else.
    #[must_use]
    pub fn credentials(&self) -> Variables {
        let mut variables = Variables::new();
        let Credentials {
            api_key,
            auth_token,
            oauth_token,
            bedrock_key,
            aws,
            google,
            ..
        } = &self.credentials;
        for (name, secret) in [
            ("ANTHROPIC_API_KEY", api_key),
            ("ANTHROPIC_AUTH_TOKEN", auth_token),
            ("CLAUDE_CODE_OAUTH_TOKEN", oauth_token),
            ("AWS_BEARER_TOKEN_BEDROCK", bedrock_key),
        ] {
            if let Some(secret) = secret {
                variables.insert(name.to_owned(), secret.expose().to_owned());
            }
        }
        let aws = aws.iter().flat_map(Aws::variables);
        variables.extend(aws.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if let Some(google) = google {
            // Claude reads a file, which its keeper makes.
            variables.insert(
                cib_protocol::session::GOOGLE_CREDENTIALS.to_owned(),
                google.text().to_owned(),
            );
        }
        variables
    }

    /// Of a configured service: its user's, and over it what its own table names.
    #[must_use]
    pub fn service(&self, service: &Service, account: &Account) -> Variables {
        let mut variables = if account.name == CODER {
            self.coder(account)
        } else {
            self.plain(account)
        };
        variables.extend(service.environment.clone());
        variables
    }
}

/// Names alone: values are the user's, and may be secrets that only the user knows to be some.
impl fmt::Debug for ChildEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildEnvironment")
            .field("given", &self.given.keys())
            .field("withheld", &self.withheld)
            .finish_non_exhaustive()
    }
}

/// Whether what the user gave the container is for coder's processes.
fn passes(name: &str, value: &str) -> bool {
    const INITS: &[&str] = &[
        "PUID",
        "PGID",
        "REDSOCKS_LOCAL_PORT",
        "SSH_AUTH_SOCK",
        "GNUPGHOME",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "NOTIFY_SOCKET",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    ];
    let base = name.strip_suffix("_FILE").unwrap_or(name);
    let secret = CATALOG
        .iter()
        .any(|v| v.secret() && (v.name == name || v.name == base));
    let socks = name.to_ascii_lowercase().ends_with("_proxy")
        && value.trim_start().to_ascii_lowercase().starts_with("socks");
    !(name.starts_with("CIB_") || INITS.contains(&name) || secret || socks)
}

/// Whether this is a proxy variable with a private address that the rules refuse: an engine may
/// hand the machine's own proxy to every container. With it every program would be lost.
fn leads_nowhere(name: &str, value: &str, settings: &Settings) -> bool {
    let name = name.to_ascii_lowercase();
    if !settings.egress.mode.locks() || !name.ends_with("_proxy") || name == "no_proxy" {
        return false;
    }
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let address = host
        .parse::<SocketAddr>()
        .map(|at| at.ip())
        .or_else(|_| host.trim_matches(['[', ']']).parse::<IpAddr>());
    address.is_ok_and(|ip| {
        let target = cib_upstream::client::Target::from(SocketAddr::new(ip, 1));
        target.is_special() && !ip.is_loopback() && !settings.egress.lan.contains(ip)
    })
}

/// Texts that must not be in any child's environment, however they got there: a person may
/// write the proxy's URL into `HTTP_PROXY` as well.
fn secrets(settings: &Settings) -> Vec<String> {
    let mut secrets = Vec::new();
    secrets.extend(settings.auth.token().map(|token| token.expose().to_owned()));
    if let Some(credentials) = settings
        .egress
        .upstream
        .as_ref()
        .and_then(|u| u.credentials())
        && let Ok(password) = std::str::from_utf8(credentials.password.expose())
    {
        secrets.push(password.to_owned());
    }
    if let Some(url) = settings
        .egress
        .upstream
        .as_ref()
        .map(|upstream| upstream.to_url())
    {
        // Between the last colon before the `@` and the `@` stands the password, encoded.
        let userinfo = url.rsplit_once('@').map(|(before, _)| before);
        secrets.extend(
            userinfo
                .and_then(|u| u.rsplit_once(':'))
                .map(|(_, p)| p.to_owned()),
        );
    }
    let forges = settings
        .forges
        .iter()
        .filter_map(|forge| forge.token.as_ref());
    secrets.extend(forges.map(|token| token.expose().to_owned()));
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    secrets
}

/// The proxy variables, in both spellings: curl reads the lower-case ones alone.
fn bridge(variables: &mut Variables, port: u16) {
    let url = format!("http://127.0.0.1:{port}");
    let own = ["NO_PROXY", "no_proxy"]
        .iter()
        .find_map(|name| variables.get(*name));
    let except = own.map_or_else(|| NO_PROXY.to_owned(), |own| format!("{NO_PROXY},{own}"));
    for (name, value) in [
        ("HTTP_PROXY", &url),
        ("HTTPS_PROXY", &url),
        ("NO_PROXY", &except),
    ] {
        variables.insert(name.to_owned(), value.clone());
        variables.insert(name.to_ascii_lowercase(), value.clone());
    }
}

#[cfg(test)]
mod tests;
