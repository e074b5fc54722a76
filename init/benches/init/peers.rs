//! Who is measured.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::INIT;

/// What all others are compared with.
pub(crate) const YARDSTICK: &str = "tini";

/// An init that runs one command.
pub(crate) struct Bare {
    pub(crate) name: &'static str,
    /// The words in front of the command.
    pub(crate) words: &'static [&'static str],
}

/// The bare inits, ours first.
pub(crate) const BARE: &[Bare] = &[
    Bare {
        name: "cib-init",
        words: &[INIT, "--"],
    },
    Bare {
        name: "tini",
        words: &["tini", "-s", "--"],
    },
    Bare {
        name: "tini-static",
        words: &["tini-static", "-s", "--"],
    },
    Bare {
        name: "dumb-init",
        words: &["dumb-init", "--"],
    },
    Bare {
        name: "catatonit",
        words: &["catatonit", "--"],
    },
];

/// The bare inits with their numbers, in another order each round: who comes after whom must
/// not decide anything.
pub(crate) fn in_turn(round: usize) -> impl Iterator<Item = (usize, &'static Bare)> {
    let count = BARE.len();
    (0..count)
        .map(move |place| (place + round) % count)
        .map(|number| (number, &BARE[number]))
}

/// A supervisor that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervisor {
    S6,
    Supervisord,
}

impl Supervisor {
    pub(crate) const ALL: [Self; 2] = [Self::S6, Self::Supervisord];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S6 => "s6-svscan",
            Self::Supervisord => "supervisord",
        }
    }

    /// Configures one service that runs `script`, which says on descriptor 3 that it is ready,
    /// and returns the words that start the supervisor.
    pub(crate) fn configure(self, dir: &Path, script: &Path) -> Vec<String> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        match self {
            Self::S6 => {
                let service = dir.join("scan/service");
                std::fs::create_dir_all(&service).unwrap();
                let run = service.join("run");
                std::fs::write(&run, format!("#!/bin/sh\nexec {}\n", script.display())).unwrap();
                std::fs::set_permissions(&run, PermissionsExt::from_mode(0o755)).unwrap();
                std::fs::write(service.join("notification-fd"), "3\n").unwrap();
                vec!["s6-svscan".to_owned(), path(&dir.join("scan"))]
            }
            Self::Supervisord => {
                let file = dir.join("supervisord.conf");
                let text = format!(
                    "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
                     pidfile={0}/supervisord.pid\nchildlogdir={0}\n[program:service]\ncommand=/bin/sh -c 'exec {1} 3>/dev/null'\n",
                    dir.display(),
                    script.display()
                );
                std::fs::write(&file, text).unwrap();
                vec!["supervisord".to_owned(), "-c".to_owned(), path(&file)]
            }
        }
    }
}

/// Stops with the list of what is missing.
pub(crate) fn require() {
    let tools = [
        "tini",
        "tini-static",
        "dumb-init",
        "catatonit",
        "s6-svscan",
        "supervisord",
        "perl",
        "unshare",
        "ip",
        "nft",
        "redsocks",
        "microsocks",
    ];
    let path = std::env::var("PATH").unwrap_or_default();
    let there = |tool: &str| {
        path.split(':')
            .any(|dir| Path::new(dir).join(tool).exists())
    };
    let missing: Vec<&str> = tools.into_iter().filter(|tool| !there(tool)).collect();
    assert!(
        missing.is_empty(),
        "missing: {}; apt-get install tini dumb-init catatonit s6 supervisor perl iproute2 nftables \
         redsocks microsocks",
        missing.join(", ")
    );
    assert!(nix::unistd::geteuid().is_root(), "namespaces need root");
}
