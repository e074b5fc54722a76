//! A cable that takes its time.
//!
//! The kernel's own way, the qdisc netem, is not in every kernel. Here two TUN devices in two
//! namespaces are joined by threads that keep each packet for a while.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::netns::Netns;
use crate::sys;

/// No packet of these devices is larger.
const LARGEST: usize = 64 << 10;

/// Joins two namespaces by a cable whose ends are both called `name` and up, with the
/// addresses given (with their prefix lengths), and on which every packet takes `each_way`.
/// The cable lasts as long as the process.
///
/// # Errors
/// There is no `/dev/net/tun`, the name is taken in one of them, or an address is none.
pub fn join(
    one: (&Netns, &str),
    other: (&Netns, &str),
    name: &str,
    each_way: Duration,
) -> io::Result<()> {
    let ends = [end(one.0, one.1, name)?, end(other.0, other.1, name)?];
    for (from, to) in [(0, 1), (1, 0)] {
        let (from, to) = (ends[from].try_clone()?, ends[to].try_clone()?);
        carry(from, to, each_way);
    }
    Ok(())
}

/// One end, in its namespace and up.
fn end(netns: &Netns, addr: &str, name: &str) -> io::Result<File> {
    let namespace = File::open(netns.path())?;
    let owned = name.to_owned();
    let opened = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        sys::tun(&owned)
    });
    let end = opened
        .join()
        .map_err(|_| io::Error::other("the thread that opens a TUN device panicked"))??;
    netns.ip(&format!("addr add {addr} dev {name}"))?;
    netns.ip(&format!("link set {name} up"))?;
    Ok(end)
}

fn carry(mut from: File, to: File, after: Duration) {
    let (sender, packets) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; LARGEST];
        while let Ok(len) = from.read(&mut buffer) {
            let due = Instant::now() + after;
            if sender.send((due, buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || deliver(&packets, to));
}

#[expect(
    clippy::disallowed_methods,
    reason = "a packet is kept until its time, which is the whole purpose"
)]
fn deliver(packets: &Receiver<(Instant, Vec<u8>)>, mut to: File) {
    while let Ok((due, packet)) = packets.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A packet that the other side does not take is lost, as on any cable.
        let _ = to.write(&packet);
    }
}
