//! One connection: a question, and its answer.

use std::os::unix::net::UnixStream;

use cib_protocol::files::{FilesFault, FilesReply, FilesRequest, MAX_REQUEST};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::change;
use crate::content;
use crate::entry;
use crate::fault::Refusal;
use crate::git;
use crate::holders;
use crate::list;
use crate::place::Roots;
use crate::programs;
use crate::trees;
use crate::wire::{self, WireError};

/// Memory that this process and `git` may have, in bytes: both are given whatever the agent thought
/// of.
const MEMORY: u64 = 1 << 30;

/// Gives up what is not needed. The process has coder's rights, and another of coder's could look
/// into it otherwise; what it answers stays the agent's word all the same.
pub fn confine() {
    // Neither can fail in a way that would be worth more than to go on.
    let _ = nix::sys::prctl::set_dumpable(false);
    let most = getrlimit(Resource::RLIMIT_AS).map_or(MEMORY, |(_, hard)| hard);
    let _ = setrlimit(Resource::RLIMIT_AS, MEMORY.min(most), most);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// Answers what is asked on a connection.
///
/// # Errors
/// If the connection breaks; then nothing is half done, but a folder that was to be removed.
pub fn answer(mut stream: UnixStream, roots: &Roots) -> Result<(), WireError> {
    let request: FilesRequest = match wire::head(&mut stream, MAX_REQUEST) {
        Ok(request) => request,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let refusal = Refusal::new(FilesFault::BadRequest, "that is no request");
            wire::say(&mut stream, &refusal.reply())?;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let reply = match request {
        FilesRequest::Read { place, span, tag } => {
            match content::open(roots, &place, span, tag.as_deref()) {
                Ok(opened) => {
                    wire::say(&mut stream, &opened.head)?;
                    opened.pour(&mut stream)?;
                    return Ok(());
                }
                Err(refusal) => refusal.reply(),
            }
        }
        FilesRequest::Write {
            place,
            condition,
            most,
        } => said(
            content::take(&mut stream, roots, &place, &condition, most)?.map(FilesReply::Entry),
        ),
        request => said(short(request, roots)),
    };
    wire::say(&mut stream, &reply)?;
    Ok(())
}

/// What is asked and answered in one frame each.
fn short(request: FilesRequest, roots: &Roots) -> Result<FilesReply, Refusal> {
    Ok(match request {
        FilesRequest::Roots {} => FilesReply::Roots(cib_protocol::api::FileRoots {
            roots: roots.told(),
        }),
        FilesRequest::List {
            place,
            after,
            limit,
        } => {
            let root = roots.of(&place)?;
            let folder = root.folder(&crate::place::parts(&place.path)?)?;
            FilesReply::List(list::page(&folder, after.as_deref(), limit)?)
        }
        FilesRequest::Look { place } => {
            let spot = roots.of(&place)?.spot(&place.path)?;
            FilesReply::Entry(entry::at(&spot.folder, &spot.name)?)
        }
        FilesRequest::MakeFolder { place, parents } => {
            FilesReply::Entry(change::make_folder(roots, &place, parents)?)
        }
        FilesRequest::Remove {
            place,
            recursive,
            condition,
        } => {
            change::remove(roots, &place, recursive, &condition)?;
            FilesReply::Removed
        }
        FilesRequest::Rename { from, to, replace } => {
            FilesReply::Entry(change::rename(roots, &from, &to, replace)?)
        }
        FilesRequest::GitStatus { workdir } => {
            FilesReply::GitStatus(git::status(&roots.folder(&workdir)?)?)
        }
        FilesRequest::GitLog {
            workdir,
            from,
            skip,
            limit,
        } => FilesReply::GitLog(git::log(
            &roots.folder(&workdir)?,
            from.as_deref(),
            skip,
            limit,
        )?),
        FilesRequest::GitDiff {
            workdir,
            change,
            path,
        } => FilesReply::GitDiff(git::diff(
            &roots.folder(&workdir)?,
            &change,
            path.as_deref(),
        )?),
        FilesRequest::GitPlace { workdir } => {
            FilesReply::GitPlace(trees::publish::place(roots.folder(&workdir)?)?)
        }
        FilesRequest::GitPush {
            workdir,
            commit,
            branch,
            to,
            through,
        } => {
            let folder = roots.folder(&workdir)?;
            let refused = trees::publish::push(folder, &commit, &branch, &to, &through)?;
            FilesReply::GitPushed { refused }
        }
        FilesRequest::Holders { inodes } => FilesReply::Holders(holders::names(&inodes)),
        FilesRequest::Programs { names } => FilesReply::Programs(programs::runnable(&names)),
        FilesRequest::Try { command, input } => {
            FilesReply::Tried(programs::attempt(&command, &input)?)
        }
        FilesRequest::Tree { ask } => FilesReply::Tree(trees::answer(roots, ask)?),
        FilesRequest::Read { .. } | FilesRequest::Write { .. } => {
            return Err(Refusal::new(
                FilesFault::BadRequest,
                "that is asked otherwise",
            ));
        }
    })
}

fn said(outcome: Result<FilesReply, Refusal>) -> FilesReply {
    outcome.unwrap_or_else(Refusal::reply)
}
