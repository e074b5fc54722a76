//! Control as a service of init, and the file that tells control whom to let in.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_base::hex;
use cib_protocol::init::ControlAuth;
use cib_protocol::secret::Secret;
use sha2::{Digest, Sha256};

use crate::config::{Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service};
use crate::environment::{
    Auth, LogFormat, LogLevel, Mode as BoxMode, Resume, SessionUsers, Settings,
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

/// What the kernel fills anew, with 122 random bits, at each reading.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// Writes what control needs to recognise the master token and a trusted proxy: digests, never
/// the secrets themselves.
///
/// # Errors
/// The file or its directory cannot be made or given to control.
pub(super) fn write_auth(path: &Path, auth: &Auth, proxy: Option<&Secret>) -> io::Result<()> {
    // Random, and new each time.
    let salt = cib_foreign::own::read_to_string(RANDOM)?.trim().to_owned();
    let digest = |secret: &Secret| {
        let salted = Sha256::new().chain_update(&salt);
        hex::encode(&salted.chain_update(secret.expose()).finalize())
    };
    let content = ControlAuth {
        master_sha256: match auth {
            Auth::Token(token) => Some(digest(token)),
            Auth::Disabled => None,
        },
        proxy_sha256: proxy.map(digest),
        disabled: matches!(auth, Auth::Disabled),
        salt: Some(salt),
    };
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir)?;
    let root = nix::unistd::geteuid().is_root();
    let owner = root.then_some(Owner {
        uid: 0,
        gid: CONTROL_UID,
    });
    // Never readable for anybody else, not even while it is written.
    write_file(path, &serde_json::to_vec(&content)?, owner, 0o640)
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
        write_auth(path, auth, proxy).unwrap();
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
