//! The command line of what is set up once and then stands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Which;

/// `offload`
#[derive(Clone, Debug, Args)]
pub struct Offload {
    /// What to do
    #[command(subcommand)]
    pub verb: OffloadVerb,
}

/// What to do with plans.
#[derive(Clone, Debug, Subcommand)]
pub enum OffloadVerb {
    /// Put the hooks into this repository's .claude/settings.local.json
    Install(OffloadInstall),
    /// Take them out, and leave every file as it was
    Uninstall {
        /// Those in the person's own settings
        #[arg(long)]
        user: bool,
    },
    /// Show where the hooks are, and what has become of each plan
    Status,
    /// Attach this terminal to the session that carries a plan out
    Attach(Which),
    /// What Claude calls; it says what has happened on standard input
    Hook {
        /// The branch that commits come back on
        #[arg(long)]
        branch: Option<String>,
    },
    /// What a hook leaves behind to move a session
    #[command(hide = true)]
    Carry {
        /// Claude's id of the session
        session: String,
    },
}

/// `offload install`
#[derive(Clone, Debug, Default, Args)]
pub struct OffloadInstall {
    /// Into the person's own settings, for every repository
    #[arg(long)]
    pub user: bool,
    /// The branch that commits come back on [default: feature/auto]
    #[arg(long, short)]
    pub branch: Option<String>,
}

/// `runner`
#[derive(Clone, Debug, Subcommand)]
pub enum Runner {
    /// Start it, or start it once more
    Start,
    /// A shell in it: claude, and the first time /login
    Shell,
    /// Stop it; what is in it stays
    Stop,
}

/// `self-update`
#[derive(Clone, Debug, Default, Args)]
pub struct Update {
    /// Say whether there is a newer one, and do nothing
    #[arg(long)]
    pub check: bool,
    /// Exactly this version
    #[arg(long, value_name = "VERSION", conflicts_with = "from")]
    pub to: Option<String>,
    /// Folder, or address of one, with SHA256SUMS, SHA256SUMS.minisig and the programs
    /// [CIB_UPDATE_FROM]
    #[arg(long, value_name = "FOLDER|URL")]
    pub from: Option<String>,
    /// Public key of minisign that the release has to be signed with [CIB_UPDATE_KEY] [default: the
    /// project's]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Go back to the program that the last update has replaced
    #[arg(long, conflicts_with_all = ["check", "to", "from", "key"])]
    pub rollback: bool,
}

/// `config`
#[derive(Clone, Debug, Default, Args)]
pub struct Config {
    /// What to do with it; `show` without a word
    #[command(subcommand)]
    pub verb: Option<ConfigVerb>,
    /// The same as `--config`
    #[arg(long, short, value_name = "FILE", hide = true)]
    pub path: Option<PathBuf>,
    /// The same as `migrate`
    #[arg(long, hide = true)]
    pub migrate: bool,
    /// The same as `schema`
    #[arg(long, hide = true, conflicts_with = "migrate")]
    pub schema: bool,
}

/// What to do with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print each key's value and where it stands
    Show,
    /// Exit with 0 if everything can be used, else with 78 and what cannot
    Check,
    /// Open the project's file, or a new .cib/config.json, in the editor
    Edit,
    /// Print every key with what it is
    Keys,
    /// Print a JSON Schema of the file, for editors
    Schema,
    /// Write what a claude-run.config.json says into .cib/config.json, and leave it as it is
    Migrate,
}
