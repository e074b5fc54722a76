//! The todo list, whichever tools the version of the CLI keeps it with.
//!
//! `TodoWrite` gives the whole list in each call. The `Task*` tools change one item in each
//! call and name it by an id that `TaskCreate`'s result tells, so their list is kept here.

use cib_protocol::frame::{Todo, TodoUpdate};
use serde::Deserialize;

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

#[derive(Deserialize)]
struct Write {
    todos: Vec<WriteItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteItem {
    content: String,
    status: String,
    #[serde(default)]
    active_form: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    subject: String,
    #[serde(default)]
    active_form: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    task: CreatedTask,
}

#[derive(Deserialize)]
struct CreatedTask {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    task_id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    active_form: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    tasks: Vec<ListedTask>,
}

#[derive(Deserialize)]
struct ListedTask {
    id: String,
    subject: String,
    status: String,
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
        match tool {
            "TodoWrite" => {
                let write = serde_json::from_str::<Write>(input).ok()?;
                self.items = (1..)
                    .zip(write.todos)
                    .map(|(place, item)| Todo {
                        id: u32::to_string(&place),
                        subject: item.content,
                        status: item.status,
                        active_form: item.active_form,
                    })
                    .collect();
            }
            "TaskCreate" => {
                let create = serde_json::from_str::<Create>(input).ok()?;
                let created = serde_json::from_str::<Created>(result?).ok()?;
                self.items.retain(|item| item.id != created.task.id);
                self.items.push(Todo {
                    id: created.task.id,
                    subject: create.subject,
                    status: "pending".to_owned(),
                    active_form: create.active_form,
                });
            }
            "TaskUpdate" => self.update(serde_json::from_str::<Update>(input).ok()?),
            "TaskList" => {
                let listed = serde_json::from_str::<Listed>(result?).ok()?;
                let known = std::mem::take(&mut self.items);
                self.items = listed
                    .tasks
                    .into_iter()
                    .map(|task| Todo {
                        active_form: known
                            .iter()
                            .find(|item| item.id == task.id)
                            .and_then(|item| item.active_form.clone()),
                        id: task.id,
                        subject: task.subject,
                        status: task.status,
                    })
                    .collect();
            }
            _ => return None,
        }
        Some(())
    }

    fn update(&mut self, update: Update) {
        if update.status.as_deref() == Some("deleted") {
            self.items.retain(|item| item.id != update.task_id);
            return;
        }
        let at = self.items.iter().position(|i| i.id == update.task_id);
        let at = at.unwrap_or_else(|| {
            // Made before this keeper began; its subject comes with the next list.
            self.items.push(Todo {
                subject: format!("#{}", update.task_id),
                id: update.task_id,
                status: "pending".to_owned(),
                active_form: None,
            });
            self.items.len() - 1
        });
        let item = &mut self.items[at];
        if let Some(status) = update.status {
            item.status = status;
        }
        if let Some(subject) = update.subject {
            item.subject = subject;
        }
        if update.active_form.is_some() {
            item.active_form = update.active_form;
        }
    }
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
