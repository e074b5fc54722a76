//! `cib-control`: the control plane of the box.

use std::error::Error;
use std::process::ExitCode;

use cib_base::{errors, log};
use cib_control::config::Config;
use cib_control::options::Options;
use cib_control::publish::helper;
use cib_control::{run, work};
use clap::Parser as _;

/// The command line was wrong.
const EXIT_USAGE: u8 = 64;
/// Something failed inside.
const EXIT_INTERNAL: u8 = 70;
/// The configuration was wrong.
const EXIT_CONFIG: u8 = 78;

#[expect(
    clippy::print_stderr,
    reason = "the log begins only with a good configuration"
)]
fn main() -> ExitCode {
    if let Some(code) = helper::run_as(std::env::args_os()) {
        return code;
    }
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // There is nobody else to tell.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let config = match Config::load(options, |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                eprintln!("cib-control: {}", fault.0);
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    log::begin(config.log, config.level);
    let warning = matches!(config.auth, cib_control::auth::gate::Mode::Disabled)
        .then(|| tracing::warn_span!("AUTHENTICATION IS DISABLED").entered());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(work::THREADS)
        .thread_keep_alive(work::KEEP_ALIVE)
        .thread_stack_size(256 * 1024)
        .build();
    let code = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run::run(&config));
            // A disk that does not answer must not keep the process.
            runtime.shutdown_background();
            outcome.map_or_else(|error| report(&error), |()| ExitCode::SUCCESS)
        }
        Err(error) => report(&error),
    };
    drop(warning);
    code
}

fn report(error: &dyn Error) -> ExitCode {
    tracing::error!(causes = errors::causes(error), "{error}");
    ExitCode::from(EXIT_INTERNAL)
}
