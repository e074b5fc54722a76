//! The todo list, whichever tools the version of the CLI keeps it with.
//!
//! `TodoWrite` gives the whole list in each call. The `Task*` tools change one item in each
//! call and name it by an id that `TaskCreate`'s result tells, so their list is kept here.

use std::borrow::Cow;

use cib_foreign::json::Object;
use cib_protocol::frame::{Todo, TodoUpdate};

/// Items of a list. Each change tells the whole of it.
const MAX_ITEMS: usize = 1000;

/// Whether a tool's calls change the todo list, so that their inputs have to be remembered.
#[must_use]
pub fn is_todo_tool(tool: &str) -> bool {
    matches!(
        tool,
        "TodoWrite" | "TaskCreate" | "TaskUpdate" | "TaskList" | "TaskGet"
    )
}

/// The list as it stands.
#[derive(Debug, Default)]
pub struct TodoList {
    items: Vec<Todo>,
}

impl TodoList {
    /// Takes up a call that succeeded. Returns the list if it changed. `result` is what the
    /// tool told the CLI (`tool_use_result`), not what the CLI told the model. Both are JSON.
    pub fn take(&mut self, tool: &str, input: &str, result: Option<&str>) -> Option<TodoUpdate> {
        let before = self.items.clone();
        self.change(tool, input, result)?;
        (self.items != before).then(|| TodoUpdate {
            items: self.items.clone(),
        })
    }

    fn change(&mut self, tool: &str, input: &str, result: Option<&str>) -> Option<()> {
        let input = Object::read(input)?;
        match tool {
            "TodoWrite" => {
                let todos = input.items("todos")?;
                self.items = (1..)
                    .zip(todos.into_iter().take(MAX_ITEMS))
                    .map(|(place, item)| {
                        let item = Object::read(item).unwrap_or_default();
                        Todo {
                            id: u32::to_string(&place),
                            subject: item.string("content").unwrap_or_default(),
                            status: status(&item).unwrap_or_else(pending),
                            active_form: item.string("activeForm"),
                        }
                    })
                    .collect();
            }
            "TaskCreate" => {
                let created = Object::read(result?)?.object("task")?;
                let id = id(&created, "id")?.into_owned();
                self.items.retain(|item| item.id != id);
                if self.items.len() < MAX_ITEMS {
                    self.items.push(Todo {
                        id,
                        subject: input.string("subject").unwrap_or_default(),
                        status: pending(),
                        active_form: input.string("activeForm"),
                    });
                }
            }
            "TaskUpdate" => self.update(&input)?,
            "TaskList" => {
                let listed = Object::read(result?)?;
                let known = std::mem::take(&mut self.items);
                let tasks = listed.items("tasks").unwrap_or_default();
                let read = |task: &str| {
                    let task = Object::read(task)?;
                    let id = id(&task, "id")?.into_owned();
                    let same = known.iter().find(|item| item.id == id);
                    Some(Todo {
                        active_form: same.and_then(|item| item.active_form.clone()),
                        subject: task.string("subject").unwrap_or_default(),
                        status: status(&task).unwrap_or_else(pending),
                        id,
                    })
                };
                let tasks = tasks.into_iter().filter_map(read);
                self.items = tasks.take(MAX_ITEMS).collect();
            }
            _ => return None,
        }
        Some(())
    }

    fn update(&mut self, update: &Object<'_>) -> Option<()> {
        let id = id(update, "taskId")?;
        let status = status(update);
        if status.as_deref() == Some("deleted") {
            self.items.retain(|item| item.id != id);
            return Some(());
        }
        let at = self.items.iter().position(|item| item.id == id);
        let at = match at {
            Some(at) => at,
            None if self.items.len() == MAX_ITEMS => return None,
            None => {
                // Made before this keeper began; its subject comes with the next list.
                self.items.push(Todo {
                    subject: format!("#{id}"),
                    id: id.into_owned(),
                    status: pending(),
                    active_form: None,
                });
                self.items.len() - 1
            }
        };
        let item = &mut self.items[at];
        if let Some(status) = status {
            item.status = status;
        }
        if let Some(subject) = update.string("subject") {
            item.subject = subject;
        }
        if let Some(active_form) = update.string("activeForm") {
            item.active_form = Some(active_form);
        }
        Some(())
    }
}

/// An id, which some model may have written as a number.
fn id<'a>(object: &Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    let number = || object.count(name).map(|number| number.to_string().into());
    object.text(name).or_else(number)
}

fn status(object: &Object<'_>) -> Option<String> {
    object.string("status")
}

fn pending() -> String {
    "pending".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(update: Option<TodoUpdate>) -> Option<Vec<String>> {
        Some(
            update?
                .items
                .into_iter()
                .map(|item| format!("{} {} {}", item.id, item.status, item.subject))
                .collect(),
        )
    }

    #[test]
    fn todo_write_replaces_the_list() {
        let mut list = TodoList::default();
        let input = json!({"todos": [
            {"content": "one", "status": "completed", "activeForm": "Doing one"},
            {"content": "two", "status": "pending"},
        ]})
        .to_string();
        let update = list.take("TodoWrite", &input, None);
        assert_eq!(
            shown(update),
            Some(vec![
                "1 completed one".to_owned(),
                "2 pending two".to_owned()
            ])
        );
        assert_eq!(list.take("TodoWrite", &input, None), None);
    }

    #[test]
    fn task_calls_are_reduced_to_a_list() {
        let mut list = TodoList::default();
        for (id, subject) in [("1", "one"), ("2", "two")] {
            list.take(
                "TaskCreate",
                &json!({"subject": subject, "description": "d"}).to_string(),
                Some(&json!({"task": {"id": id, "subject": subject}}).to_string()),
            );
        }
        let update = list.take(
            "TaskUpdate",
            &json!({"taskId": "1", "status": "in_progress"}).to_string(),
            Some(&json!({"success": true}).to_string()),
        );
        assert_eq!(
            shown(update),
            Some(vec![
                "1 in_progress one".to_owned(),
                "2 pending two".to_owned()
            ])
        );
        let update = list.take(
            "TaskUpdate",
            &json!({"taskId": "1", "status": "deleted"}).to_string(),
            None,
        );
        assert_eq!(shown(update), Some(vec!["2 pending two".to_owned()]));
        let listed =
            json!({"tasks": [{"id": "2", "subject": "two", "status": "completed"}]}).to_string();
        let update = list.take("TaskList", &json!({}).to_string(), Some(&listed));
        assert_eq!(shown(update), Some(vec!["2 completed two".to_owned()]));
    }

    #[test]
    fn an_item_from_before_is_known_by_its_number_until_the_list_is_read() {
        let mut list = TodoList::default();
        let update = list.take(
            "TaskUpdate",
            &json!({"taskId": "7", "status": "completed"}).to_string(),
            None,
        );
        assert_eq!(shown(update), Some(vec!["7 completed #7".to_owned()]));
    }
}
