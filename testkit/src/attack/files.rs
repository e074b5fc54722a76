//! Files: the box's own, written, replaced and read by somebody else.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Uid, chown, linkat, mkfifo};

use super::{Aim, Loot, Outcome, own};

/// Tries an operation on each of the box's own files.
fn each(aim: &Aim, what: &str, attempt: impl Fn(&Path) -> io::Result<()>) -> Outcome {
    let mut loot = Loot::default();
    for path in aim.own_files() {
        loot.take(|| format!("{what} {}", path.display()), attempt(&path));
    }
    loot.outcome()
}

/// Tries an operation in each of the box's own folders.
fn in_each(aim: &Aim, what: &str, attempt: impl Fn(&Path) -> io::Result<()>) -> Outcome {
    let mut loot = Loot::default();
    for folder in aim.own_files() {
        let new = folder.join(format!("attack-{}", std::process::id()));
        loot.take(|| format!("{what} in {}", folder.display()), attempt(&new));
        let _ = fs::remove_file(&new);
    }
    loot.outcome()
}

pub(super) fn write(aim: &Aim) -> Outcome {
    each(aim, "opened for writing", |path| {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        options.open(path).map(drop)
    })
}

pub(super) fn append(aim: &Aim) -> Outcome {
    each(aim, "opened for appending", |path| {
        let mut options = OpenOptions::new();
        options.append(true).custom_flags(libc::O_NONBLOCK);
        options.open(path).map(drop)
    })
}

pub(super) fn truncate(aim: &Aim) -> Outcome {
    each(aim, "truncated", |path| Ok(nix::unistd::truncate(path, 0)?))
}

pub(super) fn remove(aim: &Aim) -> Outcome {
    each(aim, "removed", |path| {
        if path.is_dir() {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    })
}

pub(super) fn move_away(aim: &Aim) -> Outcome {
    each(aim, "moved", |path| fs::rename(path, own("moved")))
}

pub(super) fn replace(aim: &Aim) -> Outcome {
    let new = own("new");
    let made = fs::write(&new, "{}\n");
    let outcome = each(aim, "replaced", |path| fs::rename(&new, path));
    let _ = fs::remove_file(&new);
    made.map_or_else(|error| Outcome::Refused(error.to_string()), |()| outcome)
}

pub(super) fn change_mode(aim: &Aim) -> Outcome {
    each(aim, "changed the mode of", |path| {
        fs::set_permissions(path, Permissions::from_mode(0o777))
    })
}

pub(super) fn change_owner(aim: &Aim) -> Outcome {
    each(aim, "took", |path| {
        Ok(chown(path, Some(Uid::current()), Some(Gid::current()))?)
    })
}

pub(super) fn change_times(aim: &Aim) -> Outcome {
    each(aim, "changed the times of", |path| {
        let file = File::open(path)?;
        file.set_modified(std::time::UNIX_EPOCH)
    })
}

pub(super) fn hard_link(aim: &Aim) -> Outcome {
    each(aim, "linked", |path| {
        let new = own("link");
        linkat(AT_FDCWD, path, AT_FDCWD, &new, AtFlags::empty())?;
        fs::remove_file(new)
    })
}

pub(super) fn make_file(aim: &Aim) -> Outcome {
    in_each(aim, "made a file", |new| File::create_new(new).map(drop))
}

pub(super) fn make_link(aim: &Aim) -> Outcome {
    in_each(aim, "made a link", |new| symlink("/etc/shadow", new))
}

pub(super) fn make_pipe(aim: &Aim) -> Outcome {
    in_each(aim, "made a pipe", |new| Ok(mkfifo(new, Mode::S_IRWXU)?))
}

pub(super) fn make_device(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    let new = own("device");
    let made = mknod(&new, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 1));
    loot.take(|| "made /dev/mem".into(), made);
    let outcome = in_each(aim, "made a device", |new| {
        Ok(mknod(new, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 1))?)
    });
    match loot.outcome() {
        Outcome::Got(got) => Outcome::Got(got),
        _ => outcome,
    }
}

/// Files that hold what only others may know.
fn private_files(aim: &Aim) -> Vec<PathBuf> {
    let mut files = aim.secret_files.clone();
    files.extend([
        aim.run.join("control/auth.json"),
        aim.run.join("redsocks/redsocks.conf"),
        aim.run.join("resolver/resolver.json"),
        aim.run.join("connect/connect.json"),
        aim.record().join("transcript.jsonl"),
        aim.record().join("hooks.json"),
        aim.data.join("control"),
        aim.data.join("control/tokens.json"),
        aim.data.join("control/accounts.json"),
        aim.data.join("control/sign-ins.json"),
        PathBuf::from("/etc/shadow"),
        PathBuf::from("/root/.ssh"),
        PathBuf::from("/proc/1/environ"),
        PathBuf::from("/proc/1/root"),
        PathBuf::from("/proc/1/cwd"),
        PathBuf::from("/proc/kcore"),
        PathBuf::from("/dev/mem"),
    ]);
    files
}

pub(super) fn read_private(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for path in private_files(aim) {
        let read = || {
            if path.is_dir() {
                fs::read_dir(&path)?.next().transpose()?;
                return Ok(());
            }
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(libc::O_NONBLOCK);
            options.open(&path)?.read(&mut [0]).map(drop)
        };
        loot.take(|| format!("read {}", path.display()), read());
    }
    loot.outcome()
}

/// Looks for secrets in everything that can be read below a few folders.
pub(super) fn search_files(aim: &Aim) -> Outcome {
    let mut loot = Loot::default();
    let mut folders: Vec<PathBuf> = ["/run", "/etc/claude-in-box", "/tmp", "/var/lib", "/home"]
        .map(PathBuf::from)
        .into();
    folders.push(aim.data.clone());
    let mut left = 20_000;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            left -= 1;
            if left == 0 {
                return loot.outcome();
            }
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                search(aim, &entry.path(), &mut loot);
            }
        }
    }
    loot.refused.get_or_insert("nothing was found".into());
    loot.outcome()
}

/// Looks for secrets in one file.
pub(super) fn search(aim: &Aim, path: &Path, loot: &mut Loot) {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut bytes));
    if read.is_err() {
        return;
    }
    for secret in &aim.secrets {
        if bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
        {
            loot.got
                .push(format!("a secret stands in {}", path.display()));
        }
    }
}

/// Looks for secrets in the environment and the command line of every process, its own too.
pub(super) fn search_processes(aim: &Aim) -> Outcome {
    let mut loot = Loot::unless("nothing was found");
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let own = name == *std::process::id().to_string();
        // Names such as self stand for a process that has a number as well.
        if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        for file in ["environ", "cmdline"] {
            // This program is told what to look for on its own command line.
            if !(own && file == "cmdline") {
                search(aim, &entry.path().join(file), &mut loot);
            }
        }
    }
    loot.outcome()
}

/// Mounts something over the box's own folders.
pub(super) fn mount_over(aim: &Aim) -> Outcome {
    use nix::mount::{MsFlags, mount, umount};
    let mut loot = Loot::default();
    for target in [&aim.run, &aim.data, Path::new("/etc")] {
        let tried = mount(
            Some("tmpfs"),
            target,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        );
        loot.take(|| format!("mounted over {}", target.display()), tried);
        loot.take(|| format!("unmounted {}", target.display()), umount(target));
    }
    loot.outcome()
}

/// Writes where the kernel is told how to behave.
pub(super) fn kernel_settings(_: &Aim) -> Outcome {
    let mut loot = Loot::default();
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/pid_max",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/pids/cgroup.procs",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/release_agent",
    ] {
        let opened = OpenOptions::new().write(true).open(path);
        loot.take(|| format!("may write {path}"), opened);
    }
    loot.outcome()
}
