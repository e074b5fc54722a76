//! Sockets and ports: the box's own, spoken to and taken.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Aim, Loot, Outcome};

const PATIENCE: Duration = Duration::from_secs(2);

/// How long the API is waited for. While the box ends, nobody answers.
const MOMENT: Duration = Duration::from_millis(250);

/// Ports on which the box's services listen, beside the API's.
const PORTS: [u16; 4] = [12345, 5301, 5302, 12346];

/// Sends a line to a socket and reads one back.
fn ask(path: &Path, line: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line.as_bytes())?;
    stream.write_all(b"\n")?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    Ok(reply)
}

/// What only root and control may ask of init.
pub(super) fn order_init(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    let session = &aim.session;
    for line in [
        r#"{"op":"service_stop","service":"control"}"#.to_owned(),
        r#"{"op":"service_restart","service":"control"}"#.to_owned(),
        r#"{"op":"service_stop","service":"redsocks"}"#.to_owned(),
        r#"{"op":"service_start","service":"control"}"#.to_owned(),
        format!(r#"{{"op":"session_signal","session":"{session}","kill":true}}"#),
        format!(
            r#"{{"op":"session_start","spec":{{"id":"{session}","workdir":"/workspace","driver":"stream","permission_mode":"default","auth_mode":"auto","limits":{{}}}}}}"#
        ),
        format!(r#"{{"op":"session_purge","session":"{session}"}}"#),
        r#"{"op":"login_start"}"#.to_owned(),
        r#"{"op":"egress_test"}"#.to_owned(),
    ] {
        match ask(&aim.run.join("init.sock"), &line) {
            Ok(reply) if reply.contains("\"refused\"") => loot.refused = Some(reply),
            Ok(reply) if reply.is_empty() => loot.refused = Some("hung up".into()),
            Ok(reply) => loot.got.push(format!("{line}: {reply}")),
            Err(error) => loot.refused = Some(error.to_string()),
        }
    }
    loot.outcome()
}

/// Secrets in what everybody may ask of init.
pub(super) fn search_init(aim: &Aim) -> Outcome {
    let mut loot = Loot::unless("nothing was found");
    for line in [
        r#"{"op":"status"}"#,
        r#"{"op":"logs","service":"control","lines":1000}"#,
        r#"{"op":"logs","service":"init","lines":1000}"#,
        r#"{"op":"logs","service":"redsocks","lines":1000}"#,
        r#"{"op":"logs","service":"session","lines":1000}"#,
    ] {
        let reply = ask(&aim.run.join("init.sock"), line).unwrap_or_default();
        if aim.secrets.iter().any(|secret| reply.contains(secret)) {
            loot.got.push(format!("a secret in the answer to {line}"));
        }
    }
    loot.outcome()
}

/// Lines that are no requests, very long ones, and none at all.
pub(super) fn garble_init(aim: &Aim) -> Outcome {
    let socket = aim.run.join("init.sock");
    let long = "x".repeat(1 << 20);
    let deep = "[".repeat(100_000);
    for line in [
        "",
        "{",
        "null",
        "{\"op\":\"\\ud83d\"}",
        "{\"op\":\"status\",\"op\":\"logs\"}",
        "\0\0\0",
        deep.as_str(),
        long.as_str(),
    ] {
        let _ = ask(&socket, line);
    }
    Outcome::Done
}

/// The victim's keeper: its questions, its input, its end.
pub(super) fn order_keeper(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    let socket = aim.runtime().join("keeper.sock");
    for line in [
        r#"{"op":"status"}"#,
        r#"{"op":"input","text":"forged"}"#,
        r#"{"op":"interrupt"}"#,
        r#"{"op":"answer","id":"q1","answers":{}}"#,
        r#"{"op":"stop"}"#,
    ] {
        match ask(&socket, line) {
            Ok(reply) if reply.is_empty() => loot.refused = Some("hung up".into()),
            Ok(reply) => loot.got.push(format!("{line}: {reply}")),
            Err(error) => loot.refused = Some(error.to_string()),
        }
    }
    loot.outcome()
}

/// The sockets on which control is asked how it is, and on which root changes accounts.
pub(super) fn control_socket(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for name in ["health.sock", "accounts.sock"] {
        let connected = UnixStream::connect(aim.run.join("control").join(name));
        loot.take(|| format!("reached control's own {name}"), connected);
    }
    loot.outcome()
}

/// Listens where the box's services do, in every way that the kernel offers.
pub(super) fn take_ports(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for port in PORTS.into_iter().chain([aim.port]) {
        for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
            let tried = listen(address, port);
            loot.take(|| format!("listens on {address}:{port}"), tried);
        }
    }
    for port in [5301, 5302] {
        let tried = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        loot.take(|| format!("has UDP port {port}"), tried);
    }
    // A port of a service that this box does not run is anybody's.
    loot.got.retain(|got| !is_unused(got));
    loot.refused.get_or_insert("they are taken".into());
    loot.outcome()
}

/// Whether what was taken belongs to a service that is not there.
fn is_unused(got: &str) -> bool {
    PORTS
        .into_iter()
        .any(|port| got.ends_with(&port.to_string()) && !is_served(port))
}

fn is_served(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE).is_ok()
}

fn listen(address: Ipv4Addr, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// A request to the API from inside, and its status; 0 where nothing came back.
fn request(aim: &Aim, address: Ipv4Addr, head: &str) -> io::Result<u16> {
    let address = SocketAddr::from((address, aim.port));
    let mut stream = TcpStream::connect_timeout(&address, MOMENT)?;
    stream.set_read_timeout(Some(MOMENT))?;
    stream.write_all(head.as_bytes())?;
    let mut reply = [0; 64];
    let count = stream.read(&mut reply)?;
    let text = String::from_utf8_lossy(&reply[..count]).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(status.unwrap_or(0))
}

/// Addresses of this machine: the loopback and the one that a packet outward would have.
fn own_addresses() -> Vec<Ipv4Addr> {
    let mut found = vec![Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        if let Some(address) = entry
            .address
            .and_then(|a| a.as_sockaddr_in().map(|a| a.ip()))
        {
            found.push(address);
        }
    }
    found
}

/// The API without a token, with wrong ones, and as somebody whom a proxy has let in.
pub(super) fn api(aim: &Aim) -> Outcome {
    let mut loot = Loot::unless("401");
    for address in own_addresses() {
        for extra in [
            "",
            "Authorization: Bearer wrong-token-wrong-token\r\n",
            "X-Forwarded-User: me\r\n",
            "X-Forwarded-User: me\r\nX-Forwarded-For: 127.0.0.1\r\n",
            "X_Forwarded_User: me\r\n",
            "Remote-User: me\r\n",
        ] {
            let head = format!(
                "GET /api/sessions HTTP/1.1\r\nHost: localhost\r\n{extra}Connection: close\r\n\r\n"
            );
            match request(aim, address, &head) {
                Ok(status @ 200..=299) => loot.got.push(format!("{status} with {extra:?}")),
                Ok(_) => {}
                Err(error) => loot.refused = Some(error.to_string()),
            }
        }
    }
    loot.outcome()
}

/// Wrong tokens without end, which must shut out nobody who has the right one.
pub(super) fn guess_tokens(aim: &Aim) -> Outcome {
    for guess in 0..60 {
        let head = format!(
            "GET /api/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer guess-{guess}-0123456789\r\nConnection: close\r\n\r\n"
        );
        let _ = request(aim, Ipv4Addr::LOCALHOST, &head);
    }
    Outcome::Done
}

/// What belongs to no protocol, on every port of the box.
pub(super) fn garble_ports(aim: &Aim) -> Outcome {
    for port in PORTS.into_iter().chain([aim.port]) {
        for text in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"GET / HTTP/9.9\r\n\r\n",
        ] {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
                let _ = stream.write_all(text);
                let _ = stream.read(&mut [0; 16]);
            }
        }
    }
    Outcome::Done
}

/// Listens on a port of the agent's own, which it may: the control of the other attacks.
pub(super) fn own_port(_: &Aim) -> Outcome {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::Refused(error.to_string()),
    }
}
