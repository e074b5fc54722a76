//! The processes that the way out needs, as services like any other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_redsocks::{Readiness as RedirectorReadiness, Redirector, Settings};

use crate::config::{
    ListenAddress, Probe, Readiness, ResourceLimits, Restart, RestartPolicy, Service,
};

/// The user that redsocks, the resolver and the connect bridge run as.
pub const PROXY_USER: &str = "cib-proxy";
/// Its user and group id in every image (`docs/design/interfaces.md`).
pub const PROXY_UID: u32 = cib_nft::PROXY_UID;

/// Name of the resolver's service.
pub const RESOLVER: &str = "resolver";
/// Name of the connect bridge's service.
pub const CONNECT: &str = "connect";

/// Descriptor on which our own programs say that they are ready.
const READY_FD: i32 = 3;
/// The first of the descriptors that sockets are given under; the others follow.
pub const SOCKETS: i32 = READY_FD + 1;
/// None of them takes a tenth of this to start, on the slowest board.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The redirector's service, for its configuration at `path`.
pub fn redirector(redirector: &dyn Redirector, settings: &Settings<'_>, path: &Path) -> Service {
    let probe = match redirector.readiness(settings) {
        RedirectorReadiness::Listening(address) => Probe::Listening {
            address: ListenAddress::Tcp(SocketAddr::V4(address)),
        },
        RedirectorReadiness::Descriptor => Probe::Newline { fd: READY_FD },
    };
    let command = redirector
        .argv(path)
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let limits = ResourceLimits {
        open_files: Some(settings.nofile),
        ..ResourceLimits::default()
    };
    Service {
        limits,
        ..service(redirector.name(), command, probe)
    }
}

/// The resolver's service, which is given so many sockets.
pub fn resolver(program: &Path, configuration: &Path, sockets: usize) -> Service {
    let command = own(program, configuration, sockets);
    service(RESOLVER, command, Probe::Newline { fd: READY_FD })
}

/// The connect bridge's service, likewise.
pub fn connect(program: &Path, configuration: &Path, sockets: usize) -> Service {
    let command = own(program, configuration, sockets);
    service(CONNECT, command, Probe::Newline { fd: READY_FD })
}

fn own(program: &Path, configuration: &Path, sockets: usize) -> Vec<String> {
    let mut command = vec![
        program.display().to_string(),
        "--config".to_owned(),
        configuration.display().to_string(),
        "--ready-fd".to_owned(),
        READY_FD.to_string(),
    ];
    for descriptor in (SOCKETS..).take(sockets) {
        command.extend(["--socket".to_owned(), descriptor.to_string()]);
    }
    command
}

/// None of them may end the box by failing: the rules stand without them, and closed is the
/// safe state. So none is ever given up.
fn service(name: &str, command: Vec<String>, probe: Probe) -> Service {
    let environment = BTreeMap::from([
        (
            "PATH".to_owned(),
            "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("HOME".to_owned(), "/nonexistent".to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    Service {
        name: name.to_owned(),
        command,
        user: PROXY_USER.to_owned(),
        group: None,
        environment,
        workdir: PathBuf::from("/"),
        needs: Vec::new(),
        readiness: Readiness {
            probe,
            timeout: START_TIMEOUT,
        },
        restart: Restart {
            policy: RestartPolicy::Always,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            give_up_after: None,
        },
        stop_signal: libc::SIGTERM,
        grace: Duration::from_secs(1),
        limits: ResourceLimits::default(),
        essential: false,
        umask: 0o077,
    }
}

#[cfg(test)]
mod tests {
    use cib_redsocks::Redsocks;
    use cib_upstream::Upstream;

    use super::*;

    #[test]
    fn no_command_line_holds_a_credential() {
        let upstream = Upstream::parse("socks5://user:hunter2@192.0.2.7:1080").unwrap();
        let settings = Settings {
            upstream: &upstream,
            next_hop: "192.0.2.7:1080".parse().unwrap(),
            listen: "127.0.0.1:12345".parse().unwrap(),
            nofile: 4096,
        };
        let services = [
            redirector(
                &Redsocks::default(),
                &settings,
                Path::new("/run/cib/redsocks/redsocks.conf"),
            ),
            resolver(
                Path::new("/usr/bin/cib-resolver"),
                Path::new("/run/cib/resolver/resolver.json"),
                5,
            ),
            connect(
                Path::new("/usr/bin/cib-connect"),
                Path::new("/run/cib/connect/connect.json"),
                1,
            ),
        ];
        for service in services {
            let shown = format!("{:?} {:?}", service.command, service.environment);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(service.user, "cib-proxy");
            assert_eq!(service.restart.give_up_after, None);
        }
    }

    #[test]
    fn redsocks_may_open_as_many_files_as_its_configuration_says() {
        let upstream = Upstream::parse("socks5://192.0.2.7:1080").unwrap();
        let settings = Settings {
            upstream: &upstream,
            next_hop: "192.0.2.7:1080".parse().unwrap(),
            listen: "127.0.0.1:12345".parse().unwrap(),
            nofile: 4096,
        };
        let service = redirector(&Redsocks::default(), &settings, Path::new("/x"));
        assert_eq!(service.limits.open_files, Some(4096));
    }
}
