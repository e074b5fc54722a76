//! Which content has streamed already, so that the line which repeats it whole adds only what
//! did not stream.

/// Threads that stream at once: the main one and its subagents. More are not followed, which
/// costs them a repeated text.
const MAX_THREADS: usize = 64;

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
    message: String,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    index: u32,
    kind: Kind,
    /// Bytes streamed.
    len: usize,
    /// Whether the line that repeats it has come.
    repeated: bool,
}

impl Blocks {
    /// A message begins to stream.
    pub(super) fn begin(&mut self, parent: Option<&str>, message: String) {
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
        index: u32,
        kind: Kind,
        len: usize,
    ) -> Option<String> {
        let thread = self.thread(parent)?;
        match thread.blocks.iter_mut().find(|b| b.index == index) {
            Some(block) => block.len += len,
            None => thread.blocks.push(Block {
                index,
                kind,
                len,
                repeated: false,
            }),
        }
        Some(thread.message.clone())
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
        if Some(thread.message.as_str()) != message {
            return whole;
        }
        let streamed = thread
            .blocks
            .iter_mut()
            .find(|block| block.kind == kind && !block.repeated);
        match streamed {
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

    #[test]
    fn a_text_that_streamed_leaves_only_what_did_not() {
        let mut blocks = Blocks::default();
        blocks.begin(None, "m1".to_owned());
        blocks.streamed(None, 0, Kind::Thinking, 5);
        blocks.streamed(None, 1, Kind::Text, 3);
        blocks.streamed(None, 1, Kind::Text, 2);
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
        blocks.begin(None, "m1".to_owned());
        blocks.streamed(None, 0, Kind::Text, 2);
        assert_eq!(blocks.rest(None, Some("m2"), Kind::Text, "all"), "all");
        assert_eq!(blocks.rest(Some("a"), Some("m1"), Kind::Text, "all"), "all");
    }
}
