//! Control as init sees it: one service, and the file that tells it whom to let in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_protocol::init::ControlAuth;
use sha2::{Digest, Sha256};

use crate::config::{Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service};
use crate::environment::{Auth, LogFormat, LogLevel, Mode as BoxMode, Resume, Settings};
use crate::socket::CONTROL_UID;
use crate::steps::accounts::CIB;
use crate::steps::{Owner, write_file};

/// Name of the service.
pub(super) const NAME: &str = "control";

/// Descriptor on which it says that it listens.
const READY_FD: i32 = 3;

/// Writes what control needs to recognise the master token: its digest, never the token.
///
/// # Errors
/// The file or its directory cannot be made or given to control.
pub(super) fn write_auth(path: &Path, auth: &Auth) -> io::Result<()> {
    let content = match auth {
        Auth::Token(token) => ControlAuth {
            master_sha256: Some(hexadecimal(&Sha256::digest(token.expose()))),
            disabled: false,
        },
        Auth::Disabled => ControlAuth {
            master_sha256: None,
            disabled: true,
        },
    };
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir)?;
    let root = rustix::process::geteuid().is_root();
    let owner = root.then_some(Owner {
        uid: 0,
        gid: CONTROL_UID,
    });
    // Never readable for anybody else, not even while it is written.
    write_file(path, &serde_json::to_vec(&content)?, owner, 0o640)
        .map(drop)
        .map_err(io::Error::other)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
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
        "--auth".to_owned(),
        auth.display().to_string(),
        "--ready-fd".to_owned(),
        READY_FD.to_string(),
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
    }
    if settings.sessions.resume == Resume::Always {
        command.extend(["--resume".to_owned(), "always".to_owned()]);
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
        stop_signal: rustix::process::Signal::TERM.as_raw(),
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
    use cib_protocol::secret::Secret;

    use super::*;

    #[test]
    fn control_gets_the_tokens_digest_and_never_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control/auth.json");
        write_auth(&path, &Auth::Token(Secret::new("0123456789abcdef"))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("0123456789abcdef\""), "{text}");
        let read: ControlAuth = serde_json::from_str(&text).unwrap();
        // From `printf 0123456789abcdef | sha256sum`.
        let digest = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        assert_eq!(read.master_sha256.as_deref(), Some(digest));
        write_auth(&path, &Auth::Disabled).unwrap();
        let read: ControlAuth = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert!(read.disabled && read.master_sha256.is_none());
    }
}
