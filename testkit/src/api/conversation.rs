//! Finds in a request what to play next: which prompt holds the script, and how far it is.

use serde::Deserialize;
use serde_json::{Value, json};

use super::script::{Script, ScriptError, Step};

/// The parts of a Messages API request that the stand-in looks at.
#[derive(Debug, Clone, Deserialize)]
pub struct MessagesRequest {
    /// The model asked for; echoed in the answer.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// What may be called.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Whether the answer is wanted as server-sent events.
    #[serde(default)]
    pub stream: bool,
    /// Whom the conversation belongs to, as the client says.
    #[serde(default)]
    pub metadata: Value,
    /// What is asked of the answer besides: the reasoning effort.
    #[serde(default)]
    pub output_config: Value,
    /// The most tokens wanted; the API demands it.
    #[serde(default)]
    pub max_tokens: Option<u64>,
}

/// A message of the conversation.
#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// A string, or a list of blocks.
    pub content: Value,
}

/// A tool on offer.
#[derive(Debug, Clone, Deserialize)]
pub struct Tool {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// What to answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Play {
    /// Step `index` of the script found.
    Step {
        /// Counted from 0.
        index: usize,
        /// The step.
        step: Step,
    },
    /// The prompt has no script: a short answer that harms nobody.
    Small,
    /// The script is over, and the client still wants a message.
    Over,
}

/// Why a request is not answered as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// A directive of the prompt is wrong.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The API refuses a result for a call that the message before did not make.
    #[error(
        "messages.{message}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. \
         Each `tool_result` block must have a corresponding `tool_use` block in the previous \
         message."
    )]
    OrphanResult {
        /// The message's place.
        message: usize,
        /// The id without a call.
        id: String,
    },
    /// There is nothing to answer.
    #[error("messages: at least one message is required")]
    Empty,
}

impl MessagesRequest {
    /// What to play next. Requests that offer no tools are the client's own errands (titles,
    /// quota checks) and get the small answer whatever they quote.
    ///
    /// # Errors
    /// The real API would refuse the conversation, or the script is wrong.
    pub fn next(&self) -> Result<Play, RequestFault> {
        if self.messages.is_empty() {
            return Err(RequestFault::Empty);
        }
        self.check_results()?;
        if self.tools.is_empty() {
            return Ok(Play::Small);
        }
        let deferred: String = self
            .messages
            .iter()
            .filter(|told| told.role == "system")
            .map(Message::said)
            .collect();
        let offered = self.tools.iter().map(|tool| tool.name.as_str());
        // Tools that the CLI defers are named one a line in what it tells the model.
        let tools: Vec<&str> = offered.chain(deferred.lines()).collect();
        let mut answered = 0;
        for message in self.messages.iter().rev() {
            // The CLI puts what it tells the model into messages of the role `system`.
            match message.role.as_str() {
                "user" => {}
                "assistant" => {
                    answered += 1;
                    continue;
                }
                _ => continue,
            }
            let said = message.said();
            if let Some(mut script) = Script::parse(&said, &tools)? {
                if answered >= script.steps.len() {
                    return Ok(Play::Over);
                }
                return Ok(Play::Step {
                    index: answered,
                    step: script.steps.swap_remove(answered),
                });
            }
            if message.is_a_new_prompt(&said) {
                return Ok(Play::Small);
            }
        }
        Ok(Play::Small)
    }

    /// A name for this place in this conversation, the same when the request is sent again.
    #[must_use]
    pub fn place(&self) -> String {
        let user = self
            .metadata
            .get("user_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        format!("{user} {}", self.messages.len())
    }

    fn check_results(&self) -> Result<(), RequestFault> {
        let mut called: Vec<&str> = Vec::new();
        for (index, message) in self.messages.iter().enumerate() {
            let orphan = message
                .ids("tool_result", "tool_use_id")
                .find(|id| !called.contains(id));
            if let Some(id) = orphan {
                return Err(RequestFault::OrphanResult {
                    message: index,
                    id: id.into(),
                });
            }
            // The API reads neighbours of one role as one message.
            let before = index
                .checked_sub(1)
                .map(|before| self.messages[before].role.as_str());
            if message.role == "assistant" && before != Some("assistant") {
                called.clear();
            }
            called.extend(message.ids("tool_use", "id"));
        }
        Ok(())
    }
}

impl Message {
    fn blocks(&self) -> impl Iterator<Item = &Value> {
        self.content
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
    }

    fn ids<'a>(&'a self, kind: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.blocks()
            .filter(move |block| block["type"] == kind)
            .filter_map(move |block| block[key].as_str())
    }

    /// The words of the message, without what the CLI put between `system-reminder` tags.
    fn said(&self) -> String {
        let mut said = String::new();
        let texts = self.blocks().filter(|block| block["type"] == "text");
        let texts = texts
            .filter_map(|block| block["text"].as_str())
            .chain(self.content.as_str());
        for text in texts {
            said.push_str(&without_reminders(text));
            said.push('\n');
        }
        said
    }

    /// Whether somebody asked for something new here, rather than the client carrying a turn on.
    fn is_a_new_prompt(&self, said: &str) -> bool {
        let carries_on = self.ids("tool_result", "tool_use_id").next().is_some()
            || said.trim().is_empty()
            || said.starts_with("Output token limit hit.")
            || said.starts_with("Your response above was stopped");
        !carries_on
    }
}

fn without_reminders(text: &str) -> String {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        kept.push_str(before);
        rest = after.split_once(CLOSE).map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// The answer to a request for a token count, by the rule of thumb of four bytes a token.
#[must_use]
pub fn count_tokens(body: &[u8]) -> Value {
    json!({"input_tokens": body.len() / 4 + 1})
}

#[cfg(test)]
mod tests {
    use super::super::script::Block;
    use super::*;

    fn request(messages: &Value) -> MessagesRequest {
        serde_json::from_value(
            json!({"model": "m", "tools": [{"name": "Bash"}], "messages": messages}),
        )
        .unwrap()
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    fn call(id: &str) -> Value {
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": id}]})
    }

    fn result(id: &str) -> Value {
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id}]})
    }

    fn step(messages: &Value) -> usize {
        match request(messages).next().unwrap() {
            Play::Step { index, .. } => index,
            other => panic!("no step: {other:?}"),
        }
    }

    #[test]
    fn every_answered_message_moves_the_script_on() {
        let prompt = user("@bash a\n@bash b\n@text c");
        assert_eq!(step(&json!([prompt])), 0);
        assert_eq!(step(&json!([prompt, call("1"), result("1")])), 1);
        assert_eq!(
            step(&json!([
                prompt,
                call("1"),
                result("1"),
                call("2"),
                result("2")
            ])),
            2
        );
        let over = [
            prompt,
            call("1"),
            result("1"),
            call("2"),
            result("2"),
            call("3"),
            result("3"),
        ];
        assert_eq!(request(&json!(over)).next(), Ok(Play::Over));
    }

    #[test]
    fn a_newer_prompt_wins_over_an_older_script() {
        assert_eq!(
            step(&json!([
                user("@text a\n@then\n@text b"),
                call("1"),
                user("@text c")
            ])),
            0
        );
        let plain = json!([user("@text a\n@then\n@text b"), call("1"), user("and now?")]);
        assert_eq!(request(&plain).next(), Ok(Play::Small));
    }

    #[test]
    fn what_the_cli_tells_the_model_is_no_prompt() {
        let told = json!({"role": "system", "content": [{"type": "text", "text": "You are in /"}]});
        assert_eq!(step(&json!([user("@text a"), told])), 0);
    }

    #[test]
    fn directives_inside_reminders_are_not_the_users() {
        let reminded = user("<system-reminder>\n@text no\n</system-reminder>\n@text yes");
        let Ok(Play::Step { step, .. }) = request(&json!([reminded])).next() else {
            panic!()
        };
        assert_eq!(step.blocks, [Block::Text("yes".into())]);
    }

    #[test]
    fn a_result_without_its_call_is_refused_as_by_the_real_api() {
        let orphan = request(&json!([user("@text a"), call("1"), result("2")]));
        assert!(matches!(
            orphan.next(),
            Err(RequestFault::OrphanResult { message: 2, .. })
        ));
    }

    #[test]
    fn a_request_without_tools_is_an_errand() {
        let mut errand = request(&json!([user("Title for: \n@bash rm -rf /")]));
        errand.tools.clear();
        assert_eq!(errand.next(), Ok(Play::Small));
    }
}
