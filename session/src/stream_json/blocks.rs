//! Which content has streamed already, so that the line which repeats it whole adds only what
//! did not stream. A line is known by what streamed and not by its ids alone: an id that is
//! damaged must not make a text be told twice.

use std::hash::{DefaultHasher, Hasher};

/// Threads that stream at once: the main one and its subagents. More are not followed, which
/// costs them a repeated text.
const MAX_THREADS: usize = 64;

/// Blocks of one message that are remembered.
const MAX_BLOCKS: usize = 1024;

/// Text or thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
}

/// What has streamed, by thread.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    threads: Vec<Thread>,
}

/// The message that a thread streams.
#[derive(Debug)]
struct Thread {
    /// The call that started the subagent; `None` is the main thread.
    parent: Option<String>,
    /// Its id, if that could be read.
    message: Option<String>,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    index: Option<u64>,
    kind: Kind,
    /// Bytes streamed.
    len: usize,
    /// Of them.
    hash: DefaultHasher,
    /// Whether the line that repeats it has come.
    repeated: bool,
}

impl Block {
    /// Whether a text begins with what streamed.
    fn begins(&self, whole: &str) -> bool {
        whole.get(..self.len).is_some_and(|beginning| {
            let mut hash = DefaultHasher::new();
            hash.write(beginning.as_bytes());
            hash.finish() == self.hash.finish()
        })
    }
}

impl Blocks {
    /// A message begins to stream.
    pub(super) fn begin(&mut self, parent: Option<&str>, message: Option<String>) {
        self.end(parent);
        if self.threads.len() < MAX_THREADS {
            self.threads.push(Thread {
                parent: parent.map(str::to_owned),
                message,
                blocks: Vec::new(),
            });
        }
    }

    /// A thread streams no more.
    pub(super) fn end(&mut self, parent: Option<&str>) {
        self.threads.retain(|t| t.parent.as_deref() != parent);
    }

    /// A piece streamed. Returns the message that it belongs to.
    pub(super) fn streamed(
        &mut self,
        parent: Option<&str>,
        index: Option<u64>,
        kind: Kind,
        piece: &str,
    ) -> Option<String> {
        if self.thread(parent).is_none() {
            // Its beginning could not be read.
            self.begin(parent, None);
        }
        let thread = self.thread(parent)?;
        let fits = |block: &Block| block.kind == kind && (index.is_none() || block.index == index);
        if !thread.blocks.iter().any(fits) && thread.blocks.len() < MAX_BLOCKS {
            thread.blocks.push(Block {
                index,
                kind,
                len: 0,
                hash: DefaultHasher::new(),
                repeated: false,
            });
        }
        if let Some(block) = thread.blocks.iter_mut().rfind(|block| fits(block)) {
            block.len += piece.len();
            block.hash.write(piece.as_bytes());
        }
        thread.message.clone()
    }

    /// A block comes whole; returns the part of it that did not stream.
    pub(super) fn rest<'t>(
        &mut self,
        parent: Option<&str>,
        message: Option<&str>,
        kind: Kind,
        whole: &'t str,
    ) -> &'t str {
        let Some(thread) = self.thread(parent) else {
            return whole;
        };
        let same = thread.message.as_deref() == message;
        if !same && thread.message.is_some() && message.is_some() {
            return whole;
        }
        let open = |block: &&mut Block| block.kind == kind && !block.repeated && block.len > 0;
        let begun = |block: &&mut Block| open(block) && block.begins(whole);
        let mut all = thread.blocks.iter_mut();
        if let Some(block) = all.find(|block| block.len == whole.len() && begun(block)) {
            block.repeated = true;
            return "";
        }
        let streamed: usize = thread.blocks.iter_mut().filter(open).map(|b| b.len).sum();
        if same && (1..=whole.len()).contains(&streamed) {
            // Also where the place of a piece was damaged: by how much streamed since the last
            // block came whole.
            for block in thread.blocks.iter_mut().filter(open) {
                block.repeated = true;
            }
            return whole.get(streamed..).unwrap_or_default();
        }
        let mut all = thread.blocks.iter_mut();
        let block = match same {
            true => all.find(open),
            false => all.find(begun),
        };
        match block {
            Some(block) => {
                block.repeated = true;
                whole.get(block.len..).unwrap_or_default()
            }
            None => whole,
        }
    }

    fn thread(&mut self, parent: Option<&str>) -> Option<&mut Thread> {
        self.threads
            .iter_mut()
            .find(|thread| thread.parent.as_deref() == parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_text_that_streamed_leaves_only_what_did_not() {
        let mut blocks = Blocks::default();
        blocks.begin(None, id("m1"));
        blocks.streamed(None, Some(0), Kind::Thinking, "think");
        blocks.streamed(None, Some(1), Kind::Text, "hel");
        blocks.streamed(None, Some(1), Kind::Text, "lo");
        assert_eq!(blocks.rest(None, Some("m1"), Kind::Thinking, "think"), "");
        assert_eq!(
            blocks.rest(None, Some("m1"), Kind::Text, "hello you"),
            " you"
        );
        assert_eq!(blocks.rest(None, Some("m1"), Kind::Text, "more"), "more");
    }

    #[test]
    fn a_message_that_did_not_stream_is_given_whole() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.rest(None, Some("m1"), Kind::Text, "all"), "all");
        blocks.begin(None, id("m1"));
        blocks.streamed(None, Some(0), Kind::Text, "no");
        assert_eq!(blocks.rest(None, Some("m2"), Kind::Text, "all"), "all");
        assert_eq!(blocks.rest(Some("a"), Some("m1"), Kind::Text, "all"), "all");
    }

    #[test]
    fn a_text_is_known_by_its_words_where_its_ids_are_damaged() {
        for (begun, message) in [(None, Some("m1")), (id("m1"), None)] {
            let mut blocks = Blocks::default();
            blocks.begin(None, begun);
            blocks.streamed(None, Some(0), Kind::Text, "one");
            blocks.streamed(None, None, Kind::Text, " two");
            assert_eq!(blocks.rest(None, message, Kind::Text, "one two."), ".");
            assert_eq!(blocks.rest(None, message, Kind::Text, "one two"), "one two");
        }
        let mut blocks = Blocks::default();
        blocks.streamed(None, None, Kind::Text, "no beginning");
        assert_eq!(blocks.rest(None, Some("m"), Kind::Text, "no beginning"), "");
    }
}
