//! Look-ups as programs do them: by the C library, through the redirect.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cib_resolver::ResolverConfig;
use cib_testkit::process::run;
use cib_testkit::socks::Kind;
use cib_upstream::Upstream;
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{FROM, Lab, PASSWORD, PROXY, PROXY_PORT, WEB, pinned};
use crate::program::resolver;
use crate::world::{Visitors, serve};

const NAMES: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 53), 53);

/// Counts the names of 200 that `getaddrinfo` knows, IPv4 and IPv6 at once, as curl asks.
const LOOK_UPS: &str = r#"
#include <netdb.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    int found = 0;
    for (int i = 0; i < 200; i++) {
        char name[64];
        struct addrinfo hints, *list;
        memset(&hints, 0, sizeof hints);
        hints.ai_socktype = SOCK_STREAM;
        snprintf(name, sizeof name, "%s%d.example", argv[1], i);
        if (getaddrinfo(name, "80", &hints, &list) == 0) {
            found += list->ai_family == AF_INET && list->ai_next == NULL;
            freeaddrinfo(list);
        }
    }
    printf("%d\n", found);
    return 0;
}
"#;

fn config(upstream: Upstream) -> ResolverConfig {
    let mut config = ResolverConfig::new(upstream, vec![pinned()]);
    config.servers = vec![NAMES.to_string().parse().unwrap()];
    config
}

/// Runs a shell script inside the box, with a `resolv.conf` of its own.
fn shell(lab: &Lab, resolv_conf: &str, script: &str) -> Output {
    let conf = lab.file("resolv.conf", resolv_conf.as_bytes());
    let script = format!(
        "set -eu\nmount --bind '{}' /etc/resolv.conf\n{script}",
        conf.display()
    );
    let mut command = lab.inside.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command.output().unwrap()
}

/// Compiles a C program against musl. Fails where `musl-gcc` is missing.
fn musl(source: &Path, program: &Path) {
    let mut command = Command::new("musl-gcc");
    command
        .arg("-static")
        .arg("-o")
        .arg(program)
        .arg(source)
        .stdin(Stdio::null());
    run(command).unwrap();
}

/// A name server, on TCP alone, that gives every name the web server's address.
fn names(lab: &Lab) -> Visitors {
    serve(lab, NAMES.into(), |mut stream| async move {
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            let mut message = Message::from_vec(&query).unwrap();
            message.metadata.message_type = MessageType::Response;
            message.metadata.recursion_available = true;
            let name = message.queries[0].name.clone();
            message.add_answer(Record::from_rdata(name, 60, RData::A((*WEB.ip()).into())));
            let reply = message.to_vec().unwrap();
            let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
            framed.extend_from_slice(&reply);
            stream.write_all(&framed).await.unwrap();
        }
    })
}

fn found(lab: &Lab, resolv_conf: &str, script: &str) -> String {
    let output = shell(lab, resolv_conf, script);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn glibc_finds_200_of_200_names_whatever_server_it_asks() {
    let lab = Lab::new();
    let visitors = names(&lab);
    let (_dante, upstream) = lab.socks(Kind::Dante, Some(PASSWORD));
    let resolver = resolver(&lab, &config(upstream));
    for (place, resolv_conf) in [
        "nameserver 127.0.0.11\noptions ndots:0\n",
        "nameserver 192.0.2.53\noptions edns0 trust-ad\n",
        "search lan.example\nnameserver 2001:db8:9::53\nnameserver 192.0.2.53\n",
        "nameserver 192.0.2.53\noptions use-vc\n",
    ]
    .into_iter()
    .enumerate()
    {
        let script = format!(
            "found=0; for i in $(seq 200); do \
             getent ahosts a{place}x$i.example >/dev/null && found=$((found + 1)); done; echo $found"
        );
        assert_eq!(found(&lab, resolv_conf, &script), "200", "{resolv_conf}");
    }
    assert!(visitors.all().iter().all(|visitor| *visitor == FROM));
    assert!(
        visitors.all().len() < 10,
        "800 look-ups share a few connections"
    );
    assert_eq!(resolver.output(), "", "no name is anybody's business");
}

#[test]
fn musl_finds_200_of_200_names() {
    let lab = Lab::new();
    names(&lab);
    let (_microsocks, upstream) = lab.socks(Kind::Microsocks, Some(PASSWORD));
    let _resolver = resolver(&lab, &config(upstream));
    let source = lab.file("lookups.c", LOOK_UPS.as_bytes());
    let program = source.with_extension("");
    musl(&source, &program);
    for (label, resolv_conf) in [
        ("m", "nameserver 127.0.0.11\n"),
        ("n", "nameserver 192.0.2.53\noptions edns0\n"),
    ] {
        let script = format!("{} {label}", program.display());
        assert_eq!(found(&lab, resolv_conf, &script), "200", "{resolv_conf}");
    }
}

#[test]
fn a_look_up_fails_at_once_while_the_upstream_is_dead_and_works_after() {
    let lab = Lab::new();
    names(&lab);
    let upstream = Upstream::parse(&format!("socks5://{PROXY}:{PROXY_PORT}")).unwrap();
    let resolver = resolver(&lab, &config(upstream));
    let begin = Instant::now();
    let script = "for i in 1 2 3 4 5; do getent ahostsv4 host$i.example || echo failed; done";
    let said = found(&lab, "nameserver 127.0.0.11\n", script);
    assert_eq!(said.matches("failed").count(), 5, "{said}");
    // Waited for, it would be seconds for each.
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    let logged = resolver.output();
    assert!(logged.contains("198.51.100.1:1080"), "{logged}");
    assert!(
        logged.lines().count() == 1 && !logged.contains("example"),
        "{logged}"
    );
    let (_microsocks, _) = lab.socks(Kind::Microsocks, None);
    let patient = "for i in $(seq 50); do \
                   getent ahostsv4 host.example >/dev/null && echo found && exit; sleep 0.1; done";
    assert_eq!(found(&lab, "nameserver 127.0.0.11\n", patient), "found");
}
