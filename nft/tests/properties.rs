//! What holds for every ruleset, whatever the wiring.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use cib_nft::{EgressPolicy, Lan, Listing, Reports, Ruleset, Upstreams, VerifyError, Wiring};
use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

fn port() -> impl Strategy<Value = NonZeroU16> {
    any::<NonZeroU16>()
}

fn upstreams() -> impl Strategy<Value = Upstreams> {
    let address = (any::<IpAddr>(), port()).prop_map(|(ip, port)| SocketAddr::new(ip, port.get()));
    vec(address, 1..5).prop_filter_map("a usable address", |addresses| {
        Upstreams::new(addresses).ok()
    })
}

fn lan() -> impl Strategy<Value = Lan> {
    let network = (any::<IpAddr>(), any::<u8>()).prop_map(|(ip, length)| {
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        IpNet::new_assert(ip, 1 + length % longest)
    });
    vec(network, 0..5).prop_filter_map("no loopback", |networks| Lan::new(networks).ok())
}

fn wiring() -> impl Strategy<Value = Wiring> {
    let users = (
        option::of(any::<u32>()),
        any::<u32>(),
        btree_set(any::<u32>(), 1..4),
    );
    let known = (upstreams(), option::of(upstreams()));
    let ports = [port(), port(), port()];
    let maybe = [option::of(port()), option::of(port())];
    (known, lan(), ports, users, maybe, any::<bool>()).prop_map(
        |(
            (upstreams, candidates),
            lan,
            [redirect_port, dns_docker_port, dns_port],
            (docker_dns_uid, redirector, carriers),
            [proof_port, relay_port],
            squatted,
        )| {
            let candidates = candidates.iter().flat_map(Upstreams::iter).collect();
            Wiring {
                upstreams,
                carriers,
                candidates,
                lan,
                redirect_port,
                redirector,
                squatted,
                relay_port,
                dns_docker_port,
                dns_port,
                docker_dns_uid,
                proof_port,
            }
        },
    )
}

fn policy() -> impl Strategy<Value = EgressPolicy> {
    prop_oneof![
        Just(EgressPolicy::Closed),
        btree_set(any::<IpAddr>(), 0..4).prop_map(|resolvers| EgressPolicy::Closing { resolvers }),
        wiring().prop_map(|wiring| EgressPolicy::Open { wiring }),
    ]
}

fn ruleset() -> impl Strategy<Value = Ruleset> {
    let reports = prop_oneof![Just(Reports::On), Just(Reports::Off)];
    prop_oneof![
        3 => (policy(), reports).prop_map(|(policy, reports)| Ruleset::inet(&policy, reports)),
        1 => (policy(), btree_set("[a-z]{2,8}[0-9]", 1..4))
            .prop_map(|(policy, devices)| Ruleset::netdev(&policy, &devices)),
    ]
}

/// The objects that the kernel is given.
fn objects(ruleset: &Ruleset) -> Vec<Value> {
    let document: Value = serde_json::from_str(&ruleset.apply().stdin.unwrap()).unwrap();
    let commands = document["nftables"].as_array().unwrap();
    // The table is added, deleted and added again.
    commands[2..]
        .iter()
        .map(|command| command["add"].clone())
        .collect()
}

/// The objects as the kernel would list them: with handles, and counters that count.
fn listed(ruleset: &Ruleset) -> Vec<Value> {
    let mut objects = objects(ruleset);
    for (handle, object) in objects.iter_mut().enumerate() {
        let body = object.as_object_mut().unwrap().values_mut().next().unwrap();
        body["handle"] = json!(handle);
        if object.get("counter").is_some() {
            object["counter"]["packets"] = json!(handle * 7);
            object["counter"]["bytes"] = json!(5_000_000_000_u64);
        }
    }
    objects.insert(
        0,
        json!({"metainfo": {"version": "1.1.3", "json_schema_version": 1}}),
    );
    objects
}

fn verify(ruleset: &Ruleset, objects: &[Value]) -> Result<(), VerifyError> {
    ruleset.verify(&Listing::Present(
        json!({ "nftables": objects }).to_string(),
    ))
}

fn rules(ruleset: &Ruleset) -> Vec<(String, String)> {
    let objects = objects(ruleset);
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    let pair = |rule: &Value| {
        (
            rule["chain"].as_str().unwrap().into(),
            rule["expr"].to_string(),
        )
    };
    rules.map(pair).collect()
}

/// Every way to change one leaf of a rule, a chain or a set.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if key != "handle" {
                    leaves(field, &format!("{path}/{key}"), found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Null => {}
        _ => found.push(path.to_owned()),
    }
}

fn changed(leaf: &Value) -> Value {
    match leaf {
        // Another address stays one, so that it is not found for being none.
        Value::String(word) => match word.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => json!(std::net::Ipv4Addr::from_bits(!ip.to_bits())),
            Ok(IpAddr::V6(ip)) => json!(std::net::Ipv6Addr::from_bits(!ip.to_bits())),
            Err(_) => json!(format!("{word}x")),
        },
        Value::Number(number) => json!(number.as_i64().unwrap() ^ 1),
        other => json!(!other.as_bool().unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_is_let_out_for_who_he_is(policy in policy()) {
        for (chain, rule) in rules(&Ruleset::inet(&policy, Reports::On)) {
            prop_assert!(!rule.contains("mark"), "{chain}: {rule}");
            prop_assert!(!rule.contains("skgid") && !rule.contains("cgroup"), "{chain}: {rule}");
            // A user narrows what a destination opened, and opens nothing by himself.
            if rule.contains("skuid") && rule.contains("accept") {
                prop_assert!(chain == "upstream" || chain == "candidate", "{chain}: {rule}");
            }
            for narrow in ["upstream", "candidate"] {
                if rule.contains(&json!({"target": narrow}).to_string()) {
                    prop_assert!(rule.contains(&format!("@{narrow}")), "{chain}: {rule}");
                }
            }
        }
    }

    #[test]
    fn whoever_is_no_carrier_is_turned_away_before_anything_leads_to_the_proxy(policy in policy()) {
        let rules = rules(&Ruleset::inet(&policy, Reports::Off));
        for narrow in ["upstream", "candidate"] {
            let mut within = rules.iter().filter(|(chain, _)| chain == narrow);
            let Some((_, first)) = within.next() else { continue };
            prop_assert!(first.contains("skuid") && first.contains("!="), "{first}");
            prop_assert!(first.contains("goto"), "{first}");
            let out = |(_, rule): &&(String, String)| rule.contains(&format!("@{narrow}"));
            let leading = rules.iter().filter(|(chain, _)| chain == "out").filter(out);
            for (_, rule) in leading {
                prop_assert!(rule.contains("jump") && !rule.contains("accept"), "{rule}");
            }
        }
    }

    #[test]
    fn every_way_out_is_closed_by_default(policy in policy()) {
        let objects = objects(&Ruleset::inet(&policy, Reports::On));
        for (name, hook) in [("out", "output"), ("gate", "postrouting"), ("forward", "forward")] {
            let chain = objects
                .iter()
                .filter_map(|object| object.get("chain"))
                .find(|chain| chain["name"] == name)
                .expect("the chain is there");
            prop_assert_eq!(&chain["policy"], "drop");
            prop_assert_eq!(&chain["hook"], hook);
        }
    }

    #[test]
    fn an_established_connection_is_let_on_only_in_answer(policy in policy()) {
        for (chain, rule) in rules(&Ruleset::inet(&policy, Reports::On)) {
            // There, whoever is somebody else was turned away before.
            let narrow = chain == "upstream" || chain == "candidate";
            if rule.contains("established") && !narrow {
                prop_assert!(rule.contains("reply"), "{chain}: {rule}");
            }
        }
    }

    #[test]
    fn a_listing_of_what_was_asked_for_is_no_drift(ruleset in ruleset()) {
        prop_assert!(verify(&ruleset, &listed(&ruleset)).is_ok());
    }

    #[test]
    fn an_object_that_is_missing_is_found(ruleset in ruleset(), which in any::<Index>()) {
        let mut objects = listed(&ruleset);
        // All but what nft says of itself.
        let which = 1 + which.index(objects.len() - 1);
        let removed = objects.remove(which);
        prop_assert!(verify(&ruleset, &objects).is_err(), "without {removed}");
    }

    #[test]
    fn a_rule_that_is_moved_is_found(ruleset in ruleset(), which in any::<Index>()) {
        let mut objects = listed(&ruleset);
        let neighbours: Vec<_> = (1..objects.len() - 1)
            .filter(|&at| {
                let (one, other) = (&objects[at]["rule"], &objects[at + 1]["rule"]);
                !one.is_null() && one["chain"] == other["chain"] && one["expr"] != other["expr"]
            })
            .collect();
        let at = neighbours[which.index(neighbours.len())];
        objects.swap(at, at + 1);
        prop_assert!(verify(&ruleset, &objects).is_err());
    }

    #[test]
    fn a_rule_too_many_is_found(ruleset in ruleset(), which in any::<Index>()) {
        let mut objects = listed(&ruleset);
        let rules: Vec<_> =
            (0..objects.len()).filter(|&at| objects[at].get("rule").is_some()).collect();
        let at = rules[which.index(rules.len())];
        let mut foreign = objects[at].clone();
        foreign["rule"]["expr"] = json!([{"accept": null}]);
        objects.insert(at, foreign);
        prop_assert!(verify(&ruleset, &objects).is_err());
    }

    #[test]
    fn any_word_or_number_that_is_changed_is_found(ruleset in ruleset(), which in any::<Index>()) {
        let mut objects = listed(&ruleset);
        let mut paths = Vec::new();
        for (index, object) in objects.iter().enumerate().skip(1) {
            for kind in ["table", "chain", "rule", "set"] {
                if let Some(body) = object.get(kind) {
                    leaves(body, &format!("/{index}/{kind}"), &mut paths);
                }
            }
        }
        let mut document = Value::Array(std::mem::take(&mut objects));
        // Where it is repeated, the family and the table of an object are those of the listing.
        paths.retain(|path| {
            !path.ends_with("/family") && !path.ends_with("/table") || path.contains("/1/table/")
        });
        let path = &paths[which.index(paths.len())];
        let leaf = document.pointer_mut(path).unwrap();
        *leaf = changed(leaf);
        let Value::Array(objects) = document else { unreachable!("it was an array") };
        prop_assert!(verify(&ruleset, &objects).is_err(), "changed {path}");
    }

    #[test]
    fn an_object_of_another_kind_is_found(ruleset in ruleset(), kind in "(map|flowtable|limit|quota|secmark)") {
        let mut objects = listed(&ruleset);
        let body = Map::from_iter([("name".to_owned(), json!("mine"))]);
        objects.push(json!({ kind: body }));
        prop_assert!(verify(&ruleset, &objects).is_err());
    }
}
