//! The table of the pages: which path is which file, in which codings.
//!
//! The build of the pages writes it. Digests are those of the bytes that are sent, so that two
//! codings never have one tag, and files of two releases never either.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use cib_foreign::ForeignError;
use http::HeaderValue;
use serde::Deserialize;

/// Bytes that a table or a document has at most.
const MOST: u64 = 1 << 20;

/// Bytes that a file has at most.
const LARGEST: u64 = 16 << 20;

/// Why a folder of pages is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file cannot be read.
    #[error("a file of the pages cannot be read")]
    Unreadable(#[from] ForeignError),
    /// The folder cannot be read.
    #[error("the folder of the pages cannot be read")]
    Folder(#[source] io::Error),
    /// The table is no table.
    #[error("manifest.json is not what the build of the pages writes")]
    Json(#[from] serde_json::Error),
    /// An entry of the table cannot be used.
    #[error("manifest.json: {path}: {why}")]
    Entry {
        /// The path that it is for.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A file is not the one that the table tells of.
    #[error("{0} has another size than manifest.json says")]
    Changed(String),
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br`, which browsers take over TLS and on the machine itself.
    Brotli,
    /// `gzip`, which every browser takes.
    Gzip,
}

impl Coding {
    /// The word for it in headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// A file in one coding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coded {
    /// Its name below the folder.
    pub file: String,
    /// How many bytes it has.
    pub size: u64,
    /// The digest of those, in hexadecimal digits.
    pub sha256: String,
}

/// What a path stands for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The path in an address.
    pub path: String,
    /// What `Content-Type` says.
    pub media: String,
    /// Whether the path changes with the content.
    pub immutable: bool,
    br: Coded,
    gzip: Coded,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    files: Vec<Entry>,
}

/// The table, by path.
#[derive(Debug)]
pub struct Manifest(HashMap<String, Entry>);

impl Entry {
    /// The file in the coding that is wanted.
    #[must_use]
    pub fn coded(&self, wanted: Coding) -> (Coding, &Coded) {
        let coded = match wanted {
            Coding::Brotli => &self.br,
            Coding::Gzip => &self.gzip,
        };
        (wanted, coded)
    }

    /// What is wrong with it, if anything.
    fn fault(&self) -> Option<&'static str> {
        let is_digest =
            |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let both = [&self.br, &self.gzip];
        if !self.path.starts_with('/') {
            return Some("a path begins with a slash");
        }
        if HeaderValue::try_from(&self.media).is_err() {
            return Some("`media` is no media type");
        }
        if both.iter().any(|coded| !is_digest(&coded.sha256)) {
            return Some("`sha256` is no digest");
        }
        if both.iter().any(|coded| coded.size > LARGEST) {
            return Some("the file is too large");
        }
        None
    }
}

impl Manifest {
    /// Reads a table; nothing if there is none.
    ///
    /// # Errors
    /// If there is one that cannot be used.
    pub fn read(path: &Path) -> Result<Option<Self>, ManifestError> {
        let bytes = match cib_foreign::read(path, MOST) {
            Err(error) if error.is_absent() => return Ok(None),
            bytes => bytes?,
        };
        let table: Table = serde_json::from_slice(&bytes)?;
        let mut entries = HashMap::new();
        for entry in table.files {
            let path = entry.path.clone();
            if let Some(why) = entry.fault() {
                return Err(ManifestError::Entry { path, why });
            }
            entries.insert(path, entry);
        }
        Ok(Some(Self(entries)))
    }

    /// What a path stands for.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }
}

/// Reads the page's document.
///
/// # Errors
/// If it cannot be read, or is no text.
pub fn read_document(path: &Path) -> Result<String, ManifestError> {
    Ok(cib_foreign::read_to_string(path, MOST)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<Manifest>, ManifestError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        std::fs::write(&path, json).unwrap();
        Manifest::read(&path)
    }

    fn table(path: &str, media: &str, sha256: &str, size: u64) -> String {
        let coded = serde_json::json!({"file": "x", "size": size, "sha256": sha256});
        serde_json::json!({"files": [{
            "path": path, "media": media, "immutable": true, "br": coded, "gzip": coded,
        }]})
        .to_string()
    }

    #[test]
    fn what_the_build_did_not_write_is_refused() {
        let digest = "ab".repeat(32);
        assert!(read(&table("/a.js", "text/javascript", &digest, 9)).is_ok());
        for bad in [
            String::new(),
            "[]".to_owned(),
            table("a.js", "text/javascript", &digest, 9),
            table("/a.js", "text/\njavascript", &digest, 9),
            table("/a.js", "text/javascript", "short", 9),
            table("/a.js", "text/javascript", &digest, LARGEST + 1),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_table_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let found = Manifest::read(&dir.path().join("manifest.json")).unwrap();
        assert!(found.is_none());
    }
}
