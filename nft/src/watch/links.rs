//! Devices that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{
    DONE, DUMP, Message, REQUEST, Received, Watch, message, messages, text, u32_at,
};

/// `RTNLGRP_LINK` (`linux/rtnetlink.h`)
const GROUP: u32 = 1;
const NEW_LINK: u16 = 16;
const DELETED_LINK: u16 = 17;
const GET_LINK: u16 = 18;
/// `struct ifinfomsg`
const LINK_HEADER: usize = 16;
const LINK_INDEX: usize = 4;
const LINK_FLAGS: usize = 8;
/// `IFF_LOOPBACK`
const LOOPBACK: u32 = 0x8;
/// `IFLA_IFNAME`
const NAME: u16 = 3;

/// Knows the devices of a network namespace, and tells when they change.
pub struct Links {
    watch: Watch,
    devices: BTreeMap<u32, String>,
    /// Those of a listing that has not ended yet.
    listing: Option<BTreeMap<u32, String>>,
}

impl Links {
    /// Begins to watch the current network namespace, and lists its devices.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn open() -> io::Result<Self> {
        let watch = Watch::open(NETLINK_ROUTE, &[GROUP])?;
        let mut links = Self {
            watch,
            devices: BTreeMap::new(),
            listing: None,
        };
        links.list()?;
        while links.listing.is_some() {
            let received = links.watch.receive().await?;
            links.take(received)?;
        }
        Ok(links)
    }

    /// The devices that a packet may leave by: all but the loopback.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<String> {
        self.devices.values().cloned().collect()
    }

    /// Waits until the devices are others, and returns them. Nothing is lost if the future is
    /// dropped, but what was learnt until then shows in [`devices`](Self::devices).
    ///
    /// # Errors
    /// The socket failed.
    pub async fn next(&mut self) -> io::Result<BTreeSet<String>> {
        let before = self.devices();
        loop {
            let received = self.watch.receive().await?;
            self.take(received)?;
            let now = self.devices();
            if now != before {
                return Ok(now);
            }
        }
    }

    fn list(&mut self) -> io::Result<()> {
        self.listing = Some(BTreeMap::new());
        self.watch
            .send(&message(GET_LINK, REQUEST | DUMP, &[0; LINK_HEADER]))
    }

    fn take(&mut self, received: Received) -> io::Result<()> {
        match received {
            Received::Messages(datagram) => {
                messages(&datagram).for_each(|message| self.take_message(message));
                Ok(())
            }
            Received::Overrun => self.list(),
        }
    }

    /// A device that comes or goes while the listing is made is told in its own message, before
    /// or after the part of the listing that it is in.
    fn take_message(&mut self, message: Message<'_>) {
        let index = u32_at(message.body, LINK_INDEX);
        match (message.kind, index) {
            (NEW_LINK, Some(index)) => {
                if let Some(name) = outward(message) {
                    if let Some(listing) = &mut self.listing {
                        listing.insert(index, name.clone());
                    }
                    self.devices.insert(index, name);
                }
            }
            (DELETED_LINK, Some(index)) => {
                if let Some(listing) = &mut self.listing {
                    listing.remove(&index);
                }
                self.devices.remove(&index);
            }
            (DONE, _) => {
                if let Some(listing) = self.listing.take() {
                    self.devices = listing;
                }
            }
            _ => {}
        }
    }
}

/// The name of a device that is not the loopback.
fn outward(message: Message<'_>) -> Option<String> {
    if u32_at(message.body, LINK_FLAGS)? & LOOPBACK != 0 {
        return None;
    }
    let mut attributes = message.attributes(LINK_HEADER);
    attributes
        .find(|(kind, _)| *kind == NAME)
        .map(|(_, payload)| text(payload))
}
