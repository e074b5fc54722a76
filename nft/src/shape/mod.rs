//! A table in a form in which two of them can be compared: what was asked for, and what the
//! kernel lists.
//!
//! It is read from plain JSON and not through the types of the `nftables` crate: they have no
//! place for a table's flags (a table set dormant by somebody has every rule and no effect), a
//! counter of theirs overflows at 4 GiB, and a word that a newer `nft` prints would make the
//! whole listing unreadable, where here it is a difference with a name.

mod elements;
mod normal;
mod words;

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

pub(crate) use elements::Elements;

/// The text is no listing.
#[derive(Debug, Error)]
pub enum ListingError {
    /// It is not JSON.
    #[error("the listing is not JSON")]
    Json(#[source] serde_json::Error),
    /// It has no array `nftables`.
    #[error("the listing has no list of objects")]
    NoObjects,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) family: String,
    pub(crate) name: String,
    pub(crate) flags: Value,
    pub(crate) counters: Vec<String>,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
    /// Objects of kinds that we never make, in words.
    pub(crate) unknown: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    /// Flags, and whatever else it was declared with.
    pub(crate) rest: Map<String, Value>,
    pub(crate) elements: Elements,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    pub(crate) base: Option<Base>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) kind: String,
    pub(crate) hook: String,
    pub(crate) priority: i64,
    pub(crate) policy: String,
    /// Not told by nft 1.0.6, even where there is one.
    pub(crate) devices: Option<Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    said: Vec<Value>,
    normal: Value,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::rule(&self.said))
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::base(self))
    }
}

/// The objects of a listing.
pub(crate) fn objects(listing: &str) -> Result<Vec<Value>, ListingError> {
    let mut document: Value = serde_json::from_str(listing).map_err(ListingError::Json)?;
    match document.get_mut("nftables").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        _ => Err(ListingError::NoObjects),
    }
}

impl Shape {
    /// Reads what `nft -j list table` printed.
    pub(crate) fn listed(listing: &str) -> Result<Self, ListingError> {
        let mut shape = Self::default();
        for object in objects(listing)? {
            let Value::Object(object) = object else {
                return Err(ListingError::NoObjects);
            };
            for (kind, body) in object {
                let Value::Object(body) = body else {
                    return Err(ListingError::NoObjects);
                };
                shape.take(&kind, body);
            }
        }
        Ok(shape)
    }

    /// Reads our own objects.
    pub(crate) fn expected(document: &str) -> Self {
        Self::listed(document).expect("our own document is a listing")
    }

    fn take(&mut self, kind: &str, mut body: Map<String, Value>) {
        let name = string(&body, "name");
        match kind {
            "metainfo" => {}
            "table" => {
                self.family = string(&body, "family");
                self.name = name;
                self.flags = normal::list(body.remove("flags").unwrap_or_default());
            }
            "counter" => self.counters.push(name),
            "set" => self.sets.push(Set::read(name, body)),
            "chain" => self.chains.push(Chain::read(name, &body)),
            "rule" => {
                let rule = Rule::read(&mut body);
                let chain = string(&body, "chain");
                match self
                    .chains
                    .iter_mut()
                    .find(|candidate| candidate.name == chain)
                {
                    Some(chain) => chain.rules.push(rule),
                    None => self
                        .unknown
                        .push(format!("a rule of chain {chain:?}: {rule}")),
                }
            }
            other => self.unknown.push(format!("{other} {name:?}")),
        }
    }
}

impl Set {
    fn read(name: String, mut body: Map<String, Value>) -> Self {
        let kind = match body.remove("type").unwrap_or_default() {
            Value::Array(words) => words.iter().map(words::plain).collect(),
            word => vec![words::plain(&word)],
        };
        let elements = Elements::read(body.remove("elem").unwrap_or_default());
        for address in ["family", "table", "name", "handle"] {
            body.remove(address);
        }
        if let Some(flags) = body.remove("flags") {
            body.insert("flags".into(), normal::list(flags));
        }
        Self {
            name,
            kind,
            rest: body,
            elements,
        }
    }
}

impl Chain {
    fn read(name: String, body: &Map<String, Value>) -> Self {
        let base = body.contains_key("hook").then(|| Base {
            kind: string(body, "type"),
            hook: string(body, "hook"),
            priority: body.get("prio").and_then(Value::as_i64).unwrap_or_default(),
            policy: string(body, "policy"),
            devices: body.get("dev").cloned().map(normal::list),
        });
        Self {
            name,
            base,
            rules: Vec::new(),
        }
    }
}

impl Rule {
    pub(crate) fn json(&self) -> String {
        self.normal.to_string()
    }

    /// A comment is a part of what was said, for we never make one.
    fn read(body: &mut Map<String, Value>) -> Self {
        let mut said = match body.remove("expr") {
            Some(Value::Array(said)) => said,
            _ => Vec::new(),
        };
        if let Some(comment) = body.remove("comment") {
            said.push(Value::Object(Map::from_iter([(
                "comment".to_owned(),
                comment,
            )])));
        }
        let normal = normal::rule(&said);
        Self { said, normal }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family, self.name)?;
        for name in &self.counters {
            writeln!(f, "\tcounter {name} {{\n\t\tpackets 0 bytes 0\n\t}}\n")?;
        }
        for set in &self.sets {
            write!(
                f,
                "\tset {} {{\n\t\ttype {}\n",
                set.name,
                set.kind.join(" . ")
            )?;
            if let Some(flags) = set.rest.get("flags") {
                writeln!(f, "\t\tflags {}", words::plain(flags))?;
            }
            let elements = set.elements.words();
            if !elements.is_empty() {
                let list = elements.join(",\n\t\t\t     ");
                writeln!(f, "\t\telements = {{ {list} }}")?;
            }
            f.write_str("\t}\n\n")?;
        }
        for (index, chain) in self.chains.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "\tchain {} {{", chain.name)?;
            if let Some(base) = &chain.base {
                writeln!(f, "\t\t{base}")?;
            }
            for rule in &chain.rules {
                writeln!(f, "\t\t{rule}")?;
            }
            f.write_str("\t}\n")?;
        }
        f.write_str("}\n")
    }
}

fn string(body: &Map<String, Value>, key: &str) -> String {
    body.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
