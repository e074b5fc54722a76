//! Is what the kernel has what was asked for?

use thiserror::Error;

use crate::invocation::Listing;
use crate::ruleset::{Ruleset, Table};
use crate::shape::{self, Base, Chain, ListingError, Shape};

/// The first difference between what the kernel has and what was asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Drift {
    /// The table is gone.
    #[error("{0} is gone")]
    Gone(Table),
    /// The table is there, and no rule of ours should be.
    #[error("{0} is there, though egress is direct")]
    Unwanted(Table),
    /// The table has flags. A dormant table has no effect.
    #[error("{table} has the flags {flags}")]
    Flags {
        /// Which table.
        table: Table,
        /// What it was flagged as.
        flags: String,
    },
    /// A counter, a set or a chain is missing.
    #[error("{table} has lost its {what}")]
    Missing {
        /// Which table.
        table: Table,
        /// The kind and the name of the object.
        what: String,
    },
    /// There is something that we did not make.
    #[error("{table} has a foreign {what}")]
    Foreign {
        /// Which table.
        table: Table,
        /// The kind and the name of the object.
        what: String,
    },
    /// A set or a chain has other properties.
    #[error("the {what} of {table} is `{found}` instead of `{wanted}`")]
    Declared {
        /// Which table.
        table: Table,
        /// The kind and the name of the object.
        what: String,
        /// How it was declared.
        wanted: String,
        /// How it is declared now.
        found: String,
    },
    /// A set lacks an element.
    #[error("set {set} of {table} lacks {element}")]
    ElementMissing {
        /// Which table.
        table: Table,
        /// Which set.
        set: String,
        /// The element.
        element: String,
    },
    /// A set has an element too many.
    #[error("set {set} of {table} has gained {element}")]
    ElementForeign {
        /// Which table.
        table: Table,
        /// Which set.
        set: String,
        /// The element.
        element: String,
    },
    /// A rule is another, or none, or one too many.
    #[error("rule {number} of chain {chain} of {table} is `{found}` instead of `{wanted}`")]
    Rule {
        /// Which table.
        table: Table,
        /// Which chain.
        chain: String,
        /// Which rule, counted from 1.
        number: usize,
        /// What was asked for; `nothing` if there are too many rules.
        wanted: String,
        /// What is there; `nothing` if there are too few.
        found: String,
    },
}

/// Why rules were not found to be as asked for.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// They are not.
    #[error(transparent)]
    Drift(#[from] Drift),
    /// What `nft` printed cannot be read.
    #[error("cannot read what nft listed")]
    Listing(#[from] ListingError),
}

impl Ruleset {
    /// Compares what the kernel lists with what was asked for. Handles, the values of counters
    /// and the order of elements do not matter; everything else does.
    ///
    /// # Errors
    /// The first [`Drift`], or a listing that cannot be read.
    pub fn verify(&self, listing: &Listing) -> Result<(), VerifyError> {
        let table = self.table();
        match (self.shape(), listing) {
            (None, Listing::Absent) => Ok(()),
            (None, Listing::Present(_)) => Err(Drift::Unwanted(table).into()),
            (Some(_), Listing::Absent) => Err(Drift::Gone(table).into()),
            (Some(wanted), Listing::Present(listing)) => {
                let found = Shape::listed(listing)?;
                Comparison {
                    table,
                    wanted: &wanted,
                    found: &found,
                }
                .run()?;
                Ok(())
            }
        }
    }
}

struct Comparison<'a> {
    table: Table,
    wanted: &'a Shape,
    found: &'a Shape,
}

impl Comparison<'_> {
    fn run(&self) -> Result<(), Drift> {
        let Self {
            table,
            wanted,
            found,
        } = *self;
        if (&wanted.family, &wanted.name) != (&found.family, &found.name) {
            return Err(Drift::Gone(table));
        }
        if wanted.flags != found.flags {
            return Err(Drift::Flags {
                table,
                flags: found.flags.to_string(),
            });
        }
        if let Some(what) = found.unknown.first() {
            return Err(Drift::Foreign {
                table,
                what: what.clone(),
            });
        }
        let name_of_counter = String::as_str;
        self.names(
            "counter",
            &wanted.counters,
            &found.counters,
            name_of_counter,
        )?;
        self.names("set", &wanted.sets, &found.sets, |set| &set.name)?;
        self.names("chain", &wanted.chains, &found.chains, |chain| &chain.name)?;
        let sets = pairs(&wanted.sets, &found.sets, |set| &set.name);
        sets.into_iter()
            .try_for_each(|(wanted, found)| self.set(wanted, found))?;
        let chains = pairs(&wanted.chains, &found.chains, |chain| &chain.name);
        chains
            .into_iter()
            .try_for_each(|(wanted, found)| self.chain(wanted, found))
    }

    /// Every name of one is a name of the other.
    fn names<T>(
        &self,
        kind: &str,
        wanted: &[T],
        found: &[T],
        name: impl Fn(&T) -> &str,
    ) -> Result<(), Drift> {
        let table = self.table;
        let without = |of: &[T], these: &[T]| {
            let stray = of
                .iter()
                .find(|one| !these.iter().any(|other| name(other) == name(one)));
            stray.map(|one| format!("{kind} {}", name(one)))
        };
        if let Some(what) = without(wanted, found) {
            return Err(Drift::Missing { table, what });
        }
        match without(found, wanted) {
            Some(what) => Err(Drift::Foreign { table, what }),
            None => Ok(()),
        }
    }

    fn set(&self, wanted: &shape::Set, found: &shape::Set) -> Result<(), Drift> {
        let table = self.table;
        if (&wanted.kind, &wanted.rest) != (&found.kind, &found.rest) {
            let declared = |set: &shape::Set| {
                format!("{} {}", set.kind.join(" . "), serde_json::json!(set.rest))
            };
            return Err(Drift::Declared {
                table,
                what: format!("set {}", wanted.name),
                wanted: declared(wanted),
                found: declared(found),
            });
        }
        let set = wanted.name.clone();
        match wanted.elements.first_difference(&found.elements) {
            None => Ok(()),
            Some((element, true)) => Err(Drift::ElementMissing {
                table,
                set,
                element,
            }),
            Some((element, false)) => Err(Drift::ElementForeign {
                table,
                set,
                element,
            }),
        }
    }

    fn chain(&self, wanted: &Chain, found: &Chain) -> Result<(), Drift> {
        let table = self.table;
        if !same_base(wanted.base.as_ref(), found.base.as_ref()) {
            let declared = |chain: &Chain| match &chain.base {
                Some(base) => base.to_string(),
                None => "no base chain".to_owned(),
            };
            return Err(Drift::Declared {
                table,
                what: format!("chain {}", wanted.name),
                wanted: declared(wanted),
                found: declared(found),
            });
        }
        for index in 0..wanted.rules.len().max(found.rules.len()) {
            let (wanted_rule, found_rule) = (wanted.rules.get(index), found.rules.get(index));
            if wanted_rule != found_rule {
                let (wanted_words, found_words) = told_apart(wanted_rule, found_rule);
                return Err(Drift::Rule {
                    table,
                    chain: wanted.name.clone(),
                    number: index + 1,
                    wanted: wanted_words,
                    found: found_words,
                });
            }
        }
        Ok(())
    }
}

/// Both rules in words, or as JSON if our words are too few to tell them apart.
fn told_apart(wanted: Option<&shape::Rule>, found: Option<&shape::Rule>) -> (String, String) {
    let told = |by: fn(&shape::Rule) -> String| {
        let words = |rule: Option<&shape::Rule>| rule.map_or_else(|| "nothing".to_owned(), by);
        (words(wanted), words(found))
    };
    let words = told(ToString::to_string);
    if words.0 == words.1 {
        told(shape::Rule::json)
    } else {
        words
    }
}

/// The device is compared where both sides know it: nft 1.0.6 does not tell.
fn same_base(wanted: Option<&Base>, found: Option<&Base>) -> bool {
    match (wanted, found) {
        (None, None) => true,
        (Some(wanted), Some(found)) => {
            let without_devices = |base: &Base| Base {
                devices: None,
                ..base.clone()
            };
            let told = wanted.devices.is_some() && found.devices.is_some();
            without_devices(wanted) == without_devices(found)
                && (!told || wanted.devices == found.devices)
        }
        _ => false,
    }
}

/// What has the same name in both.
fn pairs<'a, T>(wanted: &'a [T], found: &'a [T], name: impl Fn(&T) -> &str) -> Vec<(&'a T, &'a T)> {
    let partner = |one: &T| found.iter().find(|other| name(other) == name(one));
    wanted
        .iter()
        .filter_map(|one| partner(one).map(|other| (one, other)))
        .collect()
}
