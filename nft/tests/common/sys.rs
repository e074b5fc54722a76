//! The one call that the safe crates do not have: an address of a packet socket.
#![expect(
    unsafe_code,
    reason = "socket2 can only be given a raw link-layer address"
)]

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

/// `struct sockaddr_ll` (packet(7)).
#[repr(C)]
struct LinkAddress {
    family: u16,
    protocol: u16,
    index: i32,
    hardware: u16,
    kind: u8,
    length: u8,
    address: [u8; 8],
}

/// Puts `frame`, Ethernet header included, on the device with `index`, and says to the kernel
/// that it is of type `claimed`.
pub(crate) fn send_frame(index: i32, claimed: u16, frame: &[u8]) -> std::io::Result<usize> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: it is laid out as the kernel's `struct sockaddr_ll`, of integers alone.
    let link = unsafe { storage.view_as::<LinkAddress>() };
    *link = LinkAddress {
        family: 17,
        protocol: claimed.to_be(),
        index,
        hardware: 0,
        kind: 0,
        length: 6,
        address: [0xff; 8],
    };
    let length = u32::try_from(size_of::<LinkAddress>()).unwrap();
    // SAFETY: an address of this length was just written to the storage.
    let address = unsafe { SockAddr::new(storage, length) };
    socket.send_to(frame, &address)
}
