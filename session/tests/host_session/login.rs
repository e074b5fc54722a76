//! Logins with the real CLI, named by `CIB_TEST_CLAUDE`, against a stand-in for its servers.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use cib_protocol::api::{ClaudeLogin, LoginState};
use cib_protocol::login::{LoginFault, LoginReply};
use cib_testkit::login::{CODE, EMAIL, LoginServers};
use cib_testkit::process::Process;
use cib_testkit::wait::wait_until;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keeper::SOON;

/// A keeper of logins with an empty home.
struct Logins {
    root: TempDir,
    servers: LoginServers,
    process: Process,
}

impl Logins {
    fn start(options: &[&str], variables: &[(&str, &str)]) -> Self {
        let claude = std::env::var_os("CIB_TEST_CLAUDE");
        Self::start_with(
            &claude.expect("CIB_TEST_CLAUDE names the real CLI").into(),
            options,
            variables,
        )
    }

    fn start_with(claude: &PathBuf, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let servers = LoginServers::start().unwrap();
        let trusted = root.path().join("ca.pem");
        fs::write(&trusted, servers.certificate()).unwrap();
        fs::create_dir(root.path().join("home")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cib-session"));
        command.args(["login", "--runtime"]).arg(root.path());
        command.arg("--claude").arg(claude).args(options);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", root.path().join("home"));
        command.env("HTTPS_PROXY", servers.proxy());
        command.env("NODE_EXTRA_CA_CERTS", &trusted);
        command.envs(variables.iter().copied());
        let process = Process::spawn(command).unwrap();
        let logins = Self {
            root,
            servers,
            process,
        };
        wait_until(SOON, "the socket of logins", || {
            UnixStream::connect(logins.socket()).is_ok()
        });
        logins
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("login.sock")
    }

    fn credentials(&self) -> PathBuf {
        self.root.path().join("home/.claude/.credentials.json")
    }

    fn ask(&self, request: &Value) -> LoginReply {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(SOON * 3)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[track_caller]
    fn login(&self, request: &Value) -> ClaudeLogin {
        match self.ask(request) {
            LoginReply::Login(login) => *login,
            LoginReply::Refused { code, detail } => panic!("{code:?}: {detail}"),
        }
    }

    #[track_caller]
    fn refused(&self, request: &Value, with: LoginFault) -> String {
        match self.ask(request) {
            LoginReply::Refused { code, detail } if code == with => detail,
            other => panic!("{request}: {other:?}"),
        }
    }

    #[track_caller]
    fn begin(&self) -> String {
        let flow = self.login(&json!({"op": "start"})).flow.unwrap();
        assert_eq!(flow.state, LoginState::AwaitingCode, "{flow:?}");
        flow.url.unwrap()
    }
}

fn state(login: &ClaudeLogin) -> LoginState {
    login.flow.as_ref().unwrap().state
}

#[test]
fn a_person_logs_in_with_a_code_from_elsewhere_and_out_again() {
    let logins = Logins::start(&[], &[("ANTHROPIC_API_KEY", "sk-ant-of-the-box")]);
    let status = logins.login(&json!({"op": "status"}));
    // A key is no login, but it is told of.
    assert!(!status.logged_in);
    assert_eq!(status.environment, ["ANTHROPIC_API_KEY"]);
    assert_eq!((status.method, status.flow), (None, None));

    let url = logins.begin();
    assert!(url.contains("/oauth/authorize?code=true&"), "{url}");
    let oauth_state = url
        .split("state=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let code = format!("{CODE}#{oauth_state}");
    let login = logins.login(&json!({"op": "code", "code": code}));
    assert_eq!(state(&login), LoginState::Done, "{login:?}");
    assert!(login.logged_in);
    assert_eq!(login.method.as_deref(), Some("claude.ai"));
    assert_eq!(login.email.as_deref(), Some(EMAIL));
    assert_eq!(login.subscription.as_deref(), Some("max"));
    assert_eq!(login.flow.unwrap().url, None);
    let stored = fs::read_to_string(logins.credentials()).unwrap();
    assert!(stored.contains("sk-ant-oat01-for-tests"), "{stored}");
    let asked = logins.servers.asked();
    assert!(
        asked.contains(&"POST platform.claude.com/v1/oauth/token".to_owned()),
        "{asked:?}"
    );

    let out = logins.login(&json!({"op": "logout"}));
    assert!(!out.logged_in);
    let left = fs::read_to_string(logins.credentials()).unwrap_or_default();
    assert!(!left.contains("sk-ant-oat01-for-tests"), "{left}");
}

#[test]
fn a_login_for_usage_leads_to_the_console() {
    let logins = Logins::start(&[], &[]);
    let asked = json!({"op": "start", "method": "console", "email": "a@example.com"});
    let url = logins.login(&asked).flow.unwrap().url.unwrap();
    assert!(
        url.starts_with("https://platform.claude.com/oauth/authorize?"),
        "{url}"
    );
    assert!(url.contains("a%40example.com"), "{url}");
}

#[test]
fn a_wrong_code_fails_in_the_clis_own_words_and_another_login_may_begin() {
    let logins = Logins::start(&[], &[]);
    logins.begin();
    let login = logins.login(&json!({"op": "code", "code": "wrong#state"}));
    assert_eq!(state(&login), LoginState::Failed, "{login:?}");
    assert!(!login.logged_in);
    assert!(!login.flow.unwrap().detail.unwrap().is_empty());
    logins.begin();
}

#[test]
fn one_login_is_on_its_way_at_a_time_and_can_be_given_up() {
    let logins = Logins::start(&[], &[]);
    for request in [json!({"op": "cancel"}), json!({"op": "code", "code": "x"})] {
        logins.refused(&request, LoginFault::NotWaiting);
    }
    logins.begin();
    logins.refused(&json!({"op": "start"}), LoginFault::Running);
    logins.refused(&json!({"op": "logout"}), LoginFault::Running);
    let login = logins.login(&json!({"op": "cancel"}));
    assert_eq!(state(&login), LoginState::Cancelled);
    logins.refused(&json!({"op": "cancel"}), LoginFault::NotWaiting);
    logins.begin();
}

#[test]
fn a_login_that_nobody_finishes_ends_by_itself() {
    let logins = Logins::start(&["--patience-ms", "1500"], &[]);
    logins.login(&json!({"op": "start"}));
    wait_until(SOON, "the end of the login", || {
        state(&logins.login(&json!({"op": "status"}))) == LoginState::TimedOut
    });
}

#[test]
fn what_is_no_request_is_refused_and_not_repeated() {
    let logins = Logins::start(&[], &[]);
    for bad in [
        json!({"op": "code", "code": "two words"}),
        json!({"op": "code", "code": "two\nlines"}),
        json!({"op": "code", "code": ""}),
        json!({"op": "code", "secret": "s3cret"}),
        json!({"op": "start", "email": "--sso"}),
        json!({"op": "start", "method": "s3cret"}),
        json!({"op": "s3cret"}),
        json!("s3cret"),
    ] {
        let detail = logins.refused(&bad, LoginFault::BadRequest);
        assert!(!detail.contains("s3cret"), "{bad}: {detail}");
    }
}

#[test]
fn without_a_cli_the_refusal_names_the_command() {
    let nowhere = PathBuf::from("/nowhere/claude");
    let logins = Logins::start_with(&nowhere, &[], &[]);
    let detail = logins.refused(&json!({"op": "status"}), LoginFault::Claude);
    assert!(detail.contains("claude auth status"), "{detail}");
}

#[test]
fn the_keeper_of_logins_says_which_credentials_there_are_and_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let (claude, seen) = (dir.path().join("claude"), dir.path().join("seen"));
    // A CLI that is asked how things stand, and keeps what it was given.
    let script = format!(
        "#!/bin/sh\nenv >'{}'\necho '{{\"loggedIn\": false}}'\nexit 1\n",
        seen.display()
    );
    fs::write(&claude, script).unwrap();
    fs::set_permissions(&claude, fs::Permissions::from_mode(0o755)).unwrap();
    // One that sessions have, one that the keeper was given all the same, and no such thing.
    let options = ["CLAUDE_CODE_OAUTH_TOKEN", "LD_PRELOAD"].map(|name| ["--credential", name]);
    let given = [("ANTHROPIC_API_KEY", "sk-ant-not-for-logins")];
    let logins = Logins::start_with(&claude, options.as_flattened(), &given);
    let status = logins.login(&json!({"op": "status"}));
    assert!(!status.logged_in);
    let mut named = status.environment;
    named.sort_unstable();
    assert_eq!(named, ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"]);
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("HOME="), "{seen}");
    for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"] {
        assert!(!seen.contains(name), "{seen}");
    }
}

#[test]
fn a_keeper_of_logins_that_nobody_asks_goes() {
    let mut logins = Logins::start(&["--idle-ms", "300"], &[]);
    assert!(logins.process.wait(SOON).success());
}
