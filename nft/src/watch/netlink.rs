//! Netlink sockets and the frame of their messages (`linux/netlink.h`).

use std::io;

use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use rtnetlink::packet_core::{
    DefaultNla, Emitable, ErrorBuffer, NLA_HEADER_SIZE, NLMSG_ALIGNTO, NetlinkBuffer,
    NetlinkHeader, NlasIterator,
};

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
        let frame = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = usize::try_from(frame.length()).ok()?;
        let next = length.next_multiple_of(usize::from(NLMSG_ALIGNTO));
        datagram = datagram.get(next..).unwrap_or_default();
        Some(Message {
            kind: frame.message_type(),
            body: frame.payload(),
        })
    })
}

impl<'a> Message<'a> {
    /// The attributes after a header of `header` bytes: type and payload.
    pub(super) fn attributes(self, header: usize) -> impl Iterator<Item = (u16, &'a [u8])> {
        let attributes = NlasIterator::new(self.body.get(header..).unwrap_or_default());
        attributes.map_while(Result::ok).map(|attribute| {
            let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
            (kind, &attribute.into_inner()[NLA_HEADER_SIZE..length])
        })
    }

    /// The error number of a message of type `NLMSG_ERROR`; 0 is an acknowledgement.
    pub(super) fn error(self) -> Option<i32> {
        let error = ErrorBuffer::new_checked(self.body).ok()?;
        Some(error.code().map_or(0, |code| -code.get()))
    }
}

/// A message of `kind` with `body`, which ends aligned.
pub(super) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    let length = header.buffer_len() + body.len();
    header.length = u32::try_from(length).expect("our messages are short");
    header.message_type = kind;
    header.flags = flags;
    let mut message = emitted(&header);
    message.extend(body);
    message
}

/// An attribute of `kind` with `payload`, padded.
pub(super) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    emitted(&DefaultNla::new(kind, payload.to_vec()))
}

fn emitted(part: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; part.buffer_len()];
    part.emit(&mut bytes);
    bytes
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtnetlink::packet_core::NLM_F_REQUEST;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut body = vec![1, 2, 3, 4];
        body.extend(attribute(7, b"eth0\0"));
        body.extend(attribute(8, &[0, 0, 1, 0]));
        let mut datagram = message(16, NLM_F_REQUEST, &body);
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
