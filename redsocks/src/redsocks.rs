//! redsocks 0.5, as Debian ships it.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use cib_upstream::Scheme;
use zeroize::Zeroizing;

use crate::quote::quote;
use crate::redirector::{ConfigurationFault, Readiness, Redirector, Settings};

/// Descriptors of a connection that splices: two sockets and two pipes.
const FILES_A_CONNECTION: u64 = 6;
/// Descriptors for everything else: the standard three, the listener, epoll, a few spare.
const FILES_SPARE: u64 = 32;
/// The most files to ask for. It is the kernel's own default ceiling (`fs.nr_open`), and
/// keeps an unlimited `ulimit` within the 32 bits that redsocks reads.
const FILES_MAX: u64 = 1 << 20;

/// The redirector of this box.
#[derive(Clone, Debug)]
pub struct Redsocks {
    program: PathBuf,
}

impl Default for Redsocks {
    /// Where Debian puts it.
    fn default() -> Self {
        Self {
            program: "/usr/sbin/redsocks".into(),
        }
    }
}

impl Redsocks {
    /// One at another path.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
        }
    }
}

impl Redirector for Redsocks {
    fn name(&self) -> &'static str {
        "redsocks"
    }

    fn can_reach(&self, address: IpAddr) -> bool {
        address.is_ipv4()
    }

    fn configuration(
        &self,
        settings: &Settings<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, ConfigurationFault> {
        let redirector = self.name();
        let SocketAddr::V4(next_hop) = settings.next_hop else {
            return Err(ConfigurationFault::Family {
                next_hop: settings.next_hop,
                redirector,
            });
        };
        let nofile = settings.nofile.min(FILES_MAX);
        let connections = nofile.saturating_sub(FILES_SPARE) / FILES_A_CONNECTION;
        if connections == 0 {
            return Err(ConfigurationFault::Files {
                nofile: settings.nofile,
                redirector,
            });
        }
        let kind = match settings.upstream.scheme() {
            Scheme::Socks5 => "socks5",
            Scheme::Socks4 => "socks4",
            Scheme::Http => "http-connect",
        };
        // Long enough from the start for two credentials of 255 bytes, each escaped.
        let mut text = Zeroizing::new(Vec::with_capacity(2048));
        // No user and no group: init starts it as the user that it stays. `max_accept_backoff`
        // bounds how long it stays deaf after it ran out of connections; the default is 60 s.
        text.extend_from_slice(
            format!(
                "base {{\n\
                 \x20log_debug = off;\n\
                 \x20log_info = off;\n\
                 \x20log = stderr;\n\
                 \x20daemon = off;\n\
                 \x20redirector = iptables;\n\
                 \x20tcp_keepalive_time = 60;\n\
                 \x20tcp_keepalive_probes = 4;\n\
                 \x20tcp_keepalive_intvl = 15;\n\
                 \x20rlimit_nofile = {nofile};\n\
                 \x20redsocks_conn_max = {connections};\n\
                 \x20max_accept_backoff = 1000;\n\
                 }}\n\
                 redsocks {{\n\
                 \x20local_ip = {};\n\
                 \x20local_port = {};\n\
                 \x20ip = {};\n\
                 \x20port = {};\n\
                 \x20type = \"{kind}\";\n\
                 \x20splice = on;\n",
                settings.listen.ip(),
                settings.listen.port(),
                next_hop.ip(),
                next_hop.port(),
            )
            .as_bytes(),
        );
        if let Some(credentials) = settings.upstream.credentials() {
            text.extend_from_slice(b" login = ");
            quote(credentials.user.expose(), &mut text).ok_or(
                ConfigurationFault::Inexpressible {
                    part: "user",
                    redirector,
                },
            )?;
            // Without a password line redsocks would drop the login as well, so an empty
            // password is said. SOCKS4 has none, and redsocks warns of one.
            if settings.upstream.scheme() != Scheme::Socks4 {
                text.extend_from_slice(b";\n password = ");
                quote(credentials.password.expose(), &mut text).ok_or(
                    ConfigurationFault::Inexpressible {
                        part: "password",
                        redirector,
                    },
                )?;
            }
            text.extend_from_slice(b";\n");
        }
        text.extend_from_slice(b"}\n");
        Ok(text)
    }

    fn argv(&self, path: &Path) -> Vec<OsString> {
        vec![self.program.clone().into(), "-c".into(), path.into()]
    }

    fn readiness(&self, settings: &Settings<'_>) -> Readiness {
        Readiness::Listening(settings.listen)
    }
}

#[cfg(test)]
mod tests {
    use cib_upstream::Upstream;

    use super::*;

    fn render(url: &str, next_hop: &str, nofile: u64) -> Result<String, ConfigurationFault> {
        let upstream = Upstream::parse(url).unwrap();
        let settings = Settings {
            upstream: &upstream,
            next_hop: next_hop.parse().unwrap(),
            listen: "127.0.0.1:12345".parse().unwrap(),
            nofile,
        };
        let text = Redsocks::default().configuration(&settings)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn the_configuration_is_what_a_person_would_write() {
        let text = render(
            "socks5://us%22er:p%5Cw%3B@proxy:1080",
            "192.0.2.1:1080",
            524_288,
        )
        .unwrap();
        assert_eq!(
            text,
            r#"base {
 log_debug = off;
 log_info = off;
 log = stderr;
 daemon = off;
 redirector = iptables;
 tcp_keepalive_time = 60;
 tcp_keepalive_probes = 4;
 tcp_keepalive_intvl = 15;
 rlimit_nofile = 524288;
 redsocks_conn_max = 87376;
 max_accept_backoff = 1000;
}
redsocks {
 local_ip = 127.0.0.1;
 local_port = 12345;
 ip = 192.0.2.1;
 port = 1080;
 type = "socks5";
 splice = on;
 login = "us\"er";
 password = "p\\w;";
}
"#
        );
    }

    #[test]
    fn connections_never_outnumber_the_files_they_need() {
        for nofile in [38, 1024, 65_536, u64::MAX] {
            let text = render("http://proxy:1", "192.0.2.1:1", nofile).unwrap();
            let number = |key: &str| -> u64 {
                let line = text.lines().find(|line| line.contains(key)).unwrap();
                line.rsplit_once("= ")
                    .unwrap()
                    .1
                    .trim_end_matches(';')
                    .parse()
                    .unwrap()
            };
            let files = number("rlimit_nofile");
            assert!(files <= nofile.min(1 << 20));
            assert!(number("redsocks_conn_max") * 6 + 32 <= files);
        }
        let fault = render("http://proxy:1", "192.0.2.1:1", 37).unwrap_err();
        assert!(fault.to_string().contains("ulimit"), "{fault}");
    }

    #[test]
    fn what_redsocks_cannot_be_told_is_refused_without_telling_it_to_others() {
        let fault = render("socks5://user:%3B@proxy:1", "192.0.2.1:1", 1024).unwrap_err();
        assert_eq!(
            fault,
            ConfigurationFault::Inexpressible {
                part: "password",
                redirector: "redsocks"
            }
        );
        assert!(fault.to_string().contains("CIB_PROXY_URL"), "{fault}");
        let fault = render("socks5://[2001:db8::1]:1", "[2001:db8::1]:1", 1024).unwrap_err();
        assert!(matches!(fault, ConfigurationFault::Family { .. }));
    }

    #[test]
    fn a_user_alone_is_given_an_empty_password_where_there_is_room_for_one() {
        let socks5 = render("socks5://user@proxy:1", "192.0.2.1:1", 1024).unwrap();
        assert!(socks5.contains("password = \"\";"), "{socks5}");
        let socks4 = render("socks4://user@proxy:1", "192.0.2.1:1", 1024).unwrap();
        assert!(!socks4.contains("password"), "{socks4}");
    }
}
