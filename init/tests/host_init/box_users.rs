//! A box in a user namespace, as rootless engines and remapped users give it: root there is
//! nobody special outside.

use crate::boxed::Recipe;

#[test]
fn in_a_user_namespace_with_the_boxs_ids_it_works() {
    let mut recipe = Recipe::new();
    recipe.user_namespace("0 0 65536");
    let mut running = recipe.start();
    running.wait_until_up();
    assert_eq!(running.service("control").state, "ready");
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn in_a_user_namespace_without_the_boxs_ids_it_is_refused_in_a_line_for_each() {
    let mut recipe = Recipe::new();
    recipe.user_namespace("0 0 1");
    let mut running = recipe.start();
    assert_eq!(running.wait().code(), Some(78));
    let said = running.said();
    for name in ["PUID", "PGID"] {
        let line = format!("{name}: 1000 does not exist in this user namespace");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
}

#[test]
fn a_home_volume_works_whatever_puid_is_and_one_that_cannot_is_told_of_once() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let mut recipe = Recipe::new();
    let home = recipe.folder("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // Made by an engine as root; then from the image; then from before a change of PUID.
    for (puid, owner) in [("1001", Some(0)), ("1500", Some(1000)), ("1001", None)] {
        if let Some(owner) = owner {
            chown(&home, Some(owner), Some(owner)).unwrap();
        }
        recipe.set("PUID", puid).set("PGID", puid);
        let mut running = recipe.start();
        running.wait_until_up();
        assert_eq!(std::fs::metadata(&home).unwrap().uid().to_string(), puid);
        let warnings = running.status().unwrap().warnings;
        let told = warnings.iter().any(|warning| warning.contains(".claude"));
        assert!(!told, "{warnings:?}");
        assert_eq!(running.stop(), Some(0));
    }
    chown(&home, Some(4321), Some(4321)).unwrap();
    let mut running = recipe.start();
    running.wait_until_up();
    let warnings = running.status().unwrap().warnings;
    let told: Vec<_> = warnings.iter().filter(|w| w.contains(".claude")).collect();
    assert_eq!(told.len(), 1, "{warnings:?}");
    assert!(
        told[0]
            .starts_with("/home/coder/.claude (owner 4321:4321, mode 0700) cannot be written to"),
        "{told:?}"
    );
    assert!(told[0].contains("set PUID=4321 PGID=4321"), "{told:?}");
    running.says("owner 4321:4321");
}

#[test]
fn an_id_of_the_boxs_own_users_is_refused_for_coder() {
    for (name, id) in [("PUID", "972"), ("PGID", "970"), ("PGID", "972")] {
        let mut recipe = Recipe::new();
        recipe.set(name, id);
        let mut running = recipe.start();
        assert_eq!(running.wait().code(), Some(78));
        let said = running.said();
        assert!(said.contains(&format!("{name}: {id} is the ")), "{said}");
    }
}
