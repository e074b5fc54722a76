//! From the environment and the configuration files to [`Settings`].

use std::collections::BTreeSet;

use cib_nft::Lan;
use cib_protocol::secret::Secret;
use cib_upstream::{Upstream, UpstreamFault, VARIABLE};

use ipnet::IpNet;

use super::catalog as names;
use super::cloud;
use super::fault::{Fault, Place};
use super::parse::{self, Wrong};
use super::reader::{Choice, ReadFile, Reader};
use super::settings::{
    Admin, AgentSettings, Auth, ContainerSettings, Credentials, EgressSettings, ExposedSecrets,
    GitSettings, HostKeyPolicy, JournalSync, KeySettings, LogFormat, LogLevel, Mode,
    OnSetupFailure, ProxyMode, Resume, SecretSettings, SessionSettings, SessionUsers, Settings,
    SetupRun, SetupSettings, Signing,
};
use super::source::{Environment, FileSettings, Purpose};
use super::unknown::unknown;

/// Least number of characters of the master token.
const TOKEN_LEAST: usize = 16;

/// Least number of different characters in it. Wrong tokens are slowed down, but the right one is
/// let in whatever came before it, so it must not be among the first that come to mind.
const TOKEN_DIFFERENT: usize = 6;

/// Most characters of an account's name.
const USER_NAME: usize = 64;

/// What reading gave: settings or faults, and warnings either way.
#[derive(Debug)]
pub struct Reading {
    /// The settings, if nothing was wrong; otherwise every fault.
    pub settings: Result<Settings, Vec<Fault>>,
    /// The settings with something harmless in the place of everything that was wrong: good
    /// for looking for further faults, and for nothing else.
    pub understood: Settings,
    /// What is odd and does not keep the box from starting.
    pub warnings: Vec<Fault>,
}

impl Settings {
    /// Reads every variable, and reports every fault at once.
    #[must_use]
    pub fn read(
        environment: &Environment,
        files: &FileSettings,
        read_file: &ReadFile<'_>,
    ) -> Reading {
        let mut reader = Reader::new(environment, files, read_file);
        let settings = settings(&mut reader);
        let (faults, warnings) = unknown(environment);
        reader.faults.extend(faults);
        reader.warnings.extend(warnings);
        let understood = settings.clone();
        let settings = if reader.faults.is_empty() {
            Ok(settings)
        } else {
            Err(reader.faults)
        };
        Reading {
            settings,
            understood,
            warnings: reader.warnings,
        }
    }
}

/// Placeholders stand where a fault was reported; the caller throws them away with the rest.
pub(super) fn settings(reader: &mut Reader<'_>) -> Settings {
    let proxy_mode = reader.choice(&names::CIB_PROXY_MODE);
    let (trusted_proxies, trusted_proxy_secret) = proxies(reader);
    // Faults are told in this order.
    let known = reader.faults.len();
    let task = super::task::task(reader, proxy_mode);
    // A task that was asked for wrongly needs a token no more than one that was not.
    let has_task = task.is_some() || reader.faults.len() > known;
    let auth = auth(reader, proxy_mode, has_task);
    let mode = reader.choice(&names::CIB_MODE);
    let api_port = port(reader, &names::CIB_PORT);
    Settings {
        auth,
        mode,
        port: api_port,
        tcp_port: tcp_port(reader, api_port),
        web_dir: reader
            .value(&names::CIB_WEB_DIR, parse::path)
            .unwrap_or_default(),
        max_upload: reader
            .value(&names::CIB_MAX_UPLOAD, parse::size)
            .unwrap_or_default(),
        trusted_proxies,
        trusted_proxy_secret,
        logout_url: reader.value(&names::CIB_LOGOUT_URL, parse::leads_to),
        public_url: reader.value(&names::CIB_PUBLIC_URL, parse::address),
        webhook_private: reader.flag(&names::CIB_WEBHOOK_PRIVATE),
        channels: reader
            .value(&names::CIB_NOTICES, parse::channels)
            .unwrap_or_default(),
        admin: admin(reader),
        egress: egress(reader, proxy_mode),
        container: container(reader),
        keys: keys(reader),
        git: git(reader),
        setup: SetupSettings {
            commands: reader.commands(&names::CIB_SETUP_COMMANDS),
            file: reader.value(&names::CIB_SETUP_FILE, parse::path),
            run: reader.choice(&names::CIB_SETUP),
            on_failure: reader.choice(&names::CIB_SETUP_ON_FAILURE),
            timeout: reader.duration(&names::CIB_SETUP_TIMEOUT),
            await_copy: reader.flag(&names::CIB_AWAIT_COPY),
        },
        sessions: SessionSettings {
            resume: reader.choice(&names::CIB_RESUME),
            max: reader.integer(&names::CIB_MAX_SESSIONS),
            retention: reader
                .value(&names::CIB_SESSION_RETENTION, parse::retention)
                .flatten(),
            task_retention: reader
                .value(&names::CIB_TASK_RETENTION, parse::retention)
                .flatten(),
            journal_sync: reader.choice(&names::CIB_JOURNAL_SYNC),
            claude_version: reader.value(&names::CIB_CLAUDE_VERSION, parse::version),
            users: reader.choice(&names::CIB_SESSION_USERS),
        },
        claude: claude(reader),
        forges: super::forges::forges(reader),
        task,
        aes_legacy: reader.flag(&names::CIB_AES_LEGACY),
        mqtt: super::mqtt::mqtt(reader),
        // The last, when every file has been read.
        secrets: SecretSettings {
            exposed: reader.choice(&names::CIB_EXPOSED_SECRETS),
            files: std::mem::take(&mut reader.secret_files),
        },
    }
}

fn claude(reader: &mut Reader<'_>) -> Credentials {
    let credentials = Credentials {
        api_key: reader.secret(&names::ANTHROPIC_API_KEY),
        auth_token: reader.secret(&names::ANTHROPIC_AUTH_TOKEN),
        oauth_token: reader.secret(&names::CLAUDE_CODE_OAUTH_TOKEN),
        bedrock_key: reader.secret(&names::AWS_BEARER_TOKEN_BEDROCK),
        aws: reader.value(&names::CIB_AWS_CREDENTIALS, cloud::aws),
        google: reader.value(&names::CIB_GOOGLE_CREDENTIALS, cloud::google),
        base_url: reader.value(&names::ANTHROPIC_BASE_URL, parse::one_line),
        model: reader.value(&names::ANTHROPIC_MODEL, parse::one_line),
    };
    let address = credentials.base_url.as_deref().unwrap_or_default();
    let host = address
        .split_once("://")
        .map_or(address, |(_, rest)| rest)
        .split('/')
        .next();
    if host.is_some_and(|host| host.contains('@')) {
        reader.warn(
            &names::ANTHROPIC_BASE_URL,
            "has a password in it, which every program of coder's is given",
            "give it as ANTHROPIC_AUTH_TOKEN",
        );
    }
    credentials
}

fn port(reader: &mut Reader<'_>, variable: &'static super::Variable) -> u16 {
    reader
        .integer(variable)
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or_default()
}

/// Not the API's own.
fn tcp_port(reader: &mut Reader<'_>, api_port: u16) -> Option<u16> {
    let number = reader.integer(&names::CIB_TCP_PORT)?;
    let number = u16::try_from(number).ok()?;
    if number == api_port {
        let problem = "the API has that port";
        reader.fault(
            Place::variable("CIB_TCP_PORT"),
            Wrong::new(problem, "take another, or change CIB_PORT"),
        );
    }
    Some(number)
}

/// A container that only holds the network serves nobody, and needs no token; nor does one that
/// does a task and ends.
fn auth(reader: &mut Reader<'_>, mode: ProxyMode, has_task: bool) -> Auth {
    let faults = reader.faults.len();
    let token = reader.value(&names::CIB_AUTH_TOKEN, token);
    let faulty = reader.faults.len() > faults;
    let disabled = reader.flag(&names::CIB_AUTH_DISABLED);
    match (token, disabled) {
        (Some(token), false) => Auth::Token(token),
        (Some(_), true) => {
            let problem = "CIB_AUTH_TOKEN is set as well";
            reader.fault(
                Place::variable("CIB_AUTH_DISABLED"),
                Wrong::new(problem, "unset one of the two"),
            );
            Auth::Disabled
        }
        (None, false) if has_task && !faulty => Auth::Made(super::task::token()),
        (None, disabled) => {
            let is_needed = mode != ProxyMode::Hold && reader.purpose() != Purpose::Inside;
            if !disabled && !faulty && is_needed {
                reader.fault(
                    Place::variable("CIB_AUTH_TOKEN"),
                    Wrong::new(
                        "is not set",
                        "set it, or CIB_AUTH_TOKEN_FILE, to at least 16 random characters, e.g. of \
                         `openssl rand -hex 32`",
                    ),
                );
            }
            Auth::Disabled
        }
    }
}

/// The account that the box begins with, if a password says that there is to be one.
fn admin(reader: &mut Reader<'_>) -> Option<Admin> {
    let name = reader.value(&names::CIB_ADMIN_USER, user_name);
    let password = reader.value(&names::CIB_ADMIN_PASSWORD, password)?;
    Some(Admin {
        name: name?,
        password,
    })
}

/// A name as control takes one.
fn user_name(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_alphanumeric() || "._-@+".contains(c);
    if (1..=USER_NAME).contains(&text.chars().count()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        "is no name for an account",
        "take 1 to 64 letters, digits and `.`, `_`, `-`, `@`, `+`",
    ))
}

/// A person's password.
fn password(text: &str) -> Result<Secret, Wrong> {
    cib_base::password::check(text)
        .map_err(|why| Wrong::new(why, "take one of 8 to 1,024 bytes"))?;
    Ok(Secret::new(text))
}

/// The reverse proxies that are believed, and what they have to send.
fn proxies(reader: &mut Reader<'_>) -> (Vec<IpNet>, Option<Secret>) {
    let networks = reader.list(&names::CIB_TRUSTED_PROXIES, parse::network);
    let secret = reader.value(&names::CIB_TRUSTED_PROXY_SECRET, token);
    if secret.is_some() && networks.is_empty() {
        reader.warn(
            &names::CIB_TRUSTED_PROXY_SECRET,
            "is set, and no proxy is trusted",
            "name the proxy in CIB_TRUSTED_PROXIES as well",
        );
    }
    (networks, secret)
}

/// A secret that somebody sends in a header, and that nobody may guess.
fn token(text: &str) -> Result<Secret, Wrong> {
    let length = text.chars().count();
    if length < TOKEN_LEAST {
        return Err(Wrong::new(
            format!("has {length} characters, and at least {TOKEN_LEAST} are needed"),
            "take a longer one, e.g. of `openssl rand -hex 32`",
        ));
    }
    if text.bytes().collect::<BTreeSet<_>>().len() < TOKEN_DIFFERENT {
        return Err(Wrong::new(
            format!("has less than {TOKEN_DIFFERENT} different characters, so it can be guessed"),
            "take a random one, e.g. of `openssl rand -hex 32`",
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Wrong::new(
            "has a space, a control character or a letter outside ASCII in it, which a header \
             cannot carry",
            "take letters, digits and punctuation",
        ));
    }
    Ok(Secret::new(text))
}

fn egress(reader: &mut Reader<'_>, mode: ProxyMode) -> EgressSettings {
    let faults = reader.faults.len();
    let upstream = reader.value(&names::CIB_PROXY_URL, |url| {
        Upstream::parse(url).map_err(|fault| upstream_fault(&fault))
    });
    let odd = match (mode, &upstream) {
        (ProxyMode::Hold, None) if reader.faults.len() == faults => Some(Wrong::new(
            "is not set, and CIB_PROXY_MODE=hold is for nothing but the way to it",
            "set it, or CIB_PROXY_URL_FILE",
        )),
        (ProxyMode::Join, Some(_)) => Some(Wrong::new(
            "is set, and with CIB_PROXY_MODE=join the proxy is the other container's to know",
            "give it to the container with CIB_PROXY_MODE=hold alone",
        )),
        _ => None,
    };
    if let Some(wrong) = odd {
        reader.fault(Place::variable(names::CIB_PROXY_URL.name), wrong);
    }
    let networks = reader.list(&names::CIB_LAN, parse::lan);
    let lan = parse::joined_lan(networks).unwrap_or_else(|wrong| {
        reader.fault(Place::variable(names::CIB_LAN.name), wrong);
        Lan::default()
    });
    for caution in lan.cautions() {
        let text = caution.to_string();
        let problem = text
            .strip_prefix(names::CIB_LAN.name)
            .unwrap_or(&text)
            .trim_start();
        reader.warn(
            &names::CIB_LAN,
            problem,
            "leave it out if that is not meant",
        );
    }
    if upstream.as_ref().is_some_and(Upstream::is_loopback) {
        reader.warn(
            &names::CIB_PROXY_URL,
            "names the box itself, where a proxy on the machine outside does not listen",
            "write the machine's address, e.g. host.docker.internal",
        );
    }
    EgressSettings {
        upstream,
        mode,
        redsocks_port: port(reader, &names::REDSOCKS_LOCAL_PORT),
        lan,
        dns_servers: reader.list(&names::CIB_DNS_SERVERS, parse::name_server),
        local_names: reader
            .list(&names::CIB_LOCAL_NAMES, parse::local_name)
            .into_iter()
            .collect(),
        probe: reader
            .value(&names::CIB_PROXY_PROBE, parse::probe_target)
            .unwrap_or_default(),
        shared: reader.flag(&names::CIB_NETWORK_SHARED),
    }
}

/// The fault's words without the variable's name, which its place carries.
fn upstream_fault(fault: &UpstreamFault) -> Wrong {
    let text = fault.to_string();
    let text = text.strip_prefix(VARIABLE).unwrap_or(&text).trim_start();
    let (problem, remedy) = text
        .split_once("; ")
        .unwrap_or((text, "write scheme://host:port"));
    Wrong::new(problem, remedy)
}

fn container(reader: &mut Reader<'_>) -> ContainerSettings {
    let mut id = |variable| {
        reader
            .integer(variable)
            .and_then(|id| u32::try_from(id).ok())
    };
    let (puid, pgid) = (id(&names::PUID), id(&names::PGID));
    ContainerSettings {
        puid,
        pgid,
        time_zone: reader.value(&names::TZ, parse::one_line),
        data_dir: reader
            .value(&names::CIB_DATA_DIR, parse::path)
            .unwrap_or_default(),
        log_format: reader.choice(&names::CIB_LOG),
        log_level: reader.choice(&names::CIB_LOG_LEVEL),
        shutdown_timeout: reader.duration(&names::CIB_SHUTDOWN_TIMEOUT),
    }
}

fn keys(reader: &mut Reader<'_>) -> KeySettings {
    KeySettings {
        ssh_dir: reader.value(&names::CIB_SSH_DIR, parse::path),
        gnupg_dir: reader.value(&names::CIB_GNUPG_DIR, parse::path),
        agents: AgentSettings {
            ssh: reader.value(&names::SSH_AUTH_SOCK, parse::path),
            gpg: reader.value(&names::CIB_GPG_AGENT, parse::path),
        },
        known_hosts: reader.value(&names::CIB_KNOWN_HOSTS, parse::known_hosts),
        host_keys: reader.choice(&names::CIB_KNOWN_HOSTS_POLICY),
    }
}

fn git(reader: &mut Reader<'_>) -> GitSettings {
    let git = GitSettings {
        user_name: reader.value(&names::CIB_GIT_USER_NAME, parse::one_line),
        user_email: reader.value(&names::CIB_GIT_USER_EMAIL, parse::one_line),
        signing: reader.choice(&names::CIB_GIT_SIGNING),
        signing_key: reader.value(&names::CIB_GIT_SIGNING_KEY, parse::one_line),
    };
    if git.signing == Signing::Off && git.signing_key.is_some() {
        reader.warn(
            &names::CIB_GIT_SIGNING_KEY,
            "is set, and nothing is signed",
            "set CIB_GIT_SIGNING to ssh or gpg as well",
        );
    }
    git
}

impl Choice for Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("default", Self::Default), ("headless", Self::Headless)];
}

impl Choice for ProxyMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("redirect", Self::Redirect),
        ("env", Self::Env),
        ("hold", Self::Hold),
        ("join", Self::Join),
    ];
}

impl Choice for ExposedSecrets {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("allow", Self::Allow)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Choice for HostKeyPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("accept-new", Self::AcceptNew),
        ("strict", Self::Strict),
        ("off", Self::Off),
    ];
}

impl Choice for Signing {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("ssh", Self::Ssh), ("gpg", Self::Gpg)];
}

impl Choice for SetupRun {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", Self::Always), ("once", Self::Once)];
}

impl Choice for OnSetupFailure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("stop", Self::Stop), ("continue", Self::Continue)];
}

impl Choice for Resume {
    const WORDS: &'static [(&'static str, Self)] =
        &[("never", Self::Never), ("always", Self::Always)];
}

impl Choice for SessionUsers {
    const WORDS: &'static [(&'static str, Self)] =
        &[("shared", Self::Shared), ("separate", Self::Separate)];
}

impl Choice for JournalSync {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("batch", Self::Batch),
        ("frame", Self::Frame),
    ];
}
