//! The MQTT broker that the box speaks to.

use cib_protocol::mqtt::MqttSettings;
use cib_protocol::scopes::SCOPES;
use cib_protocol::secret::Secret;
use percent_encoding::percent_decode_str;

use super::catalog as names;
use super::fault::Place;
use super::parse::Wrong;
use super::quoted;
use super::reader::Reader;

/// What a broker's address looks like.
const ADDRESS: &str = "write `mqtts://user:password@broker:8883` or `mqtt://broker:1883`";

/// Characters of a prefix, so that every topic fits.
const PREFIX: usize = 100;

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Broker {
    host: String,
    port: u16,
    tls: bool,
    is_three: bool,
    user: Option<String>,
    password: Option<Secret>,
}

/// Reads everything about the broker; nothing without an address. A prefix that is not said is empty.
pub(super) fn mqtt(reader: &mut Reader<'_>) -> Option<MqttSettings> {
    let faults = reader.faults.len();
    let url = reader.value(&names::CIB_MQTT_URL, broker);
    let is_faulty = reader.faults.len() > faults;
    let ca = reader.value(&names::CIB_MQTT_CA, certificates);
    let certificate = reader.value(&names::CIB_MQTT_CERT, certificates);
    let key = reader.value(&names::CIB_MQTT_KEY, key);
    let prefix = reader.value(&names::CIB_MQTT_PREFIX, prefix);
    let scopes = reader.list(&names::CIB_MQTT_SCOPES, scope);
    let kinds = reader.list(&names::CIB_MQTT_KINDS, kind);
    let coalesce = reader.duration(&names::CIB_MQTT_COALESCE);
    let home_assistant = reader.flag(&names::CIB_MQTT_HOME_ASSISTANT);
    if certificate.is_some() != key.is_some() {
        let (set, other) = match &key {
            None => ("CIB_MQTT_CERT", "CIB_MQTT_KEY"),
            Some(_) => ("CIB_MQTT_KEY", "CIB_MQTT_CERT"),
        };
        let remedy = format!("set {other}, or {other}_FILE, as well");
        reader.fault(
            Place::variable(set),
            Wrong::new("is one half of two", remedy),
        );
    }
    let Some(url) = url else {
        let is_any = ca.is_some()
            || certificate.is_some()
            || prefix.is_some()
            || home_assistant
            || !scopes.is_empty();
        if is_any && !is_faulty {
            reader.warn(
                &names::CIB_MQTT_URL,
                "is not set, and other CIB_MQTT_ variables are",
                "set it, or CIB_MQTT_URL_FILE",
            );
        }
        return None;
    };
    if !url.tls && (ca.is_some() || certificate.is_some()) {
        reader.fault(
            Place::variable("CIB_MQTT_URL"),
            Wrong::new(
                "is without TLS, and there are certificates for it",
                "write mqtts://, or unset CIB_MQTT_CA and CIB_MQTT_CERT",
            ),
        );
    }
    if !url.tls && url.password.is_some() {
        reader.warn(
            &names::CIB_MQTT_URL,
            "sends a password that everybody on the way can read",
            "write mqtts:// if the broker speaks TLS",
        );
    }
    Some(MqttSettings {
        host: url.host,
        port: url.port,
        tls: url.tls,
        is_three: url.is_three,
        user: url.user,
        password: url.password,
        ca,
        certificate,
        key,
        prefix: prefix.unwrap_or_default(),
        scopes,
        kinds,
        coalesce_ms: u64::try_from(coalesce.as_millis()).unwrap_or(0),
        home_assistant,
    })
}

/// A broker's address. What is wrong with it is said without any of it, for it may hold a password.
fn broker(text: &str) -> Result<Broker, Wrong> {
    let wrong = |problem: &str| Wrong::new(problem, ADDRESS);
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| wrong("has no scheme"))?;
    let tls = match scheme {
        "mqtt" => false,
        "mqtts" => true,
        _ => return Err(wrong("has a scheme that is neither `mqtt` nor `mqtts`")),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_three = match query {
        "" | "v=5" => false,
        "v=3" => true,
        _ => return Err(wrong("has a query that is neither `v=3` nor `v=5`")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        let decoded = decoded.map_err(|_| wrong("has a user or a password that is no text"))?;
        if decoded.len() > 1024 || decoded.chars().any(char::is_control) {
            return Err(wrong("has a user or a password that cannot be one"));
        }
        Ok(decoded.into_owned())
    };
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => {
            let (user, password) = (decode(user)?, decode(password)?);
            if user.is_empty() {
                return Err(wrong("has a password and no user"));
            }
            (
                Some(user),
                (!password.is_empty()).then(|| Secret::new(password)),
            )
        }
        None => (None, None),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed
                .split_once(']')
                .ok_or_else(|| wrong("has no `]` behind its address"))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(wrong("has something in brackets that is no IPv6 address"));
            }
            (host, port)
        }
        None => place.find(':').map_or((place, ""), |at| place.split_at(at)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port: &u16| *port != 0)
            .ok_or_else(|| wrong("has a port that is none"))?,
        None if port.is_empty() => {
            if tls {
                8883
            } else {
                1883
            }
        }
        None => return Err(wrong("has something behind its address")),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(fits) {
        return Err(wrong("has a host that is none"));
    }
    Ok(Broker {
        host: host.to_owned(),
        port,
        tls,
        is_three,
        user,
        password,
    })
}

fn certificates(text: &str) -> Result<String, Wrong> {
    if text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----") {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        "is no certificate in PEM",
        "name a file with `-----BEGIN CERTIFICATE-----` in the variable's _FILE twin",
    ))
}

fn key(text: &str) -> Result<Secret, Wrong> {
    let begins = text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----");
    if begins && !text.contains("ENCRYPTED") {
        return Ok(Secret::new(text));
    }
    Err(Wrong::new(
        "is no key in PEM that needs no passphrase",
        "name a file with `-----BEGIN PRIVATE KEY-----` in CIB_MQTT_KEY_FILE",
    ))
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_one = text
        .split('/')
        .all(|part| !part.is_empty() && part.chars().all(fits));
    if is_one && text.len() <= PREFIX {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} is no beginning of a topic", quoted(text)),
        "take words of letters, digits and `.`, `_`, `-`, with `/` between them, e.g. `cib/desk`",
    ))
}

fn scope(text: &str) -> Result<String, Wrong> {
    if text == "*" || SCOPES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} is no scope", quoted(text)),
        "take those of docs/spec/api.md, e.g. `sessions:input`",
    ))
}

fn kind(text: &str) -> Result<String, Wrong> {
    let stem = text.strip_suffix('*').unwrap_or(text);
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
    if !text.is_empty() && stem.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} is no kind of frames", quoted(text)),
        "take kinds such as `status` or `tool.use.*`; `*` is every kind",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_address_is_taken_apart() {
        let broker = broker("mqtts://box:p%40ss@broker.example/").unwrap();
        assert_eq!(
            (&*broker.host, broker.port, broker.tls),
            ("broker.example", 8883, true)
        );
        assert_eq!(broker.user.as_deref(), Some("box"));
        assert_eq!(broker.password.unwrap().expose(), "p@ss");
        let six = super::broker("mqtt://[2001:db8::1]:1884?v=3").unwrap();
        assert_eq!(
            (&*six.host, six.port, six.is_three),
            ("2001:db8::1", 1884, true)
        );
    }

    #[test]
    fn what_is_wrong_with_one_is_told_without_its_password() {
        for bad in [
            "",
            "broker",
            "http://broker",
            "mqtt://",
            "mqtt://:hush@broker",
            "mqtt://u:hush@",
            "mqtt://u:hush@broker:0",
            "mqtt://u:hush@broker:99999",
            "mqtt://u:hush@broker?v=4",
            "mqtt://u:hush@[::1",
            "mqtt://u:hush@[x]",
            "mqtt://u:hush@bro ker",
            "mqtt://u:hu%00sh@broker",
        ] {
            let wrong = broker(bad).unwrap_err();
            assert!(!wrong.problem.contains("hush"), "{wrong:?}");
        }
    }

    #[test]
    fn a_prefix_a_scope_and_a_kind_are_words() {
        assert!(
            prefix("cib/desk").is_ok() && scope("sessions:input").is_ok() && kind("tool.*").is_ok()
        );
        for bad in ["", "/cib", "cib/", "cib//x", "cib/#", "cib/+", "$SYS"] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
        assert!(scope("sessions:reed").is_err() && kind("Status").is_err() && kind("a/b").is_err());
    }
}
