//! Starts real SOCKS5 servers: dante and microsocks, from the distribution's packages.
//!
//! Both are started by the same shell script, in a namespace of the host or as a container's
//! command. Secrets travel in the environment, so that the script quotes nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use crate::netns::Netns;
use crate::process::Process;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `danted` of dante-server, which asks the system's user database.
    Dante,
    /// `microsocks`, which handles one message at a time and breaks on pipelining.
    Microsocks,
}

/// A user of a server, who is made before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// A name that `useradd` takes.
    pub user: String,
    /// Any password without a line's end.
    pub password: String,
}

/// A server to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socks {
    /// Which server.
    pub kind: Kind,
    /// Where it listens: an address of its own.
    pub listen: SocketAddr,
    /// The address that its connections come from.
    pub from: IpAddr,
    /// Who may use it; anybody if nobody is named.
    pub login: Option<Login>,
}

/// Lets the host's user database be added to in this mount namespace alone.
const OWN_USERS: &str = r#"
etc=$(mktemp -d)
mount --make-rprivate /
mount -t tmpfs -o mode=755 users "$etc"
cp -a /etc/. "$etc"
rm -f "$etc"/*.lock
mount --move "$etc" /etc
rmdir "$etc"
"#;

const USERS: &str = r#"
if [ -n "$SOCKS_USER" ]; then
  # A container that is started again has its user already.
  id -- "$SOCKS_USER" >/dev/null 2>&1 ||
    useradd --no-create-home --shell /usr/sbin/nologin -- "$SOCKS_USER"
  printf '%s:%s\n' "$SOCKS_USER" "$SOCKS_PASSWORD" | chpasswd
  method=username
else
  method=none
fi
"#;

const DANTE: &str = r#"
cat > /etc/danted.conf <<EOF
logoutput: stderr
internal: $SOCKS_ADDR port = $SOCKS_PORT
external: $SOCKS_FROM
clientmethod: none
socksmethod: $method
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass {
  from: 0/0 to: 0/0
  command: connect
  log: connect error
}
EOF
exec danted
"#;

const MICROSOCKS: &str = r#"
set -- -i "$SOCKS_ADDR" -p "$SOCKS_PORT" -b "$SOCKS_FROM"
[ -z "$SOCKS_USER" ] || set -- "$@" -u "$SOCKS_USER" -P "$SOCKS_PASSWORD"
exec microsocks "$@"
"#;

impl Socks {
    /// The shell script that becomes the server, for `sh -c` in a container of its own.
    #[must_use]
    pub fn script(&self) -> String {
        match self.kind {
            Kind::Dante => format!("set -eu\n{USERS}{DANTE}"),
            Kind::Microsocks => format!("set -eu\n{MICROSOCKS}"),
        }
    }

    /// What the script reads.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let login = self.login.as_ref();
        vec![
            ("SOCKS_ADDR", self.listen.ip().to_string()),
            ("SOCKS_PORT", self.listen.port().to_string()),
            ("SOCKS_FROM", self.from.to_string()),
            (
                "SOCKS_USER",
                login.map(|login| login.user.clone()).unwrap_or_default(),
            ),
            (
                "SOCKS_PASSWORD",
                login
                    .map(|login| login.password.clone())
                    .unwrap_or_default(),
            ),
        ]
    }

    /// Starts the server inside a namespace of the host and waits until it listens. The host's
    /// users stay as they are: the server sees a private copy of `/etc`.
    ///
    /// # Errors
    /// The programs cannot be started.
    ///
    /// # Panics
    /// The server does not listen within ten seconds; the message holds what it said.
    pub fn start(&self, netns: &Netns) -> io::Result<Process> {
        let own_users = if self.kind == Kind::Dante {
            OWN_USERS
        } else {
            ""
        };
        let mut command = netns.command("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            &format!("set -eu\n{own_users}{}", self.script()),
        ]);
        command.envs(self.environment());
        let mut server = Process::spawn(command)?;
        let listens = listens(self.listen);
        crate::wait::wait_until(std::time::Duration::from_secs(10), "a SOCKS server", || {
            if let Some(status) = server.exited() {
                panic!("the SOCKS server ended ({status}):\n{}", server.output());
            }
            let mut sockets = netns.command("ss");
            sockets.args(["-Hltn", &listens]);
            crate::process::run(sockets).is_ok_and(|found| !found.trim().is_empty())
        });
        Ok(server)
    }

    /// The address as `CIB_PROXY_URL` wants it, its user and password percent-encoded.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.login {
            None => format!("socks5://{}", self.listen),
            Some(Login { user, password }) => {
                format!(
                    "socks5://{}:{}@{}",
                    encoded(user),
                    encoded(password),
                    self.listen
                )
            }
        }
    }
}

/// A filter of `ss` for listeners on `addr`.
fn listens(addr: SocketAddr) -> String {
    format!("sport = :{}", addr.port())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

/// A command that fetches `url` through the server at `through`, quietly, failing on errors.
pub fn curl(netns: &Netns, through: &Socks, url: &str) -> Command {
    let mut command = netns.command("curl");
    command.args([
        "-sS",
        "--fail",
        "--max-time",
        "10",
        "--noproxy",
        "",
        "--proxy",
    ]);
    command
        .arg(through.url().replacen("socks5://", "socks5h://", 1))
        .arg(url);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_any_password() {
        let socks = Socks {
            kind: Kind::Dante,
            listen: SocketAddr::from(([10, 0, 0, 2], 1080)),
            from: IpAddr::from([203, 0, 113, 2]),
            login: Some(Login {
                user: "box".into(),
                password: "p@ss:w/ü%".into(),
            }),
        };
        assert_eq!(
            socks.url(),
            "socks5://box:p%40ss%3Aw%2F%C3%BC%25@10.0.0.2:1080"
        );
    }
}
