//! Tasks in a box, by its API.

use serde_json::{Value, json};

use super::{Place, Submission};
use crate::api::Api;
use crate::commands::Context;
use crate::failure::Failure;

/// A box.
pub(super) struct Boxed(Api);

impl Boxed {
    pub(super) fn new(context: &Context<'_>, name: Option<&str>) -> Result<Self, Failure> {
        let (engine, found) = context.choose(name)?;
        Ok(Self(context.api(&engine, &found)?))
    }
}

impl Place for Boxed {
    fn submit(&self, task: &Submission) -> Result<Value, Failure> {
        if task.dry_run {
            return Ok(task.request.clone());
        }
        Ok(self.0.post("/api/tasks", &task.request)?)
    }

    fn list(&self) -> Result<Vec<Value>, Failure> {
        let mut list = self.0.get("/api/tasks")?;
        match list["tasks"].take() {
            Value::Array(tasks) => Ok(tasks),
            _ => Ok(Vec::new()),
        }
    }

    fn show(&self, id: &str) -> Result<Value, Failure> {
        Ok(self.0.get(&format!("/api/tasks/{id}"))?)
    }

    fn logs(&self, id: &str) -> Result<String, Failure> {
        Ok(self.0.text(&format!("/api/tasks/{id}/logs?follow=0"))?)
    }

    fn cancel(&self, id: &str) -> Result<Value, Failure> {
        Ok(self
            .0
            .post(&format!("/api/tasks/{id}/cancel"), &json!({}))?)
    }
}
