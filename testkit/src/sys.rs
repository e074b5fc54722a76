//! The two calls that no safe crate has: a packet socket's address and its queue bypass.

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;

use libc::{AF_PACKET, PACKET_QDISC_BYPASS, SOL_PACKET, c_int, sockaddr_ll, socklen_t};
use socket2::{SockAddr, Socket};

/// The address of everybody on the link of interface `index`, for frames of `protocol`
/// (an EtherType).
#[must_use]
pub(crate) fn broadcast_on(index: u32, protocol: u16) -> SockAddr {
    let mut storage = socket2::SockAddrStorage::zeroed();
    let mut hardware = [0; 8];
    hardware[..6].fill(0xff);
    let address = sockaddr_ll {
        sll_family: u16::try_from(AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or_default(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: hardware,
    };
    // SAFETY: `sockaddr_ll` is one of the address types that fit into a `sockaddr_storage`,
    // which the kernel's ABI promises to be large and aligned enough for each.
    *unsafe { storage.view_as::<sockaddr_ll>() } = address;
    let len = socklen_t::try_from(size_of::<sockaddr_ll>()).unwrap_or_default();
    // SAFETY: the storage was zeroed and then holds a whole `sockaddr_ll`, whose length this is.
    unsafe { SockAddr::new(storage, len) }
}

/// Lets the frames of a packet socket pass by the queueing discipline (packet(7)).
///
/// # Errors
/// The socket is not a packet socket.
pub(crate) fn bypass_queue(socket: &Socket) -> io::Result<()> {
    let on: c_int = 1;
    let len = socklen_t::try_from(size_of::<c_int>()).unwrap_or_default();
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the option's
    // value is a `c_int` that lives across the call, with its own length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SOL_PACKET,
            PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            len,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
