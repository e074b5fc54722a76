//! Releases of this program: which there is, whether it is the project's, and what is in it.

pub mod signature;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::process::{self, RunError};
use crate::surroundings::Surroundings;
use signature::{Key, SignatureError};

/// The list of everything in a release, which is what is signed.
const SUMS: &str = "SHA256SUMS";

/// How long a download may take.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of the program, at most.
const PROGRAM: u64 = 128 << 20;

/// Where the project's releases are, and its key. A build from source knows neither.
pub const HOME: Option<&str> = option_env!("CIB_RELEASES");

/// The project's public key, as minisign has it.
pub const KEY: Option<&str> = option_env!("CIB_RELEASE_KEY");

/// Why there is no release that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Nothing downloads it.
    #[error("neither curl nor wget is installed")]
    NoDownloader,
    /// It is not there.
    #[error("cannot get {what}: {said}")]
    Download {
        /// Its address.
        what: String,
        /// What the program that should get it said.
        said: String,
    },
    /// The program that should get it was not run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file of it cannot be read.
    #[error(transparent)]
    Read(#[from] cib_foreign::ForeignError),
    /// It is not signed as it should be.
    #[error("{SUMS} is not signed by the project")]
    Signature(#[from] SignatureError),
    /// It has nothing for this machine.
    #[error("the release has no program for {0}")]
    Platform(String),
    /// It has several versions.
    #[error("the release has programs of several versions")]
    Several,
    /// A file is not what was signed.
    #[error("{0} is not what was signed")]
    Digest(String),
    /// The archive does not hold what it should.
    #[error("{0} does not hold this program")]
    Archive(String),
    /// The kernel's answer.
    #[error("cannot unpack the release")]
    Io(#[from] std::io::Error),
}

/// A version of three numbers; what comes behind them makes it older than without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: [u64; 3],
    /// One without a word is newer.
    is_final: bool,
    word: String,
}

impl Version {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, word) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
        (parts.next().is_none() && word.chars().all(plain)).then(|| Self {
            numbers,
            is_final: word.is_empty(),
            word: word.to_owned(),
        })
    }

    /// Its first two numbers: what is of one series speaks with each other.
    #[must_use]
    pub fn series(&self) -> (u64, u64) {
        (self.numbers[0], self.numbers[1])
    }

    /// That of this program.
    #[must_use]
    pub fn of_this_program() -> Self {
        Self::parse(env!("CARGO_PKG_VERSION")).unwrap_or(Self {
            numbers: [0; 3],
            is_final: true,
            word: String::new(),
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(out, "{major}.{minor}.{patch}")?;
        if !self.is_final {
            write!(out, "-{}", self.word)?;
        }
        Ok(())
    }
}

/// This machine, as a release's files name it.
#[must_use]
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm_v7",
        other => other,
    };
    format!("{}_{arch}", std::env::consts::OS)
}

/// Where a release is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a folder.
    Folder(PathBuf),
    /// At an address, to which names of files are appended.
    Address(String),
}

impl Source {
    /// A folder or an address, as a person has named it.
    #[must_use]
    pub fn named(around: &Surroundings, text: &str) -> Self {
        if text.contains("://") {
            Self::Address(text.trim_end_matches('/').to_owned())
        } else {
            Self::Folder(around.folder.join(text))
        }
    }

    fn get(
        &self,
        around: &Surroundings,
        name: &str,
        patience: Duration,
    ) -> Result<Vec<u8>, ReleaseError> {
        match self {
            Self::Folder(folder) => Ok(cib_foreign::read(&folder.join(name), process::MOST)?),
            Self::Address(address) => download(around, &format!("{address}/{name}"), patience),
        }
    }
}

/// Gets a file by a program that knows the machine's proxies and authorities. What it gets is
/// believed only because it is signed.
fn download(
    around: &Surroundings,
    address: &str,
    patience: Duration,
) -> Result<Vec<u8>, ReleaseError> {
    let mut command;
    // It ends by itself, too: nobody may be there any more to end it.
    let seconds = patience.as_secs().to_string();
    if let Some(curl) = around.program("curl") {
        command = Command::new(curl);
        command
            .args(["--fail", "--silent", "--show-error", "--location"])
            .args(["--proto", "=http,https", "--max-time", &seconds])
            .args(["--", address]);
    } else if let Some(wget) = around.program("wget") {
        command = Command::new(wget);
        command
            .args(["--quiet", "--output-document=-", "--tries=1"])
            .arg(format!("--timeout={seconds}"))
            .args(["--", address]);
    } else {
        return Err(ReleaseError::NoDownloader);
    }
    let ran = process::run(&mut command, b"", patience)?;
    if ran.good() {
        return Ok(ran.stdout);
    }
    Err(ReleaseError::Download {
        what: address.to_owned(),
        said: ran.complaint(),
    })
}

/// A release that is signed by the project.
#[derive(Clone, Debug)]
pub struct Release {
    source: Source,
    /// Its version.
    pub version: Version,
    /// Its file for this machine.
    name: String,
    digest: String,
}

impl Release {
    /// Looks at what is there, and at who has signed it; each of the two files may take so long.
    ///
    /// # Errors
    /// A [`ReleaseError`].
    pub fn look(
        around: &Surroundings,
        source: Source,
        key: &Key,
        patience: Duration,
    ) -> Result<Self, ReleaseError> {
        let sums = source.get(around, SUMS, patience)?;
        let signature = source.get(around, &format!("{SUMS}.minisig"), patience)?;
        key.verify(&sums, &signature)?;
        let (name, digest, version) = own(&sums, &platform())?;
        Ok(Self {
            source,
            version,
            name,
            digest,
        })
    }

    /// Gets the program.
    ///
    /// # Errors
    /// A [`ReleaseError`].
    pub fn program(&self, around: &Surroundings) -> Result<Vec<u8>, ReleaseError> {
        let archive = self.source.get(around, &self.name, PATIENCE)?;
        if cib_base::hex::encode(&Sha256::digest(&archive)) != self.digest {
            return Err(ReleaseError::Digest(self.name.clone()));
        }
        unpack(&archive, &self.name)
    }
}

/// The one file of a list that is this program for a machine: its name, digest and version.
fn own(sums: &[u8], platform: &str) -> Result<(String, String, Version), ReleaseError> {
    let text = String::from_utf8_lossy(sums);
    let ending = format!("-{platform}.tar.gz");
    let mut found = None;
    for line in text.lines() {
        // As sha256sum(1) writes it.
        let Some((digest, name)) = line.split_once("  ") else {
            continue;
        };
        let version = name
            .strip_prefix("cib-")
            .and_then(|rest| rest.strip_suffix(&ending))
            .and_then(Version::parse);
        let Some(version) = version else {
            continue;
        };
        let one = (name.to_owned(), digest.to_owned(), version);
        if found.replace(one).is_some() {
            return Err(ReleaseError::Several);
        }
    }
    found.ok_or_else(|| ReleaseError::Platform(platform.to_owned()))
}

/// The program in an archive, which has nothing else.
fn unpack(archive: &[u8], name: &str) -> Result<Vec<u8>, ReleaseError> {
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (sink, source) = (child.stdin.take(), child.stdout.take());
    let program = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may have had enough.
            let _ = sink.map(|mut sink| std::io::Write::write_all(&mut sink, archive));
        });
        let mut program = None;
        let mut archive = tar::Archive::new(source.into_iter().next().map_or_else(
            || Box::new(std::io::empty()) as Box<dyn std::io::Read>,
            |source| Box::new(source.take(PROGRAM)),
        ));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let is_it =
                *entry.path()? == *Path::new("cib") && entry.header().entry_type().is_file();
            if !is_it || program.is_some() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            program = Some(bytes);
        }
        Ok::<_, std::io::Error>(program)
    });
    // What it still has to say is not wanted.
    let _ = child.kill();
    let _ = child.wait();
    match program {
        Ok(Some(bytes)) if !bytes.is_empty() => Ok(bytes),
        _ => Err(ReleaseError::Archive(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let version = |text| Version::parse(text).unwrap_or_else(|| panic!("{text}"));
        let order = [
            "0.1.0",
            "0.2.0-rc.1",
            "0.2.0-rc.2",
            "0.2.0",
            "0.10.0",
            "1.0.0",
        ];
        assert!(order.map(version).is_sorted());
        assert_eq!(version("0.2.0-rc.1").to_string(), "0.2.0-rc.1");
        for wrong in ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.3-/../x"] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_a_list_the_one_for_this_machine_is_taken() {
        let sums = "aa  claude-in-box-0.2.0-linux_amd64.tar.gz\nbb  cib-0.2.0-linux_arm64.tar.gz\ncc  cib-0.2.0-linux_amd64.tar.gz\ndd  cib-0.2.0-linux_amd64.tar.gz.sbom.json\n";
        let found = own(sums.as_bytes(), "linux_amd64").unwrap();
        assert_eq!(
            (found.0.as_str(), found.1.as_str()),
            ("cib-0.2.0-linux_amd64.tar.gz", "cc")
        );
        let none = own(sums.as_bytes(), "linux_riscv64");
        assert!(matches!(none, Err(ReleaseError::Platform(_))));
        let two = format!("{sums}ee  cib-0.3.0-linux_amd64.tar.gz\n");
        assert!(matches!(
            own(two.as_bytes(), "linux_amd64"),
            Err(ReleaseError::Several)
        ));
    }
}
