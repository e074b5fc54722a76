//! Offload: a plan that a person has approved in Claude on this machine goes on in a box.
//!
//! Two hooks of Claude's do it. Behind `ExitPlanMode`, which Claude calls when a plan is
//! complete, the session is handed over and the turn ends here. Before every tool, a session that
//! was handed over is told that it goes on elsewhere. In a box both do nothing.

pub mod payload;
pub mod record;
pub mod settings;
pub mod traces;

/// The branch that a plan's commits come back on, unless somebody names another.
pub const BRANCH: &str = "feature/auto";

/// The variable that every session of a box has.
pub const INSIDE: [&str; 2] = ["CIB_SESSION", "CIB_BOX"];
