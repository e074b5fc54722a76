//! Devices that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

/// What the kernel tells without being asked.
type Told = dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send + Unpin;

/// Knows the devices of a network namespace, and tells when they change.
pub struct Links {
    told: Box<Told>,
    devices: BTreeMap<u32, String>,
}

impl Links {
    /// Begins to watch the current network namespace, and lists its devices.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn open() -> io::Result<Self> {
        let (connection, handle, told) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
        // It ends by itself when nobody listens any more.
        tokio::spawn(connection);
        let mut links = Self {
            told: Box::new(told.map(|(message, _)| message)),
            devices: BTreeMap::new(),
        };
        // What changes meanwhile is told afterwards, and in order.
        let mut listing = handle.link().get().execute();
        while let Some(device) = listing.try_next().await.map_err(io::Error::other)? {
            links.insert(&device);
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
    /// The socket failed and no other could be opened.
    pub async fn next(&mut self) -> io::Result<BTreeSet<String>> {
        let before = self.devices();
        loop {
            match self.told.next().await.map(|message| message.payload) {
                Some(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(device))) => {
                    self.insert(&device);
                }
                Some(NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(device))) => {
                    self.devices.remove(&device.header.index);
                }
                // The kernel had more to say than the socket could hold, or the socket is gone.
                Some(NetlinkPayload::Overrun(_)) | None => *self = Self::open().await?,
                Some(_) => {}
            }
            let now = self.devices();
            if now != before {
                return Ok(now);
            }
        }
    }

    /// A device that is new, or has another name now.
    fn insert(&mut self, device: &LinkMessage) {
        if device.header.flags.contains(LinkFlags::Loopback) {
            return;
        }
        let name = device
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
        if let Some(name) = name {
            self.devices.insert(device.header.index, name);
        }
    }
}
