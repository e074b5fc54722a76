//! What is known about one environment variable.

use std::fmt;

/// The most bytes of a value that stands in a file: more than any token or URL has.
pub(super) const MOST: usize = 64 * 1024;

/// The most bytes of what a task is to do, and of how it is asked for.
pub(super) const MOST_OF_A_TASK: usize = 1024 * 1024;

/// One documented variable. The catalog of all of them is [`super::CATALOG`].
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Chapter of the reference page.
    pub group: Group,
    /// What its value has to look like.
    pub kind: Kind,
    /// The value that an unset variable stands for, in the variable's own syntax. Empty: no
    /// value at all.
    pub default: &'static str,
    /// Whether its value must never be shown and never comes from a configuration file, and
    /// whether `NAME_FILE` may name a file with it instead.
    pub delivery: Delivery,
    /// What it does, as Markdown for the reference page.
    pub doc: &'static str,
    /// First version that understands it.
    pub since: &'static str,
}

/// By which ways a value may reach the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The variable, or its key in `[settings]` of `init.toml`.
    Setting,
    /// The variable, the file that `NAME_FILE` names, or the key in `[settings]`.
    SettingOrFile,
    /// The variable alone: it describes this one container.
    Variable,
    /// The variable or the file that `NAME_FILE` names; its value is shown nowhere.
    Secret,
}

/// Chapter of the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Who may use the API.
    Access,
    /// How packets leave.
    Egress,
    /// Users, files and life time.
    Container,
    /// ssh, GnuPG and git.
    Keys,
    /// Setup commands.
    Setup,
    /// Sessions and their journals.
    Sessions,
    /// What Claude itself reads.
    Claude,
    /// Accounts at forges.
    Forges,
    /// The task of a container that does one and ends.
    Task,
    /// Devices, and the broker that they may be at.
    Devices,
}

/// What a value has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `1`, `true`, `yes`, `on`, or `0`, `false`, `no`, `off`.
    Flag,
    /// A whole number within these bounds.
    Integer {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// Seconds, or a number with `ms`, `s`, `m` or `h`, within these bounds in milliseconds.
    Duration {
        /// Least.
        min_ms: u64,
        /// Most.
        max_ms: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Several of what is described, separated by commas or blanks; an array in `init.toml`.
    List(&'static str),
    /// An absolute path.
    Path,
    /// Whatever is described, on one line.
    Text(&'static str),
    /// Whatever is described, on as many lines as it takes.
    Lines(&'static str),
}

impl Variable {
    /// Whether its value must not be shown.
    #[must_use]
    pub fn secret(&self) -> bool {
        self.delivery == Delivery::Secret
    }

    /// Whether `NAME_FILE` may name a file with the value.
    #[must_use]
    pub fn has_file(&self) -> bool {
        matches!(self.delivery, Delivery::Secret | Delivery::SettingOrFile)
    }

    /// The most bytes that the file of the twin may have.
    #[must_use]
    pub fn most(&self) -> usize {
        if self.group == Group::Task {
            MOST_OF_A_TASK
        } else {
            MOST
        }
    }

    /// The name of the variable that names a file with the value.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}_FILE", self.name)
    }

    /// Its key in `[settings]` of `init.toml`: the name in lower case, without `CIB_`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        matches!(self.delivery, Delivery::Setting | Delivery::SettingOrFile).then(|| {
            self.name
                .strip_prefix("CIB_")
                .unwrap_or(self.name)
                .to_ascii_lowercase()
        })
    }
}

impl Group {
    /// Every chapter, in the page's order.
    pub const ALL: [Self; 10] = [
        Self::Access,
        Self::Egress,
        Self::Container,
        Self::Keys,
        Self::Setup,
        Self::Sessions,
        Self::Claude,
        Self::Forges,
        Self::Task,
        Self::Devices,
    ];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Access => "Access",
            Self::Egress => "Egress",
            Self::Container => "Container",
            Self::Keys => "Keys, agents and git",
            Self::Setup => "Setup commands",
            Self::Sessions => "Sessions",
            Self::Claude => "Claude",
            Self::Forges => "Forges",
            Self::Task => "One task, as the container's main job",
            Self::Devices => "Devices and MQTT",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("`1` or `0`"),
            Self::Integer { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Duration { min_ms, max_ms } => {
                write!(
                    f,
                    "seconds, or e.g. `500ms`, `2m`, from {} to {}",
                    Span(*min_ms),
                    Span(*max_ms)
                )
            }
            Self::Choice(words) => {
                for (index, word) in words.iter().enumerate() {
                    let glue = match index {
                        0 => "",
                        _ if index + 1 == words.len() => " or ",
                        _ => ", ",
                    };
                    write!(f, "{glue}`{word}`")?;
                }
                Ok(())
            }
            Self::List(what) => write!(f, "{what}, separated by commas"),
            Self::Path => f.write_str("an absolute path"),
            Self::Text(what) | Self::Lines(what) => f.write_str(what),
        }
    }
}

/// Milliseconds as a person writes them.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % 3_600_000 == 0 && ms > 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 && ms > 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}
