//! The host's own interfaces and their addresses: what host endpoints are about, and who a connection of the
//! host belongs to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_kernel::link::{LinkError, Links};
use oncilla_model::Change;
use oncilla_net::IpNet;

use crate::options::PrefixList;

/// Interfaces by name, with their addresses, sorted.
pub(crate) type Interfaces = BTreeMap<Arc<str>, Arc<[IpAddr]>>;

/// All interfaces that are none of the agent's own workloads'. Those that Felix's configuration calls workloads' are among
/// them: what it says may change, and then a host endpoint must not miss its interface for a moment.
///
/// # Errors
/// When interfaces cannot be listed.
pub(crate) fn own_interfaces(workloads: &PrefixList) -> Result<Interfaces, LinkError> {
    let workloads = workloads.in_force();
    let mut links = Links::open()?;
    let mut interfaces = Interfaces::new();
    for link in links.list()? {
        if workloads.cover(&link.name) {
            continue;
        }
        match links.addresses(&link.name) {
            Ok(found) => {
                let mut addresses: Vec<IpAddr> = found.iter().map(IpNet::addr).collect();
                addresses.sort_unstable();
                addresses.dedup();
                interfaces.insert(link.name.into(), addresses.into());
            }
            // It went since it was listed.
            Err(LinkError::Absent { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(interfaces)
}

/// The node's routes, asked by address. Opened when first asked: most passes over connections need none.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    opened: RefCell<Option<Opened>>,
    failure: RefCell<Option<LinkError>>,
}

#[derive(Debug)]
struct Opened {
    links: Links,
    names: BTreeMap<u32, Arc<str>>,
}

impl Opened {
    fn new() -> Result<Self, LinkError> {
        let mut links = Links::open()?;
        let listed = links.list()?.into_iter();
        let names = listed.map(|link| (link.index, link.name.into())).collect();
        Ok(Self { links, names })
    }
}

impl Routes {
    /// The interface by which an address is reached; none when it is not, or when nobody can say: see
    /// [`Self::checked`].
    pub(crate) fn way_to(&self, addr: IpAddr) -> Option<Arc<str>> {
        let found = self.with(|routes| {
            let index = routes.links.way_to(addr)?;
            Ok(index.and_then(|index| routes.names.get(&index).cloned()))
        });
        self.told(found)
    }

    fn with<T>(
        &self,
        ask: impl FnOnce(&mut Opened) -> Result<T, LinkError>,
    ) -> Result<T, LinkError> {
        let mut opened = self.opened.borrow_mut();
        match &mut *opened {
            Some(routes) => ask(routes),
            none => ask(none.insert(Opened::new()?)),
        }
    }

    fn told<T: Default>(&self, answer: Result<T, LinkError>) -> T {
        answer.unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    /// All interfaces there are; see [`Self::checked`].
    pub(crate) fn interfaces(&self) -> Vec<Arc<str>> {
        let listed = self.with(|routes| Ok(routes.names.values().cloned().collect()));
        self.told(listed)
    }

    /// # Errors
    /// When a question could not be answered.
    pub(crate) fn checked(self) -> Result<(), LinkError> {
        self.failure.into_inner().map_or(Ok(()), Err)
    }
}

/// What leads from one list of interfaces to another.
pub(crate) fn changes(before: &Interfaces, after: &Interfaces) -> Vec<Change> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| Change::Interface(Arc::clone(name), None));
    let new = after
        .iter()
        .filter(|(name, addresses)| before.get(*name) != Some(*addresses));
    let new = new
        .map(|(name, addresses)| Change::Interface(Arc::clone(name), Some(Arc::clone(addresses))));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::{Interfaces, changes};

    #[test]
    fn only_what_differs_changes() {
        let list = |entries: &[(&str, &str)]| -> Interfaces {
            let entries = entries.iter();
            entries
                .map(|(name, addr)| ((*name).into(), [addr.parse().unwrap()].into()))
                .collect()
        };
        let before = list(&[
            ("eth0", "10.0.0.1"),
            ("eth1", "10.0.0.2"),
            ("lo", "127.0.0.1"),
        ]);
        let after = list(&[
            ("eth0", "10.0.0.9"),
            ("lo", "127.0.0.1"),
            ("eth2", "10.0.0.2"),
        ]);
        let names: Vec<String> = changes(&before, &after)
            .iter()
            .map(|change| format!("{change:?}").chars().take(16).collect())
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(changes(&after, &after).is_empty());
    }
}
