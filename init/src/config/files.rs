//! Reading `init.toml` and `init.d/*.toml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document::{SourceFile, whole};
use crate::environment::{Fault, SecretFileError, read_secret_file};

/// The files that there are, `init.toml` first and then those of `init.d` by name. A file that
/// cannot be read is a fault; one whose name does not end in `.toml` a warning, because it was
/// surely meant to be read.
pub(super) fn read(
    directory: &Path,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Vec<SourceFile> {
    let mut paths = vec![directory.join("init.toml")];
    let drop_ins = directory.join("init.d");
    match names(&drop_ins) {
        Ok(names) => {
            for name in names {
                let path = drop_ins.join(&name);
                if name.ends_with(".toml") {
                    paths.push(path);
                } else {
                    warnings.push(whole(
                        &path,
                        "is not read",
                        "give it a name that ends in .toml",
                    ));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => faults.push(unreadable(&drop_ins, &error)),
    }
    paths
        .into_iter()
        .filter_map(|path| file(path, faults))
        .collect()
}

/// The names of a directory in order, without the hidden ones.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

fn file(path: PathBuf, faults: &mut Vec<Fault>) -> Option<SourceFile> {
    match read_secret_file(&path) {
        Ok(text) => return Some(SourceFile { path, text }),
        Err(SecretFileError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(SecretFileError::Read(error)) => faults.push(unreadable(&path, &error)),
        Err(error) => faults.push(whole(&path, error.to_string(), "write a text file of TOML")),
    }
    None
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    whole(
        path,
        format!("cannot be read: {error}"),
        "make it readable for root, or remove it",
    )
}
