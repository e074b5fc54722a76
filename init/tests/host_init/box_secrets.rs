//! What a `_FILE` variable names is read by init and by nobody of coder's, however an engine
//! hands it over.

use std::process::Command;

use crate::boxed::{Recipe, Running, TOKEN};

const KEY: &str = "sk-ant-of-the-test";

/// A box whose token comes of a file that is mounted there.
fn of_a_file(path: &str) -> Recipe {
    let mut recipe = Recipe::new();
    recipe.set("CIB_AUTH_TOKEN", "");
    recipe.set("CIB_AUTH_TOKEN_FILE", path);
    recipe
}

/// What `cat` says to this user in the box's file system.
fn read_as(running: &mut Running, user: &str, path: &str) -> Result<String, String> {
    let pid = running.pid().to_string();
    let output = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "--root", "--wd=/"])
        .args([
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
        ])
        .args(["cat", path])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[track_caller]
fn is_closed(running: &mut Running, path: &str, value: &str) {
    let roots = read_as(running, "0", path).unwrap();
    assert_eq!(roots.trim_end(), value, "it is not there at all");
    let coders = read_as(running, "1000", path).expect_err("coder reads it");
    assert!(coders.contains("Permission denied"), "{coders}");
}

#[test]
fn a_file_of_coders_own_number_and_one_for_everybody_are_closed() {
    let mut recipe = of_a_file("/run/secrets/auth_token");
    // As scripts/run of user 1000 makes it, and as compose or Swarm do.
    recipe.file("auth_token", &format!("{TOKEN}\n"), 1000, 0o600);
    recipe.mount("auth_token", "/run/secrets/auth_token");
    recipe.file("api_key", KEY, 0, 0o444);
    recipe.mount("api_key", "/run/secrets/api_key");
    recipe.set("ANTHROPIC_API_KEY_FILE", "/run/secrets/api_key");
    recipe.set(
        "CIB_SETUP_COMMANDS",
        "env >seen; cat /run/secrets/* >>seen 2>&1; cat /proc/1/environ >>seen 2>&1; true",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    is_closed(&mut running, "/run/secrets/auth_token", TOKEN);
    is_closed(&mut running, "/run/secrets/api_key", KEY);
    running.says("/run/secrets: closed to coder");
    let seen = std::fs::read_to_string(recipe.folder("workspace/seen")).unwrap();
    assert!(seen.contains("PATH="), "it did not look: {seen}");
    for secret in [TOKEN, KEY] {
        assert!(!seen.contains(secret), "a setup command saw it: {seen}");
        assert!(!running.said().contains(secret), "{}", running.said());
    }
    // Outside nothing has changed.
    use std::os::unix::fs::MetadataExt as _;
    let outside = std::fs::metadata(recipe.folder("auth_token")).unwrap();
    assert_eq!((outside.uid(), outside.mode() & 0o777), (1000, 0o600));
}

#[test]
fn a_folder_of_secrets_is_closed_and_what_is_beside_it_is_named() {
    let mut recipe = of_a_file("/run/secrets/box/token");
    // As Kubernetes mounts them: for everybody, behind links.
    recipe.file("volume/..now/token", TOKEN, 1000, 0o644);
    for (to, name) in [("..now", "..data"), ("..data/token", "token")] {
        std::os::unix::fs::symlink(to, recipe.folder("volume").join(name)).unwrap();
    }
    recipe.mount("volume", "/run/secrets/box");
    recipe.file("other", "for coder", 0, 0o644);
    recipe.mount("other", "/run/secrets/other");
    let mut running = recipe.start();
    running.wait_until_up();
    is_closed(&mut running, "/run/secrets/box/token", TOKEN);
    is_closed(&mut running, "/run/secrets/box/..data/token", TOKEN);
    let warnings = running.status().unwrap().warnings.join("\n");
    assert!(warnings.contains("`other`"), "{warnings}");
}

#[test]
fn a_folder_of_the_containers_own_that_holds_nothing_else_is_closed() {
    let mut recipe = of_a_file("/opt/mine/token");
    recipe.file("token", TOKEN, 1000, 0o444);
    recipe.mount("token", "/opt/mine/token");
    let mut running = recipe.start();
    running.wait_until_up();
    is_closed(&mut running, "/opt/mine/token", TOKEN);
}

#[test]
fn what_root_alone_may_read_is_left_as_it_is() {
    let mut recipe = of_a_file("/run/secrets/token");
    recipe.file("token", TOKEN, 0, 0o400);
    recipe.mount("token", "/run/secrets/token");
    recipe.file("other", "for coder", 0, 0o644);
    recipe.mount("other", "/run/secrets/other");
    let mut running = recipe.start();
    running.wait_until_up();
    is_closed(&mut running, "/run/secrets/token", TOKEN);
    let other = read_as(&mut running, "1000", "/run/secrets/other").unwrap();
    assert_eq!(other, "for coder");
    assert!(!running.said().contains("closed to coder"));
}

#[test]
fn what_cannot_be_closed_is_refused_with_78_or_warned_of_where_that_is_allowed() {
    let mut recipe = of_a_file("/mnt/token");
    recipe.file("token", TOKEN, 1000, 0o400);
    recipe.mount("token", "/mnt/token");
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(78));
    running.says("nothing was changed");
    let said = running.said();
    let line = said.lines().find(|l| l.contains("CIB_AUTH_TOKEN_FILE:"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for word in ["/mnt/token", "/run/secrets", "CIB_EXPOSED_SECRETS=allow"] {
        assert!(line.contains(word), "{line}");
    }
    drop(running);

    recipe.set("CIB_EXPOSED_SECRETS", "allow");
    let mut running = recipe.start();
    running.wait_until_up();
    let warnings = running.status().unwrap().warnings.join("\n");
    assert!(warnings.contains("/mnt/token"), "{warnings}");
}

#[test]
fn a_file_that_another_mount_shows_to_coder_is_refused_and_the_place_named() {
    let mut recipe = of_a_file("/run/secrets/token");
    recipe.file("workspace/deploy/token", TOKEN, 0, 0o644);
    recipe.mount("workspace/deploy/token", "/run/secrets/token");
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(78), "{}", running.said());
    running.says("as `/workspace/deploy/token`");
}

#[test]
fn a_file_in_whose_place_coder_could_put_another_is_refused() {
    let mut recipe = of_a_file("/workspace/deploy/token");
    recipe.file("workspace/deploy/token", TOKEN, 0, 0o400);
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(78), "{}", running.said());
    running.says("may write to `/workspace`");
}
