//! Which file system a path is on, and where else the same file can be seen.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Major and minor number of the file system.
    device: String,
    /// The folder of the file system that is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
    read_only: bool,
    kind: String,
}

/// The mounts of this process, later ones over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// As the kernel tells them; none where it does not.
    pub(super) fn observe() -> Self {
        let text = cib_foreign::own::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&text)
    }

    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(mount).collect())
    }

    /// The mount that a path without links in it is on.
    pub(super) fn of(&self, path: &Path) -> Option<&Mount> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        // The last one of those with the longest path.
        above.max_by_key(|mount| mount.point.components().count())
    }

    /// Every other path under which a file can be seen because a folder above it is mounted
    /// there as well.
    pub(super) fn aliases(&self, path: &Path) -> Vec<PathBuf> {
        let Some(own) = self.of(path) else {
            return Vec::new();
        };
        let Ok(rest) = path.strip_prefix(&own.point) else {
            return Vec::new();
        };
        let inner = joined(&own.root, rest);
        let same = self.0.iter().filter(|mount| mount.device == own.device);
        let seen = same.filter_map(|mount| {
            let rest = inner.strip_prefix(&mount.root).ok()?;
            Some(joined(&mount.point, rest))
        });
        let mut seen: Vec<_> = seen.filter(|alias| alias != path).collect();
        seen.sort();
        seen.dedup();
        seen
    }
}

impl Mount {
    /// Whether it is the container's alone: a change there is seen by nobody outside.
    pub(super) fn is_own(&self) -> bool {
        let in_memory = self.kind == "tmpfs" && self.root == Path::new("/");
        !self.read_only && (self.point == Path::new("/") || in_memory)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

/// `Path::join` without the slash at the end that nothing to join would leave.
fn joined(path: &Path, rest: &Path) -> PathBuf {
    path.components().chain(rest.components()).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (own, of_system) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(2);
    let (device, root, point, options) = (own.next()?, own.next()?, own.next()?, own.next()?);
    let mut of_system = of_system.split(' ');
    let kind = of_system.next()?;
    let of_system = of_system.nth(1).unwrap_or_default();
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        device: device.to_owned(),
        root: unescaped(root),
        point: unescaped(point),
        read_only: read_only(options) || read_only(of_system),
        kind: kind.to_owned(),
    })
}

/// Blanks, line ends and backslashes are written as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
1 0 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u
2 1 0:60 / /run rw,nosuid - tmpfs tmpfs rw
3 2 8:1 /home/me/deploy/secrets/auth_token /run/secrets/auth_token ro,relatime - ext4 /dev/sda1 rw
4 1 8:1 /home/me/deploy /workspace rw,relatime - ext4 /dev/sda1 rw
5 2 0:61 / /run/secrets/box ro - tmpfs tmpfs rw
6 1 8:1 /srv/a\\040b /mnt/a\\040b rw - ext4 /dev/sda1 ro
";

    #[test]
    fn what_is_the_containers_own_is_told_from_what_is_mounted() {
        let mounts = Mounts::parse(MOUNTS);
        let own = |path: &str| mounts.of(Path::new(path)).unwrap().is_own();
        assert!(own("/etc/token") && own("/run/secrets") && own("/run/secrets/other"));
        assert!(!own("/run/secrets/auth_token") && !own("/workspace/x"));
        assert!(!own("/run/secrets/box/token"), "read-only");
        let read_only = |path: &str| mounts.of(Path::new(path)).unwrap().is_read_only();
        assert!(read_only("/mnt/a b/token") && !read_only("/run/secrets"));
    }

    #[test]
    fn a_file_is_seen_again_where_a_folder_above_it_is_mounted() {
        let mounts = Mounts::parse(MOUNTS);
        let aliases = |path: &str| mounts.aliases(Path::new(path));
        assert_eq!(
            aliases("/run/secrets/auth_token"),
            [Path::new("/workspace/secrets/auth_token")]
        );
        assert_eq!(
            aliases("/workspace/secrets/auth_token"),
            [Path::new("/run/secrets/auth_token")]
        );
        assert!(aliases("/run/secrets/box/token").is_empty());
        assert!(Mounts::default().aliases(Path::new("/x")).is_empty());
    }
}
