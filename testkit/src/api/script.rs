//! The directive language: what a prompt tells the stand-in to answer.
//!
//! A prompt's lines that start with `@` are directives; other lines are for people. A script
//! is a list of steps, and a step is one message of the assistant. A directive that calls a
//! tool ends its step, because a model waits for the result; what comes after it is the next
//! step. The text after the last tool is the answer that ends the turn.
//!
//! | directive | what the step holds |
//! |---|---|
//! | `@text WORDS` | a text block |
//! | `@think WORDS` | a thinking block with its signature |
//! | `@bash COMMAND` | a call of Bash |
//! | `@read PATH` | a call of Read |
//! | `@write PATH CONTENT` | a call of Write; `\n` in the content is a line's end |
//! | `@ask QUESTION\|OPTION\|OPTION` | a call of AskUserQuestion |
//! | `@agent WORDS` | a call of Agent with that prompt; `\n` is a line's end, so it may hold a script |
//! | `@todo [x] DONE\|[~] DOING\|LATER` | the list, by whichever todo tools were offered |
//! | `@tool NAME JSON` | a call of any tool |
//! | `@parallel N` | the next N calls go into one message |
//! | `@then` | ends the step here |
//! | `@slow MS` | waits so long before every delta of this step |
//! | `@error STATUS [xN]` | the API fails N times (1 if not said) before it plays this step |
//! | `@drop [xN]` | the connection is cut in the middle of this step, N times |
//! | `@refuse [xN]` | the step ends with `refusal` N times before it is played |
//! | `@maxtok` | the step ends here, with `max_tokens` |

use std::time::Duration;

use serde_json::{Value, json};

/// What a prompt asks for, message by message.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The assistant's messages, in order.
    pub steps: Vec<Step>,
}

/// One message of the assistant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// What the message holds, in order.
    pub blocks: Vec<Block>,
    /// What goes wrong before the message comes whole.
    pub fault: Option<Fault>,
    /// The wait before every delta.
    pub pace: Duration,
    /// Whether the message ends because it was too long.
    pub cut_short: bool,
}

/// A content block.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Words for the user.
    Text(String),
    /// Words the model thinks.
    Thinking(String),
    /// A tool's name and its input.
    Call(String, Value),
}

/// What goes wrong before a step is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The API answers `status` this many times.
    Status {
        /// The HTTP status.
        status: u16,
        /// How often.
        times: u32,
    },
    /// The connection ends in the middle of the message this many times.
    Drop {
        /// How often.
        times: u32,
    },
    /// The message ends with `refusal` this many times.
    Refuse {
        /// How often.
        times: u32,
    },
}

/// A directive that means nothing to the stand-in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The word after `@` is none of ours.
    #[error("unknown directive @{0}; the known ones are listed in testkit/src/api/script.rs")]
    Unknown(String),
    /// The rest of the line does not fit the directive.
    #[error("@{directive} wants {wants}, not `{got}`")]
    Argument {
        /// The directive's name.
        directive: &'static str,
        /// What should have followed.
        wants: &'static str,
        /// What followed.
        got: String,
    },
}

impl Script {
    /// Reads the directives of a prompt; `Ok(None)` when it has none. `tools` are the names of
    /// the tools the request offers, which decide how `@todo` is said.
    ///
    /// # Errors
    /// A directive is unknown, or its argument does not fit.
    pub fn parse(prompt: &str, tools: &[&str]) -> Result<Option<Self>, ScriptError> {
        let mut writer = Writer::default();
        let mut any = false;
        for line in prompt.lines() {
            let Some(directive) = line.trim().strip_prefix('@') else {
                continue;
            };
            any = true;
            let (name, rest) = directive
                .split_once(char::is_whitespace)
                .unwrap_or((directive, ""));
            writer.directive(name, rest.trim(), tools)?;
        }
        writer.close();
        Ok(any.then_some(Self {
            steps: writer.steps,
        }))
    }
}

impl Fault {
    /// How often it happens before the step is played.
    #[must_use]
    pub fn times(self) -> u32 {
        match self {
            Self::Status { times, .. } | Self::Drop { times } | Self::Refuse { times } => times,
        }
    }
}

impl Step {
    /// Whether the message calls a tool.
    #[must_use]
    pub fn calls(&self) -> bool {
        self.blocks
            .iter()
            .any(|block| matches!(block, Block::Call(..)))
    }

    /// The API's word for why the message ended.
    #[must_use]
    pub fn stop_reason(&self) -> &'static str {
        match self.fault {
            Some(Fault::Refuse { .. }) => "refusal",
            _ if self.cut_short => "max_tokens",
            _ if self.calls() => "tool_use",
            _ => "end_turn",
        }
    }
}

#[derive(Default)]
struct Writer {
    steps: Vec<Step>,
    current: Step,
    /// How many more calls go into the current message before it ends.
    together: usize,
}

impl Writer {
    fn directive(&mut self, name: &str, rest: &str, tools: &[&str]) -> Result<(), ScriptError> {
        match name {
            "text" => self.current.blocks.push(Block::Text(rest.into())),
            "think" => self.current.blocks.push(Block::Thinking(rest.into())),
            "bash" => {
                self.call(
                    "Bash",
                    json!({"command": rest, "description": "Run the command"}),
                );
            }
            "read" => self.call("Read", json!({"file_path": rest})),
            "write" => {
                let (path, content) =
                    rest.split_once(' ')
                        .ok_or(wants("write", "PATH CONTENT", rest))?;
                self.call(
                    "Write",
                    json!({"file_path": path, "content": unescape(content)}),
                );
            }
            "ask" => self.call("AskUserQuestion", question(rest)?),
            "agent" => self.call(
                "Agent",
                json!({
                    "description": "Delegated work",
                    "prompt": unescape(rest),
                    "subagent_type": "general-purpose",
                    "run_in_background": false,
                }),
            ),
            "todo" => super::todo::say(self, rest, tools),
            "tool" => {
                let (tool, input) = rest.split_once(' ').unwrap_or((rest, "{}"));
                let input = serde_json::from_str(input)
                    .map_err(|_| wants("tool", "NAME and a JSON object", rest))?;
                self.call(tool, input);
            }
            "parallel" => self.together = number("parallel", rest)?,
            "then" => self.close(),
            "slow" => self.current.pace = Duration::from_millis(number("slow", rest)?),
            "error" => {
                let (status, times) = rest.split_once(' ').unwrap_or((rest, "x1"));
                self.current.fault = Some(Fault::Status {
                    status: number("error", status)?,
                    times: repeat("error", times)?,
                });
            }
            "drop" => {
                self.current.fault = Some(Fault::Drop {
                    times: repeat("drop", rest)?,
                });
            }
            "refuse" => {
                self.current.fault = Some(Fault::Refuse {
                    times: repeat("refuse", rest)?,
                });
            }
            "maxtok" => {
                self.current.cut_short = true;
                self.close();
            }
            unknown => return Err(ScriptError::Unknown(unknown.into())),
        }
        Ok(())
    }

    fn call(&mut self, tool: &str, input: Value) {
        self.current.blocks.push(Block::Call(tool.into(), input));
        self.together = self.together.saturating_sub(1);
        if self.together == 0 {
            self.close();
        }
    }

    fn close(&mut self) {
        self.together = 0;
        let step = std::mem::take(&mut self.current);
        if step != Step::default() {
            self.steps.push(step);
        }
    }
}

impl super::todo::Say for Writer {
    fn together(&mut self, calls: Vec<(&'static str, Value)>) {
        self.together = calls.len();
        for (tool, input) in calls {
            self.call(tool, input);
        }
    }
}

fn question(rest: &str) -> Result<Value, ScriptError> {
    let mut parts = rest.split('|').map(str::trim);
    let question = parts.next().unwrap_or_default();
    let options: Vec<Value> = parts
        .map(|label| json!({"label": label, "description": label}))
        .collect();
    if options.len() < 2 {
        return Err(wants("ask", "QUESTION|OPTION|OPTION", rest));
    }
    Ok(json!({"questions": [{
        "question": question,
        "header": "Question",
        "multiSelect": false,
        "options": options,
    }]}))
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n")
}

fn wants(directive: &'static str, wants: &'static str, got: &str) -> ScriptError {
    ScriptError::Argument {
        directive,
        wants,
        got: got.into(),
    }
}

fn number<N: std::str::FromStr>(directive: &'static str, text: &str) -> Result<N, ScriptError> {
    text.parse().map_err(|_| wants(directive, "a number", text))
}

fn repeat(directive: &'static str, text: &str) -> Result<u32, ScriptError> {
    match text {
        "" => Ok(1),
        _ => number(directive, text.strip_prefix('x').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(prompt: &str) -> Vec<Step> {
        Script::parse(prompt, &[]).unwrap().unwrap().steps
    }

    #[test]
    fn a_prompt_without_directives_has_no_script() {
        assert_eq!(Script::parse("please mail me@example.org", &[]), Ok(None));
    }

    #[test]
    fn a_tool_ends_its_step_and_the_last_words_end_the_turn() {
        let steps = steps("go\n@think hm\n@text Running it.\n@bash echo hi\n@text Done.");
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].blocks.len(), 3);
        assert_eq!(steps[0].stop_reason(), "tool_use");
        assert_eq!(steps[1].blocks, [Block::Text("Done.".into())]);
        assert_eq!(steps[1].stop_reason(), "end_turn");
    }

    #[test]
    fn parallel_calls_share_one_message() {
        let steps = steps("@parallel 2\n@bash a\n@bash b\n@bash c");
        assert_eq!(
            steps
                .iter()
                .map(|step| step.blocks.len())
                .collect::<Vec<_>>(),
            [2, 1]
        );
    }

    #[test]
    fn faults_and_pace_belong_to_the_step_they_stand_in() {
        let steps = steps("@bash a\n@error 529 x2\n@slow 40\n@text b\n@maxtok\n@drop\n@text c");
        assert_eq!(steps[0].fault, None);
        assert_eq!(
            steps[1].fault,
            Some(Fault::Status {
                status: 529,
                times: 2
            })
        );
        assert_eq!(steps[1].pace, Duration::from_millis(40));
        assert_eq!(steps[1].stop_reason(), "max_tokens");
        assert_eq!(steps[2].fault, Some(Fault::Drop { times: 1 }));
    }

    #[test]
    fn a_misspelt_directive_is_named_and_not_passed_over() {
        let error = Script::parse("@bsah ls", &[]).unwrap_err();
        assert_eq!(error, ScriptError::Unknown("bsah".into()));
        let error = Script::parse("@ask Why?", &[]).unwrap_err().to_string();
        assert!(error.contains("QUESTION|OPTION|OPTION"), "{error}");
    }
}
