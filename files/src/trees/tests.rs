use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use cib_protocol::trees::FoundTree;

use super::*;
use crate::place::tests::root;

const TASK: TaskId = TaskId(0xa1b2_c3d4);

fn git(dir: &Path, words: &[&str]) -> String {
    let ran = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@b"])
        .args(words)
        .current_dir(dir)
        .env("HOME", dir)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{words:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// A workspace with a repository in it that has one commit.
fn workspace() -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots(vec![root(dir.path(), true)]);
    let origin = dir.path().join("origin");
    fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(origin.join("file"), "one\n").unwrap();
    git(&origin, &["add", "--all"]);
    git(&origin, &["commit", "--quiet", "--message", "first"]);
    (dir, roots)
}

fn tree(dir: &Path) -> CloneTree {
    CloneTree {
        task: TASK,
        name: "origin".to_owned(),
        source: dir.join("origin").display().to_string(),
        base: None,
        branch: "claude/a1b2c3d4".to_owned(),
        depth: None,
        partial: false,
        through: None,
        date: 1_700_000_000,
    }
}

fn made(roots: &Roots, tree: &CloneTree) -> TaskBranch {
    match answer(roots, TreeRequest::Clone(Box::new(tree.clone()))).unwrap() {
        TreeReply::Tree(branch) => branch,
        other => panic!("{other:?}"),
    }
}

fn refused(roots: &Roots, tree: &CloneTree) -> Refusal {
    answer(roots, TreeRequest::Clone(Box::new(tree.clone()))).unwrap_err()
}

#[test]
fn a_tree_made_twice_is_one_and_its_first_commit_has_one_id() {
    let (dir, roots) = workspace();
    let first = made(&roots, &tree(dir.path()));
    assert_eq!(first.base.as_deref(), Some("main"));
    assert_eq!(made(&roots, &tree(dir.path())), first);
    let folder = dir.path().join("tasks/a1b2c3d4");
    assert_eq!(
        git(&folder.join("origin"), &["rev-parse", "HEAD^"]),
        first.base_commit.clone().unwrap()
    );
    // As if it was lost, with half of a clone left behind.
    fs::rename(folder.join("origin"), folder.join(".new")).unwrap();
    assert_eq!(made(&roots, &tree(dir.path())), first);
    assert!(!folder.join(".new").exists());
}

#[test]
fn large_files_that_are_pointers_alone_are_counted_and_texts_of_that_form_are_not() {
    let (dir, roots) = workspace();
    let origin = dir.path().join("origin");
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n",
        "1".repeat(64)
    );
    fs::write(origin.join("example.txt"), &pointer).unwrap();
    git(&origin, &["add", "--all"]);
    git(&origin, &["commit", "--quiet", "--message", "text"]);
    assert_eq!(made(&roots, &tree(dir.path())).pointers, 0);
    fs::remove_dir_all(dir.path().join("tasks")).unwrap();
    fs::write(origin.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
    for name in ["one.bin", "two.bin"] {
        fs::write(origin.join(name), &pointer).unwrap();
    }
    fs::write(origin.join("small.bin"), "as it is\n").unwrap();
    git(&origin, &["add", "--all"]);
    git(&origin, &["commit", "--quiet", "--message", "large"]);
    let first = made(&roots, &tree(dir.path()));
    assert_eq!(first.pointers, 2);
    assert_eq!(made(&roots, &tree(dir.path())), first);
}

#[test]
fn a_repository_without_commits_gets_its_first_one() {
    let (dir, roots) = workspace();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    git(
        &empty,
        &["init", "--quiet", "--bare", "--initial-branch=main"],
    );
    let mut tree = tree(dir.path());
    tree.source = empty.display().to_string();
    let branch = made(&roots, &tree);
    assert_eq!(branch.base_commit, None);
    assert_eq!(branch.commit.len(), 40);
}

#[test]
fn the_base_itself_and_what_is_not_there_are_refused_and_leave_no_tree() {
    let (dir, roots) = workspace();
    let good = tree(dir.path());
    let main = CloneTree {
        branch: "main".to_owned(),
        ..good.clone()
    };
    assert_eq!(refused(&roots, &main).code, FilesFault::BadRequest);
    let base = CloneTree {
        base: Some("none".to_owned()),
        ..good.clone()
    };
    assert!(
        refused(&roots, &base).detail.contains("none"),
        "{:?}",
        refused(&roots, &base)
    );
    let elsewhere = CloneTree {
        source: "/etc".to_owned(),
        ..good.clone()
    };
    assert_eq!(refused(&roots, &elsewhere).code, FilesFault::BadRequest);
    let program = CloneTree {
        source: "ext::touch /tmp/pwned".to_owned(),
        ..good.clone()
    };
    assert!(
        refused(&roots, &program).detail.contains("not allowed"),
        "{:?}",
        refused(&roots, &program)
    );
    assert!(!dir.path().join("tasks/a1b2c3d4/origin").exists());
    made(&roots, &good);
}

#[test]
fn commits_are_told_saved_and_pushed() {
    let (dir, roots) = workspace();
    let branch = made(&roots, &tree(dir.path()));
    let work = Path::new(&branch.workdir);
    fs::write(work.join("file"), "two\n").unwrap();
    fs::write(work.join("new"), "new\n").unwrap();
    let (task, name, on) = (TASK, "origin".to_owned(), branch.branch.clone());
    let save = TreeRequest::Save {
        task,
        name: name.clone(),
        branch: on.clone(),
        message: "WIP".to_owned(),
    };
    // As a git that was killed leaves it.
    fs::write(work.join(".git/index.lock"), "").unwrap();
    let TreeReply::Saved(Some(saved)) = answer(&roots, save.clone()).unwrap() else {
        panic!("something was changed");
    };
    assert_eq!(answer(&roots, save).unwrap(), TreeReply::Saved(None));
    let told = TreeRequest::Commits {
        task,
        name: name.clone(),
        branch: on.clone(),
        since: branch.commit,
    };
    assert_eq!(
        answer(&roots, told).unwrap(),
        TreeReply::Commits(vec![saved.clone()])
    );
    let push = |source: String| TreeRequest::Push {
        task,
        name: name.clone(),
        branch: on.clone(),
        source,
        through: None,
    };
    let TreeReply::Pushed(pushed) = answer(&roots, push(tree(dir.path()).source)).unwrap() else {
        panic!("it is asked to push");
    };
    assert_eq!((pushed.commit, pushed.refused), (saved.id.clone(), None));
    let origin = dir.path().join("origin");
    assert_eq!(git(&origin, &["rev-parse", "claude/a1b2c3d4"]), saved.id);
    let nowhere = dir.path().join("nowhere").display().to_string();
    let TreeReply::Pushed(pushed) = answer(&roots, push(nowhere)).unwrap() else {
        panic!("it is asked to push");
    };
    assert!(pushed.refused.unwrap().contains("nowhere"));
}

#[test]
fn a_command_is_told_by_its_code_and_its_last_words_and_has_an_end() {
    let (dir, roots) = workspace();
    made(&roots, &tree(dir.path()));
    let run = |command: &str, seconds| TreeRequest::Run {
        task: TASK,
        name: "origin".to_owned(),
        command: command.to_owned(),
        seconds,
    };
    let said = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo oops >&2; ulimit -v; exit 3";
    let TreeReply::Ran { code, late, output } = answer(&roots, run(said, 30)).unwrap() else {
        panic!("it is asked to run");
    };
    assert_eq!((code, late), (Some(3), false));
    assert!(output.ends_with("x\noops\nunlimited"), "{output}");
    let TreeReply::Ran { code, late, .. } = answer(&roots, run("sleep 1000", 1)).unwrap() else {
        panic!("it is asked to run");
    };
    assert_eq!((code, late), (None, true));
}

#[test]
fn repositories_of_the_workspace_are_found_and_links_are_not_followed() {
    let (dir, roots) = workspace();
    fs::create_dir(dir.path().join("plain")).unwrap();
    std::os::unix::fs::symlink("origin", dir.path().join("alias")).unwrap();
    made(&roots, &tree(dir.path()));
    let found = answer(&roots, TreeRequest::Find {}).unwrap();
    let origin = FoundTree {
        name: "origin".to_owned(),
        path: dir.path().join("origin").display().to_string(),
    };
    assert_eq!(found, TreeReply::Found(vec![origin]));
}

#[test]
fn one_question_at_a_time_is_answered_in_a_tree() {
    let (dir, roots) = workspace();
    made(&roots, &tree(dir.path()));
    let folder = Folder::open(&roots, TASK).unwrap();
    let waiting = std::thread::spawn(move || Folder::open(&roots, TASK).map(drop).is_ok());
    std::thread::park_timeout(Duration::from_millis(200));
    assert!(!waiting.is_finished(), "it waits for its turn");
    drop(folder);
    assert!(waiting.join().unwrap());
    drop(dir);
}

#[test]
fn of_a_large_repository_earlier_files_come_when_they_are_needed() {
    let (dir, roots) = workspace();
    let origin = dir.path().join("origin");
    git(&origin, &["config", "uploadpack.allowFilter", "true"]);
    git(
        &origin,
        &["config", "uploadpack.allowAnySHA1InWant", "true"],
    );
    let earlier = git(&origin, &["rev-parse", "HEAD:file"]);
    fs::write(origin.join("file"), "two\n").unwrap();
    git(
        &origin,
        &["commit", "--quiet", "--all", "--message", "second"],
    );
    let partial = CloneTree {
        partial: true,
        source: format!("file://{}", origin.display()),
        ..tree(dir.path())
    };
    made(&roots, &partial);
    let folder = dir.path().join("tasks/a1b2c3d4/origin");
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "two\n");
    let missing = ["rev-list", "--objects", "--missing=print", "HEAD"];
    assert!(git(&folder, &missing).contains(&format!("?{earlier}")));
    assert_eq!(git(&folder, &["cat-file", "blob", &earlier]), "one");
}

/// Serves files over HTTP, which is all that git needs to clone; where it does.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let folder = folder.clone();
            thread::spawn(move || answer_one(stream, &folder));
        }
    });
    url
}

fn answer_one(mut stream: TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    let target = first.split(' ').nth(1).unwrap();
    let path = target.split('?').next().unwrap().trim_start_matches('/');
    let (status, body) = match fs::read(folder.join(path)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    // Who asked may have enough.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

#[test]
fn a_submodule_that_leads_into_the_box_is_left_out_and_the_tree_stands_with_the_others() {
    let (dir, roots) = workspace();
    let url = serve(dir.path().to_owned());
    for name in ["secret", "public"] {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        git(&folder, &["init", "--quiet"]);
        fs::write(folder.join("key"), "x").unwrap();
        git(&folder, &["add", "--all"]);
        git(&folder, &["commit", "--quiet", "--message", "first"]);
    }
    git(
        dir.path(),
        &["clone", "--quiet", "--bare", "public", "public.git"],
    );
    git(&dir.path().join("public.git"), &["update-server-info"]);
    let origin = dir.path().join("origin");
    // Whichever git comes to first.
    for (from, name) in [
        (dir.path().join("secret").display().to_string(), "inner"),
        (format!("{url}/public.git"), "other"),
        (dir.path().join("secret").display().to_string(), "third"),
    ] {
        let allowed = ["-c", "protocol.file.allow=always"];
        let add = ["submodule", "--quiet", "add", &from, name];
        git(&origin, &[&allowed[..], &add].concat());
    }
    git(&origin, &["commit", "--quiet", "--message", "inner"]);
    made(&roots, &tree(dir.path()));
    let folder = dir.path().join("tasks/a1b2c3d4/origin");
    assert!(folder.join(".gitmodules").exists());
    assert!(folder.join("other/key").exists());
    for name in ["inner", "third"] {
        assert!(!folder.join(name).join("key").exists(), "{name}");
    }
}
