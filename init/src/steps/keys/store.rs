//! What a key folder is: which of the two, and which modes its files have.

use std::path::Path;

/// One of the two folders with keys in a home directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// `~/.ssh`
    Ssh,
    /// `~/.gnupg`
    Gnupg,
}

impl Store {
    /// Its name in the home directory.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ssh => ".ssh",
            Self::Gnupg => ".gnupg",
        }
    }

    /// Its name among the copies.
    pub(super) fn copy_name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Gnupg => "gnupg",
        }
    }

    /// Mode of a file in it.
    pub(super) fn file_mode(self, name: &Path) -> u32 {
        if self == Self::Ssh && is_public(name) {
            0o644
        } else {
            0o600
        }
    }

    /// Mode of the folder and of those below it.
    pub(super) fn dir_mode(self) -> u32 {
        0o700
    }
}

/// Whether ssh needs the file to be public: public keys and certificates, and host keys.
pub(super) fn is_public(name: &Path) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".pub") || name.starts_with("known_hosts")
}

/// Whether a file holds a private key in one of the forms that ssh reads.
pub(super) fn is_private_key(bytes: &[u8]) -> bool {
    bytes.starts_with(b"-----BEGIN ") && contains(bytes, b"PRIVATE KEY-----")
}

/// What makes ssh refuse a private key although its mode is right, with the remedy.
pub(super) fn flaw(bytes: &[u8]) -> Option<&'static str> {
    if !is_private_key(bytes) {
        return None;
    }
    if contains(bytes, b"\r\n") {
        return Some(
            "has CRLF line ends, and ssh does not read it; convert it with sed -i 's/\\r$//'",
        );
    }
    (!bytes.ends_with(b"\n"))
        .then_some("does not end in a newline, and ssh does not read it; add one with echo >>")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_and_host_keys_are_public_and_all_else_is_private() {
        for (name, mode) in [
            ("id_ed25519", 0o600),
            ("id_ed25519.pub", 0o644),
            ("id_ed25519-cert.pub", 0o644),
            ("known_hosts", 0o644),
            ("known_hosts.old", 0o644),
            ("config", 0o600),
            ("authorized_keys", 0o600),
        ] {
            assert_eq!(Store::Ssh.file_mode(Path::new(name)), mode, "{name}");
        }
        assert_eq!(Store::Gnupg.file_mode(Path::new("x.pub")), 0o600);
    }

    #[test]
    fn crlf_and_a_missing_newline_are_flaws_of_private_keys_alone() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        assert_eq!(flaw(key.as_bytes()), None);
        assert!(flaw(key.trim_end().as_bytes()).unwrap().contains("newline"));
        assert!(
            flaw(key.replace('\n', "\r\n").as_bytes())
                .unwrap()
                .contains("CRLF")
        );
        assert_eq!(flaw(b"Host *\r\n"), None);
        assert_eq!(flaw(b""), None);
    }
}
