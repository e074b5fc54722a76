//! The parameters that routes share.

use crate::routes::search::MAX_LIMIT;
use crate::routes::sessions::MAX_LIST;
use crate::routes::{Kind, Param};

pub(super) const FROM: Param = Param {
    name: "from",
    help: "Seq of the last frame that the client has; frames after it are sent. 0 is all.",
    kind: Kind::Number(0, u64::MAX),
};

pub(super) const CHANNEL: Param = Param {
    name: "channel",
    help: "Only deliveries to the channel of this id.",
    kind: Kind::Text,
};

pub(super) const DELIVERIES: Param = Param {
    name: "limit",
    help: "Most deliveries in the answer; 50 if absent.",
    kind: Kind::Number(1, 2000),
};

pub(super) const MAX_FRAME: Param = Param {
    name: "max_frame",
    help: "Frames with more bytes than this come with `data` cut to a preview, for clients that \
           cannot hold more.",
    kind: Kind::Number(256, 16 * 1024 * 1024),
};

pub(super) const TAIL: Param = Param {
    name: "tail",
    help: "Instead of `from`: begins with the frames in the last so many bytes of the journal.",
    kind: Kind::Number(0, u64::MAX),
};

pub(super) const SINCE: Param = Param {
    name: "since",
    help: "Seq of the last frame that the client knows of; later ones are told. 0 is all.",
    kind: Kind::Number(0, u64::MAX),
};

pub(super) const KINDS: Param = Param {
    name: "kinds",
    help: "Kinds of frames that are wanted, separated by commas; `tool.*` is all that begin so. \
           Absent is all.",
    kind: Kind::Text,
};

pub(super) const LIMIT: Param = Param {
    name: "limit",
    help: "Most frames in the answer; 1000 if absent.",
    kind: Kind::Number(1, 100_000),
};

pub(super) const WAIT: Param = Param {
    name: "wait_ms",
    help: "How long to wait for a frame if there is none, in milliseconds.",
    kind: Kind::Number(0, 30_000),
};

pub(super) const KEEPALIVE: Param = Param {
    name: "keepalive",
    help: "`1` has the server say `{\"keepalive\": <seq>}` after 20 silent seconds: every frame up to \
           that seq was sent or passed over.",
    kind: Kind::Word(&["0", "1"]),
};

pub(super) const CURSOR: Param = Param {
    name: "cursor",
    help: "The `cursor` of the last event that the client has; what changed since is told. Without \
           one, or if that was too long ago, everything is told first.",
    kind: Kind::Text,
};

pub(super) const BEFORE: Param = Param {
    name: "before",
    help: "Instead of `from`: the last frames whose seq is below this one. A number above every seq \
           is the journal's end.",
    kind: Kind::Number(1, u64::MAX),
};

pub(super) const SIGNAL: Param = Param {
    name: "signal",
    help: "`term` asks Claude to end first, `kill` does not.",
    kind: Kind::Word(&["term", "kill"]),
};

pub(super) const BETA: Param = Param {
    name: "beta",
    help: "What Anthropic's own clients send for what is not final; it changes nothing.",
    kind: Kind::Word(&["true", "false"]),
};

pub(super) const PURGE: Param = Param {
    name: "purge",
    help: "`true` removes its record as well, and the home of its user if it has one of its own. \
           Nothing of that comes back.",
    kind: Kind::Word(&["true", "false"]),
};

pub(super) const LIST_LIMIT: Param = Param {
    name: "limit",
    help: "How many at most; 1000 if absent.",
    kind: Kind::Number(1, MAX_LIST),
};

pub(super) const AFTER: Param = Param {
    name: "after",
    help: "Behind which place of the list to go on: the `next` of the part before.",
    kind: Kind::Text,
};

pub(super) const REPOSITORY_WORDS: Param = Param {
    name: "q",
    help: "Words that the repository has in its name or description.",
    kind: Kind::Text,
};

pub(super) const PAGE: Param = Param {
    name: "page",
    help: "Which page, from 1 on; `next` of the page before.",
    kind: Kind::Number(1, 10_000),
};

pub(super) const EVERYWHERE: Param = Param {
    name: "everywhere",
    help: "`true` ends every sign-in of the same account or token.",
    kind: Kind::Word(&["true", "false"]),
};

pub(super) const FILE_ROOT: Param = Param {
    name: "root",
    help: "Name of the root; `workspace` if absent.",
    kind: Kind::Text,
};

pub(super) const FILE_PATH: Param = Param {
    name: "path",
    help: "Path below the root, its names joined by `/`; absent is the root itself. A byte that is \
           no part of a character in UTF-8 is written `\\xHH`, a backslash `\\\\`.",
    kind: Kind::Text,
};

pub(super) const FILE_AFTER: Param = Param {
    name: "after",
    help: "`next` of the page before.",
    kind: Kind::Text,
};

pub(super) const ENTRIES: Param = Param {
    name: "limit",
    help: "Most entries in the answer; 1000 if absent.",
    kind: Kind::Number(1, 1000),
};

pub(super) const GIT_WORKDIR: Param = Param {
    name: "workdir",
    help: "Absolute path of a folder of the tree, below a root. Written as `path` of files is.",
    kind: Kind::Text,
};

pub(super) const GIT_FROM: Param = Param {
    name: "from",
    help: "The commit to begin with: an id, a branch or a tag; `HEAD` if absent.",
    kind: Kind::Text,
};

pub(super) const GIT_SKIP: Param = Param {
    name: "skip",
    help: "Commits to pass over.",
    kind: Kind::Number(0, 1_000_000),
};

pub(super) const GIT_LIMIT: Param = Param {
    name: "limit",
    help: "Most commits in the answer; 50 if absent.",
    kind: Kind::Number(1, 500),
};

pub(super) const GIT_COMMIT: Param = Param {
    name: "commit",
    help: "The commit whose change is shown, against its first parent.",
    kind: Kind::Text,
};

pub(super) const GIT_BASE: Param = Param {
    name: "base",
    help: "The commit from which on changes are shown, uncommitted ones included.",
    kind: Kind::Text,
};

pub(super) const GIT_STAGED: Param = Param {
    name: "staged",
    help: "`true` shows what the index has and the last commit has not.",
    kind: Kind::Word(&["true", "false"]),
};

pub(super) const GIT_PATH: Param = Param {
    name: "path",
    help: "Shows this path of the tree alone. Written as `path` of files is.",
    kind: Kind::Text,
};

pub(super) const TASK_STATE: Param = Param {
    name: "state",
    help: "Only tasks that stand there.",
    kind: Kind::Text,
};

pub(super) const TASK_REPO: Param = Param {
    name: "repo",
    help: "Only tasks of this repository.",
    kind: Kind::Text,
};

pub(super) const WORDS: Param = Param {
    name: "q",
    help: "Only tasks that have this in the beginning of their prompt, their repository, their branch \
           or their id.",
    kind: Kind::Text,
};

pub(super) const FOLLOW: Param = Param {
    name: "follow",
    help: "`0` answers with what there is and does not wait for more.",
    kind: Kind::Word(&["0", "1"]),
};

pub(super) const TREE: Param = Param {
    name: "tree",
    help: "`true` removes the task's work tree as well, with what was not pushed.",
    kind: Kind::Word(&["true", "false"]),
};

pub(super) const CHECK: Param = Param {
    name: "check",
    help: "`1` only judges the hooks, and changes nothing.",
    kind: Kind::Word(&["1"]),
};

pub(super) const SINCE_DAY: Param = Param {
    name: "since",
    help: "The first day, as `2026-11-21` or as a moment of it; 29 days before `until` if absent.",
    kind: Kind::Text,
};

pub(super) const UNTIL_DAY: Param = Param {
    name: "until",
    help: "The last day, which is included; today if absent.",
    kind: Kind::Text,
};

pub(super) const GROUP_BY: Param = Param {
    name: "group_by",
    help: "What the rows are; `day` if absent.",
    kind: Kind::Word(&["day", "session", "model"]),
};

pub(super) const QUERY: Param = Param {
    name: "q",
    help: "The words, which all have to be there, in any order and case.",
    kind: Kind::Text,
};

pub(super) const IN: Param = Param {
    name: "in",
    help: "`names`: only in titles, directories and ids, for which no journal is read; `all` if \
           absent.",
    kind: Kind::Word(&["names", "all"]),
};

pub(super) const SEARCH_LIMIT: Param = Param {
    name: "limit",
    help: "Most sessions in the answer; 20 if absent.",
    kind: Kind::Number(1, MAX_LIMIT),
};
