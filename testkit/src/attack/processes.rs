//! Processes of the box: signalled, traced, read, slowed down.

use std::fs;
use std::io;
use std::path::PathBuf;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setuid};

use super::{Aim, Loot, Outcome, PROGRAMS};
use crate::sys;

/// A process of the box.
struct Victim {
    pid: i32,
    name: String,
}

impl Victim {
    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}

/// The box's processes that run as somebody else. The keeper of logins is the agent's own.
fn victims() -> Vec<Victim> {
    let own = Uid::current().as_raw();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let name = name.trim_end().to_owned();
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let uid = status
                .lines()
                .find_map(|line| line.strip_prefix("Uid:\t"))?
                .split('\t')
                .next()?
                .parse::<u32>()
                .ok()?;
            (PROGRAMS.contains(&name.as_str()) && uid != own).then_some(Victim { pid, name })
        })
        .collect()
}

fn each<E: Into<io::Error>>(what: &str, attempt: impl Fn(&Victim) -> Result<(), E>) -> Outcome {
    let mut loot = Loot::default();
    for victim in victims() {
        let tried = attempt(&victim);
        loot.take(|| format!("{what} {} ({})", victim.name, victim.pid), tried);
    }
    loot.outcome()
}

fn signalled(signal: Signal) -> Outcome {
    each(&format!("sent {signal} to"), |victim| {
        kill(Pid::from_raw(victim.pid), signal)
    })
}

pub(super) fn stop(_: &Aim) -> Outcome {
    signalled(Signal::SIGSTOP)
}

pub(super) fn terminate(_: &Aim) -> Outcome {
    signalled(Signal::SIGTERM)
}

pub(super) fn kill_all(_: &Aim) -> Outcome {
    signalled(Signal::SIGKILL)
}

pub(super) fn children_signal(_: &Aim) -> Outcome {
    signalled(Signal::SIGCHLD)
}

pub(super) fn kill_groups(_: &Aim) -> Outcome {
    each("killed the group of", |victim| {
        // The group of PID 1 has no name here: -1 stands for all of the agent's own processes.
        let group = if victim.pid == 1 { 1 } else { -victim.pid };
        kill(Pid::from_raw(group), Signal::SIGKILL)
    })
}

pub(super) fn trace(_: &Aim) -> Outcome {
    each("traces", |victim| ptrace::attach(Pid::from_raw(victim.pid)))
}

pub(super) fn seize(_: &Aim) -> Outcome {
    each("seized", |victim| {
        ptrace::seize(Pid::from_raw(victim.pid), ptrace::Options::empty())
    })
}

pub(super) fn read_memory(_: &Aim) -> Outcome {
    each("read the memory of", |victim| {
        let mut buffer = [0; 8];
        let remote = RemoteIoVec {
            base: 0x40_0000,
            len: 8,
        };
        let mut local = [io::IoSliceMut::new(&mut buffer)];
        process_vm_readv(Pid::from_raw(victim.pid), &mut local, &[remote]).map(drop)
    })
}

pub(super) fn open_memory(_: &Aim) -> Outcome {
    each("opened the memory of", |victim| {
        fs::File::open(victim.proc("mem")).map(drop)
    })
}

pub(super) fn read_proc(_: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for victim in victims() {
        for file in ["environ", "maps", "auxv", "syscall", "stack", "io"] {
            let path = victim.proc(file);
            let read = fs::read(&path);
            loot.take(
                || format!("read {} of {}", path.display(), victim.name),
                read,
            );
        }
    }
    loot.outcome()
}

pub(super) fn follow_proc(_: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for victim in victims() {
        for file in ["cwd", "root", "exe", "fd/0", "fd/3"] {
            let path = victim.proc(file);
            let read = fs::read_link(&path);
            loot.take(
                || format!("followed {} of {}", path.display(), victim.name),
                read,
            );
        }
        let listed = fs::read_dir(victim.proc("fd"));
        loot.take(|| format!("listed descriptors of {}", victim.name), listed);
    }
    loot.outcome()
}

pub(super) fn write_proc(_: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for victim in victims() {
        for (file, text) in [
            ("oom_score_adj", "1000"),
            ("comm", "me"),
            ("clear_refs", "1"),
            ("coredump_filter", "0xff"),
            ("setgroups", "allow"),
            ("timens_offsets", "monotonic 1 0"),
        ] {
            let path = victim.proc(file);
            let wrote = fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
            loot.take(
                || format!("wrote {} of {}", path.display(), victim.name),
                wrote,
            );
        }
    }
    loot.outcome()
}

pub(super) fn steal_descriptors(_: &Aim) -> Outcome {
    each("took a descriptor of", |victim| {
        let taken = (0..8).find_map(|number| sys::take_descriptor(victim.pid, number).ok());
        match taken {
            Some(_) => Ok(()),
            None => sys::take_descriptor(victim.pid, 0).map(drop),
        }
    })
}

pub(super) fn slow_down(_: &Aim) -> Outcome {
    each("slowed down", |victim| sys::slow_down(victim.pid))
}

pub(super) fn limit(_: &Aim) -> Outcome {
    each("limited", |victim| sys::take_files(victim.pid))
}

pub(super) fn bind_to_cpu(_: &Aim) -> Outcome {
    each("bound to a processor", |victim| {
        let mut set = nix::sched::CpuSet::new();
        set.set(0)?;
        nix::sched::sched_setaffinity(Pid::from_raw(victim.pid), &set)
    })
}

pub(super) fn become_others(_: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for id in [0, 970, 971, 972] {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        loot.take(|| format!("became group {id}"), setgid(gid));
        loot.take(|| format!("joined group {id}"), setgroups(&[gid]));
        loot.take(|| format!("became user {id}"), setuid(uid));
    }
    loot.outcome()
}

/// Programs that would make somebody root, were it not for `no_new_privs`.
pub(super) fn raise(_: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for words in [
        &["su", "-c", "true"][..],
        &["sudo", "-n", "true"],
        &["newgrp", "root"],
        &["mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        &["pkexec", "true"],
        &["nsenter", "-t", "1", "-a", "true"],
        &["chroot", "/proc/1/root", "true"],
        &["unshare", "--net", "true"],
    ] {
        let ran = std::process::Command::new(words[0])
            .args(&words[1..])
            .stdin(std::process::Stdio::null())
            .output();
        let ran = ran.and_then(|output| {
            if output.status.success() {
                Ok(())
            } else {
                Err(io::Error::other(output.status.to_string()))
            }
        });
        loot.take(|| words.join(" "), ran);
    }
    loot.outcome()
}

/// Capabilities of this process, which has to have none, nor a way to get one.
pub(super) fn capabilities(_: &Aim) -> Outcome {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut loot = Loot::unless("there are none");
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let line = status.lines().find(|line| line.starts_with(name));
        if line.is_none_or(|line| !line.ends_with("\t0000000000000000")) {
            loot.got.push(format!("{line:?}"));
        }
    }
    if !status.contains("NoNewPrivs:\t1") {
        loot.got.push("may gain privileges".into());
    }
    loot.outcome()
}
