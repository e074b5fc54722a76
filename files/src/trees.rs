//! Work trees of tasks: made, prepared, looked at, saved and pushed.
//!
//! Each stands in a folder of its task's own below the workspace, with a lock that one question at
//! a time holds: one that a killed control has left behind is waited for and not joined.

mod find;
mod git;
pub mod publish;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cib_foreign::{own, stat};
use cib_protocol::files::{Condition, FilesFault, Place};
use cib_protocol::task::{TaskBranch, TaskCommit, TaskId, TaskPush, plain};
use cib_protocol::trees::{
    CloneTree, FOLDER, MAX_COMMITS, MAX_OUTPUT, Through, TreeReply, TreeRequest,
};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use self::git::Git;
use crate::change;
use crate::fault::Refusal;
use crate::place::{Roots, step};
use crate::run::{self, Outcome};

/// The root in which trees stand.
const ROOT: &str = "workspace";

/// A tree that is being made.
const NEW: &str = ".new";

/// What setup commands say.
const LOG: &str = ".setup.log";

/// How long another question about the same task is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a repository is cloned for.
const CLONING: Duration = Duration::from_secs(20 * 60);

/// How long submodules are fetched for.
const SUBMODULES: Duration = Duration::from_secs(10 * 60);

/// What git may speak to addresses that a repository brings: nothing that leads into the box.
const FOREIGN: &str = "http:https:ssh";

/// How long a branch is pushed for.
const PUSHING: Duration = Duration::from_secs(5 * 60);

/// The message of a branch's first commit.
const FIRST: &str = "chore: start task";

/// Gives a command back the memory that this program does without, and its output a file.
const SHELL: &str = "ulimit -S -v unlimited 2>/dev/null; exec >\"$2\" 2>&1; \
                     exec /bin/sh -c \"$1\"";

/// Answers a question about a tree.
///
/// # Errors
/// If it cannot be done; what git says of it stands in the sentence.
pub fn answer(roots: &Roots, ask: TreeRequest) -> Result<TreeReply, Refusal> {
    let Some(task) = ask.task() else {
        return find::repositories(roots).map(TreeReply::Found);
    };
    let folder = Folder::open(roots, task)?;
    match ask {
        TreeRequest::Find {} => find::repositories(roots).map(TreeReply::Found),
        TreeRequest::Clone(tree) => folder.clone(roots, &tree).map(TreeReply::Tree),
        TreeRequest::Run {
            name,
            command,
            seconds,
            ..
        } => folder.run(&name, &command, Duration::from_secs(seconds)),
        TreeRequest::Commits {
            name,
            branch,
            since,
            ..
        } => commits(&folder.git(&name)?, &branch, &since).map(TreeReply::Commits),
        TreeRequest::Save {
            name,
            branch,
            message,
            ..
        } => folder.save(&name, &branch, &message).map(TreeReply::Saved),
        TreeRequest::Push {
            name,
            branch,
            source,
            through,
            ..
        } => {
            let git = folder.git(&name)?.through(through.as_deref());
            push(&git, &branch, &source, through.as_deref()).map(TreeReply::Pushed)
        }
    }
}

/// The folder of a task.
struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    place: String,
    _lock: Flock<OwnedFd>,
}

impl Folder {
    /// Opens it, makes it if it is not there, and waits for whoever is at work in it.
    fn open(roots: &Roots, task: TaskId) -> Result<Self, Refusal> {
        let place = format!("{FOLDER}/{task}");
        let at = Place {
            root: ROOT.to_owned(),
            path: place.clone(),
        };
        change::make_folder(roots, &at, true)?;
        let root = roots.writable(&at)?;
        let fd = root.folder(&crate::place::parts(&place)?)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let lock = own::openat(&fd, ".lock", flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(Self {
            path: root.path.join(&place),
            _lock: locked(lock)?,
            fd,
            place,
        })
    }

    fn git(&self, name: &str) -> Result<Git, Refusal> {
        Ok(Git::at(step(&self.fd, name.as_ref())?))
    }

    fn clone(&self, roots: &Roots, tree: &CloneTree) -> Result<TaskBranch, Refusal> {
        if !self.has(&tree.name)? {
            self.clear(roots)?;
            let source = source(roots, &tree.source)?;
            let mut words = vec!["clone", "--quiet", "--no-hardlinks", "--origin", "origin"];
            let depth = tree.depth.map(|depth| format!("--depth={depth}"));
            words.extend(depth.as_deref());
            if tree.partial {
                words.push("--filter=blob:none");
            }
            if let Some(base) = &tree.base {
                words.extend(["--branch", base]);
            }
            let instead = tree.through.as_ref().map(|through| {
                // It stays in the tree: whoever pushes from it goes the same way.
                format!("url.{}.insteadOf={}", through.instead, through.url)
            });
            words.extend(instead.iter().flat_map(|instead| ["--config", instead]));
            words.extend(["--", &source, NEW]);
            let folder = Git::at(step(&self.fd, ".".as_ref())?).through(tree.through.as_deref());
            folder.run(&words, CLONING)?.checked()?;
            begin(&Git::at(step(&self.fd, NEW.as_ref())?), tree)?;
            let new = Git::at(step(&self.fd, NEW.as_ref())?).speaking(FOREIGN);
            if new.line(&["ls-files", "--", ".gitmodules"])?.is_some() {
                submodules(&new);
            }
            let name = &*tree.name;
            let new = Git::at(step(&self.fd, NEW.as_ref())?);
            stores(&new, tree, &self.path.join(name))?;
            let pointers = large(&new)?;
            if pointers > 0 {
                new.set("cib.pointers", &pointers.to_string())?;
            }
            renameat2(&self.fd, NEW, &self.fd, name, RenameFlags::RENAME_NOREPLACE)?;
        }
        let git = self.git(&tree.name)?;
        Ok(TaskBranch {
            workdir: self.path.join(&tree.name).display().to_string(),
            base: git.setting("cib.base")?,
            base_commit: git.setting("cib.basecommit")?,
            branch: tree.branch.clone(),
            commit: git.setting("cib.begin")?.unwrap_or_default(),
            pointers: git
                .setting("cib.pointers")?
                .and_then(|count| count.parse().ok())
                .unwrap_or(0),
        })
    }

    fn has(&self, name: &str) -> Result<bool, Refusal> {
        match stat::at(&self.fd, name) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes what a clone that did not come to its end has left.
    fn clear(&self, roots: &Roots) -> Result<(), Refusal> {
        let left = Place {
            root: ROOT.to_owned(),
            path: format!("{}/{NEW}", self.place),
        };
        match change::remove(roots, &left, true, &Condition::None) {
            Err(refusal) if refusal.code != FilesFault::Absent => Err(refusal),
            _ => Ok(()),
        }
    }

    fn run(&self, name: &str, command: &str, within: Duration) -> Result<TreeReply, Refusal> {
        let log = format!("../{LOG}");
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", SHELL, "sh", command, &log])
            .current_dir(self.path.join(name))
            .stdin(Stdio::null());
        let heard = run::start(shell)?.hear(MAX_OUTPUT, MAX_OUTPUT, Instant::now() + within)?;
        Ok(TreeReply::Ran {
            code: match heard.outcome {
                Outcome::Ended(status) => status.code(),
                Outcome::Late | Outcome::Cut => None,
            },
            late: heard.outcome == Outcome::Late,
            output: self.said()?,
        })
    }

    /// The last of what a setup command said.
    fn said(&self) -> Result<String, Refusal> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mut file = match own::openat(&self.fd, LOG, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(String::new()),
            Err(errno) => return Err(errno.into()),
        };
        let length = file.metadata()?.len();
        let most = MAX_OUTPUT as u64;
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(plain(&String::from_utf8_lossy(&bytes), MAX_OUTPUT))
    }

    fn save(&self, name: &str, branch: &str, message: &str) -> Result<Option<TaskCommit>, Refusal> {
        let git = self.git(name)?;
        // Whoever made changes elsewhere has a reason, and the tree stays as it is.
        if git
            .line(&["symbolic-ref", "--quiet", "--short", "HEAD"])?
            .as_deref()
            != Some(branch)
        {
            return Ok(None);
        }
        // The session has ended: a git that was killed in its middle left this, if anybody did.
        if let Ok(inside) =
            step(&self.fd, name.as_ref()).and_then(|tree| step(&tree, ".git".as_ref()))
        {
            let _ = unlinkat(&inside, "index.lock", UnlinkatFlags::NoRemoveDir);
        }
        git.run(&["add", "--all"], git::SOON)?.checked()?;
        if git
            .run(&["diff", "--cached", "--quiet"], git::SOON)?
            .is_good
        {
            return Ok(None);
        }
        git.commit(&["--message", message], None)?;
        let id = git.line(&["rev-parse", "--verify", "HEAD"])?;
        Ok(id.map(|id| TaskCommit {
            id,
            subject: message.to_owned(),
        }))
    }
}

/// Waits until nobody else has the lock.
fn locked(lock: OwnedFd) -> Result<Flock<OwnedFd>, Refusal> {
    let end = Instant::now() + PATIENCE;
    let mut lock = lock;
    loop {
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < end => lock = back,
            Err((_, Errno::EWOULDBLOCK)) => {
                let why = "something else is still at work in the task's tree";
                return Err(Refusal::new(FilesFault::Late, why));
            }
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Where a repository comes from, if it may come from there. A path is one below a root, without a
/// link on the way.
fn source(roots: &Roots, source: &str) -> Result<String, Refusal> {
    if source.starts_with('/') {
        roots.folder(&cib_protocol::files::escape(source.as_bytes()))?;
    }
    Ok(source.to_owned())
}

/// Fetches submodules as anybody does. What is not had so is left out, and the task goes on.
fn submodules(git: &Git) {
    let end = Instant::now() + SUBMODULES;
    let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
    if git.run(&update, SUBMODULES).is_ok_and(|all| all.is_good) {
        return;
    }
    // Where one cannot be had, git checks out none of them, and takes those that it has fetched for
    // checked out unless it is made to look.
    let of = ["config", "-z", "--file", ".gitmodules", "--get-regexp"];
    let known = git.run(&[&of[..], &[r"^submodule\..*\.path$"]].concat(), git::SOON);
    let Ok(known) = known else {
        return;
    };
    for entry in String::from_utf8_lossy(&known.stdout).split('\0') {
        let left = end.saturating_duration_since(Instant::now());
        if let Some((_, path)) = entry.split_once('\n')
            && !left.is_zero()
        {
            let _ = git.run(&[&update[..], &["--force", "--", path]].concat(), left);
        }
    }
}

/// Makes the task's branch in a fresh clone, and notes what it began on.
fn begin(git: &Git, tree: &CloneTree) -> Result<(), Refusal> {
    let branch = &*tree.branch;
    let head = git.line(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
    let whole = git.line(&["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"])?;
    let default = whole
        .as_deref()
        .and_then(|name| name.strip_prefix("refs/remotes/origin/"));
    let base = tree.base.clone().or(head);
    if base.as_deref() == Some(branch) || default == Some(branch) {
        let why = format!("`{branch}` is the branch to begin on, or the repository's own");
        return Err(Refusal::new(FilesFault::BadRequest, why));
    }
    let base_commit = git.line(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])?;
    let there = format!("refs/remotes/origin/{branch}");
    let known = git.line(&["rev-parse", "--quiet", "--verify", &there])?;
    if git.setting("user.email")?.is_none() {
        git.set("user.name", "Claude in a box")?;
        git.set("user.email", "claude@localhost")?;
    }
    if known.is_some() {
        let words = ["checkout", "--quiet", "--no-track", "-B", branch, &there];
        git.run(&words, git::SOON)?.checked()?;
    } else {
        if base_commit.is_some() {
            let words = ["checkout", "--quiet", "--no-track", "-b", branch];
            git.run(&words, git::SOON)?.checked()?;
        } else {
            let name = format!("refs/heads/{branch}");
            git.run(&["symbolic-ref", "HEAD", &name], git::SOON)?
                .checked()?;
        }
        git.commit(&["--allow-empty", "--message", FIRST], Some(tree.date))?;
    }
    let begun = git.line(&["rev-parse", "--verify", "HEAD"])?;
    let noted = [
        ("cib.base", base),
        ("cib.basecommit", base_commit),
        ("cib.begin", begun),
    ];
    for (key, value) in noted {
        if let Some(value) = value {
            git.set(key, &value)?;
        }
    }
    Ok(())
}

/// Tells coder's `git-lfs` where contents of large files are in a tree that reaches its repository by way of
/// control, where nobody serves any. They are fetched from the true address. Pushed they are to the tree
/// itself, which has them: control takes them from there, and the hook that `git-lfs` puts into a tree would
/// else have every push fail.
fn stores(git: &Git, tree: &CloneTree, place: &Path) -> Result<(), Refusal> {
    if tree.through.is_none() {
        return Ok(());
    }
    git.set("lfs.pushurl", &format!("file://{}", place.display()))?;
    let named = ["config", "--file", ".lfsconfig", "--get", "lfs.url"];
    if git.line(&named)?.is_none() {
        let source = tree.source.strip_suffix(".git").unwrap_or(&tree.source);
        git.set("lfs.url", &format!("{source}.git/info/lfs"))?;
    }
    Ok(())
}

/// Has the contents of large files (Git LFS) fetched, where `git-lfs` is here: as anybody fetches them.
/// How many stay pointers.
fn large(git: &Git) -> Result<u32, Refusal> {
    let count = pointers(git)?;
    if count == 0 || git.line(&["lfs", "version"])?.is_none() {
        return Ok(count);
    }
    // What is not had so stays a pointer.
    let _ = git.run(&["lfs", "pull"], SUBMODULES);
    pointers(git)
}

/// How many large files of a tree are nothing but pointers.
fn pointers(git: &Git) -> Result<u32, Refusal> {
    let words = [
        "grep",
        "--fixed-strings",
        "--files-with-matches",
        "-z",
        "-e",
        "version https://git-lfs.github.com/spec/v1",
        "--",
        ":(attr:filter=lfs)",
    ];
    // It finds none with a code that is no success.
    let found = git.run(&words, git::SOON)?.stdout;
    let count = found.iter().filter(|byte| **byte == 0).count();
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

fn commits(git: &Git, branch: &str, since: &str) -> Result<Vec<TaskCommit>, Refusal> {
    let is_id = since.len() >= 40 && since.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(Refusal::new(FilesFault::BadRequest, "`since` is no commit"));
    }
    let count = format!("--max-count={MAX_COMMITS}");
    let range = format!("{since}..refs/heads/{branch}");
    let words = [
        "log",
        "-z",
        "--reverse",
        "--no-show-signature",
        "--no-decorate",
        "--encoding=UTF-8",
        "--format=%H%x00%s",
        &count,
        "--end-of-options",
        &range,
        "--",
    ];
    let output = git.run(&words, git::SOON)?.checked()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut fields = text.split('\0');
    let mut commits = Vec::new();
    while let (Some(id), Some(subject)) = (fields.next(), fields.next()) {
        commits.push(TaskCommit {
            id: plain(id, 64),
            subject: plain(subject, 200),
        });
    }
    Ok(commits)
}

fn push(
    git: &Git,
    branch: &str,
    source: &str,
    through: Option<&Through>,
) -> Result<TaskPush, Refusal> {
    let name = format!("refs/heads/{branch}");
    let commit = git.line(&["rev-parse", "--quiet", "--verify", &name])?;
    let commit = commit.ok_or_else(|| {
        Refusal::new(
            FilesFault::NoRepository,
            "the task's branch is not there any more",
        )
    })?;
    let what = format!("{commit}:{name}");
    // As it stands, whatever the tree says of such addresses.
    let direct = through.and_then(|through| {
        let path = source.strip_prefix(&*through.url)?;
        Some(format!("{}{path}", through.instead))
    });
    let to = direct.as_deref().unwrap_or(source);
    let words = ["push", "--quiet", "--no-verify", "--", to, &what];
    let output = git.run(&words, PUSHING)?;
    Ok(TaskPush {
        commit,
        refused: (!output.is_good).then(|| output.complaint()),
        kind: None,
    })
}

#[cfg(test)]
mod tests;
