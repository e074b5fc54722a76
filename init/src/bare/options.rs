//! The options of the bare init, and the variables of other inits that it understands.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use lexopt::Arg;
use nix::sys::signal::Signal;

use crate::signals;

/// Time that descendants of the ended command have between SIGTERM and SIGKILL. Together with
/// the command's own end it has to fit into the ten seconds that `docker stop` gives.
const GRACE: Duration = Duration::from_secs(8);
/// The longest grace that can be asked for, in seconds.
const LONGEST: f64 = 86_400.0;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Run a command.
    Run(Options),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Print the licence.
    License,
}

/// How a command is to be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The command and its arguments.
    pub(super) command: Vec<OsString>,
    /// Signals go to the command's whole process group.
    pub(super) group: bool,
    /// What descendants get between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
    /// Signal that we get when our parent dies.
    pub(super) parent_death: Option<Signal>,
    /// Whether each signal that is passed on is said.
    pub(super) verbose: bool,
    /// Whether each orphan that is reaped is said.
    pub(super) warn: bool,
    /// Signals that become others; 0 if they are dropped.
    rewrites: Vec<(i32, i32)>,
    /// Exit codes that become 0.
    remapped: Vec<u8>,
}

/// Why the command line, or a variable, was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OptionsError {
    /// There is nothing to run.
    #[error("no command: say what to run, as in `cib-init -- sleep 10`")]
    NoCommand,
    /// No option has that name.
    #[error("unknown option `{0}`: put `--` in front of a command that begins with `-`")]
    Unknown(String),
    /// The option needs a value, or takes none.
    #[error("{0}")]
    Value(String),
    /// The value does not fit the option.
    #[error("`{value}` is not a value of `{option}`: {expected}")]
    BadValue {
        /// The option or variable.
        option: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        expected: &'static str,
    },
}

impl Options {
    /// Reads the arguments after the program's name, and the variables that tini and dumb-init
    /// have. An option wins over a variable.
    ///
    /// # Errors
    /// See [`OptionsError`]; nothing is run then.
    pub(super) fn read(
        words: &[OsString],
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Asked, OptionsError> {
        let mut options = Self {
            command: Vec::new(),
            group: false,
            grace: GRACE,
            parent_death: None,
            verbose: false,
            warn: false,
            rewrites: Vec::new(),
            remapped: Vec::new(),
        };
        options.variables(variable)?;
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(argument) = parser.next().map_err(told)? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Asked::Version),
                Arg::Short('l') | Arg::Long("license") => return Ok(Asked::License),
                Arg::Short('g') | Arg::Long("group") => options.group = true,
                Arg::Short('c') | Arg::Long("single-child") => options.group = false,
                Arg::Short('v') | Arg::Long("verbose") => options.verbose = true,
                Arg::Short('w') | Arg::Long("warn") => options.warn = true,
                // Always so, where it is needed.
                Arg::Short('s') | Arg::Long("subreaper") => {}
                Arg::Short('r') | Arg::Long("rewrite") => {
                    options.rewrite(&parser.value().map_err(told)?)?;
                }
                Arg::Short('e') | Arg::Long("remap-exit") => {
                    let value = parser.value().map_err(told)?;
                    let code = value.to_str().and_then(|code| code.parse().ok());
                    let bad = || bad("--remap-exit", &value, "an exit code, 0 to 255");
                    options.remapped.push(code.ok_or_else(bad)?);
                }
                Arg::Long("grace") => options.grace = grace(&parser.value().map_err(told)?)?,
                Arg::Short('p') | Arg::Long("parent-death") => {
                    let value = parser.value().map_err(told)?;
                    let signal = value.to_str().and_then(signals::parse);
                    let signal = signal.and_then(|signal| Signal::try_from(signal).ok());
                    let bad = || bad("--parent-death", &value, "a signal, such as TERM");
                    options.parent_death = Some(signal.ok_or_else(bad)?);
                }
                Arg::Value(command) => {
                    options.command.push(command);
                    options.command.extend(parser.raw_args().map_err(told)?);
                    return Ok(Asked::Run(options));
                }
                unknown => return Err(told(unknown.unexpected())),
            }
        }
        Err(OptionsError::NoCommand)
    }

    fn variables(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), OptionsError> {
        let is_on = |name| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
        self.group = is_on("TINI_KILL_PROCESS_GROUP") || is_on("DUMB_INIT_SETSID");
        self.verbose = is_on("DUMB_INIT_DEBUG");
        if let Some(value) = variable("TINI_VERBOSITY") {
            let level: Option<u8> = value.to_str().and_then(|level| level.parse().ok());
            let bad = || {
                bad(
                    "TINI_VERBOSITY",
                    &value,
                    "a number, where 2 says each signal",
                )
            };
            self.verbose |= level.ok_or_else(bad)? >= 2;
        }
        Ok(())
    }

    /// Takes `FROM:TO`. The last word on a signal counts.
    fn rewrite(&mut self, value: &OsStr) -> Result<(), OptionsError> {
        let read = |text: &str| {
            let (from, to) = text.split_once(':')?;
            let to = if to == "0" { 0 } else { signals::parse(to)? };
            Some((signals::parse(from)?, to))
        };
        let expected = "two signals, FROM:TO, where TO may be 0 to drop it";
        let rewrite = value.to_str().and_then(read);
        let rewrite = rewrite.ok_or_else(|| bad("--rewrite", value, expected))?;
        self.rewrites.retain(|(from, _)| *from != rewrite.0);
        self.rewrites.push(rewrite);
        Ok(())
    }

    /// The signal to send for one that came; `None` if it is dropped.
    pub(super) fn rewritten(&self, signal: i32) -> Option<i32> {
        let known = self.rewrites.iter().find(|(from, _)| *from == signal);
        let to = known.map_or(signal, |(_, to)| *to);
        (to != 0).then_some(to)
    }

    /// The code to exit with when the command ended with this one.
    pub(super) fn code(&self, code: u8) -> u8 {
        if self.remapped.contains(&code) {
            0
        } else {
            code
        }
    }
}

fn grace(value: &OsStr) -> Result<Duration, OptionsError> {
    let seconds = value.to_str().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| (0.0..=LONGEST).contains(seconds));
    let expected = "seconds, 0 to 86400, such as 2.5";
    let seconds = seconds.ok_or_else(|| bad("--grace", value, expected))?;
    Ok(Duration::from_secs_f64(seconds))
}

fn bad(option: &'static str, value: &OsStr, expected: &'static str) -> OptionsError {
    OptionsError::BadValue {
        option,
        value: value.to_string_lossy().into_owned(),
        expected,
    }
}

fn told(error: lexopt::Error) -> OptionsError {
    match error {
        lexopt::Error::UnexpectedOption(option) => OptionsError::Unknown(option),
        other => OptionsError::Value(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_ascii_whitespace().map(OsString::from).collect()
    }

    fn read(line: &str) -> Result<Asked, OptionsError> {
        Options::read(&words(line), |_| None)
    }

    fn options(line: &str) -> Options {
        match read(line) {
            Ok(Asked::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_begins_at_the_first_word_that_is_no_option() {
        assert_eq!(options("sleep -g 5").command, words("sleep -g 5"));
        assert!(!options("sleep -g 5").group);
        assert_eq!(options("-g -e 143 sleep").command, words("sleep"));
        assert_eq!(options("-- --help").command, words("--help"));
        assert_eq!(options("-g -- -- x").command, words("-- x"));
        assert_eq!(options("- x").command, words("- x"));
    }

    #[test]
    fn values_may_be_joined_to_their_option() {
        for line in [
            "-e 143 x",
            "-e143 x",
            "-ge143 x",
            "--remap-exit=143 x",
            "--remap-exit 143 x",
        ] {
            let options = options(line);
            assert_eq!(options.code(143), 0, "{line}");
            assert_eq!(options.code(1), 1, "{line}");
        }
    }

    #[test]
    fn every_exit_code_can_be_remapped_and_no_other_is() {
        for code in 0..=255_u8 {
            let options = options(&format!("-e {code} x"));
            for other in 0..=255_u8 {
                let expected = if other == code { 0 } else { other };
                assert_eq!(options.code(other), expected);
            }
        }
    }

    #[test]
    fn signals_are_rewritten_once_and_dropped_at_zero() {
        let options = options("-r TERM:QUIT --rewrite 3:2 -rUSR1:0 -r RTMIN:64 x");
        assert_eq!(options.rewritten(15), Some(3));
        assert_eq!(options.rewritten(3), Some(2));
        assert_eq!(options.rewritten(10), None);
        assert_eq!(options.rewritten(34), Some(64));
        assert_eq!(options.rewritten(1), Some(1));
        assert_eq!(options.rewritten(64), Some(64));
    }

    #[test]
    fn every_signal_can_be_rewritten_and_the_last_word_counts() {
        let all = (1..=64).map(|from| format!("-r {from}:9 -r {from}:{} ", 65 - from));
        let options = options(&(all.collect::<String>() + "x"));
        for from in 1..=64 {
            assert_eq!(options.rewritten(from), Some(65 - from));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in ["", "-g", "--"] {
            assert_eq!(read(line), Err(OptionsError::NoCommand), "{line}");
        }
        for (line, named) in [("-x a", "-x"), ("-gx a", "-x"), ("--grup a", "--grup")] {
            assert_eq!(read(line), Err(OptionsError::Unknown(named.to_owned())));
        }
        for line in ["-e", "--grace", "--group=yes a"] {
            assert!(matches!(read(line), Err(OptionsError::Value(_))), "{line}");
        }
        for line in [
            "-e 256 x",
            "-e -1 x",
            "-e a x",
            "-r 15 x",
            "-r 15:99 x",
            "-r 0:15 x",
            "--grace x x",
            "--grace -1 x",
            "--grace 86400.1 x",
            "--grace nan x",
            "-p 0 x",
            "-p RTMIN x",
        ] {
            assert!(
                matches!(read(line), Err(OptionsError::BadValue { .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn help_and_version_win_over_a_missing_command() {
        assert_eq!(read("-h"), Ok(Asked::Help));
        assert_eq!(read("-g --version"), Ok(Asked::Version));
        assert_eq!(read("-gV"), Ok(Asked::Version));
        assert_eq!(read("-l"), Ok(Asked::License));
    }

    #[test]
    fn the_grace_is_seconds() {
        assert_eq!(options("x").grace, GRACE);
        assert_eq!(options("--grace=2.5 x").grace, Duration::from_millis(2500));
        assert_eq!(
            options("--grace 86400 x").grace,
            Duration::from_secs(86_400)
        );
    }

    #[test]
    fn what_is_passed_to_tini_and_to_dumb_init_is_understood() {
        let tini = options("-s -p SIGTERM -vvv -w -e 143 -g -- x");
        assert!(tini.group && tini.verbose && tini.warn);
        assert_eq!(tini.parent_death, Some(Signal::SIGTERM));
        let dumb = options("-c -v --rewrite 15:3 -r 2:0 -- x");
        assert!(!dumb.group && dumb.verbose);
        assert_eq!((dumb.rewritten(15), dumb.rewritten(2)), (Some(3), None));

        let with = |line: &str, name: &str, value: &str| {
            let variable = |asked: &str| (asked == name).then(|| OsString::from(value));
            Options::read(&words(line), variable)
        };
        for (name, value, group, verbose) in [
            ("TINI_SUBREAPER", "true", false, false),
            ("TINI_KILL_PROCESS_GROUP", "1", true, false),
            ("TINI_VERBOSITY", "1", false, false),
            ("TINI_VERBOSITY", "3", false, true),
            ("DUMB_INIT_SETSID", "0", false, false),
            ("DUMB_INIT_SETSID", "1", true, false),
            ("DUMB_INIT_DEBUG", "1", false, true),
        ] {
            let Ok(Asked::Run(options)) = with("x", name, value) else {
                panic!("{name}");
            };
            assert_eq!((options.group, options.verbose), (group, verbose), "{name}");
        }
        assert!(with("x", "TINI_VERBOSITY", "loud").is_err());
        let Ok(Asked::Run(options)) = with("-c x", "DUMB_INIT_SETSID", "1") else {
            panic!("an option wins");
        };
        assert!(!options.group);
    }
}
