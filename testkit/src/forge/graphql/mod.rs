//! GitHub's GraphQL: selections are evaluated, because clients decode what they asked for and
//! nothing else. What GitHub has not is an error here as there.

mod parse;
mod schema;

use serde_json::{Map, Value, json};

use super::talk::{Answer, Asked};
use super::world::World;
use parse::{Document, Selection};
use schema::Node;

/// What the log keeps of a query: its operation's name and its variables.
pub(super) fn named(asked: &Asked) -> Value {
    match asked.body["query"].as_str() {
        Some(query) => {
            let name = query.split(['(', '{']).next().unwrap_or_default().trim();
            json!({"operation": name, "variables": asked.body["variables"]})
        }
        None => asked.body.clone(),
    }
}

pub(super) fn answer(world: &mut World, asked: &Asked) -> Answer {
    let Some(login) = asked.login.clone() else {
        return Answer::refused(401, "Bad credentials");
    };
    let query = asked.body["query"].as_str().unwrap_or_default();
    let document = match parse::parse(query, &asked.body["variables"]) {
        Ok(document) => document,
        Err(why) => {
            return Answer::ok(json!({"errors": [{"message": format!("Parse error: {why}")}]}));
        }
    };
    let root = if document.is_mutation {
        Node::Mutation
    } else {
        Node::Query
    };
    let mut evaluation = Evaluation {
        world,
        asked,
        login: &login,
        document: &document,
        errors: Vec::new(),
        path: Vec::new(),
    };
    let data = evaluation.object(&root, &document.selection);
    let errors = evaluation.errors;
    // A field that there is not makes the whole query void.
    let is_void = errors
        .iter()
        .any(|error| error["extensions"]["code"] == "undefinedField");
    Answer::ok(match (errors.is_empty(), is_void) {
        (true, _) => json!({"data": data}),
        (false, true) => json!({"errors": errors}),
        (false, false) => json!({"data": data, "errors": errors}),
    })
}

struct Evaluation<'a> {
    world: &'a mut World,
    asked: &'a Asked,
    login: &'a str,
    document: &'a Document,
    errors: Vec<Value>,
    path: Vec<String>,
}

impl Evaluation<'_> {
    fn object(&mut self, node: &Node, selection: &[Selection]) -> Value {
        let mut fields = Map::new();
        self.select(node, selection, &mut fields);
        Value::Object(fields)
    }

    fn select(&mut self, node: &Node, selection: &[Selection], into: &mut Map<String, Value>) {
        for one in selection {
            match one {
                Selection::Spread(name) => {
                    let document = self.document;
                    if let Some((of, selection)) = document.fragments.get(name)
                        && node.is(of)
                    {
                        self.select(node, selection, into);
                    }
                }
                Selection::Inline(of, selection) => {
                    if of.as_ref().is_none_or(|of| node.is(of)) {
                        self.select(node, selection, into);
                    }
                }
                Selection::Field(field) => {
                    self.path.push(field.alias.clone());
                    let value = if field.name == "__typename" {
                        json!(node.name())
                    } else {
                        match schema::field(self.world, self.asked, self.login, node, field) {
                            Ok(found) => self.value(&found, &field.selection),
                            Err(error) => {
                                self.fail(&error);
                                Value::Null
                            }
                        }
                    };
                    self.path.pop();
                    // The same object may be asked for twice, each time for other fields.
                    match (into.get_mut(&field.alias), value) {
                        (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                        (_, value) => {
                            into.insert(field.alias.clone(), value);
                        }
                    }
                }
            }
        }
    }

    fn value(&mut self, node: &Node, selection: &[Selection]) -> Value {
        match node {
            Node::Scalar(value) => value.clone(),
            Node::List(nodes) => nodes
                .iter()
                .map(|node| self.value(node, selection))
                .collect(),
            node => self.object(node, selection),
        }
    }

    fn fail(&mut self, error: &schema::Failed) {
        self.errors.push(match error {
            schema::Failed::NoField { of, name } => json!({
                "path": self.path, "extensions": {"code": "undefinedField", "typeName": of, "fieldName": name},
                "message": format!("Field '{name}' doesn't exist on type '{of}'"),
            }),
            schema::Failed::Refused { kind, message } => {
                json!({"type": kind, "path": self.path, "message": message})
            }
        });
    }
}
