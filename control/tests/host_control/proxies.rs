//! Who may say that it is a proxy, on networks of the test's own.

use std::process::{Command, Stdio};

use crate::common::process::command;
use crate::common::world::World;

/// A box at 172.20.0.2 with a neighbour at 172.20.0.9, and what each of them gets for the claim
/// of a proxy. Everything in here ends with the script, which is the first process of its own
/// process namespace.
const SCRIPT: &str = r#"
set -e
ip link set lo up
unshare --net sleep 600 &
far=$!
until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link add v0 type veth peer name v1 netns $far
ip addr add 172.20.0.2/16 dev v0
ip link set v0 up
nsenter -t $far --net bash -c 'ip addr add 172.20.0.9/16 dev v1; ip link set v1 up'
"$@" >/dev/null &
until (: </dev/tcp/127.0.0.1/8080) 2>/dev/null; do :; done
claim='GET /api/info HTTP/1.1\r\nHost: box\r\nX-Forwarded-User: me\r\nConnection: close\r\n\r\n'
ask() { exec 3<>/dev/tcp/$1/8080; printf "$claim" >&3; head -n 1 <&3; }
echo "loopback: $(ask 127.0.0.1)"
echo "own: $(ask 172.20.0.2)"
# A network that the box joins while it runs.
ip addr add 172.21.0.2/16 dev lo
echo "joined: $(ask 172.21.0.2)"
export claim
export -f ask
echo "neighbour: $(nsenter -t $far --net bash -c 'ask 172.20.0.2')"
"#;

#[tokio::test]
async fn a_proxy_is_trusted_from_its_own_address_and_from_none_of_the_boxs() {
    let world = World::new();
    let control = command(&world, "0.0.0.0:8080".parse().unwrap());
    let asking = move || {
        Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--mount-proc",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .args(["bash", "-c", SCRIPT, "script"])
            .arg(control.get_program())
            .args(control.get_args())
            .args(["--trusted-proxies", "172.16.0.0/12,127.0.0.0/8"])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(asking).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<_> = said.lines().map(str::trim_end).collect();
    assert_eq!(
        answers,
        [
            "loopback: HTTP/1.1 401 Unauthorized",
            "own: HTTP/1.1 401 Unauthorized",
            "joined: HTTP/1.1 401 Unauthorized",
            "neighbour: HTTP/1.1 200 OK",
        ],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
