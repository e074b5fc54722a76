//! A default route, where the network has none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cib_redsocks::selftest;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

/// Whatever has no route starts at the device that leads to the upstream, as `ip route add
/// default dev NAME` makes it. The device's index if a route was added, `None` if the network
/// has a way out by itself.
///
/// # Errors
/// The kernel refused, or no device leads to any of the upstream's addresses.
pub(super) async fn give_default(upstream: &[IpAddr]) -> io::Result<Option<u32>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    // With the answer the connection goes, and the buffers that it holds.
    tokio::select! {
        given = give(&handle, upstream) => given,
        () = connection => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

async fn give(handle: &Handle, upstream: &[IpAddr]) -> io::Result<Option<u32>> {
    let target = IpAddr::V4(*selftest::TARGET.ip());
    if device_to(handle, target).await.is_some() {
        return Ok(None);
    }
    for address in upstream {
        if let Some(device) = device_to(handle, *address).await {
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(device)
                .scope(RouteScope::Link)
                .build();
            let added = handle.route().add(route).execute().await;
            return added.map(|()| Some(device)).map_err(into_io);
        }
    }
    Err(io::ErrorKind::NetworkUnreachable.into())
}

/// The index of the device by which the kernel would send to `address` now.
async fn device_to(handle: &Handle, address: IpAddr) -> Option<u32> {
    let asked = match address {
        IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .build(),
        IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(address, 128)
            .build(),
    };
    let answer = handle.route().get(asked).execute().try_next().await;
    answer.ok().flatten().as_ref().and_then(device_of)
}

fn device_of(route: &RouteMessage) -> Option<u32> {
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        })
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
