//! The names by which the program is called.

use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn called_cib_files_it_is_that_program() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("cib-files");
    symlink(env!("CARGO_BIN_EXE_cib-session"), &name).unwrap();
    let said = Command::new(&name).arg("--version").output().unwrap();
    assert!(said.stdout.starts_with(b"cib-files "), "{said:?}");
    let said = Command::new(env!("CARGO_BIN_EXE_cib-session"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(said.stdout.starts_with(b"cib-session "), "{said:?}");
}
