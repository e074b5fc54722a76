//! Who comes into the box, by what, and where it reaches out by itself.

use super::*;

#[test]
fn a_token_or_a_proxys_secret_that_can_be_guessed_is_refused_and_not_shown() {
    for name in ["CIB_AUTH_TOKEN", "CIB_TRUSTED_PROXY_SECRET"] {
        for guessable in [
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "121212121212121212",
            "abcdeabcdeabcdeabcde",
        ] {
            let faults = read(&[(name, guessable)]).settings.unwrap_err();
            let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
            let said = said.join("\n");
            assert!(said.contains(name) && said.contains("different"), "{said}");
            assert!(!said.contains(guessable), "{said}");
        }
    }
}

#[test]
fn an_administrator_is_asked_for_by_a_password_that_may_be_one() {
    assert_eq!(settings(&[("CIB_ADMIN_USER", "ann")]).admin, None);
    let admin = settings(&[("CIB_ADMIN_PASSWORD", "correct horse")]).admin;
    let admin = admin.unwrap();
    assert_eq!(
        (&*admin.name, admin.password.expose()),
        ("admin", "correct horse")
    );
    for (name, value) in [
        ("CIB_ADMIN_PASSWORD", "short"),
        ("CIB_ADMIN_USER", "a b"),
        ("CIB_ADMIN_USER", "a/b"),
    ] {
        let faults = shown(&[("CIB_AUTH_TOKEN", TOKEN), (name, value)]);
        assert!(faults[0].starts_with(&format!("{name}: ")), "{faults:?}");
        assert!(
            name == "CIB_ADMIN_USER" || !faults[0].contains(value),
            "{faults:?}"
        );
    }
}

#[test]
fn what_proxies_share_and_how_many_sessions_there_may_be_is_read() {
    let settings = settings(&[
        ("CIB_TRUSTED_PROXIES", "10.0.0.7"),
        ("CIB_TRUSTED_PROXY_SECRET", "between-proxy-and-box"),
        ("CIB_MAX_SESSIONS", "0"),
        ("CIB_SESSION_RETENTION", "720h"),
        ("CIB_TASK_RETENTION", "24h"),
    ]);
    let secret = settings.trusted_proxy_secret.unwrap();
    assert_eq!(secret.expose(), "between-proxy-and-box");
    assert_eq!(settings.sessions.max, Some(0));
    assert_eq!(settings.sessions.retention.unwrap().as_secs(), 2_592_000);
    assert_eq!(settings.sessions.task_retention.unwrap().as_secs(), 86_400);
}

#[test]
fn devices_have_a_port_of_their_own_or_none() {
    assert_eq!(settings(&[]).tcp_port, None);
    assert_eq!(settings(&[("CIB_TCP_PORT", "8081")]).tcp_port, Some(8081));
    for bad in ["0", "8080", "65536", "x"] {
        let faults = shown(&[("CIB_AUTH_TOKEN", TOKEN), ("CIB_TCP_PORT", bad)]);
        assert!(faults[0].starts_with("CIB_TCP_PORT: "), "{bad}: {faults:?}");
    }
}

#[test]
fn where_notices_go_is_read_and_what_is_secret_in_it_is_not_shown() {
    let list = r#"[{"label":"a","target":{"kind":"slack","url":"https://h.example/hush"}}]"#;
    let settings = settings(&[
        ("CIB_PUBLIC_URL", "https://box.example"),
        ("CIB_WEBHOOK_PRIVATE", "1"),
        ("CIB_NOTICES", list),
    ]);
    assert_eq!(settings.public_url.as_deref(), Some("https://box.example"));
    assert!(settings.webhook_private);
    let secrets = settings.channels[0].target.secrets();
    assert_eq!(secrets[0].expose(), "https://h.example/hush");
    let twice = format!("[{0},{0}]", &list[1..list.len() - 1]);
    for (name, bad) in [
        ("CIB_PUBLIC_URL", "/path"),
        ("CIB_NOTICES", "{}"),
        ("CIB_NOTICES", &list.replace("slack", "hush")),
        ("CIB_NOTICES", &list.replace("\"a\"", "\" \"")),
        ("CIB_NOTICES", &twice),
    ] {
        let faults = shown(&[("CIB_AUTH_TOKEN", TOKEN), (name, bad)]);
        assert!(faults[0].starts_with(&format!("{name}: ")), "{faults:?}");
        assert!(!faults[0].contains("hush"), "{faults:?}");
    }
}

#[test]
fn signing_out_leads_to_a_path_or_an_address_and_to_nothing_that_would_run() {
    for good in ["/oauth2/sign_out?rd=/", "https://login.example/logout"] {
        let url = settings(&[("CIB_LOGOUT_URL", good)]).logout_url;
        assert_eq!(url.as_deref(), Some(good));
    }
    for bad in [
        "javascript:alert(1)",
        "//evil.example",
        "https:///x",
        "logout",
        "/a b",
        "/\\x",
    ] {
        let faults = shown(&[("CIB_AUTH_TOKEN", TOKEN), ("CIB_LOGOUT_URL", bad)]);
        assert!(
            faults[0].starts_with("CIB_LOGOUT_URL: "),
            "{bad}: {faults:?}"
        );
    }
}

#[test]
fn an_account_at_a_forge_is_a_token_and_an_address_that_can_be_one() {
    let found = settings(&[
        ("CIB_GITHUB_TOKEN", "ghp_0123456789"),
        ("CIB_GITEA_TOKEN", "0123456789"),
        ("CIB_GITEA_URL", "https://Codeberg.org/"),
    ]);
    let seen: Vec<_> = found.forges.iter().map(|forge| &*forge.url).collect();
    assert_eq!(seen, ["https://github.com", "https://codeberg.org"]);
    assert!(settings(&[]).forges.is_empty());
    for (name, value, place) in [
        ("CIB_GITHUB_TOKEN", "short", "CIB_GITHUB_TOKEN: "),
        ("CIB_GITHUB_TOKEN", "ghp_012345 6789", "CIB_GITHUB_TOKEN: "),
        ("CIB_GITEA_TOKEN", "0123456789", "CIB_GITEA_URL: is not set"),
        ("CIB_GITHUB_URL", "github.com", "CIB_GITHUB_URL: "),
        ("CIB_GITHUB_URL", "ssh://github.com", "CIB_GITHUB_URL: "),
        (
            "CIB_GITHUB_URL",
            "https://me:pw@github.com",
            "CIB_GITHUB_URL: ",
        ),
        (
            "CIB_GITLAB_URL",
            "https://example.com/gitlab",
            "CIB_GITLAB_URL: ",
        ),
    ] {
        let faults = shown(&[("CIB_AUTH_TOKEN", TOKEN), (name, value)]);
        assert!(faults[0].starts_with(place), "{value}: {faults:?}");
        assert!(
            name.ends_with("URL") || !faults[0].contains(value),
            "{faults:?}"
        );
    }
    let twice = shown(&[
        ("CIB_AUTH_TOKEN", TOKEN),
        ("CIB_GITHUB_TOKEN", "ghp_0123456789"),
        ("CIB_GITLAB_TOKEN", "glpat-0123456789"),
        ("CIB_GITLAB_URL", "https://github.com"),
    ]);
    assert!(twice[0].starts_with("CIB_GITLAB_URL: "), "{twice:?}");
    for (url, warns) in [("http://10.0.0.5:3000", 1), ("http://127.0.0.1:3000", 0)] {
        let reading = read(&[
            ("CIB_AUTH_TOKEN", TOKEN),
            ("CIB_GITEA_TOKEN", "0123456789"),
            ("CIB_GITEA_URL", url),
        ]);
        assert_eq!(reading.warnings.len(), warns, "{:?}", reading.warnings);
    }
}

#[test]
fn a_broker_is_read_with_all_that_belongs_to_it_and_half_of_it_is_told() {
    assert!(settings(&[]).mqtt.is_none());
    let mqtt = settings(&[
        ("CIB_MQTT_URL", "mqtts://box:hush@broker.example"),
        ("CIB_MQTT_PREFIX", "home/desk"),
        ("CIB_MQTT_SCOPES", "sessions:input, sessions:write"),
        ("CIB_MQTT_COALESCE", "250ms"),
    ]);
    let mqtt = mqtt.mqtt.unwrap();
    assert_eq!((mqtt.name(), mqtt.port), ("desk", 8883));
    assert_eq!(mqtt.coalesce_ms, 250);
    assert_eq!(mqtt.scopes, ["sessions:input", "sessions:write"]);
    assert!(mqtt.kinds.contains(&"tool.use.*".to_owned()) && !mqtt.home_assistant);
    let pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----";
    for (name, value, told) in [
        ("CIB_MQTT_URL", "http://u:hush@broker", "CIB_MQTT_URL: "),
        ("CIB_MQTT_PREFIX", "a/#", "CIB_MQTT_PREFIX: "),
        ("CIB_MQTT_SCOPES", "everything", "CIB_MQTT_SCOPES: "),
        ("CIB_MQTT_KINDS", "A", "CIB_MQTT_KINDS: "),
        ("CIB_MQTT_COALESCE", "1m", "CIB_MQTT_COALESCE: "),
        ("CIB_MQTT_CA", "hush", "CIB_MQTT_CA: "),
        ("CIB_MQTT_KEY", "hush", "CIB_MQTT_KEY: "),
        ("CIB_MQTT_CERT", pem, "CIB_MQTT_CERT: is one half of two"),
    ] {
        let mut variables = vec![("CIB_AUTH_TOKEN", TOKEN), (name, value)];
        if name != "CIB_MQTT_URL" {
            variables.push(("CIB_MQTT_URL", "mqtts://broker"));
        }
        let faults = shown(&variables);
        assert!(faults[0].starts_with(told), "{name}: {faults:?}");
        assert!(!faults[0].contains("hush"), "{faults:?}");
    }
}
