//! What the container gives the way out: name servers, devices, and how many files may be open.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cib_resolver::stub::{Files, ResolvConf};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// The name servers that may be asked for the upstream's name.
pub(super) fn resolvers() -> BTreeSet<IpAddr> {
    let text = cib_foreign::own::read_to_string(Files::default().resolv_conf).unwrap_or_default();
    ResolvConf::parse(&text)
        .servers
        .into_iter()
        .map(|server| server.ip())
        .collect()
}

/// Every device of this network namespace but the loopback.
pub(super) fn devices() -> BTreeSet<String> {
    std::fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "lo" && name != "bonding_masters")
        .collect()
}

/// The hard limit of open files, which redsocks is given whole: containers start with a soft
/// limit of 1024, at which it stalls with 128 connections.
pub(super) fn hard_limit_of_files() -> u64 {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard);
    let finite = hard.ok().filter(|hard| *hard != RLIM_INFINITY);
    // 32 bits on 32-bit ARM.
    finite.map_or(1 << 20, |hard| hard as _)
}
