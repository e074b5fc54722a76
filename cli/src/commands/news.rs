//! Whether there is a newer version of this program: looked for once a day while a start goes on
//! anyway, and told in one line. Nobody waits for it, and nothing is said of what goes wrong.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};
use serde::{Deserialize, Serialize};

use super::{Context, update};
use crate::args::Update;
use crate::config::Configuration;
use crate::release::{Release, Version};

/// Seconds between two looks.
const DAY: i64 = 24 * 3600;

/// How long each of two small files may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file in which it is kept, below this program's state.
const FILE: &str = "update-check.json";

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// When it was looked, in seconds since 1970.
    looked: i64,
    /// What was found and is not told yet.
    newest: Option<String>,
}

/// What a look finds, once it does.
#[derive(Debug)]
pub(super) struct News {
    found: mpsc::Receiver<Version>,
}

/// Begins to look, if that is wanted and it is time.
pub(super) fn look(context: &Context<'_>, configuration: &Configuration) -> Option<News> {
    let around = context.around;
    let wanted = around.shows_progress && !context.output.quiet && !context.output.json;
    let off = around.variable("CIB_NO_UPDATE_CHECK").is_some();
    if !wanted || off || !configuration.is("updateCheck") {
        return None;
    }
    // Where releases are has to be known, and who signs them: else nobody is asked.
    let nothing = Update::default();
    let source = update::source(context, &nothing).ok()?;
    let key = update::key(context, &nothing).ok()?;
    let folder = around.state()?;
    let (said, found) = mpsc::channel();
    let now = jiff::Timestamp::now().as_second();
    let known = known(&folder);
    if is_young(&known, now) {
        // What came too late for the start that asked.
        said.send(Version::parse(known.newest.as_deref()?)?).ok()?;
        return Some(News { found });
    }
    let looked = Known {
        looked: now,
        newest: None,
    };
    keep(&folder, &looked).ok()?;
    let around = around.clone();
    // A signal goes to any thread that does not hold it: it has to be one that knows what to do.
    let held = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).ok()?;
    std::thread::spawn(move || {
        if let Ok(release) = Release::look(&around, source, &key, PATIENCE) {
            let newest = Some(release.version.to_string());
            // Who has begun it may have gone: the next start tells.
            let _ = keep(&folder, &Known { newest, ..looked });
            let _ = said.send(release.version);
        }
    });
    held.thread_set_mask().ok()?;
    Some(News { found })
}

impl News {
    /// Tells of it, if something was found by now.
    pub(super) fn tell(self, context: &Context<'_>) {
        let Ok(newest) = self.found.try_recv() else {
            return;
        };
        if let Some(folder) = context.around.state() {
            let looked = known(&folder).looked;
            // It would be told once more.
            let _ = keep(
                &folder,
                &Known {
                    looked,
                    newest: None,
                },
            );
        }
        let this = Version::of_this_program();
        if newest <= this {
            return;
        }
        let program = std::env::current_exe().unwrap_or_default();
        let own = update::by_place(&program).map(|(_, command)| command);
        let own = own.unwrap_or_else(|| "cib self-update".to_owned());
        context.output.note(&format!(
            "cib {newest} is there, and this is {this}: {own} (CIB_NO_UPDATE_CHECK=1 ends this)"
        ));
    }
}

/// Whether it was looked within a day; a clock that has gone back does not count.
fn is_young(known: &Known, now: i64) -> bool {
    (0..DAY).contains(&(now - known.looked))
}

fn known(folder: &Path) -> Known {
    let text = cib_foreign::own::read_to_string(folder.join(FILE));
    let known = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    known.unwrap_or_default()
}

fn keep(folder: &Path, known: &Known) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(folder)?;
    let text = serde_json::to_string(known)?;
    cib_base::files::replace(&folder.join(FILE), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_young_for_a_day_and_never_before_it_was() {
        let known = |looked| Known {
            looked,
            newest: None,
        };
        assert!(!is_young(&Known::default(), 1_000_000_000));
        assert!(is_young(&known(1_000_000_000), 1_000_000_000));
        assert!(is_young(&known(1_000_000_000), 1_000_000_000 + DAY - 1));
        assert!(!is_young(&known(1_000_000_000), 1_000_000_000 + DAY));
        assert!(!is_young(&known(1_000_000_000), 999_999_999));
    }
}
