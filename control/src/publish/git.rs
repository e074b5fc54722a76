//! Git as control's own user, in repositories of its own: nothing of anybody else's is read.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_forge::Forge;
use cib_protocol::task::{TaskFault, plain};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// Bytes that are kept of what git says.
const MOST: u64 = 1024 * 1024;

/// Characters that are kept of what it complains of.
const COMPLAINT: usize = 800;

/// Bytes of a push, at most.
const MAX_PACK: u64 = 512 << 20;

/// Bytes of memory of a git that unpacks: what is small as it comes can be very large as it is, by
/// differences to what is in it already.
const MEMORY: u64 = 1 << 30;

/// What is the same wherever git is run here.
const CONFIGURATION: [&str; 19] = [
    "transfer.fsckObjects=true",
    "receive.fsckObjects=true",
    "fetch.fsckObjects=true",
    // What old repositories have, and no new commit should.
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.badTimezone=ignore",
    "receive.denyDeletes=true",
    "receive.denyNonFastForwards=true",
    "receive.advertisePushOptions=false",
    "receive.autogc=false",
    "uploadpack.allowFilter=true",
    "uploadpack.allowAnySHA1InWant=true",
    "core.fsmonitor=false",
    "core.pager=cat",
    "gc.auto=0",
    "maintenance.auto=false",
    "credential.helper=",
    "http.followRedirects=false",
    "safe.directory=*",
];

/// Variables of control's own that git is given, where they are set: whom to believe.
const GIVEN: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"];

/// What git came to.
#[derive(Debug)]
pub struct Output {
    /// What it said.
    pub stdout: Vec<u8>,
    /// What it complained of, in its own words and those of the other side.
    pub complaint: String,
    /// Its exit code; none if it was ended.
    pub code: Option<i32>,
    /// Of which kind that is, if it spoke to a forge.
    pub kind: TaskFault,
}

impl Output {
    /// Whether it did what it was asked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.code == Some(0)
    }
}

/// Git with these words in a repository, not yet started.
#[must_use]
pub fn command<S: AsRef<OsStr>>(
    repository: &Path,
    extra: &[&str],
    words: impl IntoIterator<Item = S>,
) -> Command {
    prepared(Command::new("git"), repository, extra, words)
}

/// The same for one that unpacks what somebody else has packed: with an end to its memory.
#[must_use]
pub fn taking<S: AsRef<OsStr>>(
    repository: &Path,
    extra: &[&str],
    words: impl IntoIterator<Item = S>,
) -> Command {
    let most = MEMORY / 1024;
    let mut shell = Command::new("/bin/sh");
    shell
        .args([
            "-c",
            &format!("ulimit -S -d {most} 2>/dev/null; exec git \"$@\""),
        ])
        .args(["git", "-c", "core.bigFileThreshold=64m"]);
    prepared(shell, repository, extra, words)
}

fn prepared<S: AsRef<OsStr>>(
    mut command: Command,
    repository: &Path,
    extra: &[&str],
    words: impl IntoIterator<Item = S>,
) -> Command {
    for entry in CONFIGURATION.iter().chain(extra) {
        command.args(["-c", entry]);
    }
    command
        .arg("-c")
        .arg(format!("receive.maxInputSize={MAX_PACK}"))
        .args(words)
        .current_dir(repository)
        .env_clear()
        .env("GIT_DIR", repository)
        .env("PATH", path())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "/bin/false")
        .env("GIT_ALLOW_PROTOCOL", "https:http")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in GIVEN {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Gives git the way to a forge and what opens it: in its environment, which nobody but this user
/// reads.
pub fn open(command: &mut Command, forge: &Forge, url: &str, bridge: Option<SocketAddr>) {
    if let Some(bridge) = bridge {
        let bridge = format!("http://{bridge}");
        command
            .env("http_proxy", &bridge)
            .env("https_proxy", &bridge);
    }
    let Some((user, token)) = forge.credential() else {
        return;
    };
    let login = STANDARD.encode(format!("{user}:{}", token.expose()));
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", format!("http.{url}.extraHeader"))
        .env(
            "GIT_CONFIG_VALUE_0",
            format!("Authorization: Basic {login}"),
        );
}

/// Runs it to its end.
///
/// # Errors
/// If it cannot be started, or takes longer than it may.
pub async fn run(mut command: Command, within: Duration) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr) = tokio::join!(said(stdout), said(stderr));
        let status = child.wait().await?;
        Ok::<_, io::Error>((stdout?, stderr?, status))
    };
    let (stdout, stderr, status) = tokio::time::timeout(within, work).await.map_err(|_| {
        let why = format!("git took more than {} seconds", within.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, why)
    })??;
    let stderr = String::from_utf8_lossy(&stderr);
    Ok(Output {
        stdout,
        complaint: complaint(&stderr),
        code: status.code(),
        kind: kind(&stderr),
    })
}

async fn said(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(MOST).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

/// The lines that tell something.
fn complaint(stderr: &str) -> String {
    let telling = |line: &&str| {
        ["fatal: ", "error: ", "remote: ", " ! "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines: Vec<_> = stderr.lines().filter(telling).take(12).collect();
    match plain(&lines.join("\n"), COMPLAINT) {
        said if said.is_empty() => "git did not say why".to_owned(),
        said => said,
    }
}

/// What kept git from speaking to the forge. It has one exit code for everything, so its own
/// lines have to say it; what the other side says (`remote: `) is passed over.
fn kind(stderr: &str) -> TaskFault {
    let mut own = stderr.lines().filter(|line| !line.starts_with("remote: "));
    let has = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
    own.find_map(|line| {
        if has(line, &["error: 401", "error: 403", "Authentication failed"]) {
            Some(TaskFault::NoRight)
        } else if has(line, &["error: 404", "not found"]) {
            Some(TaskFault::NoRepo)
        } else if has(line, &[" ! ["]) {
            Some(TaskFault::PushRefused)
        } else if has(
            line,
            &[
                "error: 5",
                "error: 429",
                "Could not resolve",
                "Failed to connect",
                "Couldn't connect",
                "Connection",
                "timed out",
                "RPC failed",
                "early EOF",
                "unexpected disconnect",
                "SSL",
                "Empty reply",
            ],
        ) {
            Some(TaskFault::ForgeDown)
        } else {
            None
        }
    })
    .unwrap_or(TaskFault::Unknown)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// As zlib has it that does not compress.
    fn stored(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).unwrap();
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in bytes {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        let mut all = vec![0x78, 0x01, 0x01];
        all.extend(length.to_le_bytes());
        all.extend((!length).to_le_bytes());
        all.extend(bytes);
        all.extend(((b << 16) | a).to_be_bytes());
        all
    }

    /// A number of git's in groups of seven bits, the lowest first.
    fn number(mut number: u64) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let low = u8::try_from(number & 0x7f).unwrap();
            number >>= 7;
            if number == 0 {
                all.push(low);
                return all;
            }
            all.push(low | 0x80);
        }
    }

    /// What an object of a pack begins with.
    fn head(kind: u8, size: usize) -> Vec<u8> {
        let size = u64::try_from(size).unwrap();
        let first = (kind << 4) | u8::try_from(size & 15).unwrap();
        let mut all = vec![first | 0x80];
        all.extend(number(size >> 4));
        all
    }

    /// A pack of a file, and of one that has it so many times.
    fn pack(times: u16) -> Vec<u8> {
        let file = vec![b'x'; 0xffff];
        let mut all = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
        let begin = all.len();
        all.extend(head(3, file.len()));
        all.extend(stored(&file));
        let mut difference = number(0xffff);
        difference.extend(number(0xffff * u64::from(times)));
        // The whole of the other, again and again.
        difference.extend([0xb0, 0xff, 0xff].repeat(times.into()));
        let back = all.len() - begin;
        all.extend(head(6, difference.len()));
        // How far back the other stands, in three groups, of which the upper ones count from one.
        let upper = (back >> 7) - 1;
        let groups = [(upper >> 7) - 1, upper & 0x7f, back & 0x7f];
        let [high, middle, low] = groups.map(|group| u8::try_from(group).unwrap());
        all.extend([high | 0x80, middle | 0x80, low]);
        all.extend(stored(&difference));
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &all);
        all.extend(digest.as_ref());
        all
    }

    #[tokio::test]
    async fn what_is_very_large_when_it_is_unpacked_takes_no_more_memory_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let made = command(dir.path(), &[], ["init", "--quiet", "--bare"]);
        assert!(run(made, Duration::from_secs(60)).await.unwrap().is_good());
        let take = async |times| {
            let mut take = taking(dir.path(), &[], ["index-pack", "--stdin"]);
            let mut child = take.stdin(Stdio::piped()).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(&pack(times)).await.unwrap();
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        let small = take(2).await;
        assert!(small.status.success(), "{small:?}");
        let large = take(20_000).await;
        let said = String::from_utf8_lossy(&large.stderr);
        assert!(!large.status.success() && said.contains("emory"), "{said}");
    }

    #[test]
    fn what_keeps_git_from_the_forge_is_told_by_its_own_lines_alone() {
        for (said, fault) in [
            (
                "fatal: unable to access 'http://h/': The requested URL returned error: 403",
                TaskFault::NoRight,
            ),
            (
                "fatal: Authentication failed for 'http://h/'",
                TaskFault::NoRight,
            ),
            (
                "remote: error: 403\nfatal: repository 'http://h/a' not found",
                TaskFault::NoRepo,
            ),
            (
                "fatal: unable to access 'http://h/': The requested URL returned error: 502",
                TaskFault::ForgeDown,
            ),
            (
                "fatal: unable to access 'http://h/': Failed to connect to h port 1",
                TaskFault::ForgeDown,
            ),
            (
                "remote: timed out\n ! [remote rejected] a -> a (protected branch hook declined)",
                TaskFault::PushRefused,
            ),
            ("fatal: bad object", TaskFault::Unknown),
        ] {
            assert_eq!(kind(said), fault, "{said}");
        }
    }
}
