//! The calls that no safe crate has: a packet socket's address and its queue bypass, TUN devices,
//! and what an attacker does to other processes.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{AF_PACKET, PACKET_QDISC_BYPASS, SOL_PACKET, c_int, sockaddr_ll, socklen_t};
use nix::unistd::Pid;
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

/// Opens the TUN device `name` of the current network namespace, making it if it is not there:
/// IP packets alone, with nothing before them. It goes with the last descriptor.
///
/// # Errors
/// There is no `/dev/net/tun`, or no `NET_ADMIN`, or the name is taken or too long.
pub(crate) fn tun(name: &str) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all zeros is an `ifreq` without a name and without flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = i16::try_from(flags).unwrap_or_default();
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which lives
    // across the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result == 0 {
        Ok(file)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes a descriptor of another process.
///
/// # Errors
/// The kernel does not allow it.
pub(crate) fn take_descriptor(pid: i32, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers.
    let process = cib_base::sys::pidfd_open(Pid::from_raw(pid))?;
    let process = process.as_raw_fd();
    // SAFETY: takes integers.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) })
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = c_int::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives another process the least of the processor.
///
/// # Errors
/// The kernel does not allow it.
pub(crate) fn slow_down(pid: i32) -> io::Result<()> {
    let pid = libc::id_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: takes integers.
    done(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, 19) })
}

/// Leaves another process no descriptor more.
///
/// # Errors
/// The kernel does not allow it.
pub(crate) fn take_files(pid: i32) -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let old = std::ptr::null_mut();
    // SAFETY: the new limit is valid for the call, the old one is not asked for.
    done(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const none, old) })
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
