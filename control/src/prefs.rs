//! Preferences: a few small values that clients keep with the box, for all who use it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::fault::{Code, Fault};

/// Preferences at most.
const MOST: usize = 64;

/// Bytes of a name, at most.
const MAX_NAME: usize = 64;

/// Bytes of a value as JSON, at most.
const MAX_VALUE: usize = 2048;

/// How an older client says that a value goes.
const CLEARS: &str = "-";

/// The preferences of the box. They are read from the disk each time: they are few, and asked for
/// seldom.
#[derive(Debug)]
pub struct Prefs {
    path: PathBuf,
    changing: Mutex<()>,
}

impl Prefs {
    /// Kept in a folder of control's own.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("prefs.json"),
            changing: Mutex::default(),
        }
    }

    /// All of them. A file that cannot be understood has none.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn all(&self) -> io::Result<Map<String, Value>> {
        match cib_foreign::own::read(&self.path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(error) => Err(error),
        }
    }

    /// Changes those that are named, and leaves the others. `null` and `"-"` take one away.
    ///
    /// # Errors
    /// [`Code::BadValue`] for what is no preference, or too large; then none is changed.
    pub fn change(&self, news: Map<String, Value>) -> Result<Map<String, Value>, Fault> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all().map_err(Fault::internal)?;
        for (name, value) in news {
            check(&name, &value)?;
            if value.is_null() || value == CLEARS {
                all.remove(&name);
            } else {
                all.insert(name, value);
            }
        }
        if all.len() > MOST {
            return Err(bad(format!("there may be {MOST} preferences")));
        }
        let text = serde_json::to_vec(&all).map_err(Fault::internal)?;
        cib_base::files::replace(&self.path, &text).map_err(Fault::internal)?;
        Ok(all)
    }
}

fn check(name: &str, value: &Value) -> Result<(), Fault> {
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_name {
        let what =
            format!("a preference has a name of up to {MAX_NAME} letters, digits, `.`, `_`, `-`");
        return Err(bad(what));
    }
    if value.to_string().len() > MAX_VALUE {
        return Err(bad(format!(
            "`{name}` has more than {MAX_VALUE} bytes as JSON"
        )));
    }
    Ok(())
}

fn bad(detail: String) -> Fault {
    Fault::new(Code::BadValue, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn values_are_kept_changed_and_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let prefs = Prefs::new(dir.path());
        assert!(prefs.all().unwrap().is_empty());
        prefs
            .change(map(json!({"theme": "dark", "keys": ["esc"], "gone": 1})))
            .unwrap();
        let all = prefs.change(map(json!({"theme": "light", "gone": null, "keys": "-"})));
        assert_eq!(all.unwrap(), map(json!({"theme": "light"})));
        assert_eq!(
            Prefs::new(dir.path()).all().unwrap(),
            map(json!({"theme": "light"}))
        );
    }

    #[test]
    fn what_is_too_much_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let prefs = Prefs::new(dir.path());
        prefs.change(map(json!({"a": 1}))).unwrap();
        let many: Map<_, _> = (0..64).map(|n| (format!("n{n}"), n.into())).collect();
        for wrong in [
            map(json!({"": 1})),
            map(json!({"a b": 1})),
            map(json!({"b": "x".repeat(3000)})),
            many,
        ] {
            assert_eq!(prefs.change(wrong).unwrap_err().code(), Code::BadValue);
        }
        assert_eq!(prefs.all().unwrap(), map(json!({"a": 1})));
    }
}
