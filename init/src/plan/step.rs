//! One step of the boot.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A step, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepId {
    /// Reads the environment and the configuration files, and judges the host.
    ReadConfig,
    /// Lets the drop policy stand before anything else runs.
    CloseEgress,
    /// Installs the rules that redirect, and starts what they redirect to.
    Redirect,
    /// Proves that the way out is the only one.
    ProveEgress,
    /// Users and folders.
    Users,
    /// Keys.
    Keys,
    /// git and ssh.
    Git,
    /// Relays of agents.
    Agent,
    /// The copy of a repository that whoever made the box brings.
    Copy,
    /// Setup commands.
    Setup,
    /// Sessions that an earlier end of the box interrupted.
    Journals,
    /// Control.
    Control,
    /// Configured services.
    Services,
}

impl StepId {
    /// Every step, each after those that it needs.
    pub const ALL: [Self; 13] = [
        Self::ReadConfig,
        Self::CloseEgress,
        Self::Redirect,
        Self::ProveEgress,
        Self::Users,
        Self::Keys,
        Self::Git,
        Self::Agent,
        Self::Copy,
        Self::Setup,
        Self::Journals,
        Self::Control,
        Self::Services,
    ];

    /// Its name in the plan, in the log and in `status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadConfig => "read-config",
            Self::CloseEgress => "close-egress",
            Self::Redirect => "redirect",
            Self::ProveEgress => "prove-egress",
            Self::Users => "users",
            Self::Keys => "keys",
            Self::Git => "git",
            Self::Agent => "agent",
            Self::Copy => "copy",
            Self::Setup => "setup",
            Self::Journals => "journals",
            Self::Control => "control",
            Self::Services => "services",
        }
    }

    /// The steps that are done, or have nothing to do, before it begins. Nothing but reading
    /// comes before the drop policy, and no process of the user's before the proof.
    #[must_use]
    pub fn needs(self) -> Vec<Self> {
        match self {
            Self::ReadConfig => vec![],
            Self::CloseEgress => vec![Self::ReadConfig],
            Self::Redirect | Self::Users => vec![Self::CloseEgress],
            Self::ProveEgress => vec![Self::Redirect],
            Self::Keys => vec![Self::Users],
            // It asks programs what they make of coder's files, which may have others started.
            Self::Git => vec![Self::ProveEgress, Self::Keys],
            Self::Agent => vec![Self::Keys],
            // Who brings it does so as coder.
            Self::Copy => vec![Self::ProveEgress, Self::Git],
            Self::Setup => vec![Self::ProveEgress, Self::Git, Self::Agent, Self::Copy],
            Self::Journals => vec![Self::Setup],
            Self::Control => vec![Self::Journals],
            Self::Services => vec![Self::Control],
        }
    }

    /// Whether it is about the way out, so that there is nothing to do without a proxy.
    #[must_use]
    pub fn is_egress(self) -> bool {
        matches!(self, Self::CloseEgress | Self::Redirect | Self::ProveEgress)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for StepId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// What the failure of a step means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The box ends.
    Ends {
        /// With this exit code.
        code: u8,
    },
    /// The box starts, and its status says what is missing.
    Degrades,
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends { code } => f.pad(&format!("exit {code}")),
            Self::Degrades => f.pad("warning"),
        }
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    #[serde(rename = "step")]
    pub id: StepId,
    /// What it does, for people.
    pub what: String,
    /// What comes before it.
    pub needs: Vec<StepId>,
    /// How long it may take before it counts as failed.
    #[serde(rename = "deadline_ms", serialize_with = "milliseconds")]
    pub deadline: Duration,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// Why there is nothing to do, if there is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

fn milliseconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
