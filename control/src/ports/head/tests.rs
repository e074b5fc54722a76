use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

fn door(path: &str, host: &str) -> Option<Door> {
    Door::find(&path.parse().unwrap(), &headers(&[("host", host)]))
}

#[test]
fn a_door_is_found_by_a_path_or_by_a_name_and_by_nothing_like_them() {
    let by_path = door(&format!("/ports/3000/{KEY}/a%2fb?c=d"), "box:8080").unwrap();
    assert_eq!(by_path.target.as_deref(), Some("/a%2fb?c=d"));
    assert_eq!(
        (by_path.port, by_path.capability.as_str()),
        (Some(3000), KEY)
    );
    let bare = door(&format!("/ports/3000/{KEY}"), "box:8080").unwrap();
    assert_eq!(bare.target, None);
    assert_eq!(bare.beginning(), format!("/ports/3000/{KEY}/"));
    let name = format!("P-{KEY}.localhost:8080");
    let by_name = door("/api/sessions?x", &name).unwrap();
    assert_eq!(by_name.target.as_deref(), Some("/api/sessions?x"));
    assert_eq!((by_name.port, by_name.capability.as_str()), (None, KEY));
    let upper = format!("/ports/3000/{}/", KEY.to_uppercase());
    for none in [
        "/ports",
        "/ports/",
        "/ports/3000/",
        "/ports/x/y/",
        "/ports/70000/a/",
        &upper,
    ] {
        assert_eq!(door(none, "box"), None, "{none}");
    }
    for none in [
        format!("p-{KEY}"),
        format!("p-{KEY}0.localhost"),
        format!("x.p-{KEY}.a"),
    ] {
        assert_eq!(door("/", &none), None, "{none}");
    }
}

#[test]
fn nothing_that_says_who_asks_reaches_what_listens() {
    let asked = headers(&[
        ("accept", "text/html"),
        ("authorization", "Bearer t"),
        ("cookie", "cib-0a=x"),
        ("x-cib-proof", "p"),
        ("x-cib-proxy-secret", "s"),
        ("x-forwarded-user", "ann"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-access-token", "t"),
        ("x-amzn-oidc-data", "t"),
        ("remote-user", "ann"),
        ("referer", "http://box/ports/1/2/"),
        ("origin", "null"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "k"),
        ("sec-websocket-protocol", "bearer.t, vite-hmr, proof.p"),
    ]);
    let door = door(&format!("/ports/3000/{KEY}/"), "box:8080").unwrap();
    let head = door.request(3000, &asked, true);
    let mut names: Vec<_> = head.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "connection",
            "host",
            "origin",
            "sec-websocket-key",
            "sec-websocket-protocol",
            "upgrade",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-proto",
        ]
    );
    assert_eq!(head[HOST], "localhost:3000");
    assert_eq!(head[ORIGIN], "http://localhost:3000");
    assert_eq!(head[SEC_WEBSOCKET_PROTOCOL], "vite-hmr");
    assert_eq!(head["x-forwarded-proto"], "https");
}

#[test]
fn nothing_that_a_browser_would_obey_for_the_box_comes_back() {
    let said = headers(&[
        ("content-type", "text/html"),
        ("set-cookie", "cib-0a=x; path=/"),
        ("clear-site-data", "\"*\""),
        ("service-worker-allowed", "/"),
        ("strict-transport-security", "max-age=1"),
        ("content-security-policy", "sandbox allow-same-origin"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("www-authenticate", "Basic realm=box"),
        ("link", "<https://evil.example>; rel=preconnect"),
        ("refresh", "0; url=https://evil.example"),
        ("x-accel-redirect", "/etc/passwd"),
        ("report-to", "{}"),
        ("alt-svc", "h3=\":443\""),
        ("cache-control", "public, max-age=9999"),
    ]);
    for (path, host, origin) in [
        (format!("/ports/3000/{KEY}/"), "box".to_owned(), false),
        ("/".to_owned(), format!("p-{KEY}.localhost"), true),
    ] {
        let door = door(&path, &host).unwrap();
        let head = door.answer(3000, &said);
        for gone in [
            "set-cookie",
            "clear-site-data",
            "service-worker-allowed",
            "strict-transport-security",
            "access-control-allow-credentials",
            "www-authenticate",
            "link",
            "refresh",
            "x-accel-redirect",
            "report-to",
            "alt-svc",
        ] {
            assert!(!head.contains_key(gone), "{gone}");
        }
        assert_eq!(head[CONTENT_TYPE], "text/html");
        assert_eq!(head[CACHE_CONTROL], "no-store");
        assert_eq!(head.get_all(CONTENT_SECURITY_POLICY).iter().count(), 1);
        let policy = head[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("sandbox "), "{policy}");
        assert_eq!(policy.contains("allow-same-origin"), origin, "{policy}");
        for word in [
            "allow-top-navigation",
            "allow-popups",
            "allow-downloads",
            "http:",
        ] {
            assert!(!policy.contains(word), "{policy}");
        }
        let allowed = head.get(ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(
            allowed.map(HeaderValue::as_bytes),
            (!origin).then_some(&b"null"[..])
        );
    }
}

#[test]
fn where_an_answer_leads_stays_behind_the_door() {
    let by_path = door(&format!("/ports/3000/{KEY}/"), "box").unwrap();
    let at = |said: &str| by_path.location(3000, said);
    assert_eq!(at("/login"), format!("/ports/3000/{KEY}/login"));
    assert_eq!(
        at("http://localhost:3000/a"),
        format!("/ports/3000/{KEY}/a")
    );
    assert_eq!(at("http://127.0.0.1:3000"), format!("/ports/3000/{KEY}/"));
    assert_eq!(at("next"), "next");
    assert_eq!(at("http://localhost:30001/"), "http://localhost:30001/");
    let by_name = door("/", &format!("p-{KEY}.localhost")).unwrap();
    assert_eq!(by_name.location(3000, "/login"), "/login");
    assert_eq!(by_name.location(3000, "http://localhost:3000"), "/");
}

#[test]
fn pages_of_other_origins_and_service_workers_are_refused() {
    let code = |path: &str, host: &str, pairs: &[(&'static str, &str)]| {
        let mut sent = headers(pairs);
        sent.insert(HOST, host.parse().unwrap());
        let door = Door::find(&path.parse().unwrap(), &sent).unwrap();
        door.check(&Method::GET, &sent)
            .err()
            .map(|fault| fault.code())
    };
    let path = format!("/ports/3000/{KEY}/");
    let (host, name) = ("box:8080", format!("p-{KEY}.localhost:8080"));
    let foreign = Some(Code::CrossOrigin);
    let evil = ("origin", "https://evil.example");
    assert_eq!(code(&path, host, &[]), None);
    assert_eq!(code(&path, host, &[("origin", "null")]), None);
    assert_eq!(code(&path, host, &[evil]), foreign);
    assert_eq!(code(&path, host, &[("origin", "http://box:8080")]), foreign);
    assert_eq!(
        code("/", &name, &[("origin", &format!("http://{name}"))]),
        None
    );
    assert_eq!(code("/", &name, &[evil]), foreign);
    assert_eq!(code("/", &name, &[("origin", "null")]), foreign);
    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(
        code("/", &name, &[cross, ("sec-fetch-mode", "no-cors")]),
        foreign
    );
    assert_eq!(
        code("/", &name, &[cross, ("sec-fetch-mode", "navigate")]),
        None
    );
    // A page of the box that was made to load a script of the agent's.
    let own = ("sec-fetch-site", "same-origin");
    assert_eq!(
        code(&path, host, &[own, ("sec-fetch-mode", "no-cors")]),
        foreign
    );
    assert_eq!(
        code(&path, host, &[own, ("sec-fetch-mode", "navigate")]),
        None
    );
    let cookie = ("cookie", "a=b; cib-00000000=x");
    assert_eq!(code(&path, host, &[cookie, ("accept", "*/*")]), foreign);
    assert_eq!(
        code(&path, host, &[cookie, ("accept", "text/html,*/*")]),
        None
    );
    assert_eq!(code(&path, host, &[("cookie", "a=b")]), None);
    let worker = [("service-worker", "script")];
    for (path, host) in [(path.as_str(), host), ("/", name.as_str())] {
        assert_eq!(code(path, host, &worker), Some(Code::BadValue));
    }
}
