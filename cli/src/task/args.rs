//! The command line of `cib task`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `task`
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Send a task to a box, or as a job of its own to Kubernetes or a Swarm
    Submit(Box<Submit>),
    /// List tasks
    #[command(visible_alias = "ls")]
    List(Where),
    /// Show a task; exits as the task did, or with 0 while it has not ended
    Show(One),
    /// Show a task's log
    Logs(Logs),
    /// Cancel a task; its work is saved
    Cancel(One),
}

/// Where tasks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// In a box, by its API
    #[default]
    Box,
    /// As a Job, by `kubectl` as it is set up here
    #[value(alias = "k8s")]
    Kubernetes,
    /// As a service in job mode, by `docker` as it is set up here
    Swarm,
}

/// Where tasks run, for every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Where {
    /// Where tasks run
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    pub to: To,
    /// Name or id of a box, or a beginning of it [default: the only one of this repository]
    #[arg(long = "box", value_name = "BOX")]
    pub name: Option<String>,
    /// Namespace of the cluster [default: kubectl's own]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The cluster, as kubectl's configuration names it [default: kubectl's own]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// One task.
#[derive(Clone, Debug, Args)]
pub struct One {
    /// The task's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Where it is
    #[command(flatten)]
    pub place: Where,
}

/// `task logs`
#[derive(Clone, Debug, Args)]
pub struct Logs {
    /// The task
    #[command(flatten)]
    pub one: One,
    /// Go on until the task has ended
    #[arg(long, short)]
    pub follow: bool,
}

/// `task submit`
#[derive(Clone, Debug, Default, Args)]
pub struct Submit {
    /// Where it is to run
    #[command(flatten)]
    pub place: Where,
    /// The repository: owner/name or a URL [default: what the remote of this repository names]
    #[arg(long)]
    pub repo: Option<String>,
    /// The branch to begin on [default: the repository's own]
    #[arg(long)]
    pub base: Option<String>,
    /// The branch to work on [default: claude/ID]
    #[arg(long)]
    pub branch: Option<String>,
    /// Claude's model
    #[arg(long)]
    pub model: Option<String>,
    /// Reasoning effort
    #[arg(long)]
    pub effort: Option<String>,
    /// A command to run in the work tree before Claude begins; can be said again
    #[arg(long, value_name = "COMMAND")]
    pub setup: Vec<String>,
    /// Turns that Claude may take
    #[arg(long, value_name = "NUMBER")]
    pub turns: Option<u64>,
    /// US dollars that it may cost
    #[arg(long, value_name = "AMOUNT")]
    pub cost: Option<f64>,
    /// Minutes that Claude may work
    #[arg(long, value_name = "MINUTES")]
    pub minutes: Option<u64>,
    /// The pull request is ready for review at the end
    #[arg(long)]
    pub ready: bool,
    /// The pull request says nothing of the prompt
    #[arg(long)]
    pub private_prompt: bool,
    /// File with what is to be done; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub prompt_file: Option<PathBuf>,
    /// The image of a job [CIB_IMAGE]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The Secret of a job, in its namespace, with the files that --credential names
    #[arg(long, value_name = "NAME", default_value = "cib-task")]
    pub secret: String,
    /// A variable whose value a job finds in a secret: ANTHROPIC_API_KEY is the file
    /// anthropic_api_key of a Secret, or the secret cib_anthropic_api_key of a Swarm; can be said again
    /// [default: ANTHROPIC_API_KEY and CIB_GITHUB_TOKEN]
    #[arg(long = "credential", value_name = "VARIABLE")]
    pub credentials: Vec<String>,
    /// Nothing leaves a job but through a proxy, whose URL is the file proxy_url of the Secret
    /// cib-egress, or the secret cib_proxy_url of a Swarm
    #[arg(long)]
    pub proxy: bool,
    /// The queue of a job, with Kueue
    #[arg(long, value_name = "NAME")]
    pub queue: Option<String>,
    /// Memory that a job may use
    #[arg(long, value_name = "SIZE", default_value = "3Gi")]
    pub memory: String,
    /// Print what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Follow the log until it has ended, and exit as the task does
    #[arg(long, short)]
    pub follow: bool,
    /// What is to be done
    #[arg(last = true, value_name = "PROMPT")]
    pub prompt: Vec<String>,
}
