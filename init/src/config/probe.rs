//! The `ready` key: what tells that a service is ready.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::document::Cell;
use super::service::{ListenAddress, Probe};
use crate::environment::{Wrong, path, quoted};

const REMEDY: &str = "write \"running\", \"notify\", or one of { fd = 3 }, \
                      { listen = \"127.0.0.1:6379\" }, { path = \"/run/x\" }, { command = [\"...\"] }";

pub(super) fn probe(cell: &Cell<'_>) -> Result<Probe, Wrong> {
    if !cell.is_table() {
        return match cell
            .text()
            .map_err(|wrong| Wrong::new(wrong.problem, REMEDY))?
        {
            "running" => Ok(Probe::None),
            "notify" => Ok(Probe::Notify),
            other => Err(Wrong::new(
                format!("{} is not understood", quoted(other)),
                REMEDY,
            )),
        };
    }
    let entries = cell.entries().unwrap_or_default();
    let [(key, value)] = entries.as_slice() else {
        return Err(Wrong::new(
            format!("has {} keys, and one is needed", entries.len()),
            REMEDY,
        ));
    };
    match *key {
        "fd" => match i32::try_from(value.integer()?) {
            Ok(fd @ 3..=1023) => Ok(Probe::Newline { fd }),
            _ => Err(Wrong::new(
                "has a descriptor that is not from 3 to 1023",
                "write e.g. { fd = 3 }",
            )),
        },
        "listen" => address(value.text()?).map(|address| Probe::Listening { address }),
        "path" => path(value.text()?).map(Probe::Path),
        "command" => value.command().map(Probe::Command),
        other => Err(Wrong::new(
            format!("has the unknown key {}", quoted(other)),
            REMEDY,
        )),
    }
}

/// `host:port` with an address for the host, or the path of a Unix socket.
fn address(text: &str) -> Result<ListenAddress, Wrong> {
    if text.starts_with('/') {
        return path(text).map(|path: PathBuf| ListenAddress::Unix(path));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(ListenAddress::Tcp(address)),
        _ => Err(Wrong::new(
            format!(
                "{} is neither an address with a port nor an absolute path",
                quoted(text)
            ),
            "write e.g. 127.0.0.1:6379 or /run/x.sock",
        )),
    }
}
