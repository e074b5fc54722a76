//! Reads TOML key by key, so that every fault of every file is found at once, each with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::environment::{Fault, Place, Wrong, nearest, quoted};

/// A configuration file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as faults show it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    pub(super) file: &'a SourceFile,
    /// Offset of the key, or of the value where there is none.
    at: usize,
    value: &'a DeValue<'a>,
}

/// A value that was understood, and its place.
#[derive(Clone, Debug)]
pub(super) struct Set<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A table whose keys are taken one by one. Several files may write to the same table: the
/// later one wins, key by key.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    cells: BTreeMap<&'a str, Cell<'a>>,
    taken: Vec<&'static str>,
}

/// Parses a file; syntax errors become faults, and what could be understood is kept.
pub(super) fn parse<'a>(file: &'a SourceFile, faults: &mut Vec<Fault>) -> Spanned<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        faults.push(Fault::new(
            place(file, at),
            format!("is not TOML: {message}"),
            "correct the syntax",
        ));
    }
    table
}

fn place(file: &SourceFile, at: usize) -> Place {
    let before = file.text.as_bytes().iter().take(at);
    Place::line(
        &file.path,
        1 + before.filter(|byte| **byte == b'\n').count(),
    )
}

impl<'a> Cell<'a> {
    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        place(self.file, self.at)
    }

    /// Its kind, in the words of TOML.
    fn kind(&self) -> &'static str {
        self.value.type_str()
    }

    /// The entries of a table, in the order in which they were written.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, Cell<'a>)>> {
        self.value.as_table().map(|table| entries(self.file, table))
    }

    pub(super) fn table(&self) -> Result<Table<'a>, Wrong> {
        let entries = self.entries().ok_or_else(|| self.not("a table"))?;
        Ok(Table {
            cells: entries.into_iter().collect(),
            taken: Vec::new(),
        })
    }

    pub(super) fn text(&self) -> Result<&'a str, Wrong> {
        self.value.as_str().ok_or_else(|| self.not("a string"))
    }

    pub(super) fn yes_or_no(&self) -> Result<bool, Wrong> {
        self.value
            .as_bool()
            .ok_or_else(|| self.not("true or false"))
    }

    pub(super) fn integer(&self) -> Result<u64, Wrong> {
        let number = self
            .value
            .as_integer()
            .map(|n| u64::from_str_radix(n.as_str(), n.radix()));
        number
            .and_then(Result::ok)
            .ok_or_else(|| self.not("a whole number from 0"))
    }

    /// A number with or without a fraction.
    pub(super) fn number(&self) -> Result<f64, Wrong> {
        let text = match self.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return Err(self.not("a number")),
        };
        text.parse().map_err(|_| self.not("a number"))
    }

    /// A string, a number or a truth value as it would be written in a variable.
    pub(super) fn scalar(&self) -> Result<String, Wrong> {
        match self.value {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            DeValue::Boolean(yes) => Ok(yes.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
            DeValue::Integer(_) => self.integer().map(|number| number.to_string()),
            _ => Err(self.not("a string, a number or a truth value")),
        }
    }

    /// The items of an array.
    pub(super) fn list<T>(
        &self,
        item: impl Fn(&Cell<'a>) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let array = self.value.as_array().ok_or_else(|| self.not("an array"))?;
        let cell = |value: &'a Spanned<DeValue<'a>>| Cell {
            file: self.file,
            at: value.span().start,
            value: value.get_ref(),
        };
        array.iter().map(|value| item(&cell(value))).collect()
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.as_array().is_some()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.as_table().is_some()
    }

    fn not(&self, expected: &str) -> Wrong {
        let article = if self.kind().starts_with(['a', 'i']) {
            "an"
        } else {
            "a"
        };
        Wrong::new(
            format!("is {article} {}", self.kind()),
            format!("write {expected}"),
        )
    }

    /// A program with its arguments.
    pub(super) fn command(&self) -> Result<Vec<String>, Wrong> {
        let remedy = "write [\"program\", \"argument\"]; a shell is [\"bash\", \"-c\", \"...\"]";
        if !self.is_list() {
            return Err(Wrong::new("is not an array", remedy));
        }
        let command = self.list(Cell::scalar)?;
        let empty = command.first().is_none_or(String::is_empty);
        if empty || command.iter().any(|word| word.contains('\0')) {
            return Err(Wrong::new("has no program, or a zero byte in it", remedy));
        }
        Ok(command)
    }
}

impl<'a> Table<'a> {
    /// Puts the entries of another file over those that are there.
    pub(super) fn overlay(&mut self, entries: Vec<(&'a str, Cell<'a>)>) {
        self.cells.extend(entries);
    }

    /// What is in it, by key.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (&'a str, Cell<'a>)> {
        self.cells.into_iter()
    }

    /// Takes the value of a key and parses it; `None` if there is none, or if it was wrong and
    /// a fault says so.
    pub(super) fn take<T>(
        &mut self,
        faults: &mut Vec<Fault>,
        key: &'static str,
        parse: impl FnOnce(&Cell<'a>) -> Result<T, Wrong>,
    ) -> Option<Set<T>> {
        self.taken.push(key);
        let cell = self.cells.remove(key)?;
        match parse(&cell) {
            Ok(value) => Some(Set {
                value,
                place: cell.place(),
            }),
            Err(wrong) => {
                let problem = format!("`{key}` {}", wrong.problem);
                faults.push(Fault::new(cell.place(), problem, wrong.remedy));
                None
            }
        }
    }

    /// As [`Table::take`], without the place.
    pub(super) fn value<T>(
        &mut self,
        faults: &mut Vec<Fault>,
        key: &'static str,
        parse: impl FnOnce(&Cell<'a>) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.take(faults, key, parse).map(|set| set.value)
    }

    /// Whatever was not taken is unknown.
    pub(super) fn finish(self, faults: &mut Vec<Fault>) {
        for (key, cell) in &self.cells {
            faults.push(unknown(cell, key, &self.taken));
        }
    }
}

/// The entries of a table, in the order in which they were written.
pub(super) fn entries<'a>(
    file: &'a SourceFile,
    table: &'a DeTable<'a>,
) -> Vec<(&'a str, Cell<'a>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let at = key.span().start;
            (
                key.get_ref().as_ref(),
                Cell {
                    file,
                    at,
                    value: value.get_ref(),
                },
            )
        })
        .collect();
    entries.sort_by_key(|(_, cell)| cell.at);
    entries
}

/// A fault for a key that nobody knows.
pub(super) fn unknown(cell: &Cell<'_>, key: &str, known: &[&str]) -> Fault {
    let remedy = match nearest(key, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the keys here are {}", known.join(", ")),
    };
    Fault::new(
        cell.place(),
        format!("the key {} is unknown", quoted(key)),
        remedy,
    )
}

/// A fault that concerns a whole file.
pub(super) fn whole(path: &Path, problem: impl Into<String>, remedy: &str) -> Fault {
    Fault::new(Place::File(path.to_owned()), problem, remedy)
}
