//! Who looks at coder's files, and what becomes of one that hangs.

use std::io::Read as _;
use std::os::unix::net::UnixStream;

use crate::boxed::{Recipe, Running};
use crate::support::eventually;

fn connect(running: &mut Running) -> UnixStream {
    let socket = running.inside("/run/cib/files/files.sock");
    UnixStream::connect(socket).unwrap()
}

#[test]
fn files_are_looked_at_by_a_process_of_coders_which_coder_cannot_ask() {
    let mut recipe = Recipe::new();
    recipe.set("ANTHROPIC_API_KEY", "sk-ant-a-key-that-nobody-else-may-see");
    recipe.program(
        "cib-files",
        "#!/bin/bash\ngrep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/self/status >&0\n\
         env >&0\necho \"told: $*\" >&0\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    for _ in 0..2 {
        let mut said = String::new();
        connect(&mut running).read_to_string(&mut said).unwrap();
        for line in [
            "Uid:\t1000\t1000\t1000\t1000\n",
            "CapEff:\t0000000000000000\n",
            "CapBnd:\t0000000000000000\n",
            "NoNewPrivs:\t1\n",
            "HOME=/home/coder\n",
            "told: --root workspace=/workspace --root home=/home/coder \
             --root claude=/home/coder/.claude --look box=/\n",
        ] {
            assert!(said.contains(line), "{line:?} is not in\n{said}");
        }
        assert!(!said.contains("sk-ant"), "{said}");
    }
    let folder = running.as_coder("ls /run/cib/files || echo closed");
    assert_eq!(folder, "closed\n");
    let asked = running.as_coder(
        "perl -MIO::Socket::UNIX -e \
         'print IO::Socket::UNIX->new(Peer => \"/run/cib/files/files.sock\") ? 1 : 0'",
    );
    assert_eq!(asked, "0");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn one_that_the_agent_stops_goes_when_nobody_waits_for_it_and_others_are_served() {
    let mut recipe = Recipe::new();
    recipe.program(
        "cib-files",
        "#!/bin/bash\nif [ -e /workspace/well ]; then echo well >&0; exit; fi\n\
         setsid sleep 43210 &\nkill -STOP $$\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    let hanging = connect(&mut running);
    eventually("it hangs", || {
        (!running.processes("sleep 43210").is_empty()).then_some(())
    });
    std::fs::write(recipe.folder("workspace").join("well"), "").unwrap();
    let mut said = String::new();
    connect(&mut running).read_to_string(&mut said).unwrap();
    assert_eq!(said, "well\n");
    drop(hanging);
    eventually("it is gone with what it started", || {
        let left = [
            running.processes("sleep 43210"),
            running.processes("/opt/box/cib-files"),
        ];
        left.iter().all(Vec::is_empty).then_some(())
    });
    assert_eq!(running.stop(), Some(0));
}
