//! How long what a task does may take.

use std::time::Duration;

use cib_protocol::api::CreateTask;

/// In which time its repository has to be found.
pub const FINDING: Duration = Duration::from_secs(20 * 60);

/// Seconds, as they were asked for or as they are if nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// That Claude may work.
    pub working: u64,
    /// That each setup command may take.
    pub setup: u64,
    /// Without output and work, after which its session is stuck.
    pub quiet: u64,
}

impl Times {
    /// Those of a task.
    #[must_use]
    pub fn of(request: &CreateTask) -> Self {
        let limits = request.limits.clone().unwrap_or_default();
        Self {
            working: limits.duration_s.unwrap_or(60 * 60),
            setup: limits.setup_s.unwrap_or(20 * 60),
            quiet: limits.quiet_s.unwrap_or(15 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::api::TaskLimits;

    use super::*;

    #[test]
    fn an_hour_is_for_the_work_and_twenty_minutes_for_what_comes_before_if_nothing_is_said() {
        let mut task = CreateTask::default();
        let unsaid = Times {
            working: 3600,
            setup: 1200,
            quiet: 900,
        };
        assert_eq!(Times::of(&task), unsaid);
        assert_eq!(FINDING.as_secs(), 1200);
        let limits = TaskLimits {
            duration_s: Some(1),
            ..TaskLimits::default()
        };
        task.limits = Some(limits.clone());
        let said = Times {
            working: 1,
            ..unsaid
        };
        assert_eq!(Times::of(&task), said);
        task.limits = Some(TaskLimits {
            setup_s: Some(2),
            quiet_s: Some(3),
            ..limits
        });
        let said = Times {
            working: 1,
            setup: 2,
            quiet: 3,
        };
        assert_eq!(Times::of(&task), said);
    }
}
