//! Releases of `cib` in a folder, signed for the test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};

/// Who signs, and where.
pub(crate) struct Publisher {
    folder: PathBuf,
    key: Ed25519KeyPair,
}

impl Publisher {
    /// One with a key of its own, below this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let publisher = Self {
            folder: folder.to_owned(),
            key: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap(),
        };
        std::fs::create_dir_all(publisher.release()).unwrap();
        let key = [
            &b"Ed\0\0\0\0\0\0\0\0"[..],
            publisher.key.public_key().as_ref(),
        ]
        .concat();
        let text = format!("untrusted comment: x\n{}\n", STANDARD.encode(key));
        std::fs::write(publisher.key_file(), text).unwrap();
        publisher
    }

    /// Where the release is.
    pub(crate) fn release(&self) -> PathBuf {
        self.folder.join("release")
    }

    /// The public key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.join("key.pub")
    }

    /// A release with a program that says this version.
    pub(crate) fn publish(&self, version: &str, script: &str) {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(script.len() as u64);
        header.set_mode(0o755);
        archive
            .append_data(&mut header, "cib", script.as_bytes())
            .unwrap();
        let mut gzip = Command::new("gzip");
        let mut child = gzip
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&archive.into_inner().unwrap())
            .unwrap();
        let packed = child.wait_with_output().unwrap().stdout;
        let name = format!("cib-{version}-{}.tar.gz", cib_cli::release::platform());
        std::fs::write(self.release().join(&name), &packed).unwrap();
        let digest = cib_base::hex::encode(&Sha256::digest(&packed));
        self.sign(&format!("{digest}  {name}\n"));
    }

    pub(crate) fn sign(&self, sums: &str) {
        std::fs::write(self.release().join("SHA256SUMS"), sums).unwrap();
        let own = self.key.sign(sums.as_bytes());
        let comment = "a release";
        let all = self.key.sign(&[own.as_ref(), comment.as_bytes()].concat());
        let own = [&b"Ed\0\0\0\0\0\0\0\0"[..], own.as_ref()].concat();
        let text = format!(
            "untrusted comment: x\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode(own),
            STANDARD.encode(all.as_ref())
        );
        std::fs::write(self.release().join("SHA256SUMS.minisig"), text).unwrap();
    }
}
