//! Variables that look like ours and are not.

use super::catalog::{CATALOG, FOREIGN, lookup};
use super::fault::{Fault, Place, nearest};
use super::source::Environment;

/// A warning for each variable that starts with `CIB_` and that the catalog does not know, and
/// for each whose value could not be read as text; a fault for the latter if it is ours.
pub(super) fn unknown(environment: &Environment) -> (Vec<Fault>, Vec<Fault>) {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    warnings.extend(service_links(environment));
    for (name, _) in environment.iter().filter(|(name, value)| {
        name.starts_with("CIB_") && !ours(name) && !is_service_link(name, value)
    }) {
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

/// One warning for all that Kubernetes set by itself, for a Service whose name begins like the
/// box's variables do.
fn service_links(environment: &Environment) -> Option<Fault> {
    let mut links = environment
        .iter()
        .filter(|(name, value)| is_service_link(name, value))
        .map(|(name, _)| name);
    let first = links.next()?;
    let more = match links.count() {
        0 => String::new(),
        count => format!("and {count} more "),
    };
    Some(Fault::new(
        Place::variable(first),
        format!(
            "{more}come of a Kubernetes Service named like the box's variables, and are ignored"
        ),
        "set enableServiceLinks: false for the pod, or rename the Service",
    ))
}

/// Whether a variable is one of those that Kubernetes, and Docker's old links, set for each
/// service: for one named `cib`, `CIB_SERVICE_HOST=10.96.0.5` and `CIB_PORT=tcp://10.96.0.5:8080`.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"];
    let is_address = address.iter().any(|scheme| value.starts_with(scheme));
    if !name.starts_with("CIB_") || (ours(name) && !is_address) {
        return false;
    }
    if name.ends_with("_PORT") && is_address {
        return true;
    }
    if ours(name) {
        return false;
    }
    let service = ["_SERVICE_HOST", "_SERVICE_PORT"];
    if service.iter().any(|end| name.ends_with(end)) || name.contains("_SERVICE_PORT_") {
        return true;
    }
    // CIB_PORT_8080_TCP and the three that begin so.
    let Some((_, rest)) = name.split_once("_PORT_") else {
        return false;
    };
    let mut words = rest.split('_');
    let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
    let protocol = matches!(words.next(), Some("TCP" | "UDP" | "SCTP"));
    let rest = matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"));
    number && protocol && rest && words.next().is_none()
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
