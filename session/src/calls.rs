//! Tool calls that wait for their results.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use cib_protocol::frame::{Data, TodoUpdate};

use crate::todo::{self, TodoList};

/// Calls remembered at once. A call beyond that is forgotten oldest first, and its result then
/// comes without a tool name and duration.
const MAX_OPEN: usize = 1024;

/// Closed calls remembered, for sources that tell of them once more.
const MAX_CLOSED: usize = 256;

/// What tells two inputs apart.
fn hash(input: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(input.as_bytes());
    hasher.finish()
}

/// The tool by which the CLI loads other tools. Its calls are machinery and make no frames.
const TOOL_SEARCH: &str = "ToolSearch";

/// Open calls, and the todo list that some of them change.
#[derive(Debug, Default)]
pub struct Calls {
    open: Vec<Call>,
    /// The ids of the calls that were closed last.
    closed: VecDeque<String>,
    todos: TodoList,
}

#[derive(Debug)]
struct Call {
    id: String,
    tool: String,
    started_ms: u64,
    /// As JSON, kept only for the todo tools.
    input: Option<String>,
    /// Of the input as JSON.
    hash: u64,
    /// Whether the tool has returned, with what it told the CLI as JSON, before the result
    /// that the model is told. The text is kept only for the todo tools.
    returned: Option<Option<String>>,
}

/// What is known of a call when its result comes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The tool, if the call was seen.
    pub tool: Option<String>,
    /// Milliseconds since the call, if it was seen.
    pub duration_ms: Option<u64>,
    /// The todo list, if this call changed it.
    pub todos: Option<TodoUpdate>,
}

impl Closed {
    /// Whether the result is to make no frame.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.tool.as_deref() == Some(TOOL_SEARCH)
    }

    /// The frame of the todo list, if it changed.
    pub fn take_todos(&mut self) -> Option<Data> {
        self.todos.take().map(Data::TodoUpdate)
    }
}

impl Calls {
    /// Notes a call; returns whether it is to make a frame. A call that is known already makes
    /// none: the CLI repeats some. `input` is JSON.
    pub fn start(&mut self, id: &str, tool: &str, input: &str, now_ms: u64) -> bool {
        if self.is_open(id) || self.closed.iter().any(|closed| closed == id) {
            return false;
        }
        if self.open.len() == MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push(Call {
            id: id.to_owned(),
            tool: tool.to_owned(),
            started_ms: now_ms,
            input: todo::is_todo_tool(tool).then(|| input.to_owned()),
            hash: hash(input),
            returned: None,
        });
        tool != TOOL_SEARCH
    }

    /// Notes that a tool returned and what it told the CLI, for the result that comes later.
    pub fn returned(&mut self, id: &str, told: &str) {
        if let Some(call) = self.open.iter_mut().find(|call| call.id == id) {
            call.returned = Some(call.input.as_ref().map(|_| told.to_owned()));
        }
    }

    /// Whether a tool has returned and its call is still open.
    #[must_use]
    pub fn has_returned(&self, id: &str) -> bool {
        let mut open = self.open.iter();
        open.any(|call| call.id == id && call.returned.is_some())
    }

    /// The id of the open call of a tool that was made last.
    #[must_use]
    pub fn latest(&self, tool: &str) -> Option<String> {
        let mut open = self.open.iter().rev();
        open.find(|call| call.tool == tool)
            .map(|call| call.id.clone())
    }

    /// The id of the open call of a tool that was made with an input, as JSON.
    #[must_use]
    pub fn made(&self, tool: &str, input: &str) -> Option<String> {
        let hash = hash(input);
        let mut open = self.open.iter().rev();
        open.find(|call| call.tool == tool && call.hash == hash)
            .map(|call| call.id.clone())
    }

    /// Whether a call is open.
    #[must_use]
    pub fn is_open(&self, id: &str) -> bool {
        self.open.iter().any(|call| call.id == id)
    }

    /// Closes a call. `result` is what the tool told the CLI, as JSON.
    pub fn finish(
        &mut self,
        id: &str,
        is_error: bool,
        result: Option<&str>,
        now_ms: u64,
    ) -> Closed {
        let Some(at) = self.open.iter().position(|call| call.id == id) else {
            return Closed::default();
        };
        let call = self.open.remove(at);
        if self.closed.len() == MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(call.id);
        let told = call.returned.flatten();
        let result = result.or(told.as_deref());
        let todos = match &call.input {
            Some(input) if !is_error => self.todos.take(&call.tool, input, result),
            _ => None,
        };
        Closed {
            tool: Some(call.tool),
            duration_ms: Some(now_ms.saturating_sub(call.started_ms)),
            todos,
        }
    }
}
