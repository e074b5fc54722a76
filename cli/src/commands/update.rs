//! `cib self-update`: this program replaced by a newer one that the project has signed.

use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempPath;

use super::Context;
use crate::args::Update;
use crate::failure::{Exit, Failure};
use crate::process;
use crate::release::signature::{Key, SignatureError};
use crate::release::{HOME, KEY, PATIENCE, Release, ReleaseError, Source, Version};

/// How long a program has to say its version.
const ANSWER: Duration = Duration::from_secs(20);

/// Bytes of a file with a key.
const KEY_FILE: u64 = 4096;

impl From<ReleaseError> for Failure {
    fn from(error: ReleaseError) -> Self {
        Self::failed(error)
    }
}

pub(super) fn run(context: &Context<'_>, arguments: &Update) -> Result<u8, Failure> {
    let this = std::env::current_exe()?.canonicalize()?;
    if let Some((manager, command)) = manager(context, &this) {
        return Err(
            Failure::failed(format!("{} belongs to {manager}", this.display())).remedy(command),
        );
    }
    if arguments.rollback {
        return rollback(context, &this);
    }
    let release = Release::look(
        context.around,
        source(context, arguments)?,
        &key(context, arguments)?,
        PATIENCE,
    )?;
    let (now, new) = (Version::of_this_program(), release.version.clone());
    if let Some(wanted) = &arguments.to
        && Version::parse(wanted).as_ref() != Some(&new)
    {
        return Err(Failure::failed(format!(
            "the release is {new}, and not {wanted}"
        )));
    }
    let value = json!({"current": now.to_string(), "latest": new.to_string(), "newer": new > now});
    if arguments.check || new == now {
        context.output.result(&value, || {
            if new > now {
                format!("{new} is newer than {now}: cib self-update")
            } else {
                format!("{now} is the newest")
            }
        });
        return Ok(0);
    }
    if new < now {
        return Err(Failure::failed(format!("{new} is older than {now}"))
            .remedy("--rollback goes back to the program before the last update"));
    }
    context.output.step(&format!("Replacing {now} by {new}"));
    let program = release.program(context.around)?;
    let fresh = beside(&this, &program[..])?;
    let says = version_of(&fresh)?;
    if says != format!("cib {new}") {
        return Err(
            Failure::failed("the new program does not run here, or is another version")
                .remedy("the old one is as it was"),
        );
    }
    keep(context, &this)?;
    fresh
        .persist(&this)
        .map_err(|error| unwritable(&this, &error.error))?;
    context.output.result(&value, || {
        format!(
            "{} is {new} now; cib self-update --rollback goes back",
            this.display()
        )
    });
    Ok(0)
}

/// Where the release is that is meant.
pub(super) fn source(context: &Context<'_>, arguments: &Update) -> Result<Source, Failure> {
    let given = arguments.from.as_deref();
    let named = || context.around.variable("CIB_UPDATE_FROM");
    // A version of the project's is at the project's address.
    if let Some(from) = given.or_else(|| named().filter(|_| arguments.to.is_none())) {
        return Ok(Source::named(context.around, from));
    }
    let home = HOME.filter(|home| !home.is_empty()).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "this build does not know where its releases are",
        )
        .remedy("name a folder or an address with --from")
    })?;
    Ok(Source::Address(match &arguments.to {
        Some(version) => format!("{home}/download/v{version}"),
        None => format!("{home}/latest/download"),
    }))
}

/// The key that it has to be signed with.
pub(super) fn key(context: &Context<'_>, arguments: &Update) -> Result<Key, Failure> {
    let named = context.around.variable("CIB_UPDATE_KEY").map(PathBuf::from);
    let file = arguments.key.clone().or(named);
    let text = match (file, KEY.filter(|key| !key.is_empty())) {
        (Some(path), _) => cib_foreign::read_to_string(&path, KEY_FILE)
            .map_err(|error| Failure::new(Exit::Usage, error))?,
        (None, Some(key)) => key.to_owned(),
        (None, None) => {
            return Err(
                Failure::new(Exit::Usage, "this build knows no key of the project")
                    .remedy("name its public key with --key"),
            );
        }
    };
    Key::parse(&text).map_err(|error: SignatureError| Failure::new(Exit::Usage, error))
}

/// A new program in the folder of the old one, so that it can take its place at once.
fn beside(this: &Path, mut program: impl std::io::Read) -> Result<TempPath, Failure> {
    let folder = this.parent().unwrap_or(Path::new("/"));
    let made = tempfile::Builder::new()
        .prefix(".cib-")
        .permissions(Permissions::from_mode(0o755))
        .tempfile_in(folder)
        .and_then(|mut file| {
            std::io::copy(&mut program, &mut file)?;
            // The mask of the process has taken something away.
            file.as_file()
                .set_permissions(Permissions::from_mode(0o755))?;
            file.as_file().sync_all()?;
            // A program that is open for writing does not run.
            Ok(file.into_temp_path())
        });
    made.map_err(|error| unwritable(this, &error))
}

fn unwritable(this: &Path, error: &std::io::Error) -> Failure {
    let remedy = match error.kind() {
        std::io::ErrorKind::PermissionDenied => "sudo cib self-update, as whoever installed it",
        _ => "the old program is as it was",
    };
    Failure::failed(format!("cannot replace {}: {error}", this.display())).remedy(remedy)
}

/// What a program says of its version.
fn version_of(program: &Path) -> Result<String, Failure> {
    let ran = process::run(Command::new(program).arg("--version"), b"", ANSWER)?;
    Ok(if ran.good() {
        ran.text()
    } else {
        String::new()
    })
}

/// Where the program before the last update is.
fn previous(context: &Context<'_>) -> Result<PathBuf, Failure> {
    let none = || Failure::failed("there is no HOME, and so no place for the old program");
    Ok(context.around.state().ok_or_else(none)?.join("previous"))
}

/// Keeps the program that is going to be replaced, with where it was.
fn keep(context: &Context<'_>, this: &Path) -> Result<(), Failure> {
    let folder = previous(context)?;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&folder)?;
    let mut kept = tempfile::Builder::new().tempfile_in(&folder)?;
    std::io::copy(&mut cib_foreign::own::open(this)?, &mut kept)?;
    kept.persist(folder.join("cib"))
        .map_err(|error| error.error)?;
    let place = this.display().to_string();
    cib_base::files::replace(&folder.join("place"), place.as_bytes())?;
    Ok(())
}

fn rollback(context: &Context<'_>, this: &Path) -> Result<u8, Failure> {
    let folder = previous(context)?;
    let none = || Failure::failed("no update has replaced this program");
    let place = cib_foreign::own::read_to_string(folder.join("place")).map_err(|_| none())?;
    if Path::new(&place) != this {
        return Err(none());
    }
    let program = cib_foreign::own::open(folder.join("cib")).map_err(|_| none())?;
    let old = beside(this, program)?;
    let says = version_of(&old)?;
    if !says.starts_with("cib ") {
        return Err(Failure::failed(
            "the program before the last update does not run here",
        ));
    }
    old.persist(this)
        .map_err(|error| unwritable(this, &error.error))?;
    // One goes back once: what was left is not what was there before.
    std::fs::remove_dir_all(&folder)?;
    context
        .output
        .result(&json!({"current": says.trim_start_matches("cib ")}), || {
            format!("{} is {says} again", this.display())
        });
    Ok(0)
}

/// Who has installed a program, and what updates it there.
fn manager(context: &Context<'_>, this: &Path) -> Option<(&'static str, String)> {
    if let Some(known) = by_place(this) {
        return Some(known);
    }
    for (program, words, name, command) in [
        (
            "dpkg-query",
            &["--search"][..],
            "a package of dpkg",
            "apt upgrade",
        ),
        (
            "rpm",
            &["--query", "--file"],
            "a package of rpm",
            "dnf upgrade",
        ),
        (
            "pacman",
            &["--query", "--owns"],
            "a package of pacman",
            "pacman -Syu",
        ),
    ] {
        let Some(program) = context.around.program(program) else {
            continue;
        };
        let ran = process::run(Command::new(program).args(words).arg(this), b"", ANSWER);
        if ran.is_ok_and(|ran| ran.good()) {
            return Some((name, command.to_owned()));
        }
    }
    None
}

/// Who has installed a program, by where it is.
pub(super) fn by_place(this: &Path) -> Option<(&'static str, String)> {
    let text = this.to_string_lossy();
    [
        ("/Cellar/", "Homebrew", "brew upgrade cib"),
        ("/homebrew/", "Homebrew", "brew upgrade cib"),
        ("/linuxbrew/", "Homebrew", "brew upgrade cib"),
        ("/node_modules/", "npm", "npm update --global"),
        ("/nix/store/", "Nix", "nix profile upgrade"),
        ("/snap/", "snap", "snap refresh"),
        ("/.cargo/bin/", "cargo", "cargo install --force"),
    ]
    .into_iter()
    .find(|(part, ..)| text.contains(part))
    .map(|(_, name, command)| (name, command.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_package_manager_is_known_by_its_place() {
        for (path, name) in [
            ("/opt/homebrew/Cellar/cib/0.1.0/bin/cib", Some("Homebrew")),
            ("/usr/lib/node_modules/cib/bin/cib", Some("npm")),
            ("/nix/store/x-cib/bin/cib", Some("Nix")),
            ("/home/p/.cargo/bin/cib", Some("cargo")),
            ("/usr/local/bin/cib", None),
            ("/home/p/bin/cib", None),
        ] {
            assert_eq!(
                by_place(Path::new(path)).map(|found| found.0),
                name,
                "{path}"
            );
        }
    }
}
