//! `cib exec`, `cib shell` and `cib cp`.

use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::Context;
use crate::args::{Copy, Exec, Which};
use crate::boxes::{Found, INIT};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::{process, text};

pub(super) fn exec(context: &Context<'_>, arguments: &Exec) -> Result<u8, Failure> {
    let (engine, found) = context.choose(Some(&arguments.name))?;
    let mut words = vec!["env".to_owned()];
    let folder = arguments.workdir.as_deref().unwrap_or("/workspace");
    words.extend(["--chdir".to_owned(), folder.to_owned()]);
    for variable in &arguments.variables {
        let name = variable.split_once('=').map(|(name, _)| name);
        if !name.is_some_and(crate::config::env_file::is_name) {
            let shown = text::line(variable);
            return Err(Failure::usage(format!("--env {shown} is not NAME=VALUE")));
        }
        words.push(variable.clone());
    }
    words.extend(arguments.command.iter().cloned());
    // Only coder's commands have coder's restrictions: another user's are of the engine's own.
    let user = match arguments.user.as_deref() {
        _ if arguments.root => Some("0"),
        None | Some("coder") => None,
        Some("root") => Some("0"),
        Some(user) => Some(user),
    };
    if let Some(user) = user.filter(|user| !is_user(user)) {
        let shown = text::line(user);
        return Err(Failure::usage(format!(
            "--user {shown} is no user's name or id"
        )));
    }
    run(context, &engine, &found, user, &words)
}

/// Whether a word can be a user, or a user and a group.
fn is_user(word: &str) -> bool {
    let part = |part: &str| {
        let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.chars().all(character)
    };
    match word.split_once(':') {
        Some((user, group)) => part(user) && part(group),
        None => part(word),
    }
}

pub(super) fn shell(context: &Context<'_>, which: &Which) -> Result<u8, Failure> {
    let (engine, found) = context.choose(which.name.as_deref())?;
    run(context, &engine, &found, None, &[])
}

/// Where programs of a user's are looked for: in folders that are root's.
const ROOTS_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command in a box on this process's own input and outputs; its exit code. Without a user
/// of the engine's it is coder's, with the agent's restrictions.
fn run(
    context: &Context<'_>,
    engine: &Engine,
    found: &Found,
    user: Option<&str>,
    words: &[String],
) -> Result<u8, Failure> {
    found.running()?;
    let mut command = engine.command();
    command.args(["exec", "--interactive"]);
    if context.around.can_ask && context.around.shows {
        command.arg("--tty");
        if let Some(terminal) = context.around.variable("TERM") {
            command.args(["--env", &format!("TERM={terminal}")]);
        }
    }
    match user {
        // Whoever is named may be root, and the container's `PATH` may name folders of the agent's.
        Some(user) => command.args(["--env", ROOTS_PATH, "--user", user, &found.id]),
        None => command.args(["--user", "0", &found.id, INIT, "exec", "--"]),
    };
    let ended = command.args(words).status()?;
    Ok(u8::try_from(process::code(ended)).unwrap_or(1))
}

/// One side of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Here(PathBuf),
    Box(String, String),
}

/// `BOX:PATH`, or a path here; what begins with `/`, `.` or `~` is always here.
fn place(text: &str) -> Place {
    match text.split_once(':') {
        Some((name, path)) if crate::boxes::is_name(name) || name.is_empty() => {
            Place::Box(name.to_owned(), path.to_owned())
        }
        _ => Place::Here(PathBuf::from(text)),
    }
}

pub(super) fn copy(context: &Context<'_>, arguments: &Copy) -> Result<u8, Failure> {
    let named = |name: &str| context.choose(Some(name).filter(|name| !name.is_empty()));
    match (place(&arguments.source), place(&arguments.target)) {
        (Place::Here(source), Place::Box(name, target)) => {
            let (engine, found) = named(&name)?;
            into(context, &engine, &found, &source, &target)
        }
        (Place::Box(name, source), Place::Here(target)) => {
            let (engine, found) = named(&name)?;
            out(context, &engine, &found, &source, &target, arguments.max)
        }
        _ => Err(Failure::usage(
            "one of the two has to be BOX:PATH, and the other a path here",
        )),
    }
}

/// A path in a box; relative ones are below the workspace.
fn inside(path: &str) -> String {
    Path::new("/workspace").join(path).display().to_string()
}

/// Copies into a box, as `coder`: a link there leads no further than coder itself gets.
fn into(
    context: &Context<'_>,
    engine: &Engine,
    found: &Found,
    source: &Path,
    target: &str,
) -> Result<u8, Failure> {
    let source = context.around.folder.join(source);
    let about = source.symlink_metadata()?;
    let name = source
        .file_name()
        .map(PathBuf::from)
        .unwrap_or_else(|| "files".into());
    // Into a folder under the source's name, as anything else under the target's own.
    const TAKE: &str = r#"set -e
if [ -d "$1" ]; then exec tar -x --no-same-owner -C "$1" -f -; fi
d=$(dirname "$1"); t=$(mktemp -d -p "$d")
trap 'rm -rf "$t"' EXIT
tar -x --no-same-owner -C "$t" -f -
mv -T "$t/$2" "$1""#;
    let mut child = found
        .shell(
            engine,
            TAKE,
            &[&inside(target), &name.display().to_string()],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = match child.stdin.take() {
        Some(input) => {
            let mut archive = tar::Builder::new(std::io::BufWriter::new(input));
            archive.follow_symlinks(false);
            if about.is_dir() {
                archive.append_dir_all(&name, &source)
            } else {
                archive.append_path_with_name(&source, &name)
            }
            .and_then(|()| archive.finish())
        }
        None => Ok(()),
    };
    let ended = child.wait_with_output()?;
    if !ended.status.success() {
        return Err(Failure::failed(format!(
            "the box does not take it: {}",
            text::plain_bytes(&ended.stderr).trim()
        )));
    }
    written?;
    Ok(0)
}

/// Copies out of a box, as `coder`, and lets nothing land outside of the target, nor more than `most`
/// bytes.
fn out(
    context: &Context<'_>,
    engine: &Engine,
    found: &Found,
    source: &str,
    target: &Path,
    most: u64,
) -> Result<u8, Failure> {
    let source = inside(source);
    let name = Path::new(&source)
        .file_name()
        .ok_or_else(|| Failure::usage("name a file or a folder of the box"))?
        .to_owned();
    let target = context.around.folder.join(target);
    const GIVE: &str = r#"cd "$(dirname "$1")" && exec tar -c -f - -- "$(basename "$1")""#;
    let mut command: Command = found.shell(engine, GIVE, &[&source]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let unpacked = match child.stdout.take() {
        Some(archive) => unpack(archive, Path::new(&name), &target, most),
        None => Ok(0),
    };
    if unpacked.is_err() {
        // What it still has to say is not wanted.
        let _ = child.kill();
    }
    let ended = child.wait_with_output()?;
    let count = unpacked?;
    if !ended.status.success() {
        return Err(Failure::failed(format!(
            "the box does not give it: {}",
            text::plain_bytes(&ended.stderr).trim()
        )));
    }
    context.output.note(&format!("{count} files"));
    Ok(0)
}

/// Why an archive of a box is not unpacked.
#[derive(Debug, thiserror::Error)]
enum UnpackError {
    #[error("the box names a file outside of what was asked for: {0}")]
    Outside(String),
    #[error("a link of the box leads out of the copy: {0}")]
    Link(String),
    #[error("there is a {0} in what the box gives")]
    Special(&'static str),
    #[error("{} is there already", .0.display())]
    There(PathBuf),
    #[error("the box gives more than {0} bytes")]
    TooMuch(u64),
    #[error("cannot unpack what the box gives")]
    Io(#[from] std::io::Error),
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        let more = matches!(error, UnpackError::TooMuch(_));
        let failure = Self::failed(error);
        if more {
            return failure.remedy("--max BYTES takes more");
        }
        failure
    }
}

/// Bytes of an archive before each file.
const HEADER: u64 = 512;

/// Bytes of an archive that are no file's, at most, beside those.
const NAMES: u64 = 64 << 20;

/// Unpacks an archive of one file or folder called `name`, as `target` or into it if that is a
/// folder; how many files. More than `most` bytes are not taken.
///
/// It is unpacked into a folder of its own beside the target and moved when it is whole, so a
/// box that breaks the rules in its last file leaves nothing.
fn unpack(
    archive: impl std::io::Read,
    name: &Path,
    target: &Path,
    most: u64,
) -> Result<u64, UnpackError> {
    let last = if target.is_dir() {
        target.join(name)
    } else {
        target.to_owned()
    };
    if last.symlink_metadata().is_ok_and(|about| about.is_dir()) {
        return Err(UnpackError::There(last));
    }
    let folder = last.parent().unwrap_or(Path::new("."));
    let aside = tempfile::Builder::new()
        .prefix(".cib-")
        .tempdir_in(folder)?;
    // A name may be as long as a file, and is no part of one.
    let mut archive = tar::Archive::new(archive.take(most.saturating_add(NAMES)));
    archive.set_preserve_permissions(false);
    archive.set_overwrite(false);
    let (mut count, mut size) = (0, 0_u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        // Many small ones fill a disk, too.
        size = size.saturating_add(entry.size()).saturating_add(HEADER);
        if size > most {
            return Err(UnpackError::TooMuch(most));
        }
        let path = entry.path()?.into_owned();
        let shown = || text::line(&path.display().to_string());
        let plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain || !path.starts_with(name) {
            return Err(UnpackError::Outside(shown()));
        }
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let link = entry.link_name()?.unwrap_or_default().into_owned();
            let from = if kind.is_symlink() {
                path.parent().unwrap_or(Path::new(""))
            } else {
                Path::new("")
            };
            if !stays(&from.join(link), name) {
                return Err(UnpackError::Link(shown()));
            }
        } else if !(kind.is_file() || kind.is_dir()) {
            return Err(UnpackError::Special("device, pipe or other special file"));
        }
        if !entry.unpack_in(aside.path())? {
            return Err(UnpackError::Outside(shown()));
        }
        count += u64::from(!kind.is_dir());
    }
    let whole = aside.path().join(name);
    check_links(&whole)?;
    std::fs::rename(whole, &last)?;
    Ok(count)
}

/// Links that are followed on the way to where one leads, at most.
const MOST_LINKS: u32 = 40;

/// Looks where each link in a copy leads, also by way of others: names alone cannot tell.
fn check_links(top: &Path) -> Result<(), UnpackError> {
    let mut folders = vec![PathBuf::new()];
    if !top.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    while let Some(folder) = folders.pop() {
        for entry in top.join(&folder).read_dir()? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, folder.join(entry.file_name()));
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                let target = entry.path().read_link()?;
                let mut left = MOST_LINKS;
                if led(top, &folder, &target, &mut left).is_none() {
                    return Err(UnpackError::Link(text::line(&path.display().to_string())));
                }
            }
        }
    }
    Ok(())
}

/// Where a link in `folder` leads, both below `top`; none if that is not below it, or cannot be told.
fn led(top: &Path, folder: &Path, target: &Path, left: &mut u32) -> Option<PathBuf> {
    let mut at = folder.to_owned();
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => at.pop().then_some(())?,
            Component::Normal(name) => match top.join(&at).join(name).read_link() {
                Ok(next) => {
                    *left = left.checked_sub(1)?;
                    at = led(top, &at, &next, left)?;
                }
                Err(_) => at.push(name),
            },
            _ => return None,
        }
    }
    Some(at)
}

/// Whether a path stays below `name`, as far as names can tell.
fn stays(path: &Path, name: &Path) -> bool {
    let mut at = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => at.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !at.pop() {
                    return false;
                }
            }
            _ => return false,
        }
    }
    at.starts_with(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_or_an_id_and_never_an_option() {
        for good in ["root", "0", "1000:1000", "cib-keeper", "_apt"] {
            assert!(is_user(good), "{good}");
        }
        for bad in ["", "-u", "--privileged", "a b", "a:", ":a", "a/b"] {
            assert!(!is_user(bad), "{bad}");
        }
    }

    #[test]
    fn a_box_and_a_path_are_told_apart() {
        let boxed = |name: &str, path: &str| Place::Box(name.into(), path.into());
        assert_eq!(place("my-box:src"), boxed("my-box", "src"));
        assert_eq!(place(":src"), boxed("", "src"));
        for here in ["./a:b", "/a:b", "a", "~/x"] {
            assert_eq!(place(here), Place::Here(here.into()));
        }
    }

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o6755);
            let is_link = kind.is_symlink() || kind.is_hard_link();
            if is_link {
                header.as_gnu_mut().unwrap().linkname[..content.len()]
                    .copy_from_slice(content.as_bytes());
            }
            // What the library would refuse to write, a box can.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(if is_link { 0 } else { content.len() as u64 });
            header.set_cksum();
            let data = if is_link {
                &b""[..]
            } else {
                content.as_bytes()
            };
            archive.append(&header, data).unwrap();
        }
        archive.into_inner().unwrap()
    }

    const PLENTY: u64 = 1 << 20;

    #[test]
    fn nothing_of_a_box_lands_outside_of_the_copy() {
        use tar::EntryType as Kind;
        for attack in [
            vec![("../x", Kind::Regular, "evil")],
            vec![("/x", Kind::Regular, "evil")],
            vec![("other", Kind::Regular, "evil")],
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/../../x", Kind::Regular, "evil"),
            ],
            vec![("dir", Kind::Symlink, "/etc")],
            vec![("dir", Kind::Symlink, "..")],
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/a", Kind::Symlink, "../../x"),
            ],
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/a", Kind::Symlink, "/etc/passwd"),
            ],
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/a", Kind::Link, "/etc/passwd"),
            ],
            vec![("dir", Kind::Directory, ""), ("dir/p", Kind::Fifo, "")],
            // By way of another link, which stays inside itself.
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/a", Kind::Directory, ""),
                ("dir/a/b", Kind::Directory, ""),
                ("dir/a/b/top", Kind::Symlink, "../.."),
                ("dir/x", Kind::Symlink, "a/b/top/../y"),
            ],
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/a", Kind::Directory, ""),
                ("dir/a/top", Kind::Symlink, ".."),
                ("dir/a/top/x", Kind::Symlink, "../y"),
            ],
            // Into what has the name outside.
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/x", Kind::Symlink, "../dir/y"),
            ],
            vec![
                ("dir", Kind::Directory, ""),
                ("dir/x", Kind::Symlink, "y/z"),
                ("dir/y", Kind::Symlink, "x"),
            ],
        ] {
            let home = tempfile::tempdir().unwrap();
            let target = home.path().join("in");
            std::fs::create_dir(&target).unwrap();
            let outcome = unpack(&archive(&attack)[..], Path::new("dir"), &target, PLENTY);
            assert!(outcome.is_err(), "{attack:?}");
            assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0, "{attack:?}");
            assert_eq!(
                std::fs::read_dir(home.path()).unwrap().count(),
                1,
                "{attack:?}"
            );
        }
    }

    #[test]
    fn a_folder_comes_whole_and_without_special_bits() {
        use std::os::unix::fs::PermissionsExt as _;
        use tar::EntryType as Kind;
        let home = tempfile::tempdir().unwrap();
        let entries = [
            ("dir", Kind::Directory, ""),
            ("dir/a", Kind::Regular, "text"),
            ("dir/b", Kind::Symlink, "a"),
        ];
        let count = unpack(
            &archive(&entries)[..],
            Path::new("dir"),
            home.path(),
            PLENTY,
        )
        .unwrap();
        assert_eq!(count, 2);
        assert_eq!(
            std::fs::read_to_string(home.path().join("dir/b")).unwrap(),
            "text"
        );
        let mode = home
            .path()
            .join("dir/a")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7000, 0);
        let again = unpack(
            &archive(&entries)[..],
            Path::new("dir"),
            home.path(),
            PLENTY,
        );
        assert!(matches!(again, Err(UnpackError::There(_))));
    }

    #[test]
    fn no_more_is_taken_of_a_box_than_was_said_however_small_its_files_are() {
        use tar::EntryType as Kind;
        let text = "a".repeat(3000);
        let large = [
            ("dir", Kind::Directory, ""),
            ("dir/a", Kind::Regular, &text),
        ];
        let many: Vec<String> = (0..8).map(|at| format!("dir/{at}")).collect();
        let many = many.iter().map(|name| (&name[..], Kind::Regular, ""));
        let many: Vec<_> = [("dir", Kind::Directory, "")]
            .into_iter()
            .chain(many)
            .collect();
        for entries in [&large[..], &many] {
            let home = tempfile::tempdir().unwrap();
            let copy = |most| unpack(&archive(entries)[..], Path::new("dir"), home.path(), most);
            assert!(matches!(copy(4000), Err(UnpackError::TooMuch(4000))));
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
            copy(5000).unwrap();
        }
    }
}
