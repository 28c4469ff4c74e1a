//! A program as text, for people and for tests. The form is no interface: nothing parses it.

use std::collections::BTreeMap;
use std::fmt;

use oncilla_net::PortSet;

use crate::{
    Bank, ClassId, Dispatch, Group, Hook, Levels, Peer, PortSide, ProfileEnd, Program, Rule,
    RuleVerdict, SetRef, TierEnd,
};

impl fmt::Display for RuleVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Pass => "pass",
            Self::Log => "log",
        })
    }
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Group(id) => write!(f, "{id}"),
        }
    }
}

/// The criteria in the order of the struct, then the comment.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if let Some(prefix) = &self.log_prefix {
            write!(f, " {prefix:?}")?;
        }
        if let Some(family) = self.family {
            write!(f, " {family}")?;
        }
        match &self.peer {
            Peer::Any => {}
            Peer::Classes(classes) => {
                write!(f, " peer {{{}}}", list(classes.iter().map(|class| class.0)))?;
            }
            Peer::Sets(sets) => {
                for criterion in sets {
                    let not = if criterion.negated { "!" } else { "" };
                    let (SetRef::Classes(set) | SetRef::Addresses(set) | SetRef::Service(set)) =
                        &criterion.set;
                    write!(f, " peer {not}@{set}")?;
                }
            }
        }
        for criterion in &self.local {
            let not = if criterion.negated { "!" } else { "" };
            write!(f, " local {not}@{}", criterion.set)?;
        }
        if let Some(protocol) = self.protocol {
            write!(f, " {protocol}")?;
        }
        if let Some(protocol) = self.not_protocol {
            write!(f, " !{protocol}")?;
        }
        if self.without_ports {
            f.write_str(" without ports")?;
        }
        if let Some(icmp) = self.icmp {
            write!(f, " type {icmp}")?;
        }
        if let Some(icmp) = self.not_icmp {
            write!(f, " type !{icmp}")?;
        }
        let ports: [(&str, &Option<PortSet>); 4] = [
            ("src", &self.src_ports),
            ("src !", &self.not_src_ports),
            ("dst", &self.dst_ports),
            ("dst !", &self.not_dst_ports),
        ];
        for (side, set) in ports {
            if let Some(set) = set {
                write!(f, " {side} {set}")?;
            }
        }
        for named in &self.named_ports {
            let not = if named.negated { "!" } else { "" };
            let side = match named.side {
                PortSide::Source => "src",
                PortSide::Destination => "dst",
            };
            write!(f, " {side} {not}@{}", named.set)?;
        }
        for named in &self.local_ports {
            let not = if named.negated { "!" } else { "" };
            write!(f, " local port {not}@{}", named.set)?;
        }
        write!(f, "  # {}", self.comment)
    }
}

impl fmt::Display for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Levels {
            k1,
            k2,
            k3,
            k4,
            k5,
            k6,
        } = &self.levels;
        let k1 = k1
            .iter()
            .map(|((class, protocol, port), to)| (format!("{}.{protocol}.{port}", class.0), *to));
        let k2 = k2
            .iter()
            .map(|((class, protocol), to)| (format!("{}.{protocol}", class.0), *to));
        let k3 = k3
            .iter()
            .map(|(ClassId(class), to)| (class.to_string(), *to));
        let k4 = k4
            .iter()
            .map(|((protocol, port), to)| (format!("{protocol}.{port}"), *to));
        let k5 = k5.iter().map(|(protocol, to)| (protocol.to_string(), *to));
        let k6 = k6.iter().map(|to| ("all".to_owned(), *to));
        write_level(f, 1, k1)?;
        write_level(f, 2, k2)?;
        write_level(f, 3, k3)?;
        write_level(f, 4, k4)?;
        write_level(f, 5, k5)?;
        write_level(f, 6, k6)?;
        self.tail
            .iter()
            .try_for_each(|rule| writeln!(f, "      {rule}"))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} ", self.id)?;
        if self.hook != Hook::Normal {
            write!(f, "{} ", self.hook)?;
        }
        writeln!(f, "{}", self.direction)?;
        for tier in &self.tiers {
            writeln!(f, "  tier {}: {}", tier.name, tier.comment)?;
            write_banks(f, &tier.banks)?;
            let end = match tier.end {
                TierEnd::Deny => "deny",
                TierEnd::Pass => "pass",
            };
            writeln!(f, "    end {end}")?;
        }
        match &self.profiles {
            ProfileEnd::Allow => writeln!(f, "  profiles allow"),
            ProfileEnd::Deny => writeln!(f, "  profiles deny"),
            ProfileEnd::Continue => writeln!(f, "  goes on"),
            ProfileEnd::Banks(banks) => {
                writeln!(f, "  profiles")?;
                write_banks(f, banks)?;
                writeln!(f, "    end deny")
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts4 = self
            .addresses
            .hosts4
            .iter()
            .map(|(addr, class)| (addr.to_string(), class.0));
        let hosts6 = self
            .addresses
            .hosts6
            .iter()
            .map(|(addr, class)| (addr.to_string(), class.0));
        let nets4 = self
            .addresses
            .nets4
            .iter()
            .map(|(net, class)| (net.to_string(), class.0));
        let nets6 = self
            .addresses
            .nets6
            .iter()
            .map(|(net, class)| (net.to_string(), class.0));
        for (addr, class) in hosts4.chain(hosts6).chain(nets4).chain(nets6) {
            writeln!(f, "{addr} class {class}")?;
        }
        for (name, set) in &self.class_sets {
            let members = list(set.classes.iter().map(|class| class.0));
            writeln!(f, "set {name} {{{members}}}  # {}", set.text)?;
        }
        for (name, set) in &self.port_sets {
            let member = |member: &crate::ClassPort| {
                format!("{}.{}.{}", member.class.0, member.protocol, member.port)
            };
            writeln!(
                f,
                "set {name} {{{}}}  # {}",
                list(set.members.iter().map(member)),
                set.text
            )?;
        }
        for (name, set) in &self.address_sets {
            let members = set.hosts.iter().map(ToString::to_string);
            let members = list(members.chain(set.nets.iter().map(ToString::to_string)));
            writeln!(f, "set {name} {{{members}}}  # {}", set.text)?;
        }
        for (name, set) in &self.service_sets {
            let members = set.members.iter();
            let members = members.map(|(addr, proto, port)| format!("{addr}.{proto}.{port}"));
            writeln!(f, "set {name} {{{}}}  # {}", list(members), set.text)?;
        }
        for group in self.groups.values() {
            write!(f, "{group}")?;
        }
        for (interface, endpoint) in &self.endpoints {
            let (name, addresses) = (&endpoint.name, list(&endpoint.addresses));
            writeln!(f, "endpoint {interface} {name} {addresses}")?;
            writeln!(
                f,
                "  ingress {}, egress {}",
                endpoint.ingress, endpoint.egress
            )?;
        }
        for (interface, host) in &self.hosts {
            writeln!(f, "host {interface} {}", host.name)?;
            for ((hook, direction), group) in &host.groups {
                writeln!(f, "  {hook} {direction} {group}")?;
            }
        }
        Ok(())
    }
}

fn write_banks(f: &mut fmt::Formatter<'_>, banks: &[Bank]) -> fmt::Result {
    for (index, bank) in banks.iter().enumerate() {
        write!(f, "    bank {index}\n{bank}")?;
    }
    Ok(())
}

fn write_level(
    f: &mut fmt::Formatter<'_>,
    level: u8,
    entries: impl Iterator<Item = (String, RuleVerdict)>,
) -> fmt::Result {
    let mut keys: BTreeMap<RuleVerdict, Vec<String>> = BTreeMap::new();
    for (key, verdict) in entries {
        keys.entry(verdict).or_default().push(key);
    }
    keys.iter().try_for_each(|(verdict, keys)| {
        writeln!(f, "      K{level} {verdict}: {}", keys.join(", "))
    })
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}
