//! How `@todo` is said with the tools a request offers: `TodoWrite` replaces the whole list,
//! the `Task*` tools make items one by one and then change their states.

use serde_json::{Value, json};

/// Takes the calls of one message.
pub(super) trait Say {
    /// Adds calls that belong into one message.
    fn together(&mut self, calls: Vec<(&'static str, Value)>);
}

/// Says the list in `rest`, such as `[x] done|[~] doing|later`. The CLI defers these tools: a
/// model has to look them up before it can call them, so that is the first step.
pub(super) fn say(out: &mut impl Say, rest: &str, tools: &[&str]) {
    let items: Vec<Item<'_>> = rest.split('|').map(Item::parse).collect();
    let whole = tools.contains(&"TodoWrite");
    if tools.contains(&"ToolSearch") {
        let query = if whole {
            "select:TodoWrite"
        } else {
            "select:TaskCreate,TaskUpdate"
        };
        out.together(vec![(
            "ToolSearch",
            json!({"query": query, "max_results": 5}),
        )]);
    }
    if whole {
        let todos: Vec<Value> = items.iter().map(Item::todo).collect();
        out.together(vec![("TodoWrite", json!({"todos": todos}))]);
        return;
    }
    out.together(
        items
            .iter()
            .map(|item| ("TaskCreate", item.task()))
            .collect(),
    );
    let changes: Vec<_> = (1_usize..)
        .zip(&items)
        .filter(|(_, item)| item.status != "pending")
        .map(|(id, item)| {
            (
                "TaskUpdate",
                json!({"taskId": id.to_string(), "status": item.status}),
            )
        })
        .collect();
    if !changes.is_empty() {
        out.together(changes);
    }
}

struct Item<'a> {
    words: &'a str,
    status: &'static str,
}

impl<'a> Item<'a> {
    fn parse(text: &'a str) -> Self {
        let text = text.trim();
        let (words, status) = match (text.strip_prefix("[x]"), text.strip_prefix("[~]")) {
            (Some(words), _) => (words, "completed"),
            (_, Some(words)) => (words, "in_progress"),
            (None, None) => (text, "pending"),
        };
        Self {
            words: words.trim(),
            status,
        }
    }

    fn todo(&self) -> Value {
        json!({"content": self.words, "status": self.status, "activeForm": self.words})
    }

    fn task(&self) -> Value {
        json!({"subject": self.words, "description": self.words, "activeForm": self.words})
    }
}

#[cfg(test)]
mod tests {
    use crate::api::script::{Block, Script};

    fn calls(tools: &[&str]) -> Vec<Vec<String>> {
        let script = Script::parse("@todo [x] a|[~] b|c", tools)
            .unwrap()
            .unwrap();
        let name = |block: &Block| match block {
            Block::Call(name, input) => format!("{name} {input}"),
            other => format!("{other:?}"),
        };
        script
            .steps
            .iter()
            .map(|step| step.blocks.iter().map(name).collect())
            .collect()
    }

    #[test]
    fn the_whole_list_is_one_call_of_todo_write() {
        let calls = calls(&["TodoWrite"]);
        assert_eq!(calls.len(), 1);
        assert!(
            calls[0][0].contains(r#""status":"in_progress""#),
            "{calls:?}"
        );
    }

    #[test]
    fn deferred_tools_are_looked_up_first() {
        let calls = calls(&["TodoWrite", "ToolSearch"]);
        assert!(calls[0][0].contains("select:TodoWrite"), "{calls:?}");
        assert!(calls[1][0].starts_with("TodoWrite"), "{calls:?}");
    }

    #[test]
    fn the_task_tools_are_looked_up_then_make_then_change() {
        let calls = calls(&["ToolSearch"]);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 2]);
        assert!(calls[2][0].contains(r#""taskId":"1""#), "{calls:?}");
    }
}
