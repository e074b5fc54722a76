//! What a command finds around itself: variables, folders, terminals. Read once, at the start.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// What a process was started with.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Variables that are text.
    pub variables: BTreeMap<String, String>,
    /// The folder that it was started in.
    pub folder: PathBuf,
    /// Whether a person can answer.
    pub can_ask: bool,
    /// Whether a person reads standard output.
    pub shows: bool,
    /// Whether a person reads standard error.
    pub shows_progress: bool,
    /// Whether this program was called by the name of the tool before it, and does as that did
    /// where the two differ.
    pub as_before: bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            folder: std::env::current_dir().unwrap_or_default(),
            can_ask: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            shows: std::io::stdout().is_terminal(),
            shows_progress: std::io::stderr().is_terminal(),
            as_before: false,
        }
    }

    /// A variable; an empty one counts as unset.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The person's home.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    /// Where this program keeps what it can find again: `$XDG_STATE_HOME/cib`.
    #[must_use]
    pub fn state(&self) -> Option<PathBuf> {
        self.base("XDG_STATE_HOME", ".local/state")
    }

    /// Where a person's own configuration is: `$XDG_CONFIG_HOME/cib`.
    #[must_use]
    pub fn configuration(&self) -> Option<PathBuf> {
        self.base("XDG_CONFIG_HOME", ".config")
    }

    /// A base directory; one that is not absolute is invalid and ignored, as the XDG Base
    /// Directory Specification says.
    fn base(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let given = self.variable(variable).map(PathBuf::from);
        given
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.home()?.join(below_home)))
            .map(|path| path.join("cib"))
    }

    /// Whether this Linux is one in Windows, whose browser and desktop are on the other side.
    #[must_use]
    pub fn is_wsl(&self) -> bool {
        self.variable("WSL_DISTRO_NAME").is_some() || self.variable("WSL_INTEROP").is_some()
    }

    /// A program on the `PATH`.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let runs = |path: &PathBuf| {
            path.metadata()
                .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
        };
        if name.contains('/') {
            return Some(self.folder.join(name)).filter(runs);
        }
        std::env::split_paths(self.variable("PATH")?)
            .map(|folder| folder.join(name))
            .find(runs)
    }

    /// A path as configuration files have it: `~`, `$NAME` and `${NAME}` at any place, then
    /// relative to `from`. An unset variable is left as it stands.
    #[must_use]
    pub fn path(&self, text: &str, from: &Path) -> PathBuf {
        let text = self.expanded(text);
        let text = match (text.strip_prefix('~'), self.home()) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                format!("{}{rest}", home.display())
            }
            _ => text,
        };
        from.join(text)
    }

    fn expanded(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            let (name, length) = match behind.strip_prefix('{').and_then(|inner| {
                let end = inner.find('}')?;
                Some((&inner[..end], end + 2))
            }) {
                Some(found) => found,
                None => {
                    let end = behind
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(behind.len());
                    (&behind[..end], end)
                }
            };
            match self.variable(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[at..=at + length]),
            }
            rest = &behind[length..];
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings {
            variables: [("HOME", "/home/p"), ("X", "y"), ("EMPTY", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn a_path_takes_home_and_variables_and_is_relative_to_its_file() {
        let path = |text| around().path(text, Path::new("/file"));
        for (text, expected) in [
            ("~/a", "/home/p/a"),
            ("~", "/home/p"),
            ("~other/a", "/file/~other/a"),
            ("$HOME/$X", "/home/p/y"),
            ("${X}z", "/file/yz"),
            ("$UNSET/a", "/file/$UNSET/a"),
            ("${", "/file/${"),
            ("a$", "/file/a$"),
            ("./a", "/file/./a"),
            ("/a", "/a"),
        ] {
            assert_eq!(path(text), Path::new(expected), "{text}");
        }
    }

    #[test]
    fn a_base_directory_that_is_not_absolute_is_ignored() {
        let mut around = around();
        assert_eq!(around.state(), Some("/home/p/.local/state/cib".into()));
        around
            .variables
            .insert("XDG_STATE_HOME".into(), "relative".into());
        assert_eq!(around.state(), Some("/home/p/.local/state/cib".into()));
        around
            .variables
            .insert("XDG_STATE_HOME".into(), "/s".into());
        assert_eq!(around.state(), Some("/s/cib".into()));
    }
}
