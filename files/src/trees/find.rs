//! The repositories in the workspace.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use cib_foreign::stat;
use cib_protocol::files::{Place, escape};
use cib_protocol::trees::{FOLDER, FoundTree};
use nix::dir::Dir;

use super::ROOT;
use crate::fault::Refusal;
use crate::place::{Roots, readable, step};

/// Names in the workspace that are looked at.
const MOST: usize = 10_000;

/// Repositories that are told.
const TOLD: usize = 200;

/// The workspace itself and the folders in it, as far as they are repositories.
pub(super) fn repositories(roots: &Roots) -> Result<Vec<FoundTree>, Refusal> {
    let place = Place {
        root: ROOT.to_owned(),
        path: String::new(),
    };
    let root = roots.of(&place)?;
    let folder = root.open()?;
    let mut names = Vec::new();
    for found in Dir::from_fd(readable(&folder)?)?.iter().take(MOST) {
        let found = found?;
        let name = found.file_name().to_bytes();
        if !name.starts_with(b".") && name != FOLDER.as_bytes() {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    let mut trees = Vec::new();
    if stat::at(&folder, ".git").is_ok() {
        let name = root.path.file_name().unwrap_or(OsStr::new("/"));
        trees.push(FoundTree {
            name: escape(name.as_bytes()),
            path: escape(root.path.as_os_str().as_bytes()),
        });
    }
    for name in names {
        let name = OsStr::from_bytes(&name);
        // A link leads elsewhere, and is none of these.
        let Ok(inside) = step(&folder, name) else {
            continue;
        };
        if stat::at(&inside, ".git").is_ok() && trees.len() < TOLD {
            trees.push(FoundTree {
                name: escape(name.as_bytes()),
                path: escape(root.path.join(name).as_os_str().as_bytes()),
            });
        }
    }
    Ok(trees)
}
