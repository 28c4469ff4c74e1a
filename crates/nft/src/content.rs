//! Elements and the sets outside groups: addresses, classes, endpoints, tombstones.

use std::collections::BTreeSet;
use std::net::IpAddr;

use oncilla_net::{Direction, Family, IpNet, MarkMask, Protocol, fault};
use oncilla_program::{
    AddressSet, ClassId, ClassPort, ClassSet, Dispatch, LocalEndpoint, PortSetOfClasses,
    ServiceSet, SetName,
};

use crate::object::{Element, FieldType, KeyPart, Name, Set, SetFlags, Value, Verdict};
use crate::ruleset::FilledSet;
use crate::skeleton::{dispatch_map, open_set};

/// Where an element belongs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Placed {
    /// The set or map.
    pub set: Name,
    /// The element.
    pub element: Element,
}

/// The element that gives a single address its class.
pub fn host_element(mask: MarkMask, addr: IpAddr, class: ClassId) -> Placed {
    let set = match addr {
        IpAddr::V4(_) => "addr4",
        IpAddr::V6(_) => "addr6",
    };
    Placed {
        set: set.into(),
        element: host_entry(mask, addr, class),
    }
}

/// The same without the name of its map, for all of them at once.
pub(crate) fn host_entry(mask: MarkMask, addr: IpAddr, class: ClassId) -> Element {
    let mark = mask.encode(class.0).0;
    match addr {
        IpAddr::V4(addr) => Element::mark(Value::ipv4(addr), mark),
        IpAddr::V6(addr) if fault::is("nft/ipv6-classes-forgotten") => {
            let unknown = ClassId::UNKNOWN_V6.0;
            Element::mark(Value::ipv6(addr), mask.encode(unknown).0)
        }
        IpAddr::V6(addr) => Element::mark(Value::ipv6(addr), mark),
    }
}

/// The element that gives a prefix its class.
pub fn net_element(mask: MarkMask, net: IpNet, class: ClassId) -> Placed {
    let set = match net {
        IpNet::V4(_) => "net4",
        IpNet::V6(_) => "net6",
    };
    let value = crate::object::MapValue::Mark(mask.encode(class.0).0);
    Placed {
        set: set.into(),
        element: Element::net(net).maps_to(value),
    }
}

/// The key of one class and port in a port set of classes.
fn class_port(mask: MarkMask, member: ClassPort) -> Element {
    let mark = mask.encode(member.class.0).0;
    Element::new(Value::mark_proto_port(mark, member.protocol.0, member.port))
}

/// `p<id>`: the classes of a predicate.
pub fn class_set(name: &SetName, set: &ClassSet, mask: MarkMask) -> FilledSet {
    let keys = set
        .classes
        .iter()
        .map(|id| Element::new(Value::word(mask.encode(id.0).0)));
    let elements = keys.collect();
    FilledSet {
        set: Set::new(name.0.as_ref(), FieldType::Mark).comment(&set.text),
        elements,
    }
}

/// `n<id>`: classes, protocols and ports of a port name.
pub fn port_set(name: &SetName, set: &PortSetOfClasses, mask: MarkMask) -> FilledSet {
    let key = [
        FieldType::Mark,
        FieldType::InetProto,
        FieldType::InetService,
    ];
    let elements = set
        .members
        .iter()
        .map(|member| class_port(mask, *member))
        .collect();
    FilledSet {
        set: Set::new(name.0.as_ref(), key).comment(&set.text),
        elements,
    }
}

/// One of the kernel's sets that an address set is made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AddressForm {
    /// Single addresses, a hash.
    Hosts,
    /// Prefixes, an interval set.
    Nets,
}

impl AddressForm {
    /// Which of the kernel's sets an address set needs in one family. None when it has no address there.
    pub fn of(set: &AddressSet, family: Family) -> Vec<Self> {
        let mut forms = Vec::new();
        if set
            .hosts
            .iter()
            .any(|addr| oncilla_net::family_of(*addr) == family)
        {
            forms.push(Self::Hosts);
        }
        if set.nets.iter().any(|net| Family::of_net(net) == family) {
            forms.push(Self::Nets);
        }
        forms
    }
}

/// The kernel's name of one part of an address set: `a<id>_4`, `a<id>_4n`, `a<id>_6`, `a<id>_6n`.
pub fn address_set_name(name: &SetName, family: Family, form: AddressForm) -> Name {
    let family = match family {
        Family::V4 => '4',
        Family::V6 => '6',
    };
    let form = match form {
        AddressForm::Hosts => "",
        AddressForm::Nets => "n",
    };
    format!("{name}_{family}{form}").into()
}

/// `a<id>…`: the kernel's sets of an address set, only those that have an element.
pub fn address_sets(name: &SetName, set: &AddressSet) -> Vec<FilledSet> {
    let mut filled = Vec::new();
    for family in Family::ALL {
        let field = match family {
            Family::V4 => FieldType::Ipv4Addr,
            Family::V6 => FieldType::Ipv6Addr,
        };
        for form in AddressForm::of(set, family) {
            let kernel = Set::new(address_set_name(name, family, form), field).comment(&set.text);
            let (kernel, elements): (Set, BTreeSet<Element>) = match form {
                AddressForm::Hosts => {
                    let hosts = set
                        .hosts
                        .iter()
                        .filter(|a| oncilla_net::family_of(**a) == family);
                    (kernel, hosts.map(|addr| Element::new(*addr)).collect())
                }
                AddressForm::Nets => {
                    let nets = set.nets.iter().filter(|net| Family::of_net(net) == family);
                    let elements = nets.map(|net| Element::net(*net)).collect();
                    (kernel.flags(SetFlags::INTERVAL), elements)
                }
            };
            filled.push(FilledSet {
                set: kernel,
                elements,
            });
        }
    }
    filled
}

/// The kernel's name of one family of a service set: `s<id>_4`, `s<id>_6`.
pub fn service_set_name(name: &SetName, family: Family) -> Name {
    match family {
        Family::V4 => format!("{name}_4").into(),
        Family::V6 => format!("{name}_6").into(),
    }
}

/// `s<id>…`: the kernel's sets of a service, one a family, also without elements: rules stay as they are.
pub fn service_sets(name: &SetName, set: &ServiceSet) -> [FilledSet; 2] {
    Family::ALL.map(|family| {
        let addr = match family {
            Family::V4 => FieldType::Ipv4Addr,
            Family::V6 => FieldType::Ipv6Addr,
        };
        let key = [addr, FieldType::InetProto, FieldType::InetService];
        let members = set.members.iter();
        let members = members.filter(|(addr, ..)| oncilla_net::family_of(*addr) == family);
        let elements = members.map(|(addr, protocol, port)| {
            let addr = match addr {
                IpAddr::V4(addr) => KeyPart::Ipv4(*addr),
                IpAddr::V6(addr) => KeyPart::Ipv6(*addr),
            };
            let parts = [addr, KeyPart::Proto(protocol.0), KeyPart::Port(*port)];
            Element::new(Value::concat(&parts))
        });
        FilledSet {
            elements: elements.collect(),
            set: Set::new(service_set_name(name, family), key).comment(&set.text),
        }
    })
}

/// The element that sends one direction of an endpoint to `chain`, or marks it as open.
pub fn dispatch_element(
    interface: &str,
    endpoint: &LocalEndpoint,
    direction: Direction,
    chain: Option<Name>,
) -> Placed {
    let (set, element) = match chain {
        Some(chain) => (
            dispatch_map(direction),
            Element::verdict(Value::ifname(interface), Verdict::Goto(chain)),
        ),
        None => (open_set(direction), Element::new(Value::ifname(interface))),
    };
    Placed {
        set: set.into(),
        element: element.comment(&endpoint.name),
    }
}

/// Which dispatch an endpoint has in a direction.
pub const fn dispatch_of(endpoint: &LocalEndpoint, direction: Direction) -> &Dispatch {
    match direction {
        Direction::Ingress => &endpoint.ingress,
        Direction::Egress => &endpoint.egress,
    }
}

/// A tombstone: packets of this flow are stopped for so many milliseconds. `None` when the addresses are of
/// two families.
pub fn tombstone(
    ends: (IpAddr, IpAddr),
    protocol: Protocol,
    ports: (u16, u16),
    timeout_ms: u64,
) -> Option<Placed> {
    let (set, src, dst) = match ends {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ("tomb4", KeyPart::Ipv4(src), KeyPart::Ipv4(dst)),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ("tomb6", KeyPart::Ipv6(src), KeyPart::Ipv6(dst)),
        _ => return None,
    };
    let parts = [
        src,
        dst,
        KeyPart::Proto(protocol.0),
        KeyPart::Port(ports.0),
        KeyPart::Port(ports.1),
    ];
    let element = Element::new(Value::concat(&parts)).timeout_ms(timeout_ms);
    Some(Placed {
        set: set.into(),
        element,
    })
}
