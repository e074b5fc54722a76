//! Tool calls that wait for their results.

use cib_protocol::frame::{Data, TodoUpdate};

use crate::todo::{self, TodoList};

/// Calls remembered at once. A call beyond that is forgotten oldest first, and its result then
/// comes without a tool name and duration.
const MAX_OPEN: usize = 1024;

/// The tool by which the CLI loads other tools. Its calls are machinery and make no frames.
const TOOL_SEARCH: &str = "ToolSearch";

/// Open calls, and the todo list that some of them change.
#[derive(Debug, Default)]
pub struct Calls {
    open: Vec<Call>,
    todos: TodoList,
}

#[derive(Debug)]
struct Call {
    id: String,
    tool: String,
    started_ms: u64,
    /// As JSON, kept only for the todo tools.
    input: Option<String>,
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
    /// Notes a call; returns whether it is to make a frame. A call that is open already makes
    /// none: the CLI repeats some. `input` is JSON.
    pub fn start(&mut self, id: &str, tool: &str, input: &str, now_ms: u64) -> bool {
        if self.open.iter().any(|call| call.id == id) {
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
        });
        tool != TOOL_SEARCH
    }

    /// The id of the open call of a tool that was made last.
    #[must_use]
    pub fn latest(&self, tool: &str) -> Option<String> {
        let mut open = self.open.iter().rev();
        open.find(|call| call.tool == tool)
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
