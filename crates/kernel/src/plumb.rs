//! A pod's cable: a veth between the node and the pod, wired the way Calico wires it.
//!
//! ```text
//!   node                                   pod
//!   cali… ee:ee:ee:ee:ee:ee  ===veth===    eth0  10.0.0.7/32  fd00::7/128
//!   10.0.0.7/32 dev cali… (link)           default via 169.254.1.1, default via fe80::ecee:eeff:feee:eeee
//! ```
//! No subnet is shared: every packet of the pod goes through its node. Neighbours are permanent on both sides, so no
//! packet waits for an answer about a hardware address and the first one is already policed like the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use oncilla_net::IpNet;
use thiserror::Error;

use crate::link::{LinkError, LinkEvents, Links, Mac, Route, VethSpec};
use crate::netns::{Netns, NetnsError};
use crate::sysctl::{self, SysctlError};

/// The hardware address of every node-side end. One for all, so that a pod's neighbour entry never ages.
pub const HOST_MAC: Mac = Mac([0xee; 6]);
/// The pod's IPv4 gateway. Exists nowhere: only its neighbour entry does.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The pod's IPv6 gateway: the link-local address that follows from [`HOST_MAC`].
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);
/// The protocol number of routes made here, free for programs; `ip route` shows it as `proto 80`.
pub const ROUTE_PROTOCOL: u8 = 80;

/// How long an interface may take until it passes packets: that many waits, each until a change or that long.
const READY_WAIT: Duration = Duration::from_millis(500);
const READY_WAITS_MAX: u32 = 200;

/// What went wrong while plumbing.
#[derive(Debug, Error)]
pub enum PlumbError {
    /// A link, address, route or neighbour.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A setting.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel did not get an interface ready.
    #[error(
        "interface {iface} does not pass packets long after it was brought up: the kernel's workers are stuck"
    )]
    NotReady {
        /// Its name.
        iface: String,
    },
}

/// A cable to be laid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodCable {
    /// The node-side name, at most 15 bytes; `cali…` for workloads.
    pub host_iface: String,
    /// The pod-side name, usually `eth0`.
    pub pod_iface: String,
    /// The pod's addresses, of either family. May be empty.
    pub addresses: Vec<IpAddr>,
    /// Largest packet, in bytes; the kernel's choice when none.
    pub mtu_bytes: Option<u32>,
}

/// A cable that was laid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlumbedPod {
    /// Interface number on the node's side.
    pub host_index: u32,
    /// Interface number on the pod's side.
    pub pod_index: u32,
    /// Hardware address of the pod's side; the node's is [`HOST_MAC`].
    pub pod_mac: Mac,
}

/// Turns a fresh namespace into a node: loopback up, forwarding on for both families, source validation left to the
/// policy table.
pub fn prepare_node(node: &Netns) -> Result<(), PlumbError> {
    sysctl::write_in(
        node,
        &[
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
        ],
    )?;
    prepare_quiet(node)?;
    Ok(node.loopback_up()?)
}

/// Turns a fresh namespace into a pod's: loopback up, addresses usable at once, no router asked for.
pub fn prepare_pod(pod: &Netns) -> Result<(), PlumbError> {
    prepare_quiet(pod)?;
    Ok(pod.loopback_up()?)
}

/// Lays a cable from `node` to `pod`, both prepared before, and gives the pod its addresses and default routes.
/// Fails when `host_iface` exists: [`unplumb_pod`] first.
pub fn plumb_pod(node: &Netns, pod: &Netns, cable: &PodCable) -> Result<PlumbedPod, PlumbError> {
    let mut host = Links::open_in(node)?;
    let mut inside = Links::open_in(pod)?;
    host.create_veth(
        &VethSpec {
            name: cable.host_iface.clone(),
            mac: Some(HOST_MAC),
            peer_name: cable.pod_iface.clone(),
            peer_mac: None,
            mtu_bytes: cable.mtu_bytes,
        },
        Some(pod),
    )?;
    let laid = connect((node, pod), (&mut host, &mut inside), cable);
    if laid.is_err() {
        // Half a cable must not stay; the first error is the one to tell.
        let _gone = host.ensure_absent(&cable.host_iface);
    }
    laid
}

/// Takes a cable away, with its routes and neighbours; true when it was there.
pub fn unplumb_pod(node: &Netns, host_iface: &str) -> Result<bool, PlumbError> {
    Ok(Links::open_in(node)?.ensure_absent(host_iface)?)
}

/// Gives a plumbed pod one more address.
pub fn add_pod_address(
    node: &Netns,
    pod: &Netns,
    cable: &PodCable,
    address: IpAddr,
) -> Result<(), PlumbError> {
    let mut host = Links::open_in(node)?;
    let mut inside = Links::open_in(pod)?;
    let mut events = LinkEvents::open_in(pod)?;
    let iface = cable.pod_iface.as_str();
    let mac = inside.link(iface)?.mac.unwrap_or(Mac([0; 6]));
    inside.ensure_address(iface, IpNet::from(address))?;
    route_address(&mut host, &cable.host_iface, address, mac)?;
    wait_until(&mut events, iface, || inside.is_local(iface, address))
}

/// Sends what is for `address` over interface `iface` to hardware address `mac`, without asking anybody.
pub fn route_address(
    links: &mut Links,
    iface: &str,
    address: IpAddr,
    mac: Mac,
) -> Result<(), LinkError> {
    links.replace_neighbour(iface, address, mac)?;
    links.replace_route(&Route::new(IpNet::from(address), ROUTE_PROTOCOL).dev(iface))
}

fn connect(
    (node, pod): (&Netns, &Netns),
    (host, inside): (&mut Links, &mut Links),
    cable: &PodCable,
) -> Result<PlumbedPod, PlumbError> {
    let name = cable.host_iface.as_str();
    sysctl::write_in(
        node,
        &[
            (&format!("ipv4/conf/{name}/proxy_arp"), "1"),
            (&format!("ipv4/conf/{name}/forwarding"), "1"),
            (&format!("ipv6/conf/{name}/forwarding"), "1"),
            (&format!("ipv6/conf/{name}/accept_ra"), "0"),
            // The kernel would make the link-local address later, from a worker: until then the node's own packets
            // would leave with the loopback's address.
            (&format!("ipv6/conf/{name}/addr_gen_mode"), "1"),
        ],
    )?;
    let iface = cable.pod_iface.as_str();
    let mut host_events = LinkEvents::open_in(node)?;
    let mut pod_events = LinkEvents::open_in(pod)?;
    host.set_up(name)?;
    inside.set_up(iface)?;
    wait_until(&mut host_events, name, || Ok(host.link(name)?.running))?;
    wait_until(&mut pod_events, iface, || Ok(inside.link(iface)?.running))?;
    host.ensure_address(name, IpNet::new_assert(GATEWAY_V6.into(), 64))?;
    let host_index = host.index(name)?;
    let pod_link = inside.link(iface)?;
    let pod_mac = pod_link.mac.unwrap_or(Mac([0; 6]));
    for &address in &cable.addresses {
        inside.ensure_address(iface, IpNet::from(address))?;
        route_address(host, name, address, pod_mac)?;
    }
    default_routes(inside, iface)?;
    wait_until(&mut host_events, name, || {
        host.is_local(name, GATEWAY_V6.into())
    })?;
    for &address in &cable.addresses {
        wait_until(&mut pod_events, iface, || inside.is_local(iface, address))?;
    }
    Ok(PlumbedPod {
        host_index,
        pod_index: pod_link.index,
        pod_mac,
    })
}

/// Waits for what the kernel does from workers of its own after it has answered: starting an end's queue, and taking
/// in packets for an IPv6 address. Until then packets would vanish.
fn wait_until(
    events: &mut LinkEvents,
    iface: &str,
    mut ready: impl FnMut() -> Result<bool, LinkError>,
) -> Result<(), PlumbError> {
    for _ in 0..READY_WAITS_MAX {
        if ready()? {
            return Ok(());
        }
        events.wait(READY_WAIT)?;
    }
    Err(PlumbError::NotReady {
        iface: iface.to_owned(),
    })
}

/// Both families get a default route even if the pod has no address of one: what it sends anyway must reach the node,
/// where policy sees it.
fn default_routes(inside: &mut Links, iface: &str) -> Result<(), LinkError> {
    let any4 = IpNet::new_assert(Ipv4Addr::UNSPECIFIED.into(), 0);
    let any6 = IpNet::new_assert(Ipv6Addr::UNSPECIFIED.into(), 0);
    inside.replace_neighbour(iface, GATEWAY_V4.into(), HOST_MAC)?;
    inside.replace_neighbour(iface, GATEWAY_V6.into(), HOST_MAC)?;
    let gateway = IpNet::from(IpAddr::V4(GATEWAY_V4));
    inside.replace_route(&Route::new(gateway, ROUTE_PROTOCOL).dev(iface))?;
    inside.replace_route(
        &Route::new(any4, ROUTE_PROTOCOL)
            .dev(iface)
            .via(GATEWAY_V4.into()),
    )?;
    inside.replace_route(
        &Route::new(any6, ROUTE_PROTOCOL)
            .dev(iface)
            .via(GATEWAY_V6.into()),
    )
}

/// Addresses are assigned, not negotiated, so nothing is asked on the wire.
fn prepare_quiet(netns: &Netns) -> Result<(), SysctlError> {
    sysctl::write_in(
        netns,
        &[
            ("ipv6/conf/all/accept_dad", "0"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
        ],
    )
}
