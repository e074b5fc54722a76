//! A box whose agent tries to reach the machine outside through what is brought over.

use crate::stage::Stage;

/// Commits a tree that git itself would not make, as the box's branch.
const EVIL_TREE: &str = r#"set -e
cd /workspace
b=$(echo evil | git hash-object -w --stdin)
case $1 in
  dotgit) t=$(printf '100644 blob %s\t.git\n' "$b" | git mktree) ;;
  ntfs) t=$(printf '100644 blob %s\tGIT~1\n' "$b" | git mktree) ;;
  modules)
    m=$(printf '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch${IFS}pwned\n' | git hash-object -w --stdin)
    t=$(printf '100644 blob %s\t.gitmodules\n' "$m" | git mktree) ;;
  modulename)
    m=$(printf '[submodule "../../x"]\n\tpath = x\n\turl = ./x\n' | git hash-object -w --stdin)
    t=$(printf '100644 blob %s\t.gitmodules\n' "$m" | git mktree) ;;
  modulelink)
    l=$(printf /etc/passwd | git hash-object -w --stdin)
    t=$(printf '120000 blob %s\t.gitmodules\n' "$l" | git mktree) ;;
esac
c=$(git commit-tree -p "$2" -m evil "$t")
git update-ref "refs/heads/$3" "$c"
"#;

#[test]
fn nothing_that_a_box_configures_runs_outside_and_no_evil_tree_lands() {
    let stage = Stage::new();
    let name = stage.start(&[]);
    let branch = stage.inside(&name, "git branch --show-current");
    let branch = branch.trim();
    let base = stage.git(&["rev-parse", "HEAD"]);
    let base = base.trim();
    // Hooks, monitors, drivers and commands in the box's own configuration.
    stage.inside(
        &name,
        "printf '#!/bin/sh\\ntouch /tmp/ran-inside\\n' > .git/hooks/post-checkout; chmod +x .git/hooks/*; \
         git config core.fsmonitor 'touch pwned'; git config core.sshCommand 'touch pwned'; \
         git config diff.external 'touch pwned'; git config uploadpack.packObjectsHook 'touch pwned'; \
         echo '* diff=evil filter=evil' > .gitattributes; git config diff.evil.textconv 'touch pwned'; \
         git config filter.evil.smudge 'touch pwned'; git add .gitattributes; \
         git -c core.fsmonitor=false commit -qm attributes",
    );
    stage.good(&["fetch", &name]);
    stage.good(&["diff", &name]);
    stage.good(&["apply", &name]);
    for evil in ["dotgit", "ntfs", "modules", "modulename", "modulelink"] {
        let tip = stage.inside(&name, "git rev-parse HEAD");
        let tip = tip.trim();
        stage.good(&[
            "exec", &name, "sh", "-c", EVIL_TREE, "sh", evil, base, branch,
        ]);
        let refused = stage.cib(&["fetch", &name]);
        assert_eq!(refused.code, 1, "{evil}: {}", refused.stdout);
        let reference = format!("refs/remotes/cib/{name}/{branch}");
        assert_eq!(
            stage.git(&["rev-parse", &reference]).trim(),
            tip,
            "{evil} has landed"
        );
        stage.inside(&name, &format!("git update-ref refs/heads/{branch} {tip}"));
    }
    assert_nothing_ran(&stage);
}

#[test]
fn a_branchs_name_and_a_message_run_nothing_and_reach_no_terminal() {
    let stage = Stage::new();
    let name = stage.start(&[]);
    stage.inside(
        &name,
        "git branch 'x;touch${IFS}pwned'; git branch 'a$(touch pwned)b'; \
         printf 'evil\\n' > \"$(printf 'e\\033]0;t\\007.txt')\"; printf '\\033[2J\\342\\200\\256evil\\n' > plain.txt; \
         git add -A; git commit -qm \"$(printf 'title \\033]0;pwned\\007')\"",
    );
    let fetched = stage.cib(&["fetch", &name, "--all-branches"]);
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    assert!(fetched.stderr.contains("passed over"), "{}", fetched.stderr);
    let diff = stage.cib(&["diff", &name]);
    assert!(
        diff.stdout.contains("\\u{1b}[2J\\u{202e}evil"),
        "{}",
        diff.stdout
    );
    let watched = stage.cib(&["list", "--json"]);
    for ran in [fetched, diff, watched] {
        for text in [ran.stdout, ran.stderr] {
            let bad = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
            assert!(!text.contains(bad), "{text:?}");
        }
    }
    assert_nothing_ran(&stage);
}

#[test]
fn a_huge_file_is_told_and_not_shown_and_no_more_is_taken_than_was_said() {
    let stage = Stage::new();
    let name = stage.start(&[]);
    stage.inside(
        &name,
        "git config core.compression 1; truncate -s 1500M huge; echo small > small; git add -A; git commit -qm huge",
    );
    let diff = stage.good(&["diff", &name]);
    assert!(diff.contains("huge: 1572864000 bytes, not shown"), "{diff}");
    assert!(diff.contains("+small") && diff.len() < 10_000);
    // Nor is it in memory: what reads it all finds no room for it.
    let bounded = |program: &str, words: &[&str]| {
        let mut command = stage.command("sh");
        let script = "ulimit -d 100000; exec \"$@\"";
        command.args(["-c", script, "sh", program]).args(words);
        Stage::finish(command)
    };
    let again = bounded(env!("CARGO_BIN_EXE_cib"), &["diff", &name]);
    assert_eq!((again.code, again.stdout), (0, diff), "{}", again.stderr);
    let new = stage.json(&["fetch", &name, "--json"]);
    let new = new["branches"][0]["new"].as_str().unwrap();
    let whole = bounded("git", &["diff", "--text", "main", new]);
    assert_ne!(whole.code, 0, "git has found room for all of it");
    stage.inside(
        &name,
        "head -c 3M /dev/urandom > random; git add -A; git commit -qm random",
    );
    let refused = stage.cib(&["fetch", &name, "--max-fetch", "1000000"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("more than 1000000 bytes"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_acts_by_itself_is_named_and_checked_out_with_consent_alone() {
    let stage = Stage::new();
    let name = stage.start(&["--branch", "work"]);
    stage.inside(
        &name,
        "mkdir -p .github/workflows .git/hooks; echo x > .github/workflows/ci.yml; echo x > .envrc; \
         ln -s ../../outside link; git add -A; git commit -qm guarded",
    );
    let refused = stage.cib(&["apply", &name, "--checkout"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    for words in [
        ".github/workflows/ci.yml",
        ".envrc",
        "leaves the repository",
        "--yes",
    ] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    assert!(!stage.path(".envrc").exists());
    // A hook here runs for nothing that comes from a box.
    stage.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch pwned\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(stage.path(".git/hooks/post-checkout"), mode).unwrap();
    stage.good(&["apply", &name, "--checkout", "--yes"]);
    assert_eq!(stage.read(".envrc"), "x\n");
    assert_eq!(stage.git(&["branch", "--show-current"]).trim(), "work");
    stage.inside(&name, "echo more > more.txt");
    stage.good(&["apply", &name, "--patch", "--yes"]);
    assert_eq!(stage.read("more.txt"), "more\n");
    assert_nothing_ran(&stage);
}

#[test]
fn git_alone_reads_a_box_by_its_name_and_can_push_nothing_into_it() {
    let stage = Stage::new();
    let name = stage.start(&[]);
    stage.inside(&name, "echo x > x; git add x; git commit -qm x");
    let programs = stage.home().join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cib"), programs.join("git-remote-cib")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let git = |arguments: &[&str]| {
        let mut command = stage.command("git");
        command.env("PATH", &path).args(arguments);
        Stage::finish(command)
    };
    let url = format!("cib::{name}");
    let listed = git(&["ls-remote", &url, "HEAD"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(
        listed
            .stdout
            .starts_with(stage.inside(&name, "git rev-parse HEAD").trim())
    );
    let pushed = git(&["push", &url, "HEAD:refs/heads/evil"]);
    assert_ne!(pushed.code, 0);
    assert!(
        pushed.stderr.contains("nothing is pushed into a box"),
        "{}",
        pushed.stderr
    );
    assert_eq!(stage.inside(&name, "git branch --list evil"), "");
}

pub(crate) fn assert_nothing_ran(stage: &Stage) {
    let found = stage.run(
        "find",
        &[
            stage.home().to_str().unwrap(),
            "-name",
            "*pwned*",
            "-not",
            "-path",
            "*/refs/*",
            "-not",
            "-path",
            "*/logs/*",
        ],
    );
    assert_eq!(found, "", "something of the box's ran outside");
}
