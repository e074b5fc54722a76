//! Runs probes, each in a process of its own: some change who they are, and a probe that
//! hangs must not hold up the others.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use super::{Aim, Disguise, Outcome, PROBES, Probe, Report};

/// Runs every probe at once and hands over each report as soon as there is one, so that a box
/// that ends meanwhile takes few of them along.
///
/// # Errors
/// This program cannot be started again, or `each` fails.
pub fn run_all(aim: &Aim, mut each: impl FnMut(Report) -> io::Result<()>) -> io::Result<()> {
    std::thread::scope(|scope| {
        let (finished, reports) = mpsc::channel();
        for probe in PROBES {
            let finished = finished.clone();
            scope.spawn(move || finished.send(apart(probe, aim)));
        }
        drop(finished);
        reports.into_iter().try_for_each(|report| each(report?))
    })
}

/// Runs the probe called `name`; nothing if there is none.
///
/// # Errors
/// This program cannot be started again.
pub fn run_one(name: &str, aim: &Aim) -> io::Result<Option<Report>> {
    PROBES
        .iter()
        .find(|probe| probe.name == name)
        .map(|probe| apart(probe, aim))
        .transpose()
}

/// Runs the probe called `name` in this process and as this user; nothing if there is none.
#[must_use]
pub fn run_here(name: &str, aim: &Aim) -> Option<Report> {
    let probe = PROBES.iter().find(|probe| probe.name == name)?;
    let began = Instant::now();
    if probe.name.starts_with("nft-flush") && !aim.may_flush {
        return Some(probe.report(aim, Outcome::Untried, began));
    }
    let came = (probe.attempt)(aim, aim.target(probe.place()));
    Some(probe.report(aim, Outcome::of(came), began))
}

impl Probe {
    fn place(&self) -> u8 {
        let before = PROBES
            .iter()
            .take_while(|probe| probe.name != self.name)
            .count();
        u8::try_from(before + 1).unwrap_or(u8::MAX)
    }

    fn report(&self, aim: &Aim, outcome: Outcome, began: Instant) -> Report {
        let target = aim.target(self.place());
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let seen_at = match self.elsewhere {
            Some(elsewhere) => vec![elsewhere(aim, target)],
            None => vec![target.v4.to_string(), target.v6.to_string()],
        };
        Report {
            probe: self.name.into(),
            seen_at,
            outcome,
            micros,
        }
    }
}

/// Starts this program again for one probe, in the probe's disguise.
fn apart(probe: &Probe, aim: &Aim) -> io::Result<Report> {
    let own = std::env::current_exe()?;
    let mut command = match probe.disguise {
        Disguise::None => Command::new(own),
        Disguise::User(uid) => {
            let mut command = Command::new(own);
            command.uid(uid).gid(uid);
            command
        }
        Disguise::UserNamespace => {
            let mut command = Command::new("unshare");
            command.arg("--map-root-user").arg(own);
            command
        }
    };
    command
        .args(["probe", "--here", probe.name])
        .args(aim.arguments());
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    match output.map(|output| serde_json::from_slice(&output.stdout)) {
        Ok(Ok(report)) => Ok(report),
        // The disguise was refused.
        Ok(Err(_)) => Ok(probe.report(aim, Outcome::Untried, began)),
        Err(error) if probe.disguise == Disguise::None => Err(error),
        Err(error) => Ok(probe.report(aim, Outcome::Failed(super::name(&error)), began)),
    }
}

impl Aim {
    /// The options of `cib-testkit probe` that say the same.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        [
            ("--v4", self.v4.to_string()),
            ("--v6", self.v6.to_string()),
            ("--proxy", self.proxy.to_string()),
            ("--neighbour", self.neighbour.to_string()),
            ("--device", self.device.clone()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .chain(self.may_flush.then(|| "--may-flush".to_owned()))
        .collect()
    }
}
