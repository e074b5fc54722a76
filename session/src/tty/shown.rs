//! Text that two sources tell: hooks line by line while it appears, the transcript as a whole
//! when its message is complete. Either may be first.

use std::collections::VecDeque;

use cib_protocol::frame::{Data, Text};

/// Texts remembered at once, oldest forgotten first.
const MAX: usize = 64;

/// Texts of the main thread that one of the sources has not finished with.
#[derive(Debug, Default)]
pub(super) struct Shown {
    texts: VecDeque<One>,
    /// What was told at a turn's end and may still appear.
    late: VecDeque<String>,
}

#[derive(Debug)]
struct One {
    /// The hook's name for the message.
    message: Option<String>,
    /// What has been told.
    told: String,
    /// The whole, once the transcript has it.
    whole: Option<String>,
    /// Whether the hook has said its last word.
    last: bool,
}

impl One {
    /// What is missing when the whole is known.
    fn rest(&self) -> Option<&str> {
        let whole = self.whole.as_deref()?;
        whole.strip_prefix(self.told.as_str())
    }
}

impl Shown {
    /// A piece appeared.
    pub(super) fn displayed(&mut self, message: &str, piece: &str, last: bool) -> Option<Data> {
        if let Some(text) = self.late.front_mut()
            && let Some(rest) = text.strip_prefix(piece)
        {
            *text = rest.to_owned();
            if last || text.is_empty() {
                self.late.pop_front();
            }
            return None;
        }
        let known = self
            .texts
            .iter()
            .position(|text| text.message.as_deref() == Some(message));
        // The transcript may have been first.
        let at = known.or_else(|| {
            self.texts.iter().position(|text| {
                text.message.is_none() && text.rest().is_some_and(|rest| rest.starts_with(piece))
            })
        });
        let at = at.unwrap_or_else(|| {
            self.push(One {
                message: None,
                told: String::new(),
                whole: None,
                last: false,
            })
        });
        let text = &mut self.texts[at];
        text.message = Some(message.to_owned());
        text.told.push_str(piece);
        text.last |= last;
        let done = text.last && text.whole.is_some();
        let rest = text.rest().unwrap_or_default().to_owned();
        if done {
            self.texts.remove(at);
        }
        let piece = if done {
            format!("{piece}{rest}")
        } else {
            piece.to_owned()
        };
        told(piece)
    }

    /// A message is complete. What appeared of it is told already; the rest is told when the
    /// hook has had its turn, or with [`Shown::flush`].
    pub(super) fn completed(&mut self, whole: &str) -> Option<Data> {
        let at = self
            .texts
            .iter()
            .position(|text| text.whole.is_none() && whole.starts_with(text.told.as_str()));
        let Some(at) = at else {
            self.push(One {
                message: None,
                told: String::new(),
                whole: Some(whole.to_owned()),
                last: false,
            });
            return None;
        };
        let text = &mut self.texts[at];
        text.whole = Some(whole.to_owned());
        if !text.last {
            return None;
        }
        let rest = text.rest().unwrap_or_default().to_owned();
        self.texts.remove(at);
        told(rest)
    }

    /// The turn is over: tells what is missing. It may appear a moment later all the same.
    pub(super) fn flush(&mut self) -> Vec<Data> {
        self.late.clear();
        let mut frames = Vec::new();
        for text in self.texts.drain(..) {
            let rest = text.rest().unwrap_or_default();
            if let Some(frame) = told(rest.to_owned()) {
                self.late.push_back(rest.to_owned());
                frames.push(frame);
            }
        }
        frames
    }

    fn push(&mut self, text: One) -> usize {
        if self.texts.len() == MAX {
            self.texts.pop_front();
        }
        self.texts.push_back(text);
        self.texts.len() - 1
    }
}

fn told(text: String) -> Option<Data> {
    (!text.is_empty()).then(|| {
        Data::Text(Text {
            text,
            ..Text::default()
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(frames: impl IntoIterator<Item = Data>) -> String {
        frames
            .into_iter()
            .map(|frame| match frame {
                Data::Text(text) => text.text,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_text_is_told_once_whoever_is_first(
            lines in proptest::collection::vec("[a-z]{1,4}\n", 1..5),
            shown in 0usize..6,
            before in 0usize..6,
        ) {
            let whole = lines.concat();
            let shown = shown.min(lines.len());
            let mut both = Shown::default();
            let mut told = Vec::new();
            for (place, line) in lines[..shown].iter().enumerate() {
                if place == before {
                    told.extend(both.completed(&whole));
                }
                told.extend(both.displayed("m", line, place + 1 == lines.len()));
            }
            if before >= shown {
                told.extend(both.completed(&whole));
            }
            told.extend(both.flush());
            prop_assert_eq!(text(told), whole);
        }
    }

    #[test]
    fn what_appears_after_the_end_of_its_turn_is_not_told_again() {
        let mut both = Shown::default();
        let mut told = Vec::new();
        told.extend(both.completed("one\ntwo\n"));
        told.extend(both.displayed("m", "one\n", false));
        told.extend(both.flush());
        told.extend(both.displayed("m", "two\n", true));
        told.extend(both.displayed("n", "next", true));
        assert_eq!(text(told), "one\ntwo\nnext");
    }

    #[test]
    fn two_messages_are_not_mixed_up() {
        let mut both = Shown::default();
        let mut told = Vec::new();
        told.extend(both.completed("first"));
        told.extend(both.completed("second"));
        told.extend(both.displayed("1", "first", true));
        told.extend(both.displayed("2", "second", true));
        told.extend(both.flush());
        assert_eq!(text(told), "firstsecond");
    }
}
