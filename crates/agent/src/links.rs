//! The host's own addresses: what the host opened to its own workloads is never policed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use oncilla_kernel::link::{LinkError, Links};
use oncilla_net::IpNet;

/// The addresses of all interfaces that are no workload's.
///
/// # Errors
/// When interfaces cannot be listed.
pub(crate) fn host_addresses(workload_prefix: &str) -> Result<BTreeSet<IpAddr>, LinkError> {
    let mut links = Links::open()?;
    let mut addresses = BTreeSet::new();
    for link in links.list()? {
        if link.name.starts_with(workload_prefix) {
            continue;
        }
        match links.addresses(&link.name) {
            Ok(found) => addresses.extend(found.iter().map(IpNet::addr)),
            // It went since it was listed.
            Err(LinkError::Absent { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(addresses)
}
