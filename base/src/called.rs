//! The name that a program was called by: in an image two programs can be one file.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Whether a program with these arguments, its own name in front, was called by a name, wherever the
/// file is.
#[must_use]
pub fn is_called(arguments: &[OsString], name: &str) -> bool {
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    called == Some(OsStr::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_by_the_last_part_of_what_it_was_run_as() {
        let arguments = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for first in ["cib-files", "/usr/libexec/cib-files", "./cib-files"] {
            assert!(is_called(&arguments(&[first, "x"]), "cib-files"), "{first}");
        }
        for words in [
            &["cib-session", "cib-files"][..],
            &["cib-files2"],
            &[""],
            &[],
        ] {
            assert!(!is_called(&arguments(words), "cib-files"), "{words:?}");
        }
    }
}
