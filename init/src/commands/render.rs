//! Writes the state of the box for a person.

use std::fmt::Write;

use cib_protocol::init::{BoxStatus, Check, EgressStatus};

/// `cib-init status`. Writing to a string cannot fail, here and below.
pub(super) fn status(status: &BoxStatus, colours: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "claude-in-box {}: {}, for {}",
        status.version,
        paint(&status.phase, colours),
        duration(status.uptime_ms * 1000)
    );
    text.push_str(&egress(&status.egress));
    let _ = writeln!(text, "\nservices");
    for service in &status.services {
        let pid = service
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let up = service
            .uptime_ms
            .map_or_else(|| "-".to_owned(), |ms| duration(ms * 1000));
        let last = service.last_exit.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "  {:<14} {:<9} pid {pid:<7} up {up:<9} restarts {:<4} last end {last}",
            service.name,
            paint(&service.state, colours),
            service.restarts
        );
    }
    let _ = writeln!(text, "\nsteps");
    for step in &status.steps {
        let took = if step.elapsed_us == 0 {
            "-".to_owned()
        } else {
            duration(step.elapsed_us)
        };
        let _ = writeln!(
            text,
            "  {:<14} {:<9} {took:<9} {}",
            step.name,
            paint(&step.state, colours),
            step.detail.as_deref().unwrap_or_default()
        );
    }
    let _ = writeln!(text, "\nsessions with a keeper: {}", status.sessions.len());
    for session in &status.sessions {
        let _ = writeln!(text, "  {session}");
    }
    for warning in &status.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// `cib-init egress status`.
pub(super) fn egress(egress: &EgressStatus) -> String {
    let mut text = format!("{}\n", egress.summary);
    if let (Some(upstream), Some(health)) = (&egress.upstream, &egress.upstream_health) {
        let _ = writeln!(text, "upstream {upstream}: {health}");
    }
    for (counter, packets) in &egress.blocked {
        let _ = writeln!(text, "  {counter:<20} {packets} packets");
    }
    text
}

/// `cib-init egress test`, and with every detail `doctor`.
pub(super) fn checks(checks: &[Check], details: bool, colours: bool) -> String {
    if checks.is_empty() {
        return "CIB_PROXY_URL is not set: there is nothing to test\n".to_owned();
    }
    let mut text = String::new();
    for check in checks {
        let verdict = paint(if check.passed { "passed" } else { "failed" }, colours);
        let _ = writeln!(text, "{verdict}  {}", check.claim);
        if details || !check.passed {
            let _ = writeln!(text, "        {}", check.detail);
        }
    }
    text
}

/// A word in the colour of what it means.
fn paint(word: &str, colours: bool) -> String {
    let code = match word {
        "up" | "ready" | "done" | "passed" => "32",
        "degraded" | "starting" | "backoff" | "booting" | "running" | "stopping"
        | "shutting_down" => "33",
        "failed" | "given_up" => "31",
        _ => return word.to_owned(),
    };
    if colours {
        format!("\x1b[{code}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us}us"),
        1000..1_000_000 => format!("{}ms", us / 1000),
        1_000_000..60_000_000 => format!("{}.{}s", us / 1_000_000, us / 100_000 % 10),
        60_000_000..3_600_000_000 => format!("{}m{}s", us / 60_000_000, us / 1_000_000 % 60),
        _ => format!("{}h{}m", us / 3_600_000_000, us / 60_000_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_exact_enough() {
        let shown = [999, 15_000, 2_340_000, 61_000_000, 3_660_000_000].map(duration);
        assert_eq!(shown, ["999us", "15ms", "2.3s", "1m1s", "1h1m"]);
    }

    #[test]
    fn a_failed_check_says_what_to_do_and_a_passed_one_is_one_line() {
        let checks = [
            Check {
                claim: "a".into(),
                passed: true,
                detail: "fine".into(),
            },
            Check {
                claim: "b".into(),
                passed: false,
                detail: "restart the box".into(),
            },
        ];
        let text = super::checks(&checks, false, false);
        assert_eq!(text, "passed  a\nfailed  b\n        restart the box\n");
        assert!(!text.contains('\u{1b}'));
    }
}
