//! Every way to write a push, in a box that may not.

use std::os::unix::fs::PermissionsExt as _;

use crate::stage::Stage;

/// Twelve that a rule of Claude's on `git push` holds back, and eight that it lets through.
const WAYS: [&str; 20] = [
    "git push origin HEAD:refs/heads/pushed",
    "git   push   origin   HEAD:refs/heads/pushed",
    "git 'push' origin HEAD:refs/heads/pushed",
    "\"$(command -v git)\" push origin HEAD:refs/heads/pushed",
    "true && git push origin HEAD:refs/heads/pushed",
    "A=x git push origin HEAD:refs/heads/pushed",
    "timeout 60 git push origin HEAD:refs/heads/pushed",
    "env git push origin HEAD:refs/heads/pushed",
    "command git push origin HEAD:refs/heads/pushed",
    "(git push origin HEAD:refs/heads/pushed)",
    "g=git; $g push origin HEAD:refs/heads/pushed",
    "git push origin HEAD:refs/heads/pushed & wait $!",
    "git -C . push origin HEAD:refs/heads/pushed",
    "git -c a.b=c push origin HEAD:refs/heads/pushed",
    "sh -c 'git push origin HEAD:refs/heads/pushed'",
    "eval git push origin HEAD:refs/heads/pushed",
    "echo push origin HEAD:refs/heads/pushed | xargs git",
    "git config alias.p push; git p origin HEAD:refs/heads/pushed",
    // Another language's way to run a program, of one that every image has.
    "awk 'BEGIN { exit system(\"git push origin HEAD:refs/heads/pushed\") }'",
    // Past the remote's name, to where it is read from.
    "git send-pack \"$(git remote get-url origin)\" HEAD:refs/heads/pushed",
];

#[test]
fn a_push_is_refused_in_each_of_twenty_spellings() {
    let stage = Stage::new();
    let remote = stage.remote();
    let open = stage.home().join("open.git");
    let open = open.to_str().unwrap();
    stage.run(
        "git",
        &["clone", "-q", "--bare", remote.to_str().unwrap(), open],
    );
    stage.run("chmod", &["-R", "a+rwX", open]);
    std::fs::set_permissions(&remote, std::fs::Permissions::from_mode(0o755)).unwrap();
    // The remote as a box reaches one: it may be read, and nobody there has a right to write.
    stage.git(&["remote", "set-url", "origin", "/srv/remote.git"]);
    let read = format!("{}:/srv/remote.git:ro", remote.display());
    let write = format!("{open}:/srv/open.git");
    let name = stage.start(&["--shell", "--mount", &read, "--mount", &write]);
    stage.inside(
        &name,
        "git config --global safe.directory '*'; echo x > x; git add x; git commit -qm x",
    );
    stage.inside(&name, "git fetch -q origin");
    let branches = || stage.run("git", &["-C", remote.to_str().unwrap(), "for-each-ref"]);
    let before = branches();
    for way in WAYS {
        let pushed = stage.cib(&["exec", &name, "sh", "-c", way]);
        assert_ne!(pushed.code, 0, "{way}: {}", pushed.stdout);
        // By the address that leads nowhere, or by the remote's own lack of a right.
        let words = [
            "nothing is pushed from this box",
            "unable to create temporary object directory",
        ];
        let refused = words.iter().any(|words| pushed.stderr.contains(words));
        assert!(refused, "{way}: {}", pushed.stderr);
        assert_eq!(branches(), before, "{way}");
    }
    // It is not that nothing could be pushed from there.
    stage.inside(&name, "git push -q /srv/open.git HEAD:refs/heads/pushed");
    let arrived = stage.run("git", &["-C", open, "log", "-1", "--format=%s", "pushed"]);
    assert_eq!(arrived.trim(), "x");
}
