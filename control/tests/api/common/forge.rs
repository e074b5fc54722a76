//! A forge that has git alone: `git http-backend`, opened by a token.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_control::config::Config;
use cib_protocol::forge::{ForgeAccount, ForgeAccounts, ForgeKind};
use cib_protocol::secret::Secret;

use super::world::World;

/// What opens it.
pub const TOKEN: &str = "forge-token-of-the-test-0123456789";

/// The forge.
pub struct GitForge {
    /// Where it is.
    pub url: String,
    folder: PathBuf,
    /// What it answers instead of doing anything; 0 if it does.
    pub fails: Arc<AtomicU16>,
}

impl GitForge {
    /// One beside a world.
    pub fn start(world: &World) -> Self {
        let folder = world.path().join("forge");
        fs::create_dir_all(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fails = Arc::new(AtomicU16::new(0));
        let (root, failing) = (folder.clone(), Arc::clone(&fails));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (root, failing) = (root.clone(), Arc::clone(&failing));
                thread::spawn(move || serve(stream, &root, failing.load(Ordering::SeqCst)));
            }
        });
        Self { url, folder, fails }
    }

    /// Where a repository of it stands.
    pub fn repository(&self, slug: &str) -> PathBuf {
        self.folder.join(format!("{slug}.git"))
    }
}

/// The box's configuration, with an account there and the programs that git starts.
pub fn config(world: &World, accounts: Vec<ForgeAccount>) -> Config {
    let bin = world.path().join("bin");
    let folder = world.runtime().join("control");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let accounts = ForgeAccounts { forges: accounts };
    fs::write(
        folder.join("forges.json"),
        serde_json::to_vec(&accounts).unwrap(),
    )
    .unwrap();
    for name in ["cib-control", "git-remote-cib"] {
        let _ = symlink(env!("CARGO_BIN_EXE_cib-control"), bin.join(name));
    }
    // Where the real program looks for it: beside itself. It may be there already.
    let real = Path::new(env!("CARGO_BIN_EXE_cib-control"));
    let _ = symlink("cib-control", real.with_file_name("git-remote-cib"));
    let mut config = world.config();
    config.program = bin.join("cib-control");
    config.pauses = vec![Duration::from_millis(50); 2];
    config
}

pub fn account(kind: ForgeKind, url: &str) -> ForgeAccount {
    ForgeAccount {
        kind,
        url: url.to_owned(),
        token: Some(Secret::new(TOKEN)),
    }
}

fn serve(mut stream: TcpStream, root: &Path, fails: u16) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() || first.is_empty() {
        return;
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap();
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body = Vec::new();
    if headers.contains_key("transfer-encoding") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = u64::from_str_radix(size.trim(), 16).unwrap();
            (&mut reader).take(size).read_to_end(&mut body).unwrap();
            let mut end = String::new();
            reader.read_line(&mut end).unwrap();
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        let length = length.parse().unwrap();
        (&mut reader).take(length).read_to_end(&mut body).unwrap();
    }
    let login = format!(
        "Basic {}",
        STANDARD.encode(format!("x-access-token:{TOKEN}"))
    );
    let head = if fails != 0 {
        format!("HTTP/1.1 {fails} No\r\n")
    } else if headers.get("authorization") != Some(&login) {
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"Git\"\r\n".to_owned()
    } else {
        let said = backend(root, method, path, query, &headers, &body);
        let _ = stream.write_all(&said);
        return;
    };
    let _ = stream
        .write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
}

fn backend(
    root: &Path,
    method: &str,
    path: &str,
    query: &str,
    headers: &HashMap<String, String>,
    body: &[u8],
) -> Vec<u8> {
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REMOTE_USER", "me")
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = body.to_vec();
    let sending = thread::spawn(move || {
        let _ = stdin.write_all(&sent);
    });
    let output = child.wait_with_output().unwrap();
    sending.join().unwrap();
    let status = match output.stdout.strip_prefix(b"Status: ") {
        Some(rest) => {
            let end = rest.iter().position(|byte| *byte == b'\r').unwrap();
            String::from_utf8_lossy(&rest[..end]).into_owned()
        }
        None => "200 OK".to_owned(),
    };
    let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
    answer.extend(output.stdout);
    answer
}
