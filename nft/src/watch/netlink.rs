//! Netlink sockets and the frame of their messages (`linux/netlink.h`).

use std::io;

use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};

/// `NLM_F_REQUEST`
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`
pub(super) const ACK: u16 = 0x4;
/// `NLMSG_ERROR`
pub(super) const ERROR: u16 = 2;

const HEADER: usize = 16;
const ALIGNMENT: usize = 4;
/// `NLA_TYPE_MASK`: the two bits above say how the payload is written.
const TYPE: u16 = 0x3fff;
const ENOBUFS: i32 = 105;

/// The kernel's own address.
const KERNEL: u32 = 0;
/// The kernel builds no datagram larger than 32 KiB (`netlink_dump`).
const LARGEST: usize = 32 * 1024;

/// A socket that is never read before it is readable.
pub(super) struct Watch(TokioSocket);

/// What was read.
pub(super) enum Received {
    /// One datagram: one or more messages.
    Messages(Vec<u8>),
    /// The kernel had more to say than the socket could hold; something was lost.
    Overrun,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    /// What follows the common header.
    pub(super) body: &'a [u8],
}

impl Watch {
    /// Opens a socket of `protocol`, a member of `groups`.
    pub(super) fn open(protocol: isize, groups: &[u32]) -> io::Result<Self> {
        let mut watch = TokioSocket::new(protocol)?;
        let socket = watch.socket_mut();
        socket.bind_auto()?;
        groups
            .iter()
            .try_for_each(|&group| socket.add_membership(group))?;
        Ok(Self(watch))
    }

    /// Sends one message to the kernel.
    pub(super) fn send(&self, message: &[u8]) -> io::Result<()> {
        self.0
            .socket_ref()
            .send_to(message, &SocketAddr::new(KERNEL, 0), 0)
            .map(drop)
    }

    pub(super) async fn receive(&self) -> io::Result<Received> {
        let mut datagram = Vec::with_capacity(LARGEST);
        loop {
            datagram.clear();
            match self.0.recv_from(&mut datagram).await {
                // Others may send to a netlink socket too.
                Ok(from) if from.port_number() != KERNEL => {}
                Ok(_) => return Ok(Received::Messages(datagram)),
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => {
                    return Ok(Received::Overrun);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The messages of a datagram. What is cut off is passed over.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let body = datagram.get(HEADER..length)?;
        let kind = u16_at(datagram, 4)?;
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
        Some(Message { kind, body })
    })
}

impl<'a> Message<'a> {
    /// The attributes after a header of `header` bytes: type and payload.
    pub(super) fn attributes(self, header: usize) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.body.get(header..).unwrap_or_default();
        std::iter::from_fn(move || {
            let length = usize::from(u16_at(rest, 0)?);
            let payload = rest.get(4..length)?;
            let kind = u16_at(rest, 2)? & TYPE;
            rest = rest.get(aligned(length)..).unwrap_or_default();
            Some((kind, payload))
        })
    }

    /// The error number of a message of type [`ERROR`]; 0 is an acknowledgement.
    pub(super) fn error(self) -> Option<i32> {
        self.body
            .first_chunk()
            .map(|number| -i32::from_ne_bytes(*number))
    }
}

/// A message of `kind` with `body`, which ends aligned.
pub(super) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).expect("our messages are short");
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// An attribute of `kind` with `payload`, padded.
pub(super) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).expect("our attributes are short");
    let mut attribute = Vec::new();
    attribute.extend(length.to_ne_bytes());
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(payload);
    attribute.resize(aligned(attribute.len()), 0);
    attribute
}

/// The text of a payload, without the byte 0 that ends it.
pub(super) fn text(payload: &[u8]) -> String {
    let end = payload
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// A number in network order, as netfilter writes them.
pub(super) fn u32_from_network(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|bytes| u32::from_ne_bytes(*bytes))
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|bytes| u16::from_ne_bytes(*bytes))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut body = vec![1, 2, 3, 4];
        body.extend(attribute(7, b"eth0\0"));
        body.extend(attribute(8, &[0, 0, 1, 0]));
        let mut datagram = message(16, REQUEST, &body);
        datagram.extend(message(17, 0, &[]));
        let read: Vec<_> = messages(&datagram).collect();
        assert_eq!(
            read.iter().map(|message| message.kind).collect::<Vec<_>>(),
            [16, 17]
        );
        let attributes: Vec<_> = read[0].attributes(4).collect();
        assert_eq!(
            attributes.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [7, 8]
        );
        assert_eq!(text(attributes[0].1), "eth0");
        assert_eq!(u32_from_network(attributes[1].1), Some(256));
    }

    proptest! {
        #[test]
        fn no_datagram_is_read_beyond_its_end(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&datagram) {
                prop_assert!(message.attributes(4).all(|(_, payload)| payload.len() <= 200));
            }
        }
    }
}
