//! Who sees what.

use super::*;
use crate::environment::{FileSettings, SecretFileError};

const TOKEN: &str = "correct-horse-battery";
const URL: &str = "socks5://alice:p%40ss%3Aword@192.0.2.1:1080";

fn child(variables: &[(&str, &str)], additions: &Additions) -> ChildEnvironment {
    let outside: Environment = variables
        .iter()
        .copied()
        .chain([("CIB_AUTH_TOKEN", TOKEN)])
        .collect();
    let read = |_: &std::path::Path| Err(SecretFileError::NotText);
    let settings = Settings::read(&outside, &FileSettings::new(), &read)
        .settings
        .unwrap();
    ChildEnvironment::new(&outside, &settings, additions)
}

fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        uid: 1000,
        gid: 1000,
        groups: Vec::new(),
        home: "/home/coder".into(),
        shell: "/bin/bash".into(),
    }
}

fn names(variables: &Variables) -> Vec<&str> {
    variables.keys().map(String::as_str).collect()
}

#[test]
fn a_plain_child_gets_what_it_needs_to_run_and_nothing_else() {
    let child = child(
        &[("EDITOR", "vi"), ("TZ", "Europe/Berlin"), ("HOME", "/root")],
        &Additions::default(),
    );
    let plain = child.plain(&account("cib"));
    assert_eq!(
        names(&plain),
        ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TZ", "USER"]
    );
    assert_eq!(plain["HOME"], "/home/coder");
    assert_eq!(plain["USER"], "cib");
}

#[test]
fn a_proxy_variable_that_leads_where_the_box_may_not_go_is_withheld_and_named() {
    let given = [
        ("HTTP_PROXY", "http://172.17.0.1:3128"),
        ("https_proxy", "http://user:pass@10.0.0.5:3128/"),
        ("ALL_PROXY", "http://[fd00::5]:3128"),
        ("FTP_PROXY", "http://127.0.0.1:3128"),
        ("http_proxy", "http://192.168.1.9:3128"),
        ("RSYNC_PROXY", "203.0.113.7:3128"),
        ("NO_PROXY", "10.0.0.5"),
        ("CIB_LAN", "192.168.1.0/24"),
    ];
    let with_proxy = [&given[..], &[("CIB_PROXY_URL", URL)]].concat();
    let child = child(&with_proxy, &Additions::default());
    assert_eq!(
        child.unreachable,
        ["ALL_PROXY", "HTTP_PROXY", "https_proxy"]
    );
    let coder = child.coder(&account("coder"));
    for kept in ["FTP_PROXY", "http_proxy", "RSYNC_PROXY", "NO_PROXY"] {
        assert!(coder.contains_key(kept), "{kept}");
    }
    for withheld in &child.unreachable {
        assert!(!coder.contains_key(withheld), "{withheld}");
    }
    // Without a proxy of its own the box goes where it likes.
    let direct = self::child(&given, &Additions::default());
    assert_eq!(direct.unreachable, [""; 0]);
}

#[test]
fn coder_gets_what_the_user_gave_but_nothing_of_inits_and_no_secret() {
    let child = child(
        &[
            ("EDITOR", "vi"),
            ("GITHUB_TOKEN", "the-users-own"),
            ("CIB_PORT", "8080"),
            ("CIB_PROXY_URL", URL),
            ("PUID", "1000"),
            ("ANTHROPIC_API_KEY", "sk-ant-1"),
            ("ANTHROPIC_BASE_URL", "https://api.example"),
            ("SSH_AUTH_SOCK", "/agent"),
            ("PATH", "/opt/bin:/bin"),
        ],
        &Additions::default(),
    );
    let coder = child.coder(&account(CODER));
    assert_eq!(
        names(&coder),
        [
            "ANTHROPIC_BASE_URL",
            "CIB_BOX",
            "EDITOR",
            "GITHUB_TOKEN",
            "HOME",
            "LANG",
            "LOGNAME",
            "PATH",
            "SHELL",
            "USER"
        ]
    );
    assert_eq!(coder["PATH"], "/opt/bin:/bin");
}

#[test]
fn a_token_of_a_forge_that_the_box_was_given_reaches_nobody_under_any_name() {
    let child = child(
        &[
            ("CIB_GITHUB_TOKEN", "ghp_0123456789"),
            ("GH_TOKEN", "ghp_0123456789"),
            ("REMOTE", "https://x:ghp_0123456789@github.com/a/b"),
            ("GITHUB_TOKEN", "the-users-own"),
        ],
        &Additions::default(),
    );
    let coder = child.coder(&account(CODER));
    assert_eq!(coder["GITHUB_TOKEN"], "the-users-own");
    for seen in [
        coder,
        child.common(),
        child.credentials(),
        child.plain(&account("cib")),
    ] {
        assert!(
            seen.values().all(|value| !value.contains("ghp_")),
            "{seen:?}"
        );
    }
    assert_eq!(child.withheld, ["GH_TOKEN", "REMOTE"]);
}

#[test]
fn claudes_credentials_are_in_nobodys_environment_but_stand_for_themselves() {
    let child = child(
        &[
            ("ANTHROPIC_API_KEY", "sk-ant-1"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "oat-1"),
            ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-1"),
            (
                "CIB_AWS_CREDENTIALS",
                r#"{"AccessKeyId": "AKIA-1", "SecretAccessKey": "key-1"}"#,
            ),
            (
                "CIB_GOOGLE_CREDENTIALS",
                r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "refresh-1"}"#,
            ),
        ],
        &Additions::default(),
    );
    let credentials = child.credentials();
    assert_eq!(credentials["ANTHROPIC_API_KEY"], "sk-ant-1");
    assert_eq!(credentials["CLAUDE_CODE_OAUTH_TOKEN"], "oat-1");
    assert_eq!(credentials["AWS_ACCESS_KEY_ID"], "AKIA-1");
    assert_eq!(credentials["AWS_SECRET_ACCESS_KEY"], "key-1");
    assert_eq!(credentials["AWS_BEARER_TOKEN_BEDROCK"], "bedrock-1");
    assert!(credentials[cib_protocol::session::GOOGLE_CREDENTIALS].contains("refresh-1"));
    for other in [
        child.common(),
        child.coder(&account(CODER)),
        child.plain(&account("cib")),
    ] {
        assert!(
            other.values().all(|value| !value.contains("-1")),
            "{other:?}"
        );
    }
    assert!(!format!("{child:?}").contains("sk-ant-1"));
}

#[test]
fn a_socks_url_in_a_proxy_variable_goes_and_an_http_one_stays() {
    let child = child(
        &[
            ("ALL_PROXY", "socks5h://x:1"),
            ("https_proxy", " SOCKS4://x:1"),
            ("HTTP_PROXY", "http://x:1"),
        ],
        &Additions::default(),
    );
    let coder = child.coder(&account(CODER));
    assert!(!coder.contains_key("ALL_PROXY") && !coder.contains_key("https_proxy"));
    assert_eq!(coder["HTTP_PROXY"], "http://x:1");
}

#[test]
fn a_secret_that_strayed_into_another_variable_is_withheld() {
    let child = child(
        &[
            ("CIB_PROXY_URL", URL),
            ("HTTP_PROXY", "http://alice:p%40ss%3Aword@192.0.2.1:3128"),
            ("NOTE", "it is p@ss:word"),
            ("CURL_HEADER", "Authorization: Bearer correct-horse-battery"),
            ("FINE", "p@ss"),
        ],
        &Additions::default(),
    );
    assert_eq!(child.withheld, ["CURL_HEADER", "HTTP_PROXY", "NOTE"]);
    assert!(child.coder(&account(CODER)).contains_key("FINE"));
}

#[test]
fn sessions_get_the_claude_that_the_box_has_chosen() {
    let additions = Additions {
        claude_version: Some("2.1.112".to_owned()),
        ..Additions::default()
    };
    for given in [&[("CIB_CLAUDE_VERSION", "2.1.330")][..], &[]] {
        let child = child(given, &additions);
        let coder = child.coder(&account(CODER));
        assert_eq!(coder["CIB_CLAUDE_VERSION"], "2.1.112");
    }
}

#[test]
fn the_relayed_agent_and_the_bridge_are_told() {
    let additions = Additions {
        ssh_agent: Some("/run/cib/ssh-agent.sock".into()),
        gnupg_home: Some("/dev/shm/cib-keys/gnupg".into()),
        bridge_port: Some(12346),
        ..Additions::default()
    };
    let child = child(
        &[
            ("CIB_PROXY_URL", URL),
            ("CIB_PROXY_MODE", "env"),
            ("no_proxy", "intranet"),
        ],
        &additions,
    );
    let coder = child.coder(&account(CODER));
    assert_eq!(coder["SSH_AUTH_SOCK"], "/run/cib/ssh-agent.sock");
    assert_eq!(coder["GNUPGHOME"], "/dev/shm/cib-keys/gnupg");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        assert_eq!(coder[name], "http://127.0.0.1:12346");
    }
    assert_eq!(coder["NO_PROXY"], "localhost,127.0.0.1,::1,intranet");
    assert!(!child.plain(&account("cib")).contains_key("HTTP_PROXY"));
}
