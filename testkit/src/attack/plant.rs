//! What the agent leaves in its own world for the box to trip over: a start of a session, a
//! look at it and the next boot have to get past it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Aim, Outcome};

const HOME: &str = "/home/coder";

/// Files of the agent's that the box looks into.
fn looked_into() -> Vec<PathBuf> {
    [
        ".claude/hooks.json",
        ".claude/settings.json",
        ".claude/.credentials.json",
        ".claude.json",
        ".claude/.claude.json",
        ".gitconfig",
        ".ssh/config",
        ".ssh/known_hosts",
        ".gnupg/gpg.conf",
    ]
    .map(|file| Path::new(HOME).join(file))
    .into()
}

/// Puts something in the place of each file that the box looks into.
fn in_place(make: impl Fn(&Path) -> io::Result<()>) -> Outcome {
    let mut refused = None;
    for path in looked_into() {
        if let Some(folder) = path.parent() {
            let _ = fs::create_dir_all(folder);
        }
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        if let Err(error) = make(&path) {
            refused = Some(format!("{}: {error}", path.display()));
        }
    }
    refused.map_or(Outcome::Done, Outcome::Refused)
}

pub(super) fn pipes(_: &Aim) -> Outcome {
    in_place(|path| Ok(mkfifo(path, Mode::S_IRWXU)?))
}

pub(super) fn holes(_: &Aim) -> Outcome {
    in_place(|path| {
        File::create(path)?.set_len(15 << 40).or_else(|_| {
            // Where the file system has no files of that size.
            File::create(path)?.set_len(1 << 40)
        })
    })
}

pub(super) fn links(_: &Aim) -> Outcome {
    in_place(|path| symlink("/dev/zero", path))
}

pub(super) fn link_loops(_: &Aim) -> Outcome {
    in_place(|path| symlink(path, path))
}

pub(super) fn links_to_the_box(aim: &Aim) -> Outcome {
    in_place(|path| symlink(aim.run.join("control/auth.json"), path))
}

pub(super) fn folders(_: &Aim) -> Outcome {
    in_place(|path| fs::create_dir(path))
}

pub(super) fn sockets(_: &Aim) -> Outcome {
    in_place(|path| UnixListener::bind(path).map(drop))
}

pub(super) fn deep_json(_: &Aim) -> Outcome {
    let text = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    in_place(|path| fs::write(path, &text))
}

pub(super) fn odd_json(_: &Aim) -> Outcome {
    in_place(|path| {
        fs::write(
            path,
            "{\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"\\ud83d\\u0000\"}]}]}}",
        )
    })
}

pub(super) fn escapes(_: &Aim) -> Outcome {
    in_place(|path| {
        fs::write(
            path,
            "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{202e}event: end\n\n",
        )
    })
}

/// Names that a terminal, a shell or a line-by-line reader takes for something else.
pub(super) fn names(_: &Aim) -> Outcome {
    let long = "n".repeat(255);
    for name in [
        "new\nline",
        "event: end\ndata: {}",
        "\u{1b}[2J",
        "-rf",
        "$(id)",
        "`id`",
        "\u{202e}gpj",
        " ",
        long.as_str(),
    ] {
        let _ = fs::write(Path::new("/workspace").join(name), "");
        let _ = fs::create_dir(Path::new(HOME).join(".claude").join(name));
    }
    Outcome::Done
}

/// A folder so deep that its path is longer than any system call takes.
pub(super) fn deep_folders(_: &Aim) -> Outcome {
    let start = std::env::current_dir();
    let _ = std::env::set_current_dir("/workspace");
    for _ in 0..600 {
        if fs::create_dir("deep-deep-deep").is_err()
            || std::env::set_current_dir("deep-deep-deep").is_err()
        {
            break;
        }
    }
    let _ = start.and_then(std::env::set_current_dir);
    Outcome::Done
}

/// Processes that want to outlive everything: in a session of their own, without a mark, and
/// deaf to signals.
pub(super) fn daemon(_: &Aim) -> Outcome {
    let script = "trap '' TERM HUP INT; (trap '' TERM HUP INT; exec -a redsocks sleep 600) &";
    let started = std::process::Command::new("setsid")
        .args(["--fork", "env", "-i", "bash", "-c", script])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    started.map_or_else(
        |error| Outcome::Refused(error.to_string()),
        |_| Outcome::Done,
    )
}
