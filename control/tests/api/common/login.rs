//! A false keeper of logins: it remembers what it was asked, and answers as it is told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cib_protocol::api::ClaudeLogin;
use cib_protocol::login::{LoginFault, LoginReply, LoginRequest};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

pub struct Logins {
    asked: Arc<Mutex<Vec<LoginRequest>>>,
    refusal: Arc<Mutex<Option<LoginFault>>>,
    socket: PathBuf,
    listening: JoinHandle<()>,
}

impl Logins {
    pub fn start(runtime: &Path) -> Self {
        let dir = runtime.join("login");
        fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("login.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let asked: Arc<Mutex<Vec<LoginRequest>>> = Arc::default();
        let refusal: Arc<Mutex<Option<LoginFault>>> = Arc::default();
        let (log, refuse) = (Arc::clone(&asked), Arc::clone(&refusal));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                log.lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap());
                let reply = match *refuse.lock().unwrap() {
                    None => LoginReply::Login(Box::new(ClaudeLogin {
                        logged_in: true,
                        email: Some("person@example.com".to_owned()),
                        ..ClaudeLogin::default()
                    })),
                    Some(code) => LoginReply::Refused {
                        code,
                        detail: "because the test wants it".to_owned(),
                    },
                };
                let mut line = serde_json::to_vec(&reply).unwrap();
                line.push(b'\n');
                let _ = stream.write_all(&line).await;
            }
        });
        Self {
            asked,
            refusal,
            socket,
            listening,
        }
    }

    pub fn asked(&self) -> Vec<LoginRequest> {
        self.asked.lock().unwrap().clone()
    }

    pub fn refuse(&self, with: LoginFault) {
        *self.refusal.lock().unwrap() = Some(with);
    }

    /// Goes as it does when nobody asks it anything: its socket stays.
    pub fn go(&self) {
        self.listening.abort();
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
