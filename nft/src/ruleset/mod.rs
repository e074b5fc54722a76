//! A policy turned into rules.

mod inet;
mod netdev;
mod phrase;
mod sets;

use std::collections::BTreeSet;
use std::fmt;

use nftables::batch::Batch;
use nftables::schema::{self, NfListObject, Nftables};
use nftables::types::NfFamily;

use crate::invocation::Invocation;
use crate::policy::EgressPolicy;
use crate::shape::Shape;

/// A table of ours. No other is ever touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `inet cib`: the promise.
    Inet,
    /// `netdev cib`: the egress hook of every device, which sees the frames that packet sockets
    /// put past the IP stack. Linux has the hook since 5.16; where it is missing the box is
    /// still closed to everybody without `NET_RAW`.
    Netdev,
}

/// Who is told of refused packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// They are counted.
    Off,
    /// They are counted, and up to ten a second are sent to [`Reports::GROUP`], which
    /// [`watch::Refusals`](crate::watch::Refusals) reads. The kernel needs `nfnetlink_log`.
    On,
}

/// The rules of one of our tables: what is sent to the kernel, and what is expected of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ruleset {
    table: Table,
    /// What the table holds, or nothing if it must not be there.
    contents: Option<Vec<NfListObject<'static>>>,
}

impl Table {
    /// Both, in the order in which they are applied.
    pub const ALL: [Self; 2] = [Self::Inet, Self::Netdev];

    /// The name of both tables.
    pub const NAME: &'static str = "cib";

    fn family(self) -> NfFamily {
        match self {
            Self::Inet => NfFamily::INet,
            Self::Netdev => NfFamily::NetDev,
        }
    }

    fn family_name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Netdev => "netdev",
        }
    }

    fn object(self) -> NfListObject<'static> {
        NfListObject::Table(schema::Table {
            family: self.family(),
            name: Self::NAME.into(),
            handle: None,
        })
    }

    /// Lists the table, for [`Listing::read`](crate::Listing::read).
    #[must_use]
    pub fn list(self) -> Invocation {
        Invocation::nft(["-j", "list", "table", self.family_name(), Self::NAME])
    }

    /// Lists its counters, for [`Counters::read`](crate::Counters::read).
    #[must_use]
    pub fn counters(self) -> Invocation {
        Invocation::nft([
            "-j",
            "list",
            "counters",
            "table",
            self.family_name(),
            Self::NAME,
        ])
    }

    /// Deletes the table, and nothing else. An absent table is no error.
    #[must_use]
    pub fn undo(self) -> Invocation {
        apply(self, None)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} {}", self.family_name(), Self::NAME)
    }
}

impl Reports {
    /// The group of the netfilter log that reports are sent to.
    pub const GROUP: u16 = 970;
}

impl Ruleset {
    /// The rules that keep `policy`.
    #[must_use]
    pub fn inet(policy: &EgressPolicy, reports: Reports) -> Self {
        Self {
            table: Table::Inet,
            contents: inet::contents(policy, reports),
        }
    }

    /// The rules that let no frame onto `devices` but those that passed the rules of
    /// [`Ruleset::inet`]. Before Linux 6.16 the devices must exist.
    #[must_use]
    pub fn netdev(policy: &EgressPolicy, devices: &BTreeSet<String>) -> Self {
        Self {
            table: Table::Netdev,
            contents: netdev::contents(policy, devices),
        }
    }

    /// The table that these rules are in.
    #[must_use]
    pub fn table(&self) -> Table {
        self.table
    }

    /// Replaces the whole table in one transaction. Applied twice, it is as if applied once,
    /// but for the counters, which start again.
    #[must_use]
    pub fn apply(&self) -> Invocation {
        apply(self.table, self.contents.as_deref())
    }

    /// What the kernel is expected to list; nothing if the table must be absent.
    pub(crate) fn shape(&self) -> Option<Shape> {
        self.contents
            .as_ref()
            .map(|_| Shape::expected(&self.listing()))
    }

    /// The objects without commands: a listing as `nft` would print it but for the handles.
    pub(crate) fn listing(&self) -> String {
        let mut batch = Batch::new();
        batch.add_obj(self.table.object());
        for object in self.contents.iter().flatten() {
            batch.add_obj(object.clone());
        }
        json(batch)
    }
}

impl fmt::Debug for Ruleset {
    /// Its text: nobody reads a hundred rules as syntax trees.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ruleset({self})")
    }
}

impl fmt::Display for Ruleset {
    /// The rules as `nft list table` prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape() {
            Some(shape) => shape.fmt(f),
            None => Ok(()),
        }
    }
}

/// Adding the table before it is deleted makes the deletion succeed whether or not it was
/// there. `destroy table` would say so in one word, but needs Linux 6.3.
fn apply(table: Table, contents: Option<&[NfListObject<'static>]>) -> Invocation {
    let mut batch = Batch::new();
    batch.add(table.object());
    batch.delete(table.object());
    if let Some(contents) = contents {
        batch.add(table.object());
        for object in contents {
            batch.add(object.clone());
        }
    }
    Invocation::nft(["-j", "-f", "-"]).reading(json(batch))
}

fn json(batch: Batch<'static>) -> String {
    let document: Nftables<'static> = batch.to_nftables();
    serde_json::to_string(&document).expect("rules hold nothing that JSON cannot say")
}
