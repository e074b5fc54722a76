//! What of the API needs the whole box: users, their files and the programs between them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::time::Duration;

use cib_testkit::client::{BoxClient, Frame};
use cib_testkit::engine::{Container, Engine};
use cib_testkit::lab::Lab;
use cib_testkit::wait::{wait_for, wait_until};
use serde_json::{Value, json};

const BOOT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// What a shell's terminal has shown.
fn shown(api: &BoxClient, shell: &str) -> String {
    let path = format!("/api/shells/{shell}/transcript?kinds=pty.raw&limit=100000");
    let page = api.get(&path).unwrap().expect(200);
    let bytes: Vec<u8> = page["frames"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|frame| decode(frame["data"]["data"].as_str().unwrap()))
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Base64 with padding (RFC 4648, section 4).
fn decode(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let digits = group.iter().filter(|digit| **digit != b'=');
        let value = digits.clone().fold(0_u32, |value, digit| {
            let digit = DIGITS.iter().position(|known| known == digit).unwrap();
            value << 6 | u32::try_from(digit).unwrap()
        });
        let count = digits.count();
        let value = value << (6 * (4 - count));
        bytes.extend(&value.to_be_bytes()[1..count]);
    }
    bytes
}

fn flow(login: &Value) -> &str {
    login["flow"]["state"].as_str().unwrap_or("none")
}

#[test]
fn a_shell_is_coders_and_may_do_no_more_than_claude() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    let asked = json!({"title": "by hand", "cols": 100, "rows": 30});
    let shell = api.post("/api/shells", &asked).unwrap().expect(201);
    let id = shell["id"].as_str().unwrap();
    let words = "echo user $(id -un); grep -h Cap[BE] /proc/self/status; stty size; pwd; echo over $((40+2))\r";
    let input = format!("/api/shells/{id}/input");
    let typed = api.post(&input, &json!({"data": words})).unwrap();
    assert_eq!(typed.expect(200)["bytes"], words.len());
    let text = wait_for(SOON, "the shell's answer", || {
        Some(shown(&api, id)).filter(|text| text.contains("over 42"))
    });
    for line in ["user coder", "30 100", "/workspace"] {
        assert!(
            text.contains(&format!("{line}\r\n")),
            "{line} is missing in\n{text}"
        );
    }
    for right in ["CapEff", "CapBnd"] {
        let line = format!("{right}:\t0000000000000000");
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
    let sessions = api.get("/api/sessions").unwrap().expect(200);
    assert_eq!(sessions["sessions"], json!([]));
    let ended = api
        .delete(&format!("/api/shells/{id}"))
        .unwrap()
        .expect(200);
    assert_eq!(ended["state"], "stopped", "{ended}");
}

#[test]
fn claudes_login_is_begun_and_given_up_from_outside() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    let none = json!({});
    let before = api.get("/api/auth/claude/status").unwrap().expect(200);
    assert_eq!(before["logged_in"], false, "{before}");
    let begun = api
        .post("/api/auth/claude/start", &none)
        .unwrap()
        .expect(200);
    assert_eq!(flow(&begun), "awaiting_code", "{begun}");
    let url = begun["flow"]["url"].as_str().unwrap();
    assert!(url.contains("/oauth/authorize?"), "{url}");
    let second = api.post("/api/auth/claude/start", &none).unwrap();
    assert_eq!(second.expect(409)["error"], "login_running");
    let ended = api
        .post("/api/auth/claude/cancel", &none)
        .unwrap()
        .expect(200);
    assert_eq!(flow(&ended), "cancelled", "{ended}");
}

#[test]
fn a_login_and_what_claude_remembers_outlive_the_container() {
    let engine = Engine::get();
    let lab = Lab::new();
    let volume = format!("{}-home", lab.inside.name());
    let mount = format!("{volume}:/home/coder/.claude");
    let status = |api: &BoxClient| api.get("/api/auth/claude/status").unwrap().expect(200);
    let first = lab.a_box().volume(&mount).start();
    first.wait_healthy(BOOT);
    let login = json!({"claudeAiOauth": {
        "accessToken": "sk-ant-oat01-x", "refreshToken": "sk-ant-ort01-y",
        "expiresAt": 4_000_000_000_000_u64, "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }});
    let memory = json!({"oauthAccount": {
        "accountUuid": "a", "emailAddress": "person@example.com",
        "organizationUuid": "o", "organizationName": "Example",
    }});
    for (file, text) in [
        (".claude/.credentials.json", login),
        (".claude.json", memory),
    ] {
        let script = format!("umask 077; printf %s '{text}' > /home/coder/{file}");
        let wrote = first.exec_as("coder", &["sh", "-c", &script]);
        assert_eq!(wrote.code, 0, "{}", wrote.stderr);
    }
    let before = status(&lab.api());
    assert_eq!(before["logged_in"], true, "{before}");
    drop(first);

    let second = lab.a_box().volume(&mount).start();
    second.wait_healthy(BOOT);
    let after = status(&lab.api());
    drop(second);
    let _ = engine.docker(&["volume", "rm", "--force", &volume]);
    assert_eq!(after["logged_in"], true, "{after}");
    assert_eq!(after["email"], "person@example.com", "{after}");
    assert_eq!(after["subscription"], "max", "{after}");
}

/// The most memory that the only keeper has in so many looks, in KiB (`Pss`, proc(5)).
fn memory_of_keeper(cage: &Container, looks: u32) -> u64 {
    let script = format!(
        "for c in $(grep -lx cib-session /proc/[0-9]*/comm); do \
         grep -q '^Uid:.972' ${{c%/comm}}/status && p=$(echo $c | cut -d/ -f3); done; m=0; \
         for i in $(seq {looks}); do \
         v=$(sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$p/smaps_rollup); \
         test $v -le $m || m=$v; done; echo $m"
    );
    let ran = cage.exec_privileged(&["sh", "-c", &script]);
    let most = ran.stdout.trim().parse();
    most.unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr))
}

#[test]
fn a_keeper_takes_little_memory_when_idle_and_not_much_more_while_it_streams() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    let session = api.open("@text Hello.");
    let mut events = api.events(&session, 0).unwrap();
    let _ = events.until(SOON, Frame::is_stop);
    wait_until(SOON, "a keeper of at most 1.5 MB", || {
        memory_of_keeper(&cage, 1) <= 1536
    });
    api.say(
        &session,
        &format!("@slow 2\n@text {}", "word ".repeat(6000)),
    );
    let _ = events.until(SOON, |frame| frame.word("text").starts_with("word"));
    let most = memory_of_keeper(&cage, 200);
    let shown = api.get(&format!("/api/sessions/{session}")).unwrap();
    let shown = shown.expect(200);
    assert_eq!(shown["turns"], 1, "looked at too late: {shown}");
    assert_eq!(shown["state"], "working", "{shown}");
    assert!(most <= 4096, "a keeper that streams takes {most} KiB");
}
