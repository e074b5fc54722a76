//! The command line of what speaks with a box.

use clap::Args;

use super::Which;

/// `logs`
#[derive(Clone, Debug, Default, Args)]
pub struct Logs {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// Go on until the box ends
    #[arg(long, short)]
    pub follow: bool,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 50)]
    pub tail: u32,
    /// Those since a time, or since so long ago, as 10m
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// What was said in a session instead, by its id or a beginning of it; `last` is the newest
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

/// `send` and `ask`
#[derive(Clone, Debug, Default, Args)]
pub struct Send {
    /// Name or id of the box, or a beginning of it [default: the only one of this repository]
    #[arg(long = "box", short = 'b', value_name = "BOX")]
    pub name: Option<String>,
    /// A session's id, or a beginning of it [default: the newest that lives, else a new one]
    #[arg(long)]
    pub session: Option<String>,
    /// Seconds to wait for an answer, at most
    #[arg(long, short, value_name = "SECONDS", default_value_t = 3600)]
    pub time: u32,
    /// What is said; standard input, if there is nothing
    #[arg(value_name = "TEXT", trailing_var_arg = true)]
    pub text: Vec<String>,
}

/// `login`
#[derive(Clone, Debug, Default, Args)]
pub struct Login {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// Say whether it is logged in, and do nothing
    #[arg(long)]
    pub status: bool,
    /// Give it this machine's credential once more, for one that has ended or is going to; a box
    /// that runs is started anew, and its sessions can be resumed
    #[arg(long, conflicts_with_all = ["status", "code"])]
    pub renew: bool,
    /// The code that the page has shown, for a login that was begun
    #[arg(long)]
    pub code: Option<String>,
}

/// `tokens`
#[derive(Clone, Debug, Default, Args)]
pub struct Tokens {
    /// The box
    #[command(flatten)]
    pub which: Which,
    /// Make one with this label, and print it this once
    #[arg(long, value_name = "LABEL", conflicts_with = "revoke")]
    pub create: Option<String>,
    /// What it may do
    #[arg(long, value_name = "SCOPE", requires = "create", default_values_t = ["sessions:read".to_owned()])]
    pub scope: Vec<String>,
    /// Seconds that it lives
    #[arg(long, requires = "create")]
    pub ttl: Option<u64>,
    /// bearer, or device: a key of the sealed envelope, for what has no TLS
    #[arg(long, requires = "create", value_parser = ["bearer", "device"], default_value = "bearer")]
    pub kind: String,
    /// Revoke the one with this id
    #[arg(long, value_name = "ID")]
    pub revoke: Option<String>,
}
