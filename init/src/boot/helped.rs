//! Starts helper processes for work on files that somebody else may have made: such a process may
//! wait, fail or be killed, and the box waits for it no longer than said here.

use std::path::PathBuf;
use std::time::Duration;

use crate::boot::live::ids;
use crate::process::{Processes, Run};
use crate::spawn::{Capabilities, Command};
use crate::steps::takeover::{self, ASIDE, JOURNAL};
use crate::steps::users::{self, Users};
use crate::steps::{Outcome, Paths};

/// Taking over is bounded by itself; this is for a file system that does not answer.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// Writing to a few folders takes a millisecond.
const TRY: Duration = Duration::from_secs(5);

/// What the work is done with.
pub(super) struct Helped<'a> {
    pub(super) processes: &'a Processes,
    /// `cib-init`.
    pub(super) helper: PathBuf,
    pub(super) paths: &'a Paths,
    pub(super) users: &'a Users,
}

impl Helped<'_> {
    /// Takes over what coder owned of the record, if anything.
    pub(super) async fn take_over(&self, outcome: &mut Outcome) {
        let data = self.paths.at(&self.paths.data);
        let Users {
            keeper, control, ..
        } = self.users;
        if !self.users.switch || !takeover::is_needed(&data, keeper.uid) {
            return;
        }
        let command = Command::new(&self.helper)
            .args(["box", "take-over"])
            .arg(&data)
            .args([keeper.uid, keeper.gid, control.gid].map(|id| id.to_string()))
            .capabilities(Capabilities::Reduced);
        let journal = self.paths.data.join(JOURNAL);
        let journal = journal.display();
        let fault = match self.processes.run(command, Run::within(TAKE_OVER)).await {
            Ok(output) if output.exit.success() => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                return self.told(&text, outcome);
            }
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        outcome.warn(format!(
            "sessions of an earlier version were not taken over, and cannot be continued: {fault} \
             ({journal} has what was done)"
        ));
    }

    fn told(&self, text: &str, outcome: &mut Outcome) {
        let mut numbers = text
            .split_ascii_whitespace()
            .map(|number| number.parse::<u64>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let (taken, aside, failed, left) = (next(), next(), next(), next());
        let journal = self.paths.data.join(JOURNAL);
        let journal = journal.display();
        let set_aside = if aside > 0 {
            let folder = self.paths.data.join(ASIDE);
            format!(", and set aside {aside} things in {}", folder.display())
        } else {
            String::new()
        };
        outcome.changed(
            &self.paths.data,
            format!("took {taken} sessions over for cib-keeper{set_aside} ({journal})"),
        );
        if failed + left > 0 {
            outcome.warn(format!(
                "{failed} sessions of an earlier version could not be taken over and {left} are \
                 left for the next start; they cannot be continued until then ({journal})"
            ));
        }
    }

    /// Tries as coder whether it can write to what it has to.
    pub(super) async fn try_places(&self, outcome: &mut Outcome) {
        let places = users::places(self.paths, self.users);
        let mut command = Command::new(&self.helper)
            .args(["box", "probe"])
            .args(places.iter().map(|path| self.paths.at(path)));
        command.ids = ids(&self.users.coder, self.users.switch);
        let tried = match self.processes.run(command, Run::within(TRY)).await {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let faults = text
                    .lines()
                    .map(|line| (line != "ok").then(|| line.to_owned()));
                places.into_iter().zip(faults).collect::<Vec<_>>()
            }
            Err(error) => {
                outcome.warn(format!(
                    "whether coder can write to its folders could not be tried: {error}"
                ));
                return;
            }
        };
        let warnings = users::judge(self.paths, self.users, &tried, &outcome.warnings);
        for warning in warnings {
            outcome.warn(warning);
        }
    }
}
