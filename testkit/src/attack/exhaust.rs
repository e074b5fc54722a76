//! Taking so much of something that nothing is left for the box. Each of these holds on to what
//! it took until its standard input ends, so that the test can look meanwhile, and each is
//! bounded: a box that fails must not take the machine along.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{Aim, Outcome, own};

/// Waits until nobody wants to look any more.
fn hold<T>(taken: T) -> Outcome {
    println_flushed();
    let _ = io::stdin().read_to_end(&mut Vec::new());
    drop(taken);
    Outcome::Done
}

/// Says that everything is taken. The report follows at the end.
fn println_flushed() {
    use std::io::Write;
    let mut out = io::stdout().lock();
    let _ = out.write_all(b"holding\n");
    let _ = out.flush();
}

/// Processes that end with what holds them.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(super) fn processes(_: &Aim) -> Outcome {
    let mut children = Children(Vec::new());
    for _ in 0..300 {
        let sleep = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match sleep {
            Ok(child) => children.0.push(child),
            Err(_) => break,
        }
    }
    hold(children)
}

pub(super) fn memory(_: &Aim) -> Outcome {
    let mut taken = Vec::new();
    for _ in 0..16 {
        // Pages count once they are written.
        taken.push(vec![1_u8; 16 << 20]);
    }
    hold(taken)
}

pub(super) fn connections(aim: &Aim) -> Outcome {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, aim.port));
    let patience = Duration::from_millis(500);
    let open = || TcpStream::connect_timeout(&address, patience).ok();
    hold((0..1200).map_while(|_| open()).collect::<Vec<_>>())
}

pub(super) fn half_requests(aim: &Aim) -> Outcome {
    use std::io::Write;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, aim.port));
    let patience = Duration::from_millis(500);
    let mut taken = Vec::new();
    for _ in 0..300 {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, patience) else {
            break;
        };
        let _ = stream.write_all(b"GET /api/sessions HTTP/1.1\r\nHost: loc");
        taken.push(stream);
    }
    hold(taken)
}

pub(super) fn seats_of_init(aim: &Aim) -> Outcome {
    let socket = aim.run.join("init.sock");
    let open = || UnixStream::connect(&socket).ok();
    hold((0..200).map_while(|_| open()).collect::<Vec<_>>())
}

/// Asks init for its status as fast as it answers.
pub(super) fn status_of_init(aim: &Aim) -> Outcome {
    use std::io::Write;
    let askers: Vec<_> = (0..16)
        .filter_map(|_| UnixStream::connect(aim.run.join("init.sock")).ok())
        .collect();
    println_flushed();
    let end = std::time::Instant::now() + Duration::from_secs(2);
    let mut buffer = vec![0; 64 << 10];
    while std::time::Instant::now() < end {
        for mut asker in &askers {
            let _ = asker.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = asker.write_all(b"{\"op\":\"status\"}\n");
            let _ = asker.read(&mut buffer);
        }
    }
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Outcome::Done
}

pub(super) fn ports_of_redsocks(_: &Aim) -> Outcome {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 12345));
    let patience = Duration::from_millis(200);
    let open = || TcpStream::connect_timeout(&address, patience).ok();
    hold((0..600).map_while(|_| open()).collect::<Vec<_>>())
}

pub(super) fn inotify(aim: &Aim) -> Outcome {
    let mut taken = Vec::new();
    for _ in 0..4096 {
        let Ok(instance) = Inotify::init(InitFlags::IN_CLOEXEC) else {
            break;
        };
        let _ = instance.add_watch(&aim.data.join("sessions"), AddWatchFlags::IN_ALL_EVENTS);
        taken.push(instance);
    }
    hold(taken)
}

pub(super) fn terminals(_: &Aim) -> Outcome {
    let open = || {
        File::options()
            .read(true)
            .write(true)
            .open("/dev/ptmx")
            .ok()
    };
    hold((0..512).map_while(|_| open()).collect::<Vec<_>>())
}

pub(super) fn descriptors(_: &Aim) -> Outcome {
    let open = || File::open("/dev/null").ok();
    hold((0..20_000).map_while(|_| open()).collect::<Vec<_>>())
}

pub(super) fn files(_: &Aim) -> Outcome {
    let folder = own("files");
    let _ = fs::create_dir(&folder);
    for number in 0..20_000 {
        if File::create(folder.join(number.to_string())).is_err() {
            break;
        }
    }
    let outcome = hold(());
    let _ = fs::remove_dir_all(folder);
    outcome
}

/// Locks, which anybody may hold on a file that it can open.
pub(super) fn locks(aim: &Aim) -> Outcome {
    let mut taken = Vec::new();
    for folder in [aim.record(), aim.data.join("locks")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // Nobody of the box locks a folder.
            if entry.file_type().is_ok_and(|kind| kind.is_file())
                && let Ok(file) = File::open(entry.path())
                && file.try_lock().is_ok()
            {
                taken.push((entry.path(), file));
            }
        }
    }
    let got: Vec<_> = taken
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    let outcome = hold(taken);
    if got.is_empty() {
        outcome
    } else {
        Outcome::Got(format!("locks on {}", got.join(", ")))
    }
}
