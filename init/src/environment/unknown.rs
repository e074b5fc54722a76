//! Variables that look like ours and are not.

use super::catalog::{CATALOG, FOREIGN, lookup};
use super::fault::{Fault, Place, nearest};
use super::source::Environment;

/// A warning for each variable that starts with `CIB_` and that the catalog does not know, and
/// for each whose value could not be read as text; a fault for the latter if it is ours.
pub(super) fn unknown(environment: &Environment) -> (Vec<Fault>, Vec<Fault>) {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for (name, _) in environment
        .iter()
        .filter(|(name, _)| name.starts_with("CIB_") && !ours(name))
    {
        warnings.push(Fault::new(
            Place::variable(name),
            "is not a variable of the box",
            remedy(name),
        ));
    }
    for name in environment.not_text() {
        let fault = |remedy| Fault::new(Place::variable(name), "is not UTF-8 text", remedy);
        if ours(name) {
            faults.push(fault("write it in UTF-8"));
        } else {
            warnings.push(fault("nothing in the box gets it; write it in UTF-8"));
        }
    }
    (faults, warnings)
}

fn ours(name: &str) -> bool {
    let base = name.strip_suffix("_FILE");
    lookup(name).is_some()
        || base
            .and_then(lookup)
            .is_some_and(|variable| variable.has_file())
}

fn remedy(name: &str) -> String {
    if let Some((_, remedy)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return (*remedy).to_owned();
    }
    let short = |name: &'static str| name.strip_prefix("CIB_").unwrap_or(name);
    let known = CATALOG.iter().map(|variable| short(variable.name));
    let typed = name.strip_prefix("CIB_").unwrap_or(name);
    match nearest(typed, known) {
        Some(meant) => {
            let meant = CATALOG
                .iter()
                .find(|variable| short(variable.name) == meant);
            format!(
                "did you mean {}?",
                meant.map_or("", |variable| variable.name)
            )
        }
        None => "unset it; docs/reference/environment.md lists those that there are".to_owned(),
    }
}
