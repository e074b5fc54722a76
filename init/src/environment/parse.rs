//! The syntax of single values, shared by the environment and the configuration files.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use cib_nft::Lan;
use cib_protocol::api::CreateChannel;
use cib_resolver::DnsServer;
use cib_resolver::config::LocalName;
use ipnet::IpNet;

use super::{ProbeTarget, quoted};

/// What is wrong with a value, and what to do. A [`super::Fault`] that has no place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// As [`super::Fault::problem`].
    pub(crate) problem: String,
    /// As [`super::Fault::remedy`].
    pub(crate) remedy: String,
}

impl Wrong {
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

pub(super) fn flag(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Wrong::new(
            format!("{} is neither yes nor no", quoted(text)),
            "write 1 or 0",
        )),
    }
}

pub(super) fn integer(text: &str, min: u64, max: u64) -> Result<u64, Wrong> {
    digits(text)
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a number from {min} to {max}", quoted(text)),
                "write such a number, or unset it",
            )
        })
}

/// A number without a sign, which `u64::from_str` would take.
fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// A number of seconds, or a number with `ms`, `s`, `m` or `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number = if number.is_empty() {
        None
    } else {
        digits(number)
    };
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a duration", quoted(text)),
                "write a number of seconds, or e.g. 500ms, 30s, 2m, 1h",
            )
        })
}

/// How long records are kept: a duration of an hour at least, or `0` for ever. A few seconds are
/// what somebody writes who meant days, and nothing comes back.
pub(super) fn retention(text: &str) -> Result<Option<Duration>, Wrong> {
    const HOUR: Duration = Duration::from_secs(3600);
    let duration = duration(text)?;
    if duration.is_zero() {
        return Ok(None);
    }
    if !(HOUR..=87_600 * HOUR).contains(&duration) {
        return Err(Wrong::new(
            format!("{} is not between 1h and 87600h", quoted(text)),
            "write a number of hours with `h`, e.g. 720h for thirty days, or 0 to keep all",
        ));
    }
    Ok(Some(duration))
}

/// A number of bytes, or a number with `K`, `M` or `G` for powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, Wrong> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit {
        "" => Some(0),
        "K" | "k" | "KiB" => Some(10),
        "M" | "m" | "MiB" => Some(20),
        "G" | "g" | "GiB" => Some(30),
        _ => None,
    };
    let number = if number.is_empty() {
        None
    } else {
        digits(number)
    };
    number
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a size", quoted(text)),
                "write a number of bytes, or e.g. 512K, 256M, 2G",
            )
        })
}

/// An absolute path without `.` and `..`, so that it means the same whoever reads it.
pub(crate) fn path(text: &str) -> Result<PathBuf, Wrong> {
    let path = Path::new(text);
    let plain = path
        .components()
        .all(|part| !matches!(part, Component::ParentDir));
    if path.is_absolute() && plain && !text.contains('\0') {
        Ok(path.components().collect())
    } else {
        Err(Wrong::new(
            format!("{} is not an absolute path", quoted(text)),
            "write the whole path from /, without `..`",
        ))
    }
}

/// Text without a line break or another control character.
pub(super) fn one_line(text: &str) -> Result<String, Wrong> {
    if text.chars().any(char::is_control) {
        Err(Wrong::new(
            "has a line break or a control character in it",
            "write it on one line",
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// Where a browser may be led: a path of the box's own address, or an address of http or https.
pub(super) fn leads_to(text: &str) -> Result<String, Wrong> {
    let is_path = text.starts_with('/') && !text.starts_with("//");
    let is_address = ["http://", "https://"].iter().any(|scheme| {
        let rest = text.strip_prefix(scheme);
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    });
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_plain && (is_path || is_address) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        "is neither a path nor an address of http or https",
        "write it as `/oauth2/sign_out` or `https://login.example/logout`",
    ))
}

/// An address of http or https.
pub(super) fn address(text: &str) -> Result<String, Wrong> {
    leads_to(text)
        .ok()
        .filter(|url| !url.starts_with('/'))
        .ok_or_else(|| {
            Wrong::new(
                "is no address of http or https",
                "write it as `https://box.example`",
            )
        })
}

/// Where notices go: a JSON array.
pub(super) fn channels(text: &str) -> Result<Vec<CreateChannel>, Wrong> {
    let remedy =
        "take an array of `{\"label\", \"target\": {\"kind\", …}}` as in docs/guides/notices.md";
    let channels: Vec<CreateChannel> = serde_json::from_str(text).map_err(|error| {
        // What serde says of a value may repeat it, and it may be a secret.
        let (line, column) = (error.line(), error.column());
        let why = format!("is no array of channels, at line {line}, column {column}");
        Wrong::new(why, remedy)
    })?;
    let mut labels = BTreeSet::new();
    for channel in &channels {
        let label = &channel.label;
        if label.trim().is_empty() || label.chars().any(char::is_control) || !labels.insert(label) {
            return Err(Wrong::new(
                "has a channel without a label, or two with the same",
                remedy,
            ));
        }
    }
    Ok(channels)
}

/// The items of a list that is written in one text.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_ascii_whitespace())
        .filter(|item| !item.is_empty())
}

/// An address or a network. Bits behind the prefix count for nothing.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(|network| network.trunc()).map_err(|_| {
        Wrong::new(
            format!("{} is neither an address nor a network", quoted(text)),
            "write e.g. 192.168.1.7 or 192.168.1.0/24",
        )
    })
}

/// A network that the firewall may open, judged by the crate that opens it.
pub(super) fn lan(text: &str) -> Result<IpNet, Wrong> {
    let network = network(text)?;
    joined_lan([network]).map(|_| network)
}

/// Networks that the firewall may open together.
pub(super) fn joined_lan(networks: impl IntoIterator<Item = IpNet>) -> Result<Lan, Wrong> {
    Lan::new(networks).map_err(|error| {
        Wrong::new(
            error.to_string(),
            "name the networks that are to be reached",
        )
    })
}

/// A name server, as the resolver understands it.
pub(super) fn name_server(text: &str) -> Result<DnsServer, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("{} names no DNS server", quoted(text)),
            "write an address (1.1.1.1, 9.9.9.9:53), or https://host/path",
        )
    })
}

/// What is connected to, to see whether the proxy carries.
pub(super) fn probe_target(text: &str) -> Result<ProbeTarget, Wrong> {
    if text == "off" {
        return Ok(ProbeTarget::Off);
    }
    text.parse().map(ProbeTarget::At).map_err(|_| {
        Wrong::new(
            format!("{} is neither a host with a port nor `off`", quoted(text)),
            "write an address and a port that the proxy may connect to, such as 1.1.1.1:443",
        )
    })
}

/// A name that Docker may be asked for, as the resolver understands it.
pub(super) fn local_name(text: &str) -> Result<LocalName, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("{} is not a host name", quoted(text)),
            "write the names of containers, of letters, digits, hyphens and dots",
        )
    })
}

/// A version of three numbers.
pub(super) fn version(text: &str) -> Result<String, Wrong> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.split('.').count() == 3 && text.split('.').all(number) {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            format!("{} is not a version", quoted(text)),
            "write e.g. 2.1.112",
        ))
    }
}

/// Lines of a `known_hosts` file, each at least three fields. Which keys they name is public,
/// yet a fault says only the line's number: lines are long.
pub(super) fn known_hosts(text: &str) -> Result<String, Wrong> {
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') && line.split_ascii_whitespace().count() < 3 {
            return Err(Wrong::new(
                format!("line {} is not a host, a key type and a key", index + 1),
                "write lines as `ssh-keyscan HOST` prints them",
            ));
        }
    }
    Ok(text.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
}

/// Shell commands: a JSON array of them, or one a line, where empty lines and those that start
/// with `#` count for nothing. A fault never quotes a command, which may hold a secret.
pub(super) fn commands(text: &str) -> Result<Vec<String>, Wrong> {
    let text = text.trim();
    if !text.starts_with('[') {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        return checked_commands(lines.map(str::to_owned).collect());
    }
    let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| {
        Wrong::new(
            format!(
                "starts with [ and is not a JSON array: line {}, column {}",
                error.line(),
                error.column()
            ),
            "write [\"first command\", \"second command\"], or one command a line \
             (one that begins with [ can begin with test)",
        )
    })?;
    let mut commands = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let serde_json::Value::String(command) = value else {
            return Err(Wrong::new(
                format!("entry {} of the array is not a string", index + 1),
                "write each command as one JSON string",
            ));
        };
        commands.push(command);
    }
    checked_commands(commands)
}

pub(super) fn checked_commands(commands: Vec<String>) -> Result<Vec<String>, Wrong> {
    for (index, command) in commands.iter().enumerate() {
        if command.trim().is_empty() || command.contains('\0') {
            return Err(Wrong::new(
                format!("command {} is empty or has a zero byte in it", index + 1),
                "leave it out",
            ));
        }
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_for_ever_or_for_hours_and_never_for_seconds() {
        let kept = |text| retention(text).map(|kept| kept.map(|kept| kept.as_secs()));
        for (text, seconds) in [("0", None), ("720h", Some(2_592_000)), ("3600", Some(3600))] {
            assert_eq!(kept(text), Ok(seconds), "{text}");
        }
        for text in ["30", "59m", "30d", "-1h", "", "never", "99999999h"] {
            assert!(kept(text).is_err(), "{text}");
        }
    }
}
