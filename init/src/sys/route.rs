//! A default route, where the network has none.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

/// Sends whatever has no route to this device, as `ip route add default dev NAME` does.
///
/// # Errors
/// The device is not there, its name is too long, or there is no right to.
pub fn add_default(device: &str) -> io::Result<()> {
    let socket: OwnedFd = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    let mut name = std::ffi::CString::new(device)?.into_bytes_with_nul();
    // SAFETY: an all-zero `rtentry` is a valid value: numbers, and a null device.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = any();
    route.rt_genmask = any();
    route.rt_flags = libc::RTF_UP;
    route.rt_dev = name.as_mut_ptr().cast();
    // SAFETY: the request reads one `rtentry`, and the name that it points to outlives it.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `0.0.0.0` as a socket address.
fn any() -> libc::sockaddr {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from(Ipv4Addr::UNSPECIFIED).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain data of the same size, one the generic form of the other.
    unsafe { std::mem::transmute(address) }
}
