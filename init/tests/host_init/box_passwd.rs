//! Accounts of a box, from the outside of its API: the first one, and root's word.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use cib_base::password;
use serde_json::Value;

use crate::boxed::{Recipe, Running};
use crate::support::{INIT, eventually};

/// A box with the real control.
fn a_box() -> Recipe {
    let mut recipe = Recipe::new();
    let control = PathBuf::from(INIT).with_file_name("cib-control");
    let missing = "cib-control is missing: cargo build --workspace";
    assert!(control.exists(), "{missing}");
    std::fs::copy(control, recipe.folder("bin").join("cib-control")).unwrap();
    recipe.set("CIB_ADMIN_USER", "ann");
    recipe.set("CIB_ADMIN_PASSWORD", "correct horse");
    recipe
}

/// The hash of the only account's password.
fn hash(recipe: &Recipe) -> Option<String> {
    let path = recipe.folder("data").join("control/accounts.json");
    let stored: Value = serde_json::from_slice(&std::fs::read(path).ok()?).unwrap();
    let accounts = stored["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0]["info"]["name"], "ann");
    Some(accounts[0]["password"].as_str().unwrap().to_owned())
}

fn passwd(running: &mut Running, user: &str, input: &str) -> Output {
    let pid = running.pid().to_string();
    let mut asked = Command::new("nsenter")
        .args(["-t", &pid, "-p", "-m", "-n", "-r", "-w", "--", "setpriv"])
        .args(["--reuid", user, "--regid", user, "--clear-groups"])
        .args(["/opt/box/cib-init", "passwd"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = asked.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    asked.wait_with_output().unwrap()
}

#[test]
fn the_first_account_is_the_environments_and_root_alone_gives_it_another_password() {
    let mut recipe = a_box();
    let mut running = recipe.start();
    running.wait_until_up();
    let first = eventually("the account is made", || hash(&recipe));
    assert!(password::matches(&first, "correct horse"));
    let coder = passwd(&mut running, "1000", "coders own horse\n");
    assert!(!coder.status.success(), "{coder:?}");
    let said = String::from_utf8_lossy(&coder.stderr).into_owned();
    assert!(said.contains("only root reaches it"), "{said}");
    assert_eq!(hash(&recipe), Some(first));
    let short = passwd(&mut running, "0", "short\n");
    assert_eq!(short.status.code(), Some(1), "{short:?}");
    let root = passwd(&mut running, "0", "another horse\n");
    assert!(root.status.success(), "{root:?}");
    let said = String::from_utf8_lossy(&root.stdout).into_owned();
    assert!(said.starts_with("ann has another password"), "{said}");
    assert!(password::matches(&hash(&recipe).unwrap(), "another horse"));
    assert!(!running.said().contains("horse"));
    drop(running);
    // The variable is of use once.
    let mut again = recipe.start();
    again.wait_until_up();
    assert!(password::matches(&hash(&recipe).unwrap(), "another horse"));
}
