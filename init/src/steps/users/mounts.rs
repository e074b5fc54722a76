//! Folders and files of coder's that were mounted: given to it where that is init's to do, and
//! tried with coder's own rights afterwards.

use std::io;
use std::path::{Path, PathBuf};

use super::super::files::{Dir, Entry, Owner, failed, write_file};
use super::ownership::own_tree;
use super::{Account, FileError, Outcome, Paths, Users, tell};

/// The file in `CIB_DATA_DIR` that lists the user ids that coder has had.
const IDS: &str = "coder-ids";

/// Gives coder what is Claude's own, `~/.claude`, where an engine made it as root or where it
/// is from before a change of `PUID`. A folder of somebody else's is left: it may be in use
/// outside.
pub(super) fn claude(
    paths: &Paths,
    coder: &Account,
    image: &Account,
    outcome: &mut Outcome,
) -> Result<(), FileError> {
    let had = remembered(paths, coder.uid)?;
    let folder = coder.home.join(".claude");
    let path = paths.at(&folder);
    let Ok(stat) = Dir::open(&path).and_then(|dir| dir.stat()) else {
        return Ok(());
    };
    let owner = Owner {
        uid: coder.uid,
        gid: coder.gid,
    };
    let ours = |uid: u32| uid == 0 || uid == image.uid || had.contains(&uid);
    if Owner::of(&stat) == owner || !(ours(stat.st_uid) || stat.st_uid == coder.uid) {
        return Ok(());
    }
    let wanted = |entry: &Entry| {
        let now = Owner::of(&entry.stat);
        let wrong = ours(now.uid) && now.uid != coder.uid
            || now.uid == coder.uid && [0, image.gid].contains(&now.gid);
        (wrong && now != owner).then_some(owner)
    };
    let tally = own_tree(&path, &wanted).map_err(failed("open", &path))?;
    tell(&folder, coder, tally, outcome);
    Ok(())
}

/// The ids that coder has had on this volume, the present one included.
fn remembered(paths: &Paths, uid: u32) -> Result<Vec<u32>, FileError> {
    let path = paths.at(paths.data.join(IDS));
    let text = match cib_foreign::own::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let mut known: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if !known.contains(&uid) {
        known.push(uid);
        let text: String = known.iter().map(|uid| format!("{uid}\n")).collect();
        write_file(&path, text.as_bytes(), None, 0o644)?;
    }
    Ok(known)
}

/// Says so if the record is in a folder that coder may change: then it may put another record
/// in its place, whoever owns the files in it.
pub(super) fn record(paths: &Paths, users: &Users, outcome: &mut Outcome) {
    use std::os::unix::fs::MetadataExt as _;
    let coders = |path: &Path| {
        std::fs::metadata(paths.at(path)).is_ok_and(|at| {
            let mode = at.mode();
            at.uid() == users.coder.uid
                || (mode & 0o1002 == 0o002)
                || (at.gid() == users.coder.gid && mode & 0o1020 == 0o020)
        })
    };
    if let Some(folder) = paths.data.ancestors().find(|folder| coders(folder)) {
        outcome.warn(format!(
            "{} is coder's to change, and with it the sessions' record in {}; mount a volume at \
             /var/lib/claude-in-box and unset CIB_DATA_DIR, or give the folder to root",
            folder.display(),
            paths.data.display()
        ));
    }
}

/// What coder has to be able to write to, as far as it is there.
#[must_use]
pub fn places(paths: &Paths, users: &Users) -> Vec<PathBuf> {
    let home = &users.coder.home;
    let places = [
        home.clone(),
        home.join(".claude"),
        home.join(".claude/.claude.json"),
        home.join(".claude/.credentials.json"),
        home.join(".claude/settings.json"),
        home.join(".claude.json"),
        paths.workspace.clone(),
    ];
    let mut places = Vec::from(places);
    places.retain(|path| paths.at(path).exists());
    places
}

/// One sentence for each place that coder could not write to, with its owner and a remedy;
/// `said` holds what was said before. What is in a folder that was told of goes without saying.
#[must_use]
pub fn judge(
    paths: &Paths,
    users: &Users,
    tried: &[(PathBuf, Option<String>)],
    said: &[String],
) -> Vec<String> {
    let mut told: Vec<&Path> = Vec::new();
    let mut warnings = Vec::new();
    for (path, fault) in tried {
        let Some(fault) = fault else { continue };
        let shown = path.display().to_string();
        let again = told.iter().any(|known| path.starts_with(known))
            || said
                .iter()
                .any(|line| line.starts_with(&format!("{shown} ")));
        told.push(path);
        if !again {
            warnings.push(sentence(paths, users, path, fault));
        }
    }
    warnings
}

fn sentence(paths: &Paths, users: &Users, path: &Path, fault: &str) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let coder = &users.coder;
    let shown = path.display();
    let costs = if path.starts_with(&paths.workspace) {
        "nothing can be changed there"
    } else if path.ends_with("settings.json") {
        "Claude's settings cannot be completed, and it may ask its first questions"
    } else {
        "Claude keeps its login and its conversations there"
    };
    let Ok(at) = std::fs::metadata(paths.at(path)) else {
        return format!("{shown} cannot be looked at: {fault}; {costs}");
    };
    let (uid, gid, mode) = (at.uid(), at.gid(), at.mode() & 0o7777);
    let whose = format!("{shown} (owner {uid}:{gid}, mode {mode:04o})");
    if fault.contains("read-only") {
        return format!("{whose} is mounted read-only: {costs}; mount it writable");
    }
    let give = format!("give it to {}:{} outside", coder.uid, coder.gid);
    let reserved = uid == 0
        || [&users.keeper, &users.control, &users.proxy]
            .iter()
            .any(|own| [own.uid, own.gid].contains(&uid) || [own.uid, own.gid].contains(&gid));
    let remedy = if !users.switch {
        format!("{give}, or start the box with --user {uid}:{gid}")
    } else if reserved || uid == coder.uid {
        give
    } else if gid == 0 {
        format!("set PUID={uid}, or {give}")
    } else {
        format!("set PUID={uid} PGID={gid}, or {give}")
    };
    format!(
        "{whose} cannot be written to by coder ({}:{}): {fault}: {costs}; {remedy}",
        coder.uid, coder.gid
    )
}
