//! The parameters that routes share.

use crate::routes::{Kind, Param};

pub(super) const FROM: Param = Param {
    name: "from",
    help: "Seq of the last frame that the client has; frames after it are sent. 0 is all.",
    kind: Kind::Number(0, u64::MAX),
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

pub(super) const SIGNAL: Param = Param {
    name: "signal",
    help: "`term` asks Claude to end first, `kill` does not.",
    kind: Kind::Word(&["term", "kill"]),
};

pub(super) const PURGE: Param = Param {
    name: "purge",
    help: "`true` removes its record as well, and the home of its user if it has one of its own. \
           Nothing of that comes back.",
    kind: Kind::Word(&["true", "false"]),
};

/// Sessions in a list at most.
pub(in crate::routes) const MAX_LIST: u64 = 1000;

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
