//! A command as a value: somebody else runs it.

use std::process::ExitStatus;

use thiserror::Error;

/// A command to run. Run it with a clean environment: `nft` then speaks English, by which
/// [`Listing::read`] recognises a table that is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The program, to be looked up in the PATH.
    pub program: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads on standard input; without it, nothing.
    pub stdin: Option<String>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The exit code, or 128 plus the signal.
    pub code: i32,
    /// What it wrote.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// `nft` did not do what it was told.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("nft ended with {code} when it was to {doing}: {complaint}")]
pub struct NftFailure {
    /// What was attempted.
    pub doing: &'static str,
    /// The exit code, or 128 plus the signal.
    pub code: i32,
    /// The first line of what `nft` said.
    pub complaint: String,
}

/// What the kernel said of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// There is no such table.
    Absent,
    /// The table, as `nft -j list table` prints it.
    Present(String),
}

impl Invocation {
    pub(crate) fn nft<const N: usize>(args: [&str; N]) -> Self {
        Self {
            program: "nft",
            args: args.map(str::to_owned).into(),
            stdin: None,
        }
    }

    pub(crate) fn reading(mut self, stdin: String) -> Self {
        self.stdin = Some(stdin);
        self
    }
}

impl Finished {
    /// An ended process of the standard library's.
    #[must_use]
    pub fn from_output(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        Self {
            code: code.unwrap_or(-1),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        }
    }

    /// What the command wrote, if it ended well.
    ///
    /// # Errors
    /// It ended with anything but 0.
    pub fn succeeded(&self, doing: &'static str) -> Result<&str, NftFailure> {
        if self.code == 0 {
            Ok(&self.stdout)
        } else {
            Err(self.failure(doing))
        }
    }

    fn failure(&self, doing: &'static str) -> NftFailure {
        let complaint = self.stderr.lines().find(|line| !line.trim().is_empty());
        NftFailure {
            doing,
            code: self.code,
            complaint: complaint.unwrap_or("it did not say why").trim().to_owned(),
        }
    }
}

impl Listing {
    /// What [`Table::list`](crate::Table::list) brought back.
    ///
    /// # Errors
    /// `nft` failed for another reason than that the table is absent.
    pub fn read(finished: &Finished) -> Result<Self, NftFailure> {
        if finished.code == 0 {
            Ok(Self::Present(finished.stdout.clone()))
        } else if finished.stderr.contains("No such file or directory") {
            Ok(Self::Absent)
        } else {
            Err(finished.failure("list a table"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(code: i32, stderr: &str) -> Finished {
        Finished {
            code,
            stdout: "{}".into(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn an_absent_table_is_told_from_a_failure() {
        let absent = "Error: No such file or directory\nlist table inet cib\n           ^^^\n";
        assert_eq!(Listing::read(&finished(1, absent)), Ok(Listing::Absent));
        assert_eq!(
            Listing::read(&finished(0, "")),
            Ok(Listing::Present("{}".into()))
        );
        let failure = Listing::read(&finished(
            1,
            "\nOperation not permitted (you must be root)\n",
        ));
        assert_eq!(
            failure.unwrap_err().to_string(),
            "nft ended with 1 when it was to list a table: \
             Operation not permitted (you must be root)"
        );
    }
}
