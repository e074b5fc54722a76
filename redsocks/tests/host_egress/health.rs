//! What a person is told of an upstream that does not work.

use std::time::{Duration, Instant};

use cib_testkit::socks::Kind;
use cib_upstream::Upstream;
use cib_upstream::client::Target;
use cib_upstream::probe::{DEADLINE, Depth, Reachability, probe};

use crate::lab::{Lab, PROXY, PROXY_PORT, WEB, nft, pinned, within};
use crate::world::web;

fn check(lab: &Lab, upstream: &Upstream, through: Option<Target>) -> Reachability {
    let upstream = upstream.clone();
    within(&lab.inside, move || async move {
        let depth = through.as_ref().map_or(Depth::Greeting, Depth::Through);
        probe(&upstream, &[pinned()], depth, DEADLINE).await
    })
}

fn with_password(password: &str) -> Upstream {
    Upstream::parse(&format!("socks5://box:{password}@{PROXY}:{PROXY_PORT}")).unwrap()
}

#[test]
fn a_working_upstream_a_wrong_password_and_a_refused_target_are_told_apart() {
    let web_server: Target = std::net::SocketAddr::from(WEB).into();
    let nobody: Target = "203.0.113.80:81".parse().unwrap();
    for kind in [Kind::Dante, Kind::Microsocks] {
        let lab = Lab::new();
        web(&lab);
        let (_server, upstream) = lab.socks(kind, Some("right"));
        assert!(
            matches!(check(&lab, &upstream, None), Reachability::Reachable { .. }),
            "{kind:?}"
        );
        let through = check(&lab, &upstream, Some(web_server.clone()));
        assert!(
            matches!(through, Reachability::Reachable { .. }),
            "{kind:?}: {through:?}"
        );
        let refused = check(&lab, &upstream, Some(nobody.clone()));
        assert!(
            matches!(refused, Reachability::Refused(_)),
            "{kind:?}: {refused:?}"
        );
        let wrong = with_password("wrong");
        let health = check(&lab, &wrong, None);
        assert_eq!(health, Reachability::AuthRefused, "{kind:?}");
        let sentence = health.sentence(wrong.endpoint());
        assert!(
            sentence.contains("198.51.100.1:1080") && !sentence.contains("wrong"),
            "{sentence}"
        );
    }
}

#[test]
fn a_stopped_upstream_is_known_at_once_and_a_black_hole_within_the_deadline() {
    let lab = Lab::new();
    let upstream = with_password("any");
    let begin = Instant::now();
    assert!(matches!(
        check(&lab, &upstream, None),
        Reachability::Unreachable { .. }
    ));
    assert!(begin.elapsed() < Duration::from_secs(3));
    nft(
        &lab.far,
        "table inet hole {\n chain in {\n type filter hook input priority 0; policy drop;\n }\n}\n",
    );
    let begin = Instant::now();
    let health = check(&lab, &upstream, None);
    assert!(
        matches!(health, Reachability::TimedOut { .. }),
        "{health:?}"
    );
    assert!(begin.elapsed() < DEADLINE + Duration::from_secs(5));
    assert!(
        health
            .sentence(upstream.endpoint())
            .starts_with("proxy unreachable: 198.51.100.1")
    );
}
