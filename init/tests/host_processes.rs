//! Children of the box: started, fed, read, reaped. Each case runs as PID 1 of a namespace of
//! its own, because the reaper takes every death of its process.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program without the test harness, whose allowances it needs"
)]

#[path = "host_processes/cases.rs"]
mod cases;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("--case") {
        let name = arguments.next().unwrap_or_default();
        let Some((_, case)) = cases::ALL.iter().find(|(known, _)| *known == name) else {
            return ExitCode::from(2);
        };
        cases::within_runtime(*case);
        return ExitCode::SUCCESS;
    }
    // What a runner of tests asks: which there are, and one of them by name.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let named = cases::ALL.iter().any(|(name, _)| has(name));
    let wanted = |name: &str| !has("--ignored") && (!named || has(name));
    if has("--list") {
        for (name, _) in cases::ALL.iter().filter(|(name, _)| wanted(name)) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let own = std::env::current_exe().expect("the program has a path");
    let mut failed = 0_usize;
    println!("\nrunning {} tests", cases::ALL.len());
    for (name, _) in cases::ALL.iter().filter(|(name, _)| wanted(name)) {
        let output = Command::new("timeout")
            .args([
                "60",
                "unshare",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
            ])
            .arg(&own)
            .args(["--case", name])
            .output()
            .expect("unshare is there");
        let passed = output.status.success();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed += 1;
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let ran = cases::ALL.iter().filter(|(name, _)| wanted(name)).count();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out\n",
        ran - failed,
        cases::ALL.len() - ran
    );
    ExitCode::from(u8::from(failed > 0))
}
