//! What listens in a network namespace, as the kernel tells it, and which declared ports are served by nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use oncilla_api::TransportProtocol;
use oncilla_kernel::netns::Netns;

use crate::options::ListenPort;

/// Where the kernel lists sockets, and the state (`include/net/tcp_states.h`) of those that take in what comes from
/// anybody: TCP's listen, and a UDP socket that is not connected.
const LISTS: [(&str, TransportProtocol, &str); 4] = [
    ("tcp", TransportProtocol::Tcp, "0A"),
    ("tcp6", TransportProtocol::Tcp, "0A"),
    ("udp", TransportProtocol::Udp, "07"),
    ("udp6", TransportProtocol::Udp, "07"),
];

/// Ports of a namespace that answer to others.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Listening {
    /// On an address that others reach.
    reachable: BTreeSet<ListenPort>,
    /// On a loopback address.
    loopback: BTreeSet<ListenPort>,
}

impl Listening {
    /// Looks into a namespace.
    pub(crate) fn of(net: &Netns) -> io::Result<Self> {
        let lists = net.run(|| {
            LISTS.map(|(name, _, _)| {
                // Not `/proc/net`, which is that of the process' first thread.
                fs::read_to_string(format!("/proc/thread-self/net/{name}"))
            })
        });
        let mut listening = Self::default();
        let lists = lists.map_err(io::Error::other)?;
        for ((_, protocol, state), list) in LISTS.into_iter().zip(lists) {
            match list {
                Ok(list) => listening.add(protocol, state, &list),
                // A kernel without IPv6 has no such list.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listening)
    }

    fn add(&mut self, protocol: TransportProtocol, state: &str, list: &str) {
        for line in list.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (local, _remote, its) = (fields.next(), fields.next(), fields.next());
            if its != Some(state) {
                continue;
            }
            let Some((address, port)) = local.and_then(socket_address) else {
                continue;
            };
            let ports = if address.is_loopback() {
                &mut self.loopback
            } else {
                &mut self.reachable
            };
            ports.insert(ListenPort { protocol, port });
        }
    }

    /// What a person should know of ports that a pod declares. The kernel lists no SCTP sockets where it has none:
    /// nothing is said of those.
    pub(crate) fn notes(&self, declared: &[ListenPort]) -> Vec<String> {
        if declared.is_empty() && self.reachable.is_empty() {
            return vec!["nothing listens".to_owned()];
        }
        let told = declared
            .iter()
            .filter(|port| port.protocol != TransportProtocol::Sctp);
        let (mut silent, mut shut) = (Vec::new(), Vec::new());
        for port in told.filter(|port| !self.reachable.contains(port)) {
            let which = if self.loopback.contains(port) {
                &mut shut
            } else {
                &mut silent
            };
            which.push(port.to_string());
        }
        let mut notes = Vec::new();
        if !silent.is_empty() {
            notes.push(format!("nothing listens on {}", silent.join(", ")));
        }
        if !shut.is_empty() {
            let ports = shut.join(", ");
            notes.push(format!("{ports}: listens on a loopback address only"));
        }
        notes
    }
}

/// `0100007F:1F41`: the address in words of the machine's byte order, the port as a number.
fn socket_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    if !matches!(address.len(), 8 | 32) {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address.as_bytes().chunks(8).map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    });
    let address = match words.collect::<Option<Vec<[u8; 4]>>>()?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        words => {
            let octets: [u8; 16] = words.as_flattened().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use oncilla_kernel::netns::Netns;

    use super::{Listening, socket_address};
    use crate::options::ListenPort;

    #[test]
    fn addresses_are_read_in_the_machines_byte_order() {
        let read = |text: &str| socket_address(text).unwrap();
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        assert_eq!(
            read(&format!("{loopback:08X}:1F41")),
            ("127.0.0.1".parse().unwrap(), 8001)
        );
        let mapped = u32::from_ne_bytes([0, 0, 255, 255]);
        assert_eq!(
            read(&format!("0000000000000000{mapped:08X}{loopback:08X}:0001")),
            ("127.0.0.1".parse().unwrap(), 1)
        );
        for text in ["", "00:00", "xyz:1", "00000000", "00000000:12345"] {
            assert_eq!(socket_address(text), None, "{text}");
        }
    }

    #[test]
    fn a_namespace_tells_what_listens_in_it() {
        let net = Netns::new().unwrap();
        net.loopback_up().unwrap();
        let sockets = net
            .run(|| {
                let open = TcpListener::bind("0.0.0.0:8001").unwrap();
                let six = TcpListener::bind("[::]:8002").unwrap();
                let shut = TcpListener::bind("127.0.0.1:8003").unwrap();
                let udp = UdpSocket::bind("0.0.0.0:53").unwrap();
                let connected = UdpSocket::bind("0.0.0.0:54").unwrap();
                connected.connect("127.0.0.1:1").unwrap();
                (open, six, shut, udp, connected)
            })
            .unwrap();
        let declared = [
            ListenPort::tcp(8001),
            ListenPort::tcp(8002),
            ListenPort::tcp(8003),
            ListenPort::tcp(8004),
            ListenPort::tcp(53),
            ListenPort::udp(53),
            ListenPort::udp(54),
            "sctp/9".parse().unwrap(),
        ];
        let listening = Listening::of(&net).unwrap();
        assert_eq!(
            listening.notes(&declared),
            [
                "nothing listens on tcp/8004, tcp/53, udp/54",
                "tcp/8003: listens on a loopback address only"
            ]
        );
        assert_eq!(listening.notes(&[]), [] as [&str; 0]);
        drop(sockets);
        let listening = Listening::of(&net).unwrap();
        assert_eq!(listening, Listening::default());
        assert_eq!(listening.notes(&[]), ["nothing listens"]);
    }
}
