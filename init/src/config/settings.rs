//! The `[settings]` table: values for variables that are not set.

use super::document::{Cell, Table, unknown};
use crate::environment::{CATALOG, Fault, FileSetting, FileSettings, Value};

/// Takes every key that stands for a variable; the others are faults.
pub(super) fn settings(table: Table<'_>, faults: &mut Vec<Fault>) -> FileSettings {
    let mut settings = FileSettings::new();
    for (key, cell) in table.into_entries() {
        let Some(variable) = CATALOG.iter().find(|v| v.key().as_deref() == Some(key)) else {
            faults.push(stranger(&cell, key));
            continue;
        };
        let value = if cell.is_list() {
            cell.list(Cell::scalar).map(Value::List)
        } else {
            cell.scalar().map(Value::Text)
        };
        match value {
            // As with variables, an empty value is none.
            Ok(Value::Text(text)) if text.is_empty() => {}
            Ok(value) => {
                settings.insert(
                    variable.name,
                    FileSetting {
                        value,
                        place: cell.place(),
                    },
                );
            }
            Err(wrong) => {
                let problem = format!("`{key}` {}", wrong.problem);
                faults.push(Fault::new(cell.place(), problem, wrong.remedy));
            }
        }
    }
    settings
}

/// A fault for a key that stands for no variable, or for one that comes from nowhere else.
fn stranger(cell: &Cell<'_>, key: &str) -> Fault {
    let short = key.to_ascii_lowercase();
    let short = short.strip_prefix("cib_").unwrap_or(&short);
    let variable = CATALOG.iter().find(|variable| {
        let name = variable.name.to_ascii_lowercase();
        name.strip_prefix("cib_").unwrap_or(&name) == short
    });
    match variable.map(|variable| (variable, variable.key())) {
        Some((_, Some(right))) => Fault::new(
            cell.place(),
            format!("the key `{key}` is unknown"),
            format!("write `{right}`"),
        ),
        Some((variable, None)) => Fault::new(
            cell.place(),
            format!("`{key}` is not taken from a file, which everybody in the box may read"),
            format!("set {} when the container is started", variable.name),
        ),
        None => {
            let keys: Vec<String> = CATALOG
                .iter()
                .filter_map(|variable| variable.key())
                .collect();
            unknown(
                cell,
                key,
                &keys.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        }
    }
}
