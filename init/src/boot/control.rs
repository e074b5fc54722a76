//! Control as a service of init, and the file that tells control whom to let in.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_base::{hex, print};
use cib_protocol::api::CreateChannel;
use cib_protocol::forge::{ForgeAccount, ForgeAccounts};
use cib_protocol::init::{ControlAuth, FirstAccount, SecretPrint};
use cib_protocol::mqtt::MqttSettings;
use cib_protocol::secret::Secret;
use cib_upstream::connect::CONNECT_PORT;
use sha2::{Digest, Sha256};

use crate::config::{Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service};
use crate::environment::{
    Admin, Auth, LogFormat, LogLevel, Mode as BoxMode, ProxyMode, Resume, SessionUsers, Settings,
};
use crate::session::tenants::HOMES;
use crate::socket::{CONTROL_UID, Door};
use crate::steps::accounts::CIB;
use crate::steps::{Owner, write_file};

/// Name of the service.
pub(super) const NAME: &str = "control";

/// Descriptor on which it says that it listens.
const READY_FD: i32 = 3;

/// Descriptor of the socket that it serves the API on.
pub(super) const LISTEN_FD: i32 = 4;

/// Descriptor of the socket on which it is asked for its health.
pub(super) const HEALTH_FD: i32 = 5;

/// Descriptor of the socket on which root changes accounts.
pub(super) const ACCOUNTS_FD: i32 = 6;

/// Descriptor of the socket on which coder's git asks, if the box publishes.
pub(super) const GIT_FD: i32 = 7;
/// Descriptor of the socket on which devices speak without HTTP, where there is one.
pub(super) const TCP_FD: i32 = 8;

/// Whether the box has an account at a forge that publishes.
pub(super) fn publishes(settings: &Settings) -> bool {
    settings.forges.iter().any(|forge| forge.token.is_some())
}

/// Name of the file with the accounts at forges, beside that with who may come in.
pub(super) const FORGES: &str = "forges.json";

/// Where control keeps accounts, below the folder of what outlives the container.
const ACCOUNTS: &str = "control/accounts.json";

/// Where the kernel says how the container is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Characters of that which are used.
const MAX_NAME: usize = 64;

/// What the kernel fills anew, with 122 random bits, at each reading.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// The administrator that control is to make, with the hash of the password. Where there are
/// accounts nobody is made, and the hash is not worth its time.
pub(super) fn first_account(
    admin: Option<&Admin>,
    data: &Path,
) -> io::Result<Option<FirstAccount>> {
    let Some(admin) = admin else { return Ok(None) };
    if data.join(ACCOUNTS).symlink_metadata().is_ok() {
        return Ok(None);
    }
    let hash = cib_base::password::hash(admin.password.expose()).map_err(io::Error::other)?;
    Ok(Some(FirstAccount {
        name: admin.name.clone(),
        password: hash,
    }))
}

/// Least bytes of a secret that is looked for in what is published: a shorter one is a word.
const LEAST: usize = 12;

/// Writes what control needs to recognise the master token and a trusted proxy, to make an
/// administrator, and to find the box's own `secrets` where they must not be: digests, never the
/// secrets themselves.
///
/// # Errors
/// The file or its directory cannot be made or given to control.
pub(super) fn write_auth(
    path: &Path,
    auth: &Auth,
    proxy: Option<&Secret>,
    admin: Option<FirstAccount>,
    secrets: &[String],
    channels: Vec<CreateChannel>,
    mqtt: Option<MqttSettings>,
) -> io::Result<()> {
    // Random, and new each time.
    let salt = cib_foreign::own::read_to_string(RANDOM)?.trim().to_owned();
    let digest_of = |text: &str| {
        let salted = Sha256::new().chain_update(&salt);
        hex::encode(&salted.chain_update(text).finalize())
    };
    let digest = |secret: &Secret| digest_of(secret.expose());
    let print = |secret: &String| SecretPrint {
        bytes: u32::try_from(secret.len()).unwrap_or(u32::MAX),
        roll: print::roll(secret.as_bytes()),
        sha256: digest_of(secret),
    };
    let long = secrets.iter().filter(|secret| secret.len() >= LEAST);
    let prints = long.map(print).collect();
    let content = ControlAuth {
        master_sha256: auth.token().map(digest),
        proxy_sha256: proxy.map(digest),
        disabled: matches!(auth, Auth::Disabled),
        salt: Some(salt),
        admin,
        prints,
        channels,
        mqtt: mqtt.map(named).transpose()?,
    };
    write_for_control(path, &serde_json::to_vec(&content)?)
}

/// The broker with a prefix of topics: the container's own name, if none is said.
fn named(mut mqtt: MqttSettings) -> io::Result<MqttSettings> {
    if mqtt.prefix.is_empty() {
        let name = cib_foreign::own::read_to_string(HOST_NAME)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let word = name.trim().chars().take(MAX_NAME);
        let word: String = word.map(|c| if fits(c) { c } else { '-' }).collect();
        mqtt.prefix = format!("cib/{word}");
    }
    Ok(mqtt)
}

/// Writes the accounts at forges, tokens and all: control shows them to the forges. Without any
/// the file goes.
///
/// # Errors
/// The file cannot be made, given to control, or removed.
pub(super) fn write_forges(path: &Path, forges: &[ForgeAccount]) -> io::Result<()> {
    if forges.is_empty() {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let content = ForgeAccounts {
        forges: forges.to_vec(),
    };
    write_for_control(path, &serde_json::to_vec(&content)?)
}

fn write_for_control(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir)?;
    let root = nix::unistd::geteuid().is_root();
    let owner = root.then_some(Owner {
        uid: 0,
        gid: CONTROL_UID,
    });
    // Never readable for anybody else, not even while it is written.
    write_file(path, content, owner, 0o640)
        .map(drop)
        .map_err(io::Error::other)
}

/// Control's service.
#[must_use]
pub(super) fn service(bin: &Path, settings: &Settings, run: &Path, auth: &Path) -> Service {
    let mut command = vec![
        bin.join("cib-control").display().to_string(),
        "--data-dir".to_owned(),
        settings.container.data_dir.display().to_string(),
        "--runtime-dir".to_owned(),
        run.display().to_string(),
        // Nobody else can stand in its way there.
        "--init-socket".to_owned(),
        run.join(Door::Own.name()).display().to_string(),
        "--auth".to_owned(),
        auth.display().to_string(),
        "--ready-fd".to_owned(),
        READY_FD.to_string(),
        "--listen-fd".to_owned(),
        LISTEN_FD.to_string(),
        "--health-fd".to_owned(),
        HEALTH_FD.to_string(),
        "--accounts-fd".to_owned(),
        ACCOUNTS_FD.to_string(),
        "--forges".to_owned(),
        auth.with_file_name(FORGES).display().to_string(),
        "--log-level".to_owned(),
        level(settings.container.log_level).to_owned(),
        "--log".to_owned(),
        match settings.container.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
        .to_owned(),
    ];
    if settings.mode == BoxMode::Headless {
        command.extend(["--mode".to_owned(), "headless".to_owned()]);
    } else {
        let folder = settings.web_dir.display().to_string();
        command.extend(["--web-dir".to_owned(), folder]);
    }
    if settings.egress.mode == ProxyMode::Env && settings.egress.upstream.is_some() {
        // Nothing redirects what it sends.
        let bridge = SocketAddr::from((Ipv4Addr::LOCALHOST, CONNECT_PORT));
        command.extend(["--bridge".to_owned(), bridge.to_string()]);
    }
    let most = settings.max_upload.to_string();
    command.extend(["--max-upload".to_owned(), most]);
    if publishes(settings) {
        command.extend(["--git-fd".to_owned(), GIT_FD.to_string()]);
    }
    if let Some(url) = &settings.logout_url {
        command.extend(["--logout-url".to_owned(), url.clone()]);
    }
    if let Some(url) = &settings.public_url {
        command.extend(["--public-url".to_owned(), url.clone()]);
    }
    if settings.webhook_private {
        command.push("--webhook-private".to_owned());
    }
    if settings.aes_legacy {
        command.push("--aes-legacy".to_owned());
    }
    if settings.claude.lead_elsewhere() {
        command.push("--gateway".to_owned());
    }
    if settings.tcp_port.is_some() {
        command.extend(["--tcp-fd".to_owned(), TCP_FD.to_string()]);
    }
    if settings.sessions.resume == Resume::Always {
        command.extend(["--resume".to_owned(), "always".to_owned()]);
    }
    if settings.sessions.users == SessionUsers::Separate {
        let homes = settings
            .container
            .data_dir
            .join(HOMES)
            .display()
            .to_string();
        let roots = ["/workspace".to_owned(), "/home/coder".to_owned(), homes];
        command.extend(
            roots
                .into_iter()
                .flat_map(|root| ["--workdir-root".to_owned(), root]),
        );
    }
    if let Some(most) = settings.sessions.max {
        command.extend(["--max-sessions".to_owned(), most.to_string()]);
    }
    if let Some(kept) = settings.sessions.retention {
        let seconds = kept.as_secs().to_string();
        command.extend(["--session-retention".to_owned(), seconds]);
    }
    if let Some(kept) = settings.sessions.task_retention {
        let seconds = kept.as_secs().to_string();
        command.extend(["--task-retention".to_owned(), seconds]);
    }
    if !settings.trusted_proxies.is_empty() {
        let list: Vec<_> = settings
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        command.extend(["--trusted-proxies".to_owned(), list.join(",")]);
    }
    let environment = BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME".to_owned(), "/nonexistent".to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("CIB_PORT".to_owned(), settings.port.to_string()),
    ]);
    Service {
        name: NAME.to_owned(),
        command,
        user: CIB.to_owned(),
        group: None,
        environment,
        workdir: PathBuf::from("/"),
        needs: Vec::new(),
        readiness: Readiness {
            probe: Probe::Newline { fd: READY_FD },
            timeout: Duration::from_secs(10),
        },
        restart: Restart {
            policy: RestartPolicy::Always,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            give_up_after: Some(10),
        },
        stop_signal: libc::SIGTERM,
        grace: Duration::from_millis(2500),
        limits: ResourceLimits::default(),
        essential: true,
        umask: 0o027,
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path, auth: &Auth, proxy: Option<&Secret>) -> ControlAuth {
        write_auth(path, auth, proxy, None, &[], Vec::new(), None).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("0123456789abcdef\""), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn control_gets_digests_that_differ_each_time_and_never_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control/auth.json");
        let secret = Secret::new("0123456789abcdef");
        let token = Auth::Token(secret.clone());
        let first = written(&path, &token, Some(&secret));
        let second = written(&path, &token, None);
        assert_eq!(first.master_sha256, first.proxy_sha256);
        assert_ne!(first.master_sha256, second.master_sha256);
        let salted = format!("{}0123456789abcdef", second.salt.unwrap());
        let digest = hex::encode(&Sha256::digest(salted));
        assert_eq!(second.master_sha256, Some(digest));
        assert_eq!(second.proxy_sha256, None);
        let read = written(&path, &Auth::Disabled, None);
        assert!(read.disabled && read.master_sha256.is_none());
    }

    #[test]
    fn control_is_lent_a_port_for_devices_only_where_there_is_one() {
        use crate::environment::{Environment, FileSettings, SecretFileError};

        let command = |port: &str| {
            let variables = [("CIB_AUTH_DISABLED", "1"), ("CIB_TCP_PORT", port)];
            let environment: Environment = variables.into_iter().collect();
            let no_file = |_: &Path| Err(SecretFileError::NotText);
            let reading = Settings::read(&environment, &FileSettings::new(), &no_file);
            let settings = reading.settings.unwrap();
            let (bin, run) = (Path::new("/usr/bin"), Path::new("/run/cib"));
            service(bin, &settings, run, &run.join("auth.json")).command
        };
        let option = ["--tcp-fd".to_owned(), TCP_FD.to_string()];
        let has = |command: &[String]| command.windows(2).any(|pair| pair == option);
        assert!(has(&command("8081")));
        assert!(!has(&command("")));
    }

    #[test]
    fn an_administrators_password_reaches_control_as_a_hash_and_only_where_nobody_is() {
        let dir = tempfile::tempdir().unwrap();
        let admin = Admin {
            name: "ann".to_owned(),
            password: Secret::new("correct horse"),
        };
        let first = first_account(Some(&admin), dir.path()).unwrap().unwrap();
        assert!(cib_base::password::matches(
            &first.password,
            "correct horse"
        ));
        let path = dir.path().join("auth.json");
        let made = Some(first.clone());
        write_auth(&path, &Auth::Disabled, None, made, &[], Vec::new(), None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("correct horse"), "{text}");
        let read: ControlAuth = serde_json::from_str(&text).unwrap();
        assert_eq!(read.admin, Some(first));
        let accounts = dir.path().join(ACCOUNTS);
        std::fs::create_dir_all(accounts.parent().unwrap()).unwrap();
        std::fs::write(accounts, "{}").unwrap();
        assert_eq!(first_account(Some(&admin), dir.path()).unwrap(), None);
        assert_eq!(first_account(None, dir.path()).unwrap(), None);
    }

    #[test]
    fn the_boxs_own_secrets_are_told_by_what_finds_them_and_not_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let own = ["a-secret-of-the-box".to_owned(), "short".to_owned()];
        write_auth(&path, &Auth::Disabled, None, None, &own, Vec::new(), None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&own[0]), "{text}");
        let content: ControlAuth = serde_json::from_str(&text).unwrap();
        let [print] = &*content.prints else {
            panic!("{text}");
        };
        let noise = format!("x = {}", own[0]);
        let found: Vec<_> =
            print::places(noise.as_bytes(), print.bytes as usize, print.roll).collect();
        assert_eq!(found, [4]);
        let salted = format!("{}{}", content.salt.unwrap(), own[0]);
        assert_eq!(print.sha256, hex::encode(&Sha256::digest(salted)));
    }

    #[test]
    fn tokens_of_forges_are_in_a_file_for_control_alone_that_goes_with_them() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control").join(FORGES);
        let account = ForgeAccount {
            kind: cib_protocol::forge::ForgeKind::GitHub,
            url: "https://github.com".to_owned(),
            token: Some(Secret::new("ghp_0123456789")),
        };
        write_forges(&path, std::slice::from_ref(&account)).unwrap();
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions();
        assert_eq!(mode.mode() & 0o7777, 0o640);
        let bytes = std::fs::read(&path).unwrap();
        let read: ForgeAccounts = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read.forges, [account]);
        for _ in 0..2 {
            write_forges(&path, &[]).unwrap();
            assert!(!path.exists());
        }
    }

    /// Control's command line in a box with these variables.
    fn command_of(more: &[(&'static str, &'static str)]) -> String {
        use crate::environment::{Environment, FileSettings};

        let mut variables = vec![("CIB_AUTH_TOKEN", "0123456789abcdef")];
        variables.extend(more);
        let environment: Environment = variables.into_iter().collect();
        let nothing = |_: &Path| panic!("no file is named");
        let settings = Settings::read(&environment, &FileSettings::new(), &nothing);
        let settings = settings.settings.unwrap();
        let (bin, run) = (Path::new("/usr/bin"), Path::new("/run/cib"));
        let auth = Path::new("/run/cib/control/auth.json");
        service(bin, &settings, run, auth).command.join(" ")
    }

    #[test]
    fn everything_is_reached_through_the_bridge_where_nothing_is_redirected() {
        let proxy = ("CIB_PROXY_URL", "socks5://10.0.0.1:1080");
        let bridged = command_of(&[proxy, ("CIB_PROXY_MODE", "env")]);
        assert!(bridged.contains("--bridge 127.0.0.1:12346"), "{bridged}");
        assert!(
            bridged.contains("--forges /run/cib/control/forges.json"),
            "{bridged}"
        );
        for others in [&[proxy][..], &[("CIB_PROXY_MODE", "env")], &[]] {
            let direct = command_of(others);
            assert!(!direct.contains("--bridge"), "{direct}");
        }
    }

    #[test]
    fn control_knows_the_names_of_models_where_claude_speaks_to_anthropic_itself() {
        for (address, is_known) in [
            ("https://models.example/v1", false),
            ("https://api.anthropic.com/", true),
            ("", true),
        ] {
            let told = command_of(&[("ANTHROPIC_BASE_URL", address)]);
            assert_eq!(!told.contains("--gateway"), is_known, "{address}");
        }
        let cloud = command_of(&[("AWS_BEARER_TOKEN_BEDROCK", "key-of-bedrock")]);
        assert!(cloud.contains("--gateway"), "{cloud}");
    }

    #[test]
    fn what_control_reads_is_closed_to_others_and_replaces_what_was_left_behind() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join("auth.json.new")).unwrap();
        written(&path, &Auth::Disabled, None);
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions();
        assert_eq!(mode.mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "untouched");
    }
}
