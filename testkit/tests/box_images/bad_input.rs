//! Wrong configurations and wrong requests: each is refused with the name of what is wrong and
//! the remedy, and no secret is ever told.

use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Spec};
use cib_testkit::lab::{API_KEY, Lab, PROXY_PASSWORD, TOKEN};
use cib_testkit::socks::Kind;

const BOOT: Duration = Duration::from_secs(60);
/// How soon a proxy that cannot be used has to be named.
const SECONDS: Duration = Duration::from_secs(15);
/// The exit code of a configuration that is wrong.
const CONFIG: i32 = 78;

fn a_box() -> Spec {
    Engine::get().a_box().env("CIB_AUTH_TOKEN", TOKEN)
}

/// Starts a box that has to refuse its configuration; what it said. Whatever was wrong, it
/// ended with 78, changed no file, and told no secret.
///
/// On a machine under load the engine has once lost every line of a box that ended at once. That
/// is the engine's: such a box is asked a second time, and a box that says nothing says nothing
/// then as well.
fn refusal(spec: Spec) -> String {
    let log = refused(spec.clone());
    if log.is_empty() { refused(spec) } else { log }
}

fn refused(spec: Spec) -> String {
    let cage = spec.start();
    let code = cage.wait_exit(BOOT);
    let log = cage.logs();
    assert_eq!(code, CONFIG, "{log}");
    assert_eq!(cage.changes(), "", "it had begun to change things");
    assert_no_secret(&log);
    log
}

fn assert_no_secret(text: &str) {
    let encoded = "p%40ss%3Aw%2Frd%3F%23%25%26";
    for secret in [TOKEN, PROXY_PASSWORD, encoded, API_KEY] {
        let place = text.lines().find(|line| line.contains(secret));
        assert!(place.is_none(), "a secret is told: {place:?}");
    }
}

/// One line of `log` names `variable` and holds every one of `words`.
#[track_caller]
fn assert_told(log: &str, variable: &str, words: &[&str]) {
    let told = |line: &str| line.contains(variable) && words.iter().all(|word| line.contains(word));
    assert!(
        log.lines().any(told),
        "no line says {variable} with {words:?}:\n{log}"
    );
}

#[test]
fn no_token_is_refused() {
    let log = refusal(Engine::get().a_box());
    assert_told(&log, "CIB_AUTH_TOKEN", &[";"]);
    assert_told(&log, "CIB_AUTH_TOKEN", &["16"]);
}

#[test]
fn a_short_token_is_refused_and_not_shown() {
    let log = refusal(
        Engine::get()
            .a_box()
            .env("CIB_AUTH_TOKEN", "fifteen-chars-x"),
    );
    assert_told(&log, "CIB_AUTH_TOKEN", &["16"]);
    assert!(!log.contains("fifteen-chars-x"), "{log}");
}

#[test]
fn a_token_and_a_token_file_at_once_are_refused() {
    let log = refusal(a_box().env("CIB_AUTH_TOKEN_FILE", "/etc/hostname"));
    assert_told(&log, "CIB_AUTH_TOKEN", &["CIB_AUTH_TOKEN_FILE"]);
}

#[test]
fn a_malformed_proxy_url_is_refused_with_what_is_wrong_in_it() {
    for (url, word) in [
        ("socks5://:1080", "host"),
        ("socks5://proxy.test:0", "port"),
        ("socks5://proxy.test:65536", "port"),
        ("socks5://proxy.test:http", "port"),
        ("gopher://proxy.test:70", "gopher"),
        ("https://proxy.test:443", "https"),
        ("socks5://[fd00::1:1080", "bracket"),
    ] {
        let log = refusal(a_box().cap("NET_ADMIN").env("CIB_PROXY_URL", url));
        assert_told(&log, "CIB_PROXY_URL", &[word]);
    }
}

#[test]
fn a_malformed_proxy_url_keeps_its_password_to_itself() {
    let url = format!("socks5://box:{PROXY_PASSWORD}@proxy.test:1080");
    let log = refusal(a_box().cap("NET_ADMIN").env("CIB_PROXY_URL", &url));
    assert_told(&log, "CIB_PROXY_URL", &[";"]);
}

#[test]
fn a_proxy_without_net_admin_is_refused_with_the_remedy() {
    let log = refusal(a_box().env("CIB_PROXY_URL", "socks5://10.0.0.2:1080"));
    assert_told(&log, "CIB_PROXY_URL", &["NET_ADMIN"]);
    assert!(
        log.contains("--cap-add") || log.contains("cap_add"),
        "no remedy:\n{log}"
    );
}

#[test]
fn an_unknown_mode_is_refused_with_the_known_ones() {
    let log = refusal(a_box().env("CIB_MODE", "headles"));
    assert_told(&log, "CIB_MODE", &["headless"]);
}

#[test]
fn all_faults_are_reported_at_once() {
    let log = refusal(
        Engine::get()
            .a_box()
            .env("CIB_AUTH_TOKEN", "short")
            .env("CIB_MODE", "nowhere")
            .env("CIB_PROXY_URL", "socks5://:99999")
            .env("PUID", "-1")
            .env("CIB_SETUP_COMMANDS", "[\"unfinished"),
    );
    for variable in [
        "CIB_AUTH_TOKEN",
        "CIB_MODE",
        "CIB_PROXY_URL",
        "PUID",
        "CIB_SETUP_COMMANDS",
    ] {
        assert_told(&log, variable, &[";"]);
    }
}

#[test]
fn an_unknown_variable_is_warned_of_with_the_nearest_known_name() {
    let cage = a_box()
        .env("CIB_PROXY_ULR", "socks5://10.0.0.2:1080")
        .start();
    cage.wait_healthy(BOOT);
    assert_told(&cage.logs(), "CIB_PROXY_ULR", &["CIB_PROXY_URL"]);
}

#[test]
fn a_setup_command_that_fails_ends_the_box_with_its_name_and_code() {
    let commands = r#"["echo first", "echo second >&2; exit 9", "echo third"]"#;
    let cage = a_box().env("CIB_SETUP_COMMANDS", commands).start();
    assert_eq!(cage.wait_exit(BOOT), CONFIG, "{}", cage.logs());
    let log = cage.logs();
    assert!(log.contains("first") && log.contains("second"), "{log}");
    assert!(
        !log.lines().any(|line| line.trim_end().ends_with("third")),
        "it went on:\n{log}"
    );
    assert_told(&log, "CIB_SETUP_COMMANDS", &["9"]);
}

fn fetches(cage: &Container, lab: &Lab) -> bool {
    let page = format!("http://{}/page", lab.world_addr());
    cage.exec_as(
        "coder",
        &["curl", "-sS", "--fail", "--max-time", "20", &page],
    )
    .code
        == 0
}

#[test]
fn a_password_with_every_awkward_character_works_with_microsocks_as_well() {
    let lab = Lab::with(Kind::Microsocks);
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    assert!(fetches(&cage, &lab), "{}", cage.logs());
}

#[test]
fn a_proxy_at_an_ipv6_address_works() {
    let lab = Lab::with_ipv6(Kind::Dante);
    assert!(lab.proxy_url().contains("@["), "{}", lab.proxy_url());
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    assert!(fetches(&cage, &lab), "{}", cage.logs());
}

/// The box says what is wrong with its proxy in time, and lets nothing out.
fn assert_useless_proxy_is_named(lab: &Lab, url: &str, words: &str) {
    let cage = lab
        .an_open_box()
        .env("CIB_PROXY_URL", url)
        .env("CIB_DNS_SERVERS", &lab.world_addr())
        .start();
    cage.wait_for_log(SECONDS, words);
    let log = cage.logs();
    assert_told(&log, &lab.proxy_inside().ip().to_string(), &[words]);
    assert_told(&log, "CIB_PROXY_URL", &[]);
    assert_no_secret(&log);
    assert!(!fetches(&cage, lab), "a page came without a proxy");
    assert!(
        lab.world_log().is_empty(),
        "something reached the world: {:?}",
        lab.world_log()
    );
}

#[test]
fn a_wrong_proxy_password_is_named_and_nothing_gets_out() {
    let lab = Lab::new();
    let url = lab.proxy_url().replace("p%40ss", "fail");
    assert_useless_proxy_is_named(&lab, &url, "refuses the user or password");
}

#[test]
fn an_unreachable_proxy_is_named_and_nothing_gets_out() {
    let lab = Lab::new();
    let port = lab.proxy_inside().port();
    let url = lab.proxy_url().replace(&format!(":{port}"), ":1081");
    assert_useless_proxy_is_named(&lab, &url, "proxy unreachable");
}

#[test]
fn the_secrets_are_in_no_log_no_command_line_and_no_childs_environment() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let session = lab.api().open("@bash env; sleep 600");
    let sleeping = "grep -qsxz 600 /proc/[0-9]*/cmdline";
    cage.wait_inside(BOOT, "Claude's command to run", sleeping);

    // A process of `docker exec` gets the container's own variables, so this one drops them.
    let dump = "for p in /proc/[0-9]*; do echo \"== $p $(cat $p/comm)\"; \
                tr '\\0' '\\n' < $p/cmdline; \
                test $p = /proc/1 || tr '\\0' '\\n' < $p/environ; done 2>/dev/null";
    let seen = cage
        .exec_privileged(&["env", "-i", "/bin/sh", "-c", dump])
        .stdout;
    for process in ["redsocks", "cib-control", "cib-session", "claude", "sleep"] {
        assert!(
            seen.lines().any(|line| line.ends_with(process)),
            "no {process} in {seen}"
        );
    }
    assert!(
        seen.contains("HOME=/home/coder"),
        "no environment was read:\n{seen}"
    );
    let key = format!("ANTHROPIC_API_KEY={API_KEY}");
    assert_no_secret(&seen.replace(&key, ""));
    assert_no_secret(&cage.logs());
    let frames = lab.api().transcript(&session, 0);
    let told: Vec<String> = frames.iter().map(|frame| frame.data.to_string()).collect();
    assert_no_secret(&told.join("\n").replace(API_KEY, ""));
    assert_eq!(
        cage.sh("stat -c '%a %U' /run/cib/redsocks/redsocks.conf"),
        "400 cib-proxy\n"
    );
}
