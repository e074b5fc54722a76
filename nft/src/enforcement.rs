//! A policy brought into force: apply, read back, compare.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::invocation::{Finished, Invocation, Listing, NftFailure};
use crate::policy::EgressPolicy;
use crate::ruleset::{Reports, Ruleset, Table};
use crate::verify::VerifyError;

/// The steps that bring a policy into force, in order. It runs nothing: ask for the
/// [`next`](Self::next) invocation, run it, hand back how it [`finished`](Self::finished).
///
/// The table `inet cib` is the promise, and a failure there is an error. The table
/// `netdev cib` and the reports are more than the promise: where the kernel cannot have them,
/// the table `inet cib` stands nevertheless, and a [`Warning`] says what is missing.
#[derive(Clone, Debug)]
pub struct Enforcement {
    policy: EgressPolicy,
    devices: BTreeSet<String>,
    state: State,
    inet: Ruleset,
    netdev: Ruleset,
    reports: Reports,
    warnings: Vec<Warning>,
}

/// A policy is in force. This is kept for as long as it is, so the rules, which take hundreds of
/// kilobytes as data, are made again when they are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforced {
    policy: EgressPolicy,
    /// Those with the egress hook, or nothing on a kernel without it.
    devices: Option<BTreeSet<String>>,
    /// Whether refused packets are reported.
    pub reports: Reports,
    /// What this kernel could not do.
    pub warnings: Vec<Warning>,
}

impl Enforced {
    /// The tables that were enforced.
    pub fn tables(&self) -> impl Iterator<Item = Table> + use<> {
        let hooked = self.devices.is_some();
        let enforced = move |table: &Table| hooked || *table != Table::Netdev;
        Table::ALL.into_iter().filter(enforced)
    }

    /// One of them as it stands, for looking at it again.
    #[must_use]
    pub fn ruleset(&self, table: Table) -> Ruleset {
        match (table, &self.devices) {
            (Table::Inet, _) => Ruleset::inet(&self.policy, self.reports),
            (Table::Netdev, Some(devices)) => Ruleset::netdev(&self.policy, devices),
            (Table::Netdev, None) => Ruleset::netdev(&EgressPolicy::Direct, &BTreeSet::new()),
        }
    }
}

/// What is missing, though the promise is kept without it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Warning {
    /// No `nfnetlink_log`.
    #[error("refused packets are counted but not reported: {0}")]
    NoReports(NftFailure),
    /// No egress hook, or a device that has just gone.
    #[error("frames of packet sockets are not stopped (only NET_RAW can send them): {0}")]
    NoEgressHook(NftFailure),
}

/// Why a policy is not in force.
#[derive(Debug, Error)]
pub enum EnforceError {
    /// `nft` failed.
    #[error(transparent)]
    Nft(#[from] NftFailure),
    /// The kernel has not what was asked for.
    #[error("the rules that were applied do not stand")]
    Verify(#[from] VerifyError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Apply(Table),
    List(Table),
    Done,
}

impl Enforcement {
    /// Begins to bring `policy` into force, with the egress hook on `devices`.
    #[must_use]
    pub fn new(policy: EgressPolicy, devices: &BTreeSet<String>) -> Self {
        let reports = Reports::On;
        Self {
            inet: Ruleset::inet(&policy, reports),
            netdev: Ruleset::netdev(&policy, devices),
            policy,
            devices: devices.clone(),
            state: State::Apply(Table::Inet),
            reports,
            warnings: Vec::new(),
        }
    }

    /// What to run next, or nothing when the policy is in force.
    #[must_use]
    pub fn next(&self) -> Option<Invocation> {
        match self.state {
            State::Apply(table) => Some(self.ruleset(table).apply()),
            State::List(table) => Some(table.list()),
            State::Done => None,
        }
    }

    /// Takes note of how the invocation ended.
    ///
    /// # Errors
    /// The promise cannot be kept. The kernel applies a ruleset wholly or not at all, so what
    /// stood before this enforcement still stands, unless the error is one of comparing.
    pub fn finished(&mut self, finished: &Finished) -> Result<(), EnforceError> {
        self.state = match self.state {
            State::Apply(table) => match finished.succeeded("apply the egress rules") {
                Ok(_) => State::List(table),
                Err(failure) => self.without(table, failure)?,
            },
            State::List(table) => {
                self.ruleset(table).verify(&Listing::read(finished)?)?;
                if table == Table::Inet {
                    State::Apply(Table::Netdev)
                } else {
                    State::Done
                }
            }
            State::Done => State::Done,
        };
        Ok(())
    }

    /// The result, when there is nothing left to run.
    #[must_use]
    pub fn enforced(&self) -> Option<Enforced> {
        let hooked = !self
            .warnings
            .iter()
            .any(|w| matches!(w, Warning::NoEgressHook(_)));
        (self.state == State::Done).then(|| Enforced {
            policy: self.policy.clone(),
            devices: hooked.then(|| self.devices.clone()),
            reports: self.reports,
            warnings: self.warnings.clone(),
        })
    }

    /// Goes on without what the kernel refused, if the promise can be kept without it.
    fn without(&mut self, table: Table, failure: NftFailure) -> Result<State, EnforceError> {
        match (table, self.reports) {
            (Table::Netdev, _) => {
                self.warnings.push(Warning::NoEgressHook(failure));
                Ok(State::Done)
            }
            (Table::Inet, Reports::On) if self.policy != EgressPolicy::Direct => {
                self.warnings.push(Warning::NoReports(failure));
                self.reports = Reports::Off;
                self.inet = Ruleset::inet(&self.policy, self.reports);
                Ok(State::Apply(Table::Inet))
            }
            (Table::Inet, _) => Err(failure.into()),
        }
    }

    fn ruleset(&self, table: Table) -> &Ruleset {
        match table {
            Table::Inet => &self.inet,
            Table::Netdev => &self.netdev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, stdout: &str) -> Finished {
        Finished {
            code,
            stdout: stdout.into(),
            stderr: "Error: not here".into(),
        }
    }

    fn listing(ruleset: &Ruleset) -> Finished {
        ended(0, &ruleset.listing())
    }

    fn rulesets(enforced: &Enforced) -> Vec<Ruleset> {
        enforced
            .tables()
            .map(|table| enforced.ruleset(table))
            .collect()
    }

    fn closed() -> Enforcement {
        Enforcement::new(EgressPolicy::Closed, &["eth0".to_owned()].into())
    }

    #[test]
    fn a_policy_is_in_force_once_both_tables_were_read_back() {
        let mut enforcement = closed();
        for table in Table::ALL {
            assert_eq!(enforcement.enforced(), None);
            enforcement.finished(&ended(0, "")).unwrap();
            assert_eq!(enforcement.next(), Some(table.list()));
            let listed = listing(enforcement.ruleset(table));
            enforcement.finished(&listed).unwrap();
        }
        assert_eq!(enforcement.next(), None);
        let enforced = enforcement.enforced().unwrap();
        let made = [enforcement.inet, enforcement.netdev];
        assert_eq!(rulesets(&enforced), made);
        assert_eq!(enforced.warnings, []);
    }

    #[test]
    fn a_kernel_without_a_packet_log_keeps_the_promise_without_reports() {
        let mut enforcement = closed();
        enforcement.finished(&ended(1, "")).unwrap();
        assert_eq!(
            enforcement.next(),
            Some(Ruleset::inet(&EgressPolicy::Closed, Reports::Off).apply())
        );
        enforcement.finished(&ended(0, "")).unwrap();
        let listed = listing(&enforcement.inet);
        enforcement.finished(&listed).unwrap();
        assert!(matches!(enforcement.warnings[..], [Warning::NoReports(_)]));
        assert_eq!(enforcement.reports, Reports::Off);
        assert_eq!(enforcement.enforced(), None);
        enforcement.finished(&ended(1, "")).unwrap();
        let enforced = enforcement.enforced().unwrap();
        assert_eq!(rulesets(&enforced), [enforcement.inet]);
    }

    #[test]
    fn a_kernel_without_the_egress_hook_keeps_the_promise_with_a_warning() {
        let mut enforcement = closed();
        enforcement.finished(&ended(0, "")).unwrap();
        let listed = listing(&enforcement.inet);
        enforcement.finished(&listed).unwrap();
        enforcement.finished(&ended(1, "")).unwrap();
        let enforced = enforcement.enforced().unwrap();
        assert!(matches!(enforced.warnings[..], [Warning::NoEgressHook(_)]));
        assert_eq!(rulesets(&enforced), [enforcement.inet]);
    }

    #[test]
    fn a_kernel_that_refuses_the_promise_itself_is_an_error() {
        let mut enforcement = closed();
        enforcement.finished(&ended(1, "")).unwrap();
        let fault = enforcement.finished(&ended(1, "")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "nft ended with 1 when it was to apply the egress rules: Error: not here"
        );
    }

    #[test]
    fn rules_that_do_not_stand_after_they_were_applied_are_an_error() {
        let mut enforcement = closed();
        enforcement.finished(&ended(0, "")).unwrap();
        let other = Ruleset::inet(&EgressPolicy::Closed, Reports::Off);
        let fault = enforcement.finished(&listing(&other)).unwrap_err();
        assert!(matches!(fault, EnforceError::Verify(_)));
    }
}
