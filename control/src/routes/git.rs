//! The history of working trees, as `git` tells it.

use cib_protocol::api::PushBranch;
use cib_protocol::files::{Change, FilesReply, FilesRequest};

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::files::ask::unexpected;
use crate::publish::person;

/// Commits of an answer that says nothing of their number.
const COMMITS: u32 = 50;

pub(super) async fn status(call: Call) -> Result<Reply, Fault> {
    let request = FilesRequest::GitStatus {
        workdir: workdir(&call)?,
    };
    match call.app.files.ask(&request).await? {
        FilesReply::GitStatus(status) => Reply::json(&status),
        _ => Err(unexpected()),
    }
}

pub(super) async fn log(call: Call) -> Result<Reply, Fault> {
    let number = |name, default| {
        let number = call.query.number(name).unwrap_or(u64::from(default));
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let request = FilesRequest::GitLog {
        workdir: workdir(&call)?,
        from: call.query.get("from").map(str::to_owned),
        skip: number("skip", 0),
        limit: number("limit", COMMITS),
    };
    match call.app.files.ask(&request).await? {
        FilesReply::GitLog(log) => Reply::json(&log),
        _ => Err(unexpected()),
    }
}

pub(super) async fn diff(call: Call) -> Result<Reply, Fault> {
    let text = |name| call.query.get(name).map(str::to_owned);
    let is_staged = call.query.get("staged") == Some("true");
    let change = match (text("commit"), text("base"), is_staged) {
        (None, None, false) => Change::Uncommitted,
        (None, None, true) => Change::Staged,
        (Some(commit), None, false) => Change::Commit(commit),
        (None, Some(base), false) => Change::Since(base),
        _ => {
            let what = "only one of `commit`, `base` and `staged` can be meant";
            return Err(Fault::new(Code::BadValue, what));
        }
    };
    let request = FilesRequest::GitDiff {
        workdir: workdir(&call)?,
        change,
        path: text("path"),
    };
    match call.app.files.ask(&request).await? {
        FilesReply::GitDiff(diff) => Reply::json(&diff),
        _ => Err(unexpected()),
    }
}

pub(super) async fn remote(call: Call) -> Result<Reply, Fault> {
    let workdir = workdir(&call)?;
    Reply::json(&person::place(&call.app, workdir).await?)
}

pub(super) async fn push(call: Call) -> Result<Reply, Fault> {
    let asked: PushBranch = call.json()?;
    let pushed = person::push(&call.app, asked).await?;
    let caller = call.caller()?.who;
    let (repository, branch) = (&*pushed.repository, &*pushed.branch);
    tracing::info!(%caller, repository, branch, commit = pushed.commit, "a branch was pushed");
    Reply::json(&pushed)
}

pub(super) async fn pr(call: Call) -> Result<Reply, Fault> {
    let opened = person::open(&call.app, call.json()?).await?;
    tracing::info!(caller = %call.caller()?.who, url = opened.url, "a pull request was opened");
    Reply::json(&opened)
}

fn workdir(call: &Call) -> Result<String, Fault> {
    let workdir = call.query.get("workdir");
    workdir
        .map(str::to_owned)
        .ok_or_else(|| Fault::new(Code::BadValue, "`workdir` is missing"))
}
