//! The options of the bare init.

use core::time::Duration;

use crate::signal;
use crate::sys::list::List;
use crate::text::{equal, number, seconds};
use crate::time::Time;

/// Time that descendants of the ended command have between SIGTERM and SIGKILL. Together with
/// the command's own end it has to fit into the ten seconds that `docker stop` gives.
const GRACE: Time = Time::of(Duration::from_secs(8));
/// The longest grace that can be asked for.
const LONGEST: Time = Time::of(Duration::from_secs(24 * 3600));

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Number of the argument that names the command.
    pub(crate) command: usize,
    /// Signals go to the command's whole process group.
    pub(crate) group: bool,
    /// Which signals become others.
    pub(crate) rewrites: Rewrites,
    /// Exit codes that become 0.
    remapped: [u64; 4],
    /// What descendants get between SIGTERM and SIGKILL.
    pub(crate) grace: Time,
    /// Signal that we get when our parent dies.
    pub(crate) parent_death: Option<i32>,
    /// Whether each signal that is passed on is said.
    pub(crate) verbose: bool,
}

/// An option as it was spelt: its dashes and its name.
pub(crate) type Spelt<'a> = [&'a [u8]; 2];

/// Why the command line was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OptionsError<'a> {
    /// There is nothing to run.
    NoCommand,
    /// No option has that name.
    Unknown(Spelt<'a>),
    /// The option needs a value.
    NoValue(Spelt<'a>),
    /// The value does not fit the option.
    BadValue {
        /// The option.
        option: Spelt<'a>,
        /// What was given.
        value: &'a [u8],
        /// What can be given.
        expected: &'static [u8],
    },
}

/// What the options amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Run a command.
    Run,
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

impl Options {
    pub(crate) fn new() -> Self {
        Self {
            command: 0,
            group: false,
            rewrites: Rewrites(List::new()),
            remapped: [0; 4],
            grace: GRACE,
            parent_death: None,
            verbose: false,
        }
    }

    /// Reads the arguments after the program's name; the command is counted from there too,
    /// so that the first argument is number 1.
    ///
    /// # Errors
    /// See [`OptionsError`]; nothing is run then.
    pub(crate) fn read<'a>(
        &mut self,
        arguments: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Asked, OptionsError<'a>> {
        let mut arguments = arguments.enumerate();
        while let Some((index, argument)) = arguments.next() {
            let done = match argument {
                [b'-', b'-'] => {
                    self.command = index + 2;
                    return match arguments.next() {
                        Some(_) => Ok(Asked::Run),
                        None => Err(OptionsError::NoCommand),
                    };
                }
                [b'-', b'-', long @ ..] => {
                    self.long(long, &mut || arguments.next().map(|(_, value)| value))?
                }
                [b'-', first, rest @ ..] => self.shorts(*first, rest, argument, &mut || {
                    arguments.next().map(|(_, value)| value)
                })?,
                _ => {
                    self.command = index + 1;
                    return Ok(Asked::Run);
                }
            };
            if let Some(asked) = done {
                return Ok(asked);
            }
        }
        Err(OptionsError::NoCommand)
    }

    fn long<'a>(
        &mut self,
        long: &'a [u8],
        next: &mut impl FnMut() -> Option<&'a [u8]>,
    ) -> Result<Option<Asked>, OptionsError<'a>> {
        let mut parts = long.splitn(2, |byte| *byte == b'=');
        let (name, inline) = (parts.next().unwrap_or_default(), parts.next());
        let spelt: Spelt<'a> = [b"--", name];
        let flag = Flag::long(name).ok_or(OptionsError::Unknown(spelt))?;
        let value = match (flag.takes_value(), inline) {
            (true, Some(value)) => value,
            (true, None) => next().ok_or(OptionsError::NoValue(spelt))?,
            (false, None) => b"",
            (false, Some(_)) => return Err(OptionsError::Unknown([b"--", long])),
        };
        self.apply(flag, spelt, value)
    }

    /// Reads letters behind one dash, of which the last may have a value.
    fn shorts<'a>(
        &mut self,
        first: u8,
        rest: &'a [u8],
        argument: &'a [u8],
        next: &mut impl FnMut() -> Option<&'a [u8]>,
    ) -> Result<Option<Asked>, OptionsError<'a>> {
        let (mut letter, mut rest) = (first, rest);
        let mut letters = argument.get(1..).unwrap_or_default();
        loop {
            let spelt: Spelt<'a> = [b"-", letters.get(..1).unwrap_or_default()];
            let flag = Flag::short(letter).ok_or(OptionsError::Unknown(spelt))?;
            let value = match (flag.takes_value(), rest) {
                (false, _) => b"",
                (true, []) => next().ok_or(OptionsError::NoValue(spelt))?,
                (true, joined) => joined,
            };
            let done = self.apply(flag, spelt, value)?;
            if done.is_some() || flag.takes_value() {
                return Ok(done);
            }
            let [following, left @ ..] = rest else {
                return Ok(None);
            };
            letters = rest;
            (letter, rest) = (*following, left);
        }
    }

    fn apply<'a>(
        &mut self,
        flag: Flag,
        option: Spelt<'a>,
        value: &'a [u8],
    ) -> Result<Option<Asked>, OptionsError<'a>> {
        let bad = |expected| OptionsError::BadValue {
            option,
            value,
            expected,
        };
        match flag {
            Flag::Help => return Ok(Some(Asked::Help)),
            Flag::Version => return Ok(Some(Asked::Version)),
            Flag::Group => self.group = true,
            Flag::Single => self.group = false,
            Flag::Verbose => self.verbose = true,
            // Always so, where it is needed.
            Flag::Subreaper => {}
            Flag::Rewrite => self
                .rewrites
                .add(value)
                .ok_or(bad(b"two signals, FROM:TO, where TO may be 0 to drop it"))?,
            Flag::Remap => {
                let code = number(value).and_then(|code| u8::try_from(code).ok());
                self.remap(code.ok_or(bad(b"an exit code, 0 to 255"))?);
            }
            Flag::Grace => {
                let grace = seconds(value).ok_or(bad(b"seconds, such as 2.5"))?;
                if grace > LONGEST {
                    return Err(bad(b"seconds, 0 to 86400"));
                }
                self.grace = grace;
            }
            Flag::ParentDeath => {
                let signal = signal::read(value);
                self.parent_death = Some(signal.ok_or(bad(b"a signal, such as TERM"))?);
            }
        }
        Ok(None)
    }

    fn remap(&mut self, code: u8) {
        if let Some(word) = self.remapped.get_mut(usize::from(code >> 6)) {
            *word |= 1 << (code & 63);
        }
    }

    /// The code to exit with when the command ended with this one.
    pub(crate) fn code(&self, code: u8) -> u8 {
        let word = self.remapped.get(usize::from(code >> 6));
        if word.is_some_and(|word| word & (1 << (code & 63)) != 0) {
            0
        } else {
            code
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
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
        Some(if equal(name, b"help") {
            Self::Help
        } else if equal(name, b"version") {
            Self::Version
        } else if equal(name, b"group") {
            Self::Group
        } else if equal(name, b"single-child") {
            Self::Single
        } else if equal(name, b"verbose") {
            Self::Verbose
        } else if equal(name, b"subreaper") {
            Self::Subreaper
        } else if equal(name, b"rewrite") {
            Self::Rewrite
        } else if equal(name, b"remap-exit") {
            Self::Remap
        } else if equal(name, b"grace") {
            Self::Grace
        } else if equal(name, b"parent-death") {
            Self::ParentDeath
        } else {
            return None;
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
#[derive(Debug)]
pub(crate) struct Rewrites(List<Rewrite, { signal::MAX as usize }>);

#[derive(Clone, Copy, Debug)]
struct Rewrite {
    from: i32,
    /// `None` if it is not passed on.
    to: Option<i32>,
}

impl Rewrites {
    /// Takes `FROM:TO`; `None` if it is not two signals. The last word on a signal counts.
    fn add(&mut self, text: &[u8]) -> Option<()> {
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let (from, to) = (parts.next()?, parts.next()?);
        let to = match to {
            [b'0'] => None,
            _ => Some(signal::read(to)?),
        };
        let from = signal::read(from)?;
        for known in self.0.items_mut() {
            if known.from == from {
                known.to = to;
                return Some(());
            }
        }
        self.0.push(Rewrite { from, to })
    }

    /// The signal to send for one that came; `None` if it is dropped.
    pub(crate) fn apply(&self, signal: i32) -> Option<i32> {
        let known = self.0.items().iter().find(|known| known.from == signal);
        known.map_or(Some(signal), |known| known.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Asked, Options), OptionsError<'_>> {
        let mut options = Options::new();
        let asked = options.read(line.split_ascii_whitespace().map(str::as_bytes))?;
        Ok((asked, options))
    }

    fn options(line: &str) -> Options {
        match read(line) {
            Ok((Asked::Run, options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn asked(line: &str) -> Result<Asked, OptionsError<'_>> {
        read(line).map(|(asked, _)| asked)
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
            assert_eq!(options.code(143), 0, "{line}");
            assert_eq!(options.code(1), 1, "{line}");
        }
    }

    #[test]
    fn every_exit_code_can_be_remapped_and_no_other_is() {
        for code in 0..=255_u8 {
            let line = format!("-e {code} x");
            let options = options(&line);
            for other in 0..=255_u8 {
                let expected = if other == code { 0 } else { other };
                assert_eq!(options.code(other), expected);
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
        assert_eq!(options.rewrites.apply(64), Some(64));
    }

    #[test]
    fn every_signal_can_be_rewritten_and_the_last_word_counts() {
        let all = (1..=64).map(|from| format!("-r {from}:9 -r {from}:{} ", 65 - from));
        let line = all.collect::<String>() + "x";
        let options = options(&line);
        for from in 1..=64 {
            assert_eq!(options.rewrites.apply(from), Some(65 - from));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(asked(""), Err(OptionsError::NoCommand));
        assert_eq!(asked("-g"), Err(OptionsError::NoCommand));
        assert_eq!(asked("--"), Err(OptionsError::NoCommand));
        assert_eq!(asked("-x a"), Err(OptionsError::Unknown([b"-", b"x"])));
        assert_eq!(asked("-gx a"), Err(OptionsError::Unknown([b"-", b"x"])));
        assert_eq!(
            asked("--grup a"),
            Err(OptionsError::Unknown([b"--", b"grup"]))
        );
        assert_eq!(
            asked("--group=yes a"),
            Err(OptionsError::Unknown([b"--", b"group=yes"]))
        );
        assert_eq!(asked("-e"), Err(OptionsError::NoValue([b"-", b"e"])));
        assert_eq!(
            asked("--grace"),
            Err(OptionsError::NoValue([b"--", b"grace"]))
        );
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
            "-p 0 x",
        ] {
            assert!(
                matches!(asked(line), Err(OptionsError::BadValue { .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn help_and_version_win_over_a_missing_command() {
        assert_eq!(asked("-h"), Ok(Asked::Help));
        assert_eq!(asked("-g --version"), Ok(Asked::Version));
        assert_eq!(asked("-gV"), Ok(Asked::Version));
    }

    #[test]
    fn the_grace_is_seconds() {
        assert_eq!(options("x").grace, GRACE);
        assert_eq!(options("--grace=2.5 x").grace, Time::new(2, 500_000_000));
        assert_eq!(options("--grace 86400 x").grace, LONGEST);
    }
}
