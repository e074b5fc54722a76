//! What stands in a tree for a large file (Git LFS): a pointer to its content.

/// Bytes that a pointer may have, as its specification says.
pub const POINTER: usize = 1024;

/// What stands for a large file in a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    /// The digest of its content: SHA-256.
    pub oid: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Pointer {
    /// Reads one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if bytes.len() >= POINTER
            || !text.starts_with("version https://git-lfs.github.com/spec/v1\n")
        {
            return None;
        }
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let oid = value("oid sha256:")?;
        let is_hex = oid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (oid.len() == 64 && is_hex).then_some(())?;
        Some(Self {
            oid: oid.to_owned(),
            size: value("size ")?.parse().ok()?,
        })
    }

    /// Where its content is, below `lfs/objects` of a repository.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}/{}", &self.oid[..2], &self.oid[2..4], self.oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    fn text(oid: &str, size: &str) -> String {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
    }

    #[test]
    fn a_pointer_is_read_strictly() {
        let pointer = Pointer::parse(text(OID, "12345").as_bytes()).unwrap();
        assert_eq!(pointer.size, 12345);
        assert_eq!(pointer.place(), format!("4d/7a/{OID}"));
        for wrong in [
            text(
                "../../../../../../../../../../../../../../../../../../etc/passwd00",
                "1",
            ),
            text(&OID.to_uppercase(), "1"),
            text(&OID[1..], "1"),
            text(OID, "-1"),
            text(OID, ""),
            text(OID, "1").replace("v1", "v2"),
            text(OID, "1") + &"x".repeat(POINTER),
        ] {
            assert_eq!(Pointer::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
