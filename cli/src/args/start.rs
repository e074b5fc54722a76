//! The command line of `start`.

use clap::Args;

/// `start`
#[derive(Clone, Debug, Default, Args)]
pub struct Start {
    /// The box's name [default: PREFIX-TIME]; called as claude-run, what its name begins with
    #[arg(long, short)]
    pub name: Option<String>,
    /// The branch in the box: a new one, or one of this repository [default: claude/TIME]
    #[arg(long, short)]
    pub branch: Option<String>,
    /// Begin at this branch of the remote
    #[arg(long, value_name = "BRANCH", conflicts_with_all = ["branch", "pr"])]
    pub remote_branch: Option<String>,
    /// Begin at this pull request of the remote
    #[arg(long, value_name = "NUMBER", conflicts_with = "branch")]
    pub pr: Option<u64>,
    /// The image
    #[arg(long)]
    pub image: Option<String>,
    /// Build the image from this file
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<String>,
    /// File with the proxy's URL; then nothing leaves but through it
    #[arg(long, value_name = "FILE")]
    pub proxy_file: Option<String>,
    /// The proxy's URL itself, if it has no password: that belongs into a file
    #[arg(long, value_name = "URL", conflicts_with = "proxy_file")]
    pub proxy: Option<String>,
    /// Another container holds the proxy and its rules, so that not even root in the box changes
    /// them; so it is with a proxy, unless the configuration says otherwise
    #[arg(long)]
    pub hardened: bool,
    /// One container, which holds its proxy itself
    #[arg(long, conflicts_with = "hardened")]
    pub single: bool,
    /// stream or tty [default: stream with a page, tty for this terminal]
    #[arg(long)]
    pub driver: Option<String>,
    /// Model of the first session
    #[arg(long)]
    pub model: Option<String>,
    /// Memory that the box may use, as 4g
    #[arg(long)]
    pub memory: Option<String>,
    /// Processors that the box may use, as 1.5
    #[arg(long)]
    pub cpus: Option<String>,
    /// Processes that the box may have
    #[arg(long)]
    pub pids: Option<u64>,
    /// A variable for Claude; NAME alone takes the value that it has here
    #[arg(long = "env", short = 'e', value_name = "NAME[=VALUE]")]
    pub variables: Vec<String>,
    /// File of variables for Claude
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<String>,
    /// A mount, SOURCE:TARGET[:ro]
    #[arg(long = "mount", value_name = "MOUNT")]
    pub mounts: Vec<String>,
    /// Let a mount be what would give the box this machine
    #[arg(long)]
    pub allow_unsafe_mount: bool,
    /// Files that git does not know come along
    #[arg(long, overrides_with = "no_include_untracked")]
    pub include_untracked: bool,
    /// They do not
    #[arg(long)]
    pub no_include_untracked: bool,
    /// Also if they have more than 50 MB
    #[arg(long)]
    pub include_large: bool,
    /// Which credential of Claude's goes in: auto, none, key, subscription, bedrock or vertex
    /// [default: the one that Claude would use here]
    #[arg(long, value_name = "WHICH", conflicts_with = "without_credential")]
    pub credential: Option<String>,
    /// Say what would go in, and make nothing
    #[arg(long, conflicts_with = "again")]
    pub dry_run: bool,
    /// Start without a credential of Claude's; `cib login` gives one later
    #[arg(long)]
    pub without_credential: bool,
    /// Open the browser, although the configuration says `detached`
    #[arg(long, conflicts_with_all = ["no_web", "detach"])]
    pub web: bool,
    /// Print the address and open no browser; attach this terminal instead
    #[arg(long)]
    pub no_web: bool,
    /// Neither browser nor terminal
    #[arg(long, short, visible_alias = "no-attach")]
    pub detach: bool,
    /// A shell instead of a session
    #[arg(long)]
    pub shell: bool,
    /// Nothing that is committed is pushed by `cib watch`, whatever the configuration says
    #[arg(long)]
    pub no_push: bool,
    /// Nor made a pull request
    #[arg(long, visible_alias = "no-create-pr")]
    pub no_pr: bool,
    /// What of this machine goes in as well: ssh-agent, ssh-keys, gpg-agent, gpg-keys, and github,
    /// with which the box opens pull requests and Claude does not
    #[arg(
        long = "with", value_name = "WHAT", value_delimiter = ',',
        value_parser = ["ssh-agent", "ssh-keys", "gpg-agent", "gpg-keys", "gpg", "github"]
    )]
    pub with: Vec<String>,
    /// Neither agents nor keys of this machine go in, whatever the configuration says
    #[arg(long, conflicts_with = "with")]
    pub no_keys: bool,
    /// Your CLAUDE.md, agents, commands, skills and settings of Claude's stay here
    #[arg(long)]
    pub no_claude_settings: bool,
    /// Do not tell of boxes of this repository that run
    #[arg(long)]
    pub skip_reconnect_check: bool,
    /// Make the box the repository's runner
    #[arg(skip)]
    pub runner: bool,
    /// Start a box that was stopped once more
    #[arg(long, value_name = "BOX", exclusive = true)]
    pub again: Option<String>,
    /// What Claude is told first
    #[arg(last = true, value_name = "PROMPT")]
    pub prompt: Vec<String>,
}
