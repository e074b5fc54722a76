//! Documents of GraphQL: as much of the grammar as clients of GitHub use.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A field that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// What it is called in the answer.
    pub(super) alias: String,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) selection: Vec<Selection>,
}

#[derive(Clone, Debug)]
pub(super) enum Selection {
    Field(Field),
    Spread(String),
    /// Of a type, or of any.
    Inline(Option<String>, Vec<Selection>),
}

/// An operation, and the fragments that it may name.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) is_mutation: bool,
    pub(super) selection: Vec<Selection>,
    /// By name: the type, and what is asked of it.
    pub(super) fragments: BTreeMap<String, (String, Vec<Selection>)>,
}

/// Reads a document; variables are put in.
pub(super) fn parse(text: &str, variables: &Value) -> Result<Document, String> {
    let tokens = tokens(text)?;
    let mut variables = variables.as_object().cloned().unwrap_or_default();
    let mut at = 0;
    let mut document = Document::default();
    // Defaults stand in front of their use, and fragments may stand in front of both.
    defaults(&tokens, &mut variables);
    while at < tokens.len() {
        let mut reader = Reader {
            tokens: &tokens,
            at,
            variables: &variables,
        };
        match reader.peek() {
            "fragment" => {
                reader.at += 1;
                let name = reader.take()?.to_owned();
                reader.expect("on")?;
                let of = reader.take()?.to_owned();
                let selection = reader.selection()?;
                document.fragments.insert(name, (of, selection));
            }
            "query" | "mutation" | "{" => {
                document.is_mutation = reader.peek() == "mutation";
                while reader.peek() != "{" {
                    if reader.peek() == "(" {
                        reader.skip()?;
                    } else {
                        reader.at += 1;
                    }
                }
                document.selection = reader.selection()?;
            }
            other => return Err(format!("unexpected `{other}`")),
        }
        at = reader.at;
    }
    Ok(document)
}

/// Variables that nobody gave and that have a value all the same: `$name: Type = value`.
fn defaults(tokens: &[String], variables: &mut Map<String, Value>) {
    for (at, token) in tokens.iter().enumerate() {
        let is_default = token == "=" && at > 3;
        let name = tokens[..at]
            .iter()
            .rposition(|token| token == "$")
            .map(|at| &tokens[at + 1]);
        if let (true, Some(name)) = (is_default, name)
            && !variables.contains_key(name)
            && let Some(value) = tokens.get(at + 1)
        {
            variables.insert(name.clone(), scalar(value));
        }
    }
}

fn scalar(token: &str) -> Value {
    serde_json::from_str(token).unwrap_or_else(|_| Value::String(token.to_owned()))
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        match letter {
            '#' => while letters.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                let mut token = String::from(letters.next().unwrap_or('"'));
                loop {
                    let next = letters.next().ok_or("a string has no end")?;
                    token.push(next);
                    match next {
                        '\\' => token.push(letters.next().ok_or("a string has no end")?),
                        '"' => break,
                        _ => {}
                    }
                }
                tokens.push(token);
            }
            '.' => {
                while letters.next_if_eq(&'.').is_some() {}
                tokens.push("...".to_owned());
            }
            c if c.is_whitespace() || c == ',' => {
                letters.next();
            }
            c if c.is_alphanumeric() || "_-".contains(c) => {
                let mut token = String::new();
                while let Some(next) =
                    letters.next_if(|c| c.is_alphanumeric() || "_-.".contains(*c))
                {
                    token.push(next);
                }
                tokens.push(token);
            }
            c => {
                letters.next();
                tokens.push(c.to_string());
            }
        }
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [String],
    at: usize,
    variables: &'a Map<String, Value>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn take(&mut self) -> Result<&'a str, String> {
        let token = self.tokens.get(self.at).ok_or("the query ends too soon")?;
        self.at += 1;
        Ok(token)
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let token = self.take()?;
        if token == wanted {
            Ok(())
        } else {
            Err(format!("`{token}` instead of `{wanted}`"))
        }
    }

    /// Passes over what stands in brackets.
    fn skip(&mut self) -> Result<(), String> {
        let mut depth = 0;
        loop {
            match self.take()? {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn selection(&mut self) -> Result<Vec<Selection>, String> {
        self.expect("{")?;
        let mut found = Vec::new();
        loop {
            match self.take()? {
                "}" => return Ok(found),
                "..." => match self.peek() {
                    "on" => {
                        self.at += 1;
                        let of = self.take()?.to_owned();
                        found.push(Selection::Inline(Some(of), self.selection()?));
                    }
                    "{" => found.push(Selection::Inline(None, self.selection()?)),
                    _ => found.push(Selection::Spread(self.take()?.to_owned())),
                },
                name => found.push(Selection::Field(self.field(name)?)),
            }
        }
    }

    fn field(&mut self, first: &str) -> Result<Field, String> {
        let mut name = first;
        if self.peek() == ":" {
            self.at += 1;
            name = self.take()?;
        }
        let mut arguments = Map::new();
        if self.peek() == "(" {
            self.at += 1;
            while self.peek() != ")" {
                let key = self.take()?.to_owned();
                self.expect(":")?;
                arguments.insert(key, self.value()?);
            }
            self.at += 1;
        }
        let selection = if self.peek() == "{" {
            self.selection()?
        } else {
            Vec::new()
        };
        Ok(Field {
            alias: first.to_owned(),
            name: name.to_owned(),
            arguments,
            selection,
        })
    }

    fn value(&mut self) -> Result<Value, String> {
        Ok(match self.take()? {
            "$" => {
                let name = self.take()?;
                self.variables.get(name).cloned().unwrap_or(Value::Null)
            }
            "[" => {
                let mut items = Vec::new();
                while self.peek() != "]" {
                    items.push(self.value()?);
                }
                self.at += 1;
                Value::Array(items)
            }
            "{" => {
                let mut fields = Map::new();
                while self.peek() != "}" {
                    let key = self.take()?.to_owned();
                    self.expect(":")?;
                    fields.insert(key, self.value()?);
                }
                self.at += 1;
                Value::Object(fields)
            }
            token => scalar(token),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(selection: &[Selection]) -> Vec<&Field> {
        let mut found = Vec::new();
        for one in selection {
            if let Selection::Field(field) = one {
                found.push(field);
            }
        }
        found
    }

    #[test]
    fn aliases_arguments_variables_and_fragments_are_read() {
        let text = "query Of($name: String!, $first: Int = 30, $states: [State!] = [OPEN]) { # no
            mine: repository(owner: \"a \\\"b\\\"\", name: $name) { ...repo, ... on Node { id } pulls(first: $first, by: {field: AT, up: true}) { nodes { id } } }
        }
        fragment repo on Repository { name }";
        let document = parse(text, &json!({"name": "api"})).unwrap();
        assert!(!document.is_mutation);
        let [mine] = fields(&document.selection)[..] else {
            panic!("{document:?}");
        };
        assert_eq!((&*mine.alias, &*mine.name), ("mine", "repository"));
        assert_eq!(
            json!(mine.arguments),
            json!({"owner": "a \"b\"", "name": "api"})
        );
        assert!(matches!(&mine.selection[0], Selection::Spread(name) if name == "repo"));
        assert!(matches!(&mine.selection[1], Selection::Inline(Some(of), _) if of == "Node"));
        let pulls = fields(&mine.selection)[0];
        assert_eq!(
            json!(pulls.arguments),
            json!({"first": 30, "by": {"field": "AT", "up": true}})
        );
        assert_eq!(document.fragments["repo"].0, "Repository");
        assert!(
            parse("mutation { a { b } }", &json!({}))
                .unwrap()
                .is_mutation
        );
        for bad in [
            "{ a",
            "query { a(b: ",
            "subscription { a }",
            "{ a(b: \"c) }",
        ] {
            assert!(parse(bad, &json!({})).is_err(), "{bad}");
        }
    }
}
