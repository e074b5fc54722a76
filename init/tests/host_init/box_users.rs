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
