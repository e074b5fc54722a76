//! Which of coder's processes hold sockets.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use cib_foreign::own;

/// How long processes are looked at.
const PATIENCE: Duration = Duration::from_secs(3);

/// The name of a process that holds each of these sockets, by the number of its inode.
#[must_use]
pub fn names(inodes: &[u64]) -> Vec<Option<String>> {
    let end = Instant::now() + PATIENCE;
    let mut found: HashMap<u64, String> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.take_while(|_| Instant::now() < end) {
        let path = process.path();
        // Other users' are closed.
        let Ok(fds) = fs::read_dir(path.join("fd")) else {
            continue;
        };
        for fd in fds.flatten() {
            let Ok(target) = fs::read_link(fd.path()) else {
                continue;
            };
            let inode = target
                .to_str()
                .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'))
                .and_then(|inode| inode.parse().ok());
            let Some(inode) = inode.filter(|inode| inodes.contains(inode)) else {
                continue;
            };
            if let Ok(name) = own::read_lossy(path.join("comm")) {
                found
                    .entry(inode)
                    .or_insert_with(|| name.trim_end().to_owned());
            }
        }
    }
    inodes.iter().map(|inode| found.remove(inode)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_socket_of_ones_own_is_found_by_its_number() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
        let target = fs::read_link(link).unwrap().display().to_string();
        let inode = target.trim_start_matches("socket:[").trim_end_matches(']');
        let inode = inode.parse().unwrap();
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(names(&[1, inode]), [None, Some(own.trim_end().to_owned())]);
    }
}
