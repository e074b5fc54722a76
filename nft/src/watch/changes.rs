//! Somebody changed a rule.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use rtnetlink::packet_core::{NLM_F_REQUEST, NLMSG_ERROR};
use tokio::time::{Instant, timeout_at};

use super::netlink::{Message, Received, Watch, message, messages, text, u32_from_network};
use crate::ruleset::Table;

/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`)
const GROUP: u32 = 7;
/// `NFNL_SUBSYS_NFTABLES`, the upper byte of the type of a message.
const SUBSYSTEM: u16 = 10;
/// `NFT_MSG_NEWGEN` (`linux/netfilter/nf_tables.h`), the last message of every transaction.
const NEW_GENERATION: u16 = 15;
/// `NFT_MSG_GETGEN`
const GET_GENERATION: u16 = 16;
const GENERATION_ID: u16 = 1;
const GENERATION_PID: u16 = 2;
const GENERATION_PROCESS: u16 = 3;
/// `struct nfgenmsg`
const NETFILTER_HEADER: usize = 4;
/// The first attribute of every message about a table, and of everything in it, is its name.
const TABLE_NAME: u16 = 1;

/// Changes with less time than this between them are told as one,
const DEBOUNCE: Duration = Duration::from_millis(50);
/// but no later than this after the first.
const LONGEST: Duration = Duration::from_millis(500);

/// Tells when rules change, whoever changes them: our own changes too. Whether anything is
/// wrong, [`Ruleset::verify`](crate::Ruleset::verify) says.
pub struct Changes(Watch);

/// The number of the last transaction in the current network namespace. What is read from the
/// kernel after this was asked has every transaction up to this one in it.
///
/// # Errors
/// No `NET_ADMIN`, or no nf_tables in this kernel.
pub async fn generation() -> io::Result<u32> {
    let watch = Watch::open(NETLINK_NETFILTER, &[])?;
    watch.send(&message(
        SUBSYSTEM << 8 | GET_GENERATION,
        NLM_F_REQUEST,
        &[0; NETFILTER_HEADER],
    ))?;
    loop {
        let Received::Messages(datagram) = watch.receive().await? else {
            continue;
        };
        let mut change = Change::default();
        for told in messages(&datagram) {
            match told.error().filter(|_| told.kind == NLMSG_ERROR) {
                Some(error) => return Err(io::Error::from_raw_os_error(error)),
                None => change.take_message(told),
            }
        }
        if let Some(generation) = change.generation {
            return Ok(generation);
        }
    }
}

/// One or more transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Was a table with the name of ours among what was changed? A change elsewhere cannot open
    /// what our rules close.
    pub own_table: bool,
    /// The number of the last transaction. The kernel counts them in each namespace.
    pub generation: Option<u32>,
    /// The process of the last transaction, by its id in the host's process namespace.
    pub pid: Option<u32>,
    /// Its name.
    pub process: Option<String>,
    /// The kernel could not tell everything; anything may have changed.
    pub overrun: bool,
}

impl Changes {
    /// Begins to watch the current network namespace.
    ///
    /// # Errors
    /// No `NET_ADMIN`, or no nf_tables in this kernel.
    pub fn open() -> io::Result<Self> {
        Watch::open(NETLINK_NETFILTER, &[GROUP]).map(Self)
    }

    /// Waits for a change, and then until it is quiet for 50 ms. Nothing is lost if the future
    /// is dropped before a change was seen.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn next(&mut self) -> io::Result<Change> {
        let mut change = Change::default();
        change.take(self.0.receive().await?);
        let end = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + DEBOUNCE).min(end);
            match timeout_at(quiet, self.0.receive()).await {
                Ok(received) => change.take(received?),
                Err(_quiet) => return Ok(change),
            }
            if Instant::now() >= end {
                return Ok(change);
            }
        }
    }
}

impl Change {
    fn take(&mut self, received: Received) {
        match received {
            Received::Messages(datagram) => {
                messages(&datagram).for_each(|message| self.take_message(message));
            }
            Received::Overrun => {
                self.overrun = true;
                self.own_table = true;
            }
        }
    }

    fn take_message(&mut self, message: Message<'_>) {
        if message.kind >> 8 != SUBSYSTEM {
            return;
        }
        let generation = message.kind & 0xff == NEW_GENERATION;
        for (kind, payload) in message.attributes(NETFILTER_HEADER) {
            match (generation, kind) {
                (true, GENERATION_ID) => self.generation = u32_from_network(payload),
                (true, GENERATION_PID) => self.pid = u32_from_network(payload),
                (true, GENERATION_PROCESS) => self.process = Some(text(payload)),
                (false, TABLE_NAME) if text(payload) == Table::NAME => self.own_table = true,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::attribute;
    use super::*;

    fn told(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; NETFILTER_HEADER];
        for (kind, payload) in attributes {
            body.extend(attribute(*kind, payload));
        }
        message(SUBSYSTEM << 8 | kind, 0, &body)
    }

    #[test]
    fn a_change_knows_its_table_and_who_made_it() {
        let mut change = Change::default();
        let mut datagram = told(2, &[(TABLE_NAME, b"cib\0")]);
        datagram.extend(told(
            NEW_GENERATION,
            &[
                (GENERATION_ID, &[0, 0, 0, 9]),
                (GENERATION_PID, &[0, 0, 1, 0]),
                (GENERATION_PROCESS, b"nft\0"),
            ],
        ));
        change.take(Received::Messages(datagram));
        let expected = Change {
            own_table: true,
            generation: Some(9),
            pid: Some(256),
            process: Some("nft".into()),
            overrun: false,
        };
        assert_eq!(change, expected);
    }

    #[test]
    fn a_change_elsewhere_is_not_ours_but_a_lost_one_may_be() {
        let mut change = Change::default();
        change.take(Received::Messages(told(2, &[(TABLE_NAME, b"nat\0")])));
        assert!(!change.own_table);
        change.take(Received::Overrun);
        assert!(change.own_table);
    }
}
