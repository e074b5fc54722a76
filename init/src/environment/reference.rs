//! The reference page, made from the catalog.

use super::catalog::{CATALOG, FOREIGN};
use super::variable::{Delivery, Group, Variable};

const INTRODUCTION: &str = "\
# Environment variables

Made from the catalog in `init/src/environment/catalog.rs`; a test compares the two.

An empty variable counts as unset. A value that is wrong ends the start with exit code 78, all
of them reported at once, before anything was touched; an unknown `CIB_` variable is a warning.

Where a key is given, the value can also stand in `[settings]` of
`/etc/claude-in-box/init.toml` or of a file in `init.d` there; the variable overrides it. Where
a `_FILE` twin is given, it names a file that holds the value, for Docker secrets; to set both
is an error. No secret is taken from `init.toml`, which everybody in the box may read.

A value is taken as it stands, and so one that nobody can have meant is refused: in quotes, which
`--env-file` keeps, with a byte order mark, with a blank at an edge, or with the line ends of
Windows. One line end at the end of a file is no part of the value. What Kubernetes sets by itself
for a Service named `cib` (`CIB_PORT=tcp://...`, `CIB_SERVICE_HOST`) is ignored with one warning.

No process that init starts gets a variable that starts with `CIB_`, except those that the
process itself needs.
";

/// The whole page.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for group in Group::ALL {
        page.push_str(&format!("\n## {group}\n"));
        for variable in CATALOG.iter().filter(|variable| variable.group == group) {
            entry(&mut page, variable);
        }
    }
    page.push_str(
        "\n## Variables of similar boxes\n\nThey do nothing here but to be warned about.\n\n\
         | variable | instead |\n|---|---|\n",
    );
    for (name, remedy) in FOREIGN {
        page.push_str(&format!("| `{name}` | {remedy} |\n"));
    }
    page
}

fn entry(page: &mut String, variable: &Variable) {
    let mut facts = format!("- value: {}\n", variable.kind);
    if !variable.default.is_empty() {
        facts.push_str(&format!("- default: `{}`\n", variable.default));
    }
    if variable.has_file() {
        facts.push_str(&format!("- twin: `{}`\n", variable.file_name()));
    }
    if let Some(key) = variable.key() {
        facts.push_str(&format!("- key: `{key}`\n"));
    }
    if variable.delivery == Delivery::Secret {
        facts.push_str("- secret: it appears in no log, no error and no listing\n");
    }
    let Variable {
        name, doc, since, ..
    } = variable;
    page.push_str(&format!(
        "\n### `{name}`\n\n{doc}\n\n{facts}- since: {since}\n"
    ));
}
