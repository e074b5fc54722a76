//! The command line, which is the same for both programs.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use thiserror::Error;

/// What a program says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Run(Options),
    Help,
    Version,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) config: PathBuf,
    pub(super) ready_fd: Option<RawFd>,
    pub(super) sockets: Vec<RawFd>,
}

#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum UsageFault {
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{0} takes the number of an open descriptor above 2")]
    Descriptor(&'static str),
    #[error("descriptor {0} is given twice")]
    Twice(RawFd),
    #[error("unknown argument {0:?}")]
    Unknown(OsString),
    #[error("--config FILE is required")]
    NoConfig,
}

pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageFault> {
    let mut args = args.into_iter().skip(1);
    let mut config = None;
    let mut ready_fd = None;
    let mut sockets = Vec::new();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--config") => {
                config = Some(args.next().ok_or(UsageFault::NoValue("--config"))?.into());
            }
            Some("--ready-fd") => {
                ready_fd = Some(descriptor("--ready-fd", args.next())?);
            }
            Some("--socket") => sockets.push(descriptor("--socket", args.next())?),
            _ => return Err(UsageFault::Unknown(arg)),
        }
    }
    let config = config.ok_or(UsageFault::NoConfig)?;
    // Each is taken over once, by one owner.
    let mut seen: Vec<RawFd> = ready_fd.into_iter().collect();
    for &socket in &sockets {
        if seen.contains(&socket) {
            return Err(UsageFault::Twice(socket));
        }
        seen.push(socket);
    }
    Ok(Command::Run(Options {
        config,
        ready_fd,
        sockets,
    }))
}

fn descriptor(option: &'static str, value: Option<OsString>) -> Result<RawFd, UsageFault> {
    let value = value.ok_or(UsageFault::NoValue(option))?;
    let number = value.to_str().and_then(|value| value.parse().ok());
    number
        .filter(|fd| *fd > 2)
        .ok_or(UsageFault::Descriptor(option))
}

pub(super) fn help(program: &Program) -> String {
    let Program { name, about } = program;
    format!(
        "{about}\n\n\
         Usage: {name} --config FILE [--ready-fd N] [--socket N]...\n\n\
         Options:\n\
         \x20 --config FILE   the configuration, JSON, as cib-init writes it\n\
         \x20 --ready-fd N    write a newline to descriptor N when ready\n\
         \x20 --socket N      descriptor N is a bound socket, for the address that it has\n\
         \x20 --help          print this and exit\n\
         \x20 --version       print the version and exit\n\n\
         Exit status: 0 after SIGTERM or SIGINT, 64 wrong usage, 70 it could not start,\n\
         78 the configuration cannot be read.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, UsageFault> {
        parse(
            std::iter::once("program")
                .chain(words.iter().copied())
                .map(OsString::from),
        )
    }

    #[test]
    fn options_are_read_in_any_order() {
        let options = Options {
            config: "a.json".into(),
            ready_fd: Some(5),
            sockets: vec![6, 4],
        };
        assert_eq!(
            parsed(&[
                "--socket",
                "6",
                "--ready-fd",
                "5",
                "--config",
                "a.json",
                "--socket",
                "4"
            ]),
            Ok(Command::Run(options))
        );
        assert_eq!(parsed(&["--config", "a.json", "--help"]), Ok(Command::Help));
        assert_eq!(parsed(&["-V"]), Ok(Command::Version));
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong() {
        assert_eq!(parsed(&[]), Err(UsageFault::NoConfig));
        assert_eq!(parsed(&["--config"]), Err(UsageFault::NoValue("--config")));
        assert_eq!(
            parsed(&["--config", "a", "--ready-fd", "2"]),
            Err(UsageFault::Descriptor("--ready-fd"))
        );
        assert_eq!(
            parsed(&["--config", "a", "--ready-fd", "5", "--socket", "5"]),
            Err(UsageFault::Twice(5))
        );
        assert_eq!(parsed(&["file"]), Err(UsageFault::Unknown("file".into())));
    }
}
