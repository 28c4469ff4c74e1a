//! What others' rules may do to packets, read from tables that their own tool made.

use oncilla_kernel::nf_tables::{Deed, Done, Hooked, Socket, TableFamily};
use oncilla_nft::object::Name;

use super::nf_tables::{TABLE, batch, inside, nft};

/// A table of our family with a hook that ours never has.
const INGRESS: &str = r#"
table inet other {
  chain early {
    type filter hook ingress device "lo" priority 0; policy accept;
  }
}
"#;

#[test]
fn a_strangers_hook_does_not_keep_us_from_reading_our_own_table() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&batch()).unwrap();
        nft(&["-f", "-"], INGRESS).unwrap();
        let ours = socket.read_table(TABLE).unwrap();
        assert!(ours.is_some());
        let names: Vec<Name> = socket
            .tables()
            .unwrap()
            .into_iter()
            .map(|listed| listed.table.name)
            .collect();
        assert_eq!(names, ["oncilla".into(), Name::from("other")]);
    });
}

/// What a host with several tenants of nf_tables has, each in the family it uses.
const TENANTS: &str = r#"
table ip nat {
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    tcp dport 80 dnat to 10.0.0.1
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    masquerade
  }
}
table ip raw {
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    udp dport 53 notrack
    meta mark set meta mark or 0x4000
    ip dscp set 4
    ip daddr set 192.0.2.1
  }
  chain output {
    type filter hook output priority -300; policy accept;
    meta mark set ct mark
  }
}
table ip6 filter {
  map services {
    type inet_service : verdict
    elements = { 80 : goto no_endpoints, * : jump rest }
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    tcp dport vmap @services
    udp dport vmap { 53 : accept }
  }
  chain no_endpoints {
    reject
    counter
    drop
  }
  chain rest {
    udp sport 1-1000 return
    accept
  }
  chain never {
    ip6 daddr set ::1
  }
}
table netdev edge {
  chain in {
    type filter hook ingress device "lo" priority 10; policy accept;
    udp dport 9 drop
  }
  chain out {
    type filter hook egress device "lo" priority 0; policy accept;
    udp dport 9 fwd to "lo"
  }
}
table bridge filter {
  chain forward {
    type filter hook forward priority 0; policy accept;
    ether type ip drop
  }
}
table inet asleep {
  flags dormant
  chain forward {
    type filter hook forward priority 0; policy drop;
  }
}
table arp filter {
  chain input {
    type filter hook input priority 0; policy drop;
  }
}
"#;

fn said(hooked: &Hooked) -> String {
    let deeds = hooked.deeds.iter().map(|done| {
        let Done {
            deed,
            chain,
            rule,
            rules,
        } = done;
        format!(", {chain} {rule} {deed} x{rules}")
    });
    let Hooked {
        family,
        table,
        chain,
        point,
        priority,
        drops,
        ..
    } = hooked;
    let end = if *drops { " drop" } else { "" };
    let deeds: String = deeds.collect();
    format!("{family} {table} {chain}: {point} {priority}{end}{deeds}")
}

#[test]
fn what_everybodys_rules_may_do_is_read_in_every_family() {
    inside(|_| {
        let mut socket = Socket::open().unwrap();
        socket.commit(&batch()).unwrap();
        nft(&["-f", "-"], TENANTS).unwrap();
        nft(&["-f", "-"], INGRESS).unwrap();
        let skip = |family, name: &str| (family, name) == (TableFamily::Inet, TABLE);
        let found: Vec<String> = socket.hooked(&skip).unwrap().iter().map(said).collect();
        let expected = [
            "inet other early: ingress 0",
            "ip nat postrouting: postrouting 100, postrouting 0 source NAT x1",
            "ip nat prerouting: prerouting -100, prerouting 0 destination NAT x1",
            "ip raw output: output -300, output 0 mark bits 0xffffffff x1",
            "ip raw prerouting: prerouting -300, prerouting 1 mark bits 0x00004000 x1, \
             prerouting 0 notrack x1, prerouting 3 rewrite of addresses or ports x1",
            "ip6 filter forward: forward 0 drop, forward 1 accept x1, rest 1 accept x1, \
             no_endpoints 0 drop x2",
            "netdev edge in: ingress 10, in 0 drop x1",
            "netdev edge out: egress 0, out 0 fwd or dup x1",
            "bridge filter forward: forward 0, forward 0 drop x1",
        ];
        assert_eq!(found, expected);
    });
}

/// A kube-proxy has a chain for each service: what all of them do must not hide what one rule does.
#[test]
fn many_chains_do_not_hide_a_rule_that_takes_packets_from_us() {
    inside(|_| {
        let chains = (0..300).map(|number| format!("chain c{number} {{ accept; }}"));
        let jumps = (0..300).map(|number| format!("udp dport {} jump c{number}", number + 1));
        let text = format!(
            "table ip many {{\n{}\nchain first {{\ntype filter hook prerouting priority -300;\n{}\nnotrack\n}}\n}}\n",
            chains.collect::<Vec<_>>().join("\n"),
            jumps.collect::<Vec<_>>().join("\n")
        );
        nft(&["-f", "-"], &text).unwrap();
        let found = Socket::open().unwrap().hooked(&|_, _| false).unwrap();
        let [first] = found.as_slice() else {
            panic!("{found:#?}");
        };
        let is_notrack = |done: &Done| done.deed == Deed::Notrack;
        assert!(first.deeds.iter().any(is_notrack), "{first:#?}");
    });
}
