//! The options of the bare init.

use std::time::Duration;

use crate::exit::Exit;
use crate::sys::signal;

/// Time that descendants of the ended command have between SIGTERM and SIGKILL. Together with
/// the command's own end it has to fit into the ten seconds that `docker stop` gives.
const GRACE: Duration = Duration::from_secs(8);

/// What the command line asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of the argument that names the command.
    pub command: usize,
    /// Signals go to the command's whole process group.
    pub group: bool,
    /// Which signals become others.
    pub rewrites: Rewrites,
    /// Exit codes that become 0.
    remapped: [u64; 4],
    /// What descendants get between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Signal that we get when our parent dies.
    pub parent_death: Option<i32>,
    /// Whether each signal that is passed on is said.
    pub verbose: bool,
}

/// Why the command line was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There is nothing to run.
    #[error("no command: say what to run, as in `cib-init -- sleep 10`")]
    NoCommand,
    /// No option has that name.
    #[error("unknown option `{0}`: put `--` in front of a command that begins with `-`")]
    Unknown(String),
    /// The option needs a value.
    #[error("option `{0}` needs a value")]
    NoValue(String),
    /// The value does not fit the option.
    #[error("`{value}` is not a value of `{option}`: {expected}")]
    BadValue {
        /// The option.
        option: String,
        /// What was given.
        value: String,
        /// What can be given.
        expected: &'static str,
    },
}

/// What the options amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Run a command.
    Run(Options),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

impl Options {
    /// Reads the arguments after the program's name; the command is counted from there too,
    /// so that the first argument is number 1.
    ///
    /// # Errors
    /// See [`OptionsError`]; nothing is run then.
    pub fn parse<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> Result<Parsed, OptionsError> {
        let mut options = Self::default();
        let mut arguments = arguments.enumerate();
        while let Some((index, argument)) = arguments.next() {
            match argument {
                b"--" => {
                    options.command = index + 2;
                    return match arguments.next() {
                        Some(_) => Ok(Parsed::Run(options)),
                        None => Err(OptionsError::NoCommand),
                    };
                }
                [b'-', b'-', long @ ..] => {
                    let (name, inline) = split_once(long);
                    let spelt = || format!("--{}", text(name));
                    let option = Flag::long(name).ok_or_else(|| OptionsError::Unknown(spelt()))?;
                    let value = match (option.takes_value(), inline) {
                        (true, Some(value)) => value,
                        (true, None) => match arguments.next() {
                            Some((_, value)) => value,
                            None => return Err(OptionsError::NoValue(spelt())),
                        },
                        (false, None) => b"",
                        (false, Some(_)) => return Err(OptionsError::Unknown(text(argument))),
                    };
                    if let Some(done) = options.apply(option, spelt, value)? {
                        return Ok(done);
                    }
                }
                [b'-', shorts @ ..] if !shorts.is_empty() => {
                    for (at, short) in shorts.iter().enumerate() {
                        let spelt = || format!("-{}", char::from(*short));
                        let option =
                            Flag::short(*short).ok_or_else(|| OptionsError::Unknown(spelt()))?;
                        let rest = &shorts[at + 1..];
                        let value = match (option.takes_value(), rest.is_empty()) {
                            (false, _) => b"",
                            (true, false) => rest,
                            (true, true) => match arguments.next() {
                                Some((_, value)) => value,
                                None => return Err(OptionsError::NoValue(spelt())),
                            },
                        };
                        if let Some(done) = options.apply(option, spelt, value)? {
                            return Ok(done);
                        }
                        if option.takes_value() {
                            break;
                        }
                    }
                }
                _ => {
                    options.command = index + 1;
                    return Ok(Parsed::Run(options));
                }
            }
        }
        Err(OptionsError::NoCommand)
    }

    fn apply(
        &mut self,
        flag: Flag,
        option: impl Fn() -> String,
        value: &[u8],
    ) -> Result<Option<Parsed>, OptionsError> {
        let bad = |expected| OptionsError::BadValue {
            option: option(),
            value: text(value),
            expected,
        };
        let string = std::str::from_utf8(value).unwrap_or("");
        match flag {
            Flag::Help => return Ok(Some(Parsed::Help)),
            Flag::Version => return Ok(Some(Parsed::Version)),
            Flag::Group => self.group = true,
            Flag::Single => self.group = false,
            Flag::Verbose => self.verbose = true,
            // Always so, where it is needed.
            Flag::Subreaper => {}
            Flag::Rewrite => self
                .rewrites
                .add(string)
                .ok_or_else(|| bad("two signals, FROM:TO, where TO may be 0 to drop it"))?,
            Flag::Remap => {
                let code: u8 = string.parse().map_err(|_| bad("an exit code, 0 to 255"))?;
                self.remapped[usize::from(code / 64)] |= 1 << (code % 64);
            }
            Flag::Grace => {
                let seconds: f64 = string.parse().map_err(|_| bad("seconds, such as 2.5"))?;
                self.grace = Duration::try_from_secs_f64(seconds)
                    .ok()
                    .filter(|grace| *grace <= Duration::from_hours(24))
                    .ok_or_else(|| bad("seconds, 0 to 86400"))?;
            }
            Flag::ParentDeath => {
                self.parent_death =
                    Some(signal::parse(string).ok_or_else(|| bad("a signal, such as TERM"))?);
            }
        }
        Ok(None)
    }

    /// The code to exit with when the command ended so.
    #[must_use]
    pub fn code(&self, exit: Exit) -> u8 {
        let code = exit.shell_code();
        if self.remapped[usize::from(code / 64)] & (1 << (code % 64)) == 0 {
            code
        } else {
            0
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command: 0,
            group: false,
            rewrites: Rewrites::default(),
            remapped: [0; 4],
            grace: GRACE,
            parent_death: None,
            verbose: false,
        }
    }
}

#[derive(Clone, Copy)]
enum Flag {
    Help,
    Version,
    Group,
    Single,
    Verbose,
    Subreaper,
    Rewrite,
    Remap,
    Grace,
    ParentDeath,
}

impl Flag {
    fn short(letter: u8) -> Option<Self> {
        Some(match letter {
            b'h' => Self::Help,
            b'V' => Self::Version,
            b'g' => Self::Group,
            b'c' => Self::Single,
            b'v' => Self::Verbose,
            b's' => Self::Subreaper,
            b'r' => Self::Rewrite,
            b'e' => Self::Remap,
            b'p' => Self::ParentDeath,
            _ => return None,
        })
    }

    fn long(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"help" => Self::Help,
            b"version" => Self::Version,
            b"group" => Self::Group,
            b"single-child" => Self::Single,
            b"verbose" => Self::Verbose,
            b"subreaper" => Self::Subreaper,
            b"rewrite" => Self::Rewrite,
            b"remap-exit" => Self::Remap,
            b"grace" => Self::Grace,
            b"parent-death" => Self::ParentDeath,
            _ => return None,
        })
    }

    fn takes_value(self) -> bool {
        matches!(
            self,
            Self::Rewrite | Self::Remap | Self::Grace | Self::ParentDeath
        )
    }
}

/// Which signals become others on their way to the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrites([u8; 65]);

impl Default for Rewrites {
    fn default() -> Self {
        Self(std::array::from_fn(|n| n as u8))
    }
}

impl Rewrites {
    /// Takes `FROM:TO`; `None` if it is not two signals.
    fn add(&mut self, text: &str) -> Option<()> {
        let (from, to) = text.split_once(':')?;
        let to = match to {
            "0" => 0,
            _ => signal::parse(to)?,
        };
        let from = usize::try_from(signal::parse(from)?).ok()?;
        self.0[from] = u8::try_from(to).ok()?;
        Some(())
    }

    /// The signal to send for one that came; `None` if it is dropped.
    #[must_use]
    pub fn apply(&self, signal: i32) -> Option<i32> {
        let to = self.0.get(usize::try_from(signal).ok()?).copied()?;
        (to != 0).then_some(i32::from(to))
    }
}

fn split_once(long: &[u8]) -> (&[u8], Option<&[u8]>) {
    match long.iter().position(|b| *b == b'=') {
        Some(at) => (&long[..at], Some(&long[at + 1..])),
        None => (long, None),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Parsed, OptionsError> {
        Options::parse(line.split_ascii_whitespace().map(str::as_bytes))
    }

    fn options(line: &str) -> Options {
        match parse(line) {
            Ok(Parsed::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_begins_at_the_first_word_that_is_no_option() {
        assert_eq!(options("sleep -g 5").command, 1);
        assert!(!options("sleep -g 5").group);
        assert_eq!(options("-g -e 143 sleep").command, 4);
        assert_eq!(options("-- --help").command, 2);
        assert_eq!(options("-g -- -- x").command, 3);
        assert_eq!(options("- x").command, 1);
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
            assert_eq!(options.code(Exit::Signal(15)), 0, "{line}");
            assert_eq!(options.code(Exit::Code(1)), 1, "{line}");
        }
    }

    #[test]
    fn every_exit_code_can_be_remapped_and_no_other_is() {
        for code in 0..=255_u8 {
            let options = options(&format!("-e {code} x"));
            for other in 0..=255_u8 {
                let expected = if other == code { 0 } else { other };
                assert_eq!(options.code(Exit::Code(other)), expected);
            }
        }
    }

    #[test]
    fn signals_are_rewritten_once_and_dropped_at_zero() {
        let options = options("-r TERM:QUIT --rewrite 3:2 -rUSR1:0 -r RTMIN:64 x");
        assert_eq!(options.rewrites.apply(15), Some(3));
        assert_eq!(options.rewrites.apply(3), Some(2));
        assert_eq!(options.rewrites.apply(10), None);
        assert_eq!(options.rewrites.apply(34), Some(64));
        assert_eq!(options.rewrites.apply(1), Some(1));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(parse(""), Err(OptionsError::NoCommand));
        assert_eq!(parse("-g"), Err(OptionsError::NoCommand));
        assert_eq!(parse("--"), Err(OptionsError::NoCommand));
        assert_eq!(parse("-x a"), Err(OptionsError::Unknown("-x".into())));
        assert_eq!(
            parse("--grup a"),
            Err(OptionsError::Unknown("--grup".into()))
        );
        assert_eq!(
            parse("--group=yes a"),
            Err(OptionsError::Unknown("--group=yes".into()))
        );
        assert_eq!(parse("-e"), Err(OptionsError::NoValue("-e".into())));
        for line in [
            "-e 256 x",
            "-e -1 x",
            "-e a x",
            "-r 15 x",
            "-r 15:99 x",
            "-r 0:15 x",
            "--grace x x",
            "--grace -1 x",
            "-p 0 x",
        ] {
            assert!(
                matches!(parse(line), Err(OptionsError::BadValue { .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn help_and_version_win_over_a_missing_command() {
        assert_eq!(parse("-h"), Ok(Parsed::Help));
        assert_eq!(parse("-g --version"), Ok(Parsed::Version));
        assert_eq!(parse("-V"), Ok(Parsed::Version));
    }
}
