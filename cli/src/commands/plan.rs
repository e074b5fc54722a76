//! What is known of a box before anything of it is made.

use serde_json::{Value, json};

use super::habits::Habits;
use super::inside::{Load, Origin};
use super::{Context, forges, mounts, renew};
use crate::args::Start;
use crate::config::{self, Configuration, env_file, is_the_boxs_own};
use crate::credentials::{self, Choice, Credential};
use crate::failure::{Exit, Failure};
use crate::git::snapshot::Snapshot;
use crate::git::{GitError, Repository, refs};
use crate::text;

/// The keys that flags set.
pub(super) fn flags(arguments: &Start) -> Vec<(&'static str, &'static str, Value)> {
    let mut flags = Vec::new();
    let mut text = |key, flag, value: &Option<String>| {
        if let Some(value) = value {
            flags.push((key, flag, json!(value)));
        }
    };
    text("dockerImage", "--image", &arguments.image);
    text("dockerfile", "--dockerfile", &arguments.dockerfile);
    text("credential", "--credential", &arguments.credential);
    text("driver", "--driver", &arguments.driver);
    text("model", "--model", &arguments.model);
    text("memory", "--memory", &arguments.memory);
    text("cpus", "--cpus", &arguments.cpus);
    text("envFile", "--env-file", &arguments.env_file);
    text("proxyFile", "--proxy-file", &arguments.proxy_file);
    text("targetBranch", "--branch", &arguments.branch);
    text("remoteBranch", "--remote-branch", &arguments.remote_branch);
    if let Some(number) = arguments.pr {
        flags.push(("prNumber", "--pr", json!(number)));
    }
    if let Some(number) = arguments.pids {
        flags.push(("pids", "--pids", json!(number)));
    }
    if arguments.dockerfile.is_some() {
        flags.push(("buildImage", "--dockerfile", json!(true)));
    }
    if arguments.include_untracked || arguments.no_include_untracked {
        let flag = "--include-untracked";
        flags.push(("includeUntracked", flag, json!(arguments.include_untracked)));
    }
    for (given, key, flag) in [
        (arguments.no_push, "autoPush", "--no-push"),
        (arguments.no_pr, "autoCreatePR", "--no-pr"),
        (arguments.shell, "autoStartClaude", "--shell"),
    ] {
        if given {
            flags.push((key, flag, json!(false)));
        }
    }
    if arguments.no_keys {
        for key in [
            "forwardSshAgent",
            "forwardSshKeys",
            "forwardGpgAgent",
            "forwardGpgKeys",
        ] {
            flags.push((key, "--no-keys", json!(false)));
        }
    }
    for what in &arguments.with {
        let keys: &[&'static str] = match what.as_str() {
            "ssh-agent" => &["forwardSshAgent"],
            "ssh-keys" => &["forwardSshKeys"],
            "gpg-agent" => &["forwardGpgAgent"],
            "gpg-keys" => &["forwardGpgKeys"],
            "gpg" => &["forwardGpgAgent", "enableGpgSigning"],
            _ => &["github"],
        };
        flags.extend(keys.iter().map(|key| (*key, "--with", json!(true))));
    }
    if arguments.web {
        flags.push(("detached", "--web", json!(false)));
    }
    if arguments.no_claude_settings {
        let flag = "--no-claude-settings";
        flags.push(("claudeSettings", flag, json!(false)));
    }
    if arguments.hardened {
        flags.push(("hardened", "--hardened", json!(true)));
    }
    if arguments.single {
        flags.push(("hardened", "--single", json!(false)));
    }
    if arguments.skip_reconnect_check {
        flags.push(("skipReconnectCheck", "--skip-reconnect-check", json!(true)));
    }
    flags
}

/// Everything that is known before anything is made.
#[derive(Debug)]
pub(super) struct Plan {
    /// The commit that it begins with.
    pub commit: String,
    /// Its branch, if somebody has named it.
    pub branch: Option<String>,
    /// The tree that it begins with.
    pub tree: String,
    /// Whether uncommitted work comes along.
    pub work: bool,
    /// The remote here that its branch is pushed to.
    pub remote: Option<String>,
    /// Variables of the box, by name.
    pub variables: Vec<(String, String)>,
    /// Claude's credential, which is among the secrets, too.
    pub credential: Option<Credential>,
    /// Files below `/run/secrets`, each with the variable that names it.
    pub secrets: Vec<(&'static str, &'static str, String)>,
    /// What of this machine it sees.
    pub mounts: mounts::Mounts,
    /// The proxy's URL, if another container holds the box's network.
    pub held: Option<String>,
    /// Whether it is the repository's runner.
    pub runner: bool,
    /// Whether nothing of it is pushed by itself.
    pub no_push: bool,
    /// Whether no pull request of it is opened by itself.
    pub no_pr: bool,
    /// What Claude in it learns of how a person works with it.
    pub habits: Habits,
    /// How many setup commands it has.
    pub setup: usize,
    /// Options of the engine for what it may use.
    pub limits: Vec<String>,
}

impl Plan {
    /// Looks at everything that a start needs beside the snapshots.
    pub(super) fn make(
        context: &Context<'_>,
        arguments: &Start,
        configuration: &Configuration,
        repository: &Repository,
        load: &Load,
        remote_engine: bool,
    ) -> Result<Self, Failure> {
        let remote = repository.remote()?;
        let (commit, branch) =
            beginning(configuration, repository, &load.snapshot, remote.as_deref())?;
        let origin = Origin {
            load,
            commit: &commit,
            branch: "",
            remote: None,
        };
        let tree = origin.tree(repository)?;
        let work = origin.with_work().is_some();
        if !work && origin.load.snapshot.work.is_some() {
            context
                .output
                .warn("uncommitted work stays here: the box begins at another commit");
        }
        let (mut variables, given) = variables(context, arguments, configuration)?;
        let config = configuration.path("claudeConfigPath", context.around);
        let choice = match configuration.text("credential").and_then(Choice::of) {
            _ if arguments.without_credential => Choice::Nothing,
            choice => choice.unwrap_or_default(),
        };
        let found = match given {
            Some(given) => Some(given),
            None => credentials::found(context.around, config.as_deref(), choice)?,
        };
        if found.is_none() && choice != Choice::Nothing && !arguments.shell {
            return Err(Failure::new(Exit::Credential, "no credential of Claude's was found").remedy(
                "set ANTHROPIC_API_KEY, or CLAUDE_CODE_OAUTH_TOKEN from `claude setup-token`; or say --without-credential and log in with `cib login`",
            ));
        }
        let mut secrets = Vec::new();
        if let Some(credential) = &found {
            let (variable, file) = file_of(credential.variable);
            secrets.push((variable, file, credential.value.clone()));
            tell(context, credential);
            renew::usable(credential)?;
            for (name, value) in &credential.beside {
                if !variables.iter().any(|(known, _)| known == name) {
                    variables.push(((*name).to_owned(), value.clone()));
                }
            }
        }
        if configuration.is("github") {
            let token = forges::of_github(context.around).ok_or_else(|| {
                Failure::new(Exit::Credential, "no token of GitHub's was found")
                    .remedy("set GITHUB_TOKEN, or log in with `gh auth login`")
            })?;
            secrets.push(("CIB_GITHUB_TOKEN_FILE", "github_token", token));
            context.output.note(
                "a token of GitHub's goes in: the box opens pull requests, and Claude cannot read it",
            );
        }
        let hardened = configuration.is("hardened");
        let mut held = None;
        if let Some(url) = proxy(context, arguments, configuration)? {
            if hardened {
                held = Some(url);
            } else {
                secrets.push(("CIB_PROXY_URL_FILE", "proxy_url", url));
            }
        } else if hardened && configuration.valued("hardened").origin != config::Origin::Default {
            let what = "`hardened` needs a proxy: another container holds its rules";
            return Err(
                Failure::new(Exit::Configuration, what).remedy("--proxy-file, or proxyFile")
            );
        }
        let mounts = mounts::resolve(
            context,
            configuration,
            &arguments.mounts,
            arguments.allow_unsafe_mount,
            remote_engine,
        )?;
        let mut limits = Vec::new();
        for (key, flag) in [("memory", "--memory"), ("cpus", "--cpus")] {
            if let Some(value) = configuration.text(key) {
                limits.push(format!("{flag}={value}"));
            }
        }
        if let Some(pids) = configuration.number("pids") {
            limits.push(format!("--pids-limit={pids}"));
        }
        Ok(Self {
            commit,
            branch,
            credential: found,
            tree,
            work,
            remote,
            variables,
            secrets,
            mounts,
            held,
            runner: arguments.runner,
            no_push: arguments.no_push,
            no_pr: arguments.no_pr,
            habits: Habits::of(context, configuration),
            setup: configuration.texts("setupCommands").len(),
            limits,
        })
    }

    /// What goes into the box, on this branch.
    pub(super) fn origin<'a>(&'a self, load: &'a Load, branch: &'a str) -> Origin<'a> {
        Origin {
            load,
            commit: &self.commit,
            branch,
            remote: self.remote.as_deref(),
        }
    }

    /// The branch of a box with this name: the one that was asked for, else one after its time.
    pub(super) fn branch_of(&self, name: &str) -> Result<String, Failure> {
        let branch = match &self.branch {
            Some(branch) => branch.clone(),
            None => format!("claude/{}", stamp_of(name)),
        };
        if !refs::is_usable(&branch) {
            return Err(GitError::Name(branch).into());
        }
        Ok(branch)
    }
}

/// The proxy's URL, if there is one.
fn proxy(
    context: &Context<'_>,
    arguments: &Start,
    configuration: &Configuration,
) -> Result<Option<String>, Failure> {
    if let Some(url) = &arguments.proxy {
        let authority = url.split_once("://").map_or(&url[..], |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            // Everybody on this machine sees a command line.
            let what = "--proxy has a user or a password in it, which does not belong there";
            return Err(Failure::usage(what).remedy("put the URL into a file: --proxy-file FILE"));
        }
        return Ok(Some(url.clone()));
    }
    let Some(path) = configuration.path("proxyFile", context.around) else {
        return Ok(None);
    };
    let url = cib_foreign::read_to_string(&path, 1 << 16)
        .map_err(|error| Failure::new(Exit::Configuration, error))?;
    Ok(Some(url.trim().to_owned()))
}

/// The variable that names a credential's file in the box, and the file's name.
pub(super) fn file_of(variable: &str) -> (&'static str, &'static str) {
    match variable {
        "ANTHROPIC_AUTH_TOKEN" => ("ANTHROPIC_AUTH_TOKEN_FILE", "anthropic_auth_token"),
        "CLAUDE_CODE_OAUTH_TOKEN" => ("CLAUDE_CODE_OAUTH_TOKEN_FILE", "claude_code_oauth_token"),
        "AWS_BEARER_TOKEN_BEDROCK" => ("AWS_BEARER_TOKEN_BEDROCK_FILE", "bedrock_key"),
        "CIB_AWS_CREDENTIALS" => ("CIB_AWS_CREDENTIALS_FILE", "aws_credentials"),
        "CIB_GOOGLE_CREDENTIALS" => ("CIB_GOOGLE_CREDENTIALS_FILE", "google_credentials"),
        _ => ("ANTHROPIC_API_KEY_FILE", "anthropic_api_key"),
    }
}

/// Says which credential goes in, and what that means.
pub(super) fn tell(context: &Context<'_>, credential: &Credential) {
    let output = context.output;
    output.note(&format!(
        "Claude's credential: {} from {}",
        credential.variable, credential.origin
    ));
    let end = credential.ends;
    if let Some(ends) = end.and_then(|at| jiff::Timestamp::from_second(at).ok()) {
        let longer = if credential.variable == "CLAUDE_CODE_OAUTH_TOKEN" {
            "; `cib login` in the box, or `claude setup-token`, lasts longer"
        } else {
            ""
        };
        output.note(&format!("it ends at {ends}{longer}"));
    }
    if credential.variable.starts_with("CIB_") {
        output.note("Claude can do with it whatever it is good for: one for models alone is best");
    }
}

/// What of a box's name is its time; all of it, if a person has chosen the name.
pub(super) fn stamp_of(name: &str) -> &str {
    let at = name.char_indices().find(|(at, _)| {
        let rest = name.as_bytes().get(*at..at + 15).unwrap_or_default();
        let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        rest.len() == 15 && digits(&rest[..8]) && rest[8] == b'-' && digits(&rest[9..])
    });
    at.map_or(name, |(at, _)| &name[at..])
}

/// The commit that a box begins with, and its branch if that is not new.
fn beginning(
    configuration: &Configuration,
    repository: &Repository,
    snapshot: &Snapshot,
    remote: Option<&str>,
) -> Result<(String, Option<String>), Failure> {
    let of_remote = configuration
        .number("prNumber")
        .map(|number| {
            (
                format!("refs/pull/{number}/head"),
                format!("refs/cib/pr/{number}"),
            )
        })
        .or_else(|| {
            let branch = configuration.text("remoteBranch")?;
            Some((
                format!("refs/heads/{branch}"),
                format!("refs/cib/remote/{branch}"),
            ))
        });
    if let Some(branch) = configuration
        .text("remoteBranch")
        .filter(|branch| !refs::is_usable(branch))
    {
        return Err(GitError::Name(branch.to_owned()).into());
    }
    let target = configuration.text("targetBranch").map(str::to_owned);
    if let Some((theirs, ours)) = of_remote {
        let Some(remote) = remote else {
            return Err(Failure::failed("the repository has no remote"));
        };
        let refspec = format!("+{theirs}:{ours}");
        repository.ask(
            "fetch from the remote",
            &[
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--end-of-options",
                remote,
                &refspec,
            ],
        )?;
        let commit = repository.commit(&ours)?;
        let commit = commit.ok_or_else(|| Failure::failed(format!("{remote} has no {theirs}")))?;
        return Ok((commit, target));
    }
    if let Some(branch) = target {
        if !refs::is_usable(&branch) {
            return Err(GitError::Name(branch).into());
        }
        let existing = repository.commit(&format!("refs/heads/{branch}"))?;
        return Ok((
            existing.unwrap_or_else(|| snapshot.head.clone()),
            Some(branch),
        ));
    }
    Ok((snapshot.head.clone(), None))
}

/// Variables, of those with one name the last.
fn last_of_each(variables: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in variables {
        kept.retain(|(known, _)| *known != name);
        kept.push((name, value));
    }
    kept
}

/// The box's variables, and the credential that may be among those that were given.
type Given = (Vec<(String, String)>, Option<Credential>);

/// Reads what the configuration and the flags give to the box.
fn variables(
    context: &Context<'_>,
    arguments: &Start,
    configuration: &Configuration,
) -> Result<Given, Failure> {
    let around = context.around;
    let mut variables = Vec::new();
    if let Some(path) = configuration.path("envFile", around) {
        let text = cib_foreign::read_to_string(&path, 1 << 20)
            .map_err(|error| Failure::new(Exit::Configuration, error))?;
        let read = env_file::parse(&text).map_err(|(line, what)| {
            Failure::new(
                Exit::Configuration,
                format!("{}:{line}: {what}", path.display()),
            )
        })?;
        variables.extend(read);
    }
    variables.extend(configuration.variables("environment"));
    for given in &arguments.variables {
        let pair = match given.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => {
                let value = around
                    .variables
                    .get(given)
                    .ok_or_else(|| Failure::usage(format!("--env {given}: it is not set here")))?;
                (given.clone(), value.clone())
            }
        };
        if !env_file::is_name(&pair.0) {
            return Err(Failure::usage(format!(
                "--env {}: that is no name of a variable",
                text::line(&pair.0)
            )));
        }
        variables.push(pair);
    }
    if let Some((name, _)) = variables.iter().find(|(name, _)| is_the_boxs_own(name)) {
        return Err(Failure::new(
            Exit::Configuration,
            format!("{name} is the box's own variable"),
        ));
    }
    if let Some(url) = around.variable("ANTHROPIC_BASE_URL") {
        variables.insert(0, ("ANTHROPIC_BASE_URL".to_owned(), url.to_owned()));
    }
    if let Some(tokens) = configuration.number("maxThinkingTokens") {
        variables.push(("MAX_THINKING_TOKENS".to_owned(), tokens.to_string()));
    }
    if let Some(time) = configuration.number("bashTimeout") {
        variables.push(("BASH_MAX_TIMEOUT_MS".to_owned(), time.to_string()));
    }
    // A credential never becomes a variable of a container, however it was given.
    let mut credential = None;
    variables.retain(|(name, value)| {
        let Some(variable) = credentials::VARIABLES.iter().find(|known| *known == name) else {
            return true;
        };
        credential = Some(Credential {
            variable,
            origin: "the variables for the box".to_owned(),
            value: value.clone(),
            ends: None,
            beside: Vec::new(),
        });
        false
    });
    let setup = configuration.texts("setupCommands");
    if !setup.is_empty() {
        variables.push(("CIB_SETUP_COMMANDS".to_owned(), json!(setup).to_string()));
    }
    for (key, variable) in [
        ("user.name", "CIB_GIT_USER_NAME"),
        ("user.email", "CIB_GIT_USER_EMAIL"),
    ] {
        let repository = context.repository()?;
        if let Some(value) = repository.configured(key)? {
            variables.push((variable.to_owned(), value));
        }
    }
    Ok((last_of_each(variables), credential))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_has_the_time_of_its_box_or_the_name_that_a_person_chose() {
        assert_eq!(stamp_of("my-app-20261129-194811"), "20261129-194811");
        assert_eq!(stamp_of("my-app-20261129-194811-2"), "20261129-194811-2");
        assert_eq!(stamp_of("feature-auth"), "feature-auth");
        assert_eq!(stamp_of("2026"), "2026");
    }
}
