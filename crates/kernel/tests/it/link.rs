//! Links, addresses, routes, neighbours, and a pod's cable.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use oncilla_kernel::link::{LinkError, Links, Mac, Route, RouteKind, VethSpec};
use oncilla_kernel::netns::Netns;
use oncilla_kernel::plumb::{self, HOST_MAC, PodCable, ROUTE_PROTOCOL};
use oncilla_net::IpNet;

fn veth(name: &str, peer: &str) -> VethSpec {
    VethSpec {
        name: name.to_owned(),
        mac: Some("02:00:00:00:00:01".parse().unwrap()),
        peer_name: peer.to_owned(),
        peer_mac: Some("02:00:00:00:00:02".parse().unwrap()),
        mtu_bytes: Some(1400),
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn a_veth_pair_across_namespaces() {
    let (near, far) = (Netns::new().unwrap(), Netns::new().unwrap());
    let mut links = Links::open_in(&near).unwrap();
    links.create_veth(&veth("one", "two"), Some(&far)).unwrap();
    let again = links
        .create_veth(&veth("one", "three"), Some(&far))
        .unwrap_err();
    assert_eq!(again.to_string(), "could not create interface one");
    let one = links.link("one").unwrap();
    assert_eq!(
        (one.mac, one.mtu_bytes, one.up),
        (Some(Mac([2, 0, 0, 0, 0, 1])), 1400, false)
    );
    let mut beyond = Links::open_in(&far).unwrap();
    let two = beyond.link("two").unwrap();
    assert_eq!(
        (two.mac, two.mtu_bytes),
        (Some(Mac([2, 0, 0, 0, 0, 2])), 1400)
    );
    links.set_up("one").unwrap();
    assert!(links.link("one").unwrap().up);
    links.set_down("one").unwrap();
    assert!(!links.link("one").unwrap().up);
    assert!(links.ensure_absent("one").unwrap());
    assert!(!links.ensure_absent("one").unwrap());
    assert_eq!(beyond.find("two").unwrap(), None);
    assert!(matches!(links.index("one"), Err(LinkError::Absent { .. })));
    assert!(links.delete("one").is_err());
}

#[test]
fn a_bridge_carries_its_ports() {
    let (hub, a, b) = (
        Netns::new().unwrap(),
        Netns::new().unwrap(),
        Netns::new().unwrap(),
    );
    let mut links = Links::open_in(&hub).unwrap();
    links.create_bridge("br").unwrap();
    links.ensure_bridge("br").unwrap();
    assert!(links.create_bridge("br").is_err());
    links.set_up("br").unwrap();
    for (port, netns, address) in [("pa", &a, "10.9.0.1/24"), ("pb", &b, "10.9.0.2/24")] {
        let spec = VethSpec {
            mac: None,
            peer_mac: None,
            ..veth(port, "eth0")
        };
        links.create_veth(&spec, Some(netns)).unwrap();
        links.attach(port, "br").unwrap();
        links.set_up(port).unwrap();
        let mut inside = Links::open_in(netns).unwrap();
        inside.set_up("eth0").unwrap();
        inside.add_address("eth0", net(address)).unwrap();
    }
    let addr: SocketAddr = "10.9.0.2:80".parse().unwrap();
    let _listener = b.run(|| TcpListener::bind(addr)).unwrap().unwrap();
    let stream = a
        .run(|| TcpStream::connect_timeout(&addr, Duration::from_secs(5)))
        .unwrap();
    stream.unwrap();
}

#[test]
fn addresses_and_neighbours() {
    let netns = Netns::new().unwrap();
    let mut links = Links::open_in(&netns).unwrap();
    links.create_veth(&veth("one", "two"), None).unwrap();
    let (v4, v6) = (net("10.0.0.1/24"), net("fd00::1/64"));
    for address in [v4, v6] {
        links.add_address("one", address).unwrap();
        links.ensure_address("one", address).unwrap();
        let error = links.add_address("one", address).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("could not add address {address} on interface one")
        );
    }
    assert_eq!(links.addresses("one").unwrap(), [v4, v6]);
    links.delete_address("one", v4).unwrap();
    assert_eq!(links.addresses("one").unwrap(), [v6]);
    links.set_up("one").unwrap();
    let neighbour: IpAddr = "fd00::9".parse().unwrap();
    links.replace_neighbour("one", neighbour, HOST_MAC).unwrap();
    links
        .replace_neighbour("one", neighbour, Mac([2; 6]))
        .unwrap();
    links.delete_neighbour("one", neighbour).unwrap();
    let error = links.delete_neighbour("one", neighbour).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not set neighbour fd00::9 on interface one"
    );
}

#[test]
fn routes_are_what_was_asked() {
    let netns = Netns::new().unwrap();
    let mut links = Links::open_in(&netns).unwrap();
    links.create_veth(&veth("one", "two"), None).unwrap();
    links.set_up("one").unwrap();
    links.set_up("two").unwrap();
    links.add_address("one", net("10.0.0.1/24")).unwrap();
    links.add_address("one", net("fd00::1/64")).unwrap();
    let mut wanted = vec![
        Route::new(net("10.1.0.0/16"), ROUTE_PROTOCOL)
            .dev("one")
            .via("10.0.0.2".parse().unwrap()),
        Route::new(net("10.2.0.0/16"), ROUTE_PROTOCOL)
            .dev("one")
            .via_onlink("169.254.1.1".parse().unwrap()),
        Route::new(net("10.3.0.0/16"), ROUTE_PROTOCOL).blackhole(),
        Route::new(net("0.0.0.0/0"), ROUTE_PROTOCOL)
            .dev("one")
            .via("10.0.0.3".parse().unwrap()),
        Route {
            src: Some("10.0.0.1".parse().unwrap()),
            metric: Some(7),
            ..Route::new(net("10.4.0.7/32"), ROUTE_PROTOCOL).dev("one")
        },
        Route {
            metric: Some(1024),
            ..Route::new(net("fd01::/64"), ROUTE_PROTOCOL)
                .dev("one")
                .via("fd00::2".parse().unwrap())
        },
        Route {
            metric: Some(9),
            ..Route::new(net("::/0"), ROUTE_PROTOCOL)
                .dev("one")
                .via("fe80::1".parse().unwrap())
        },
        Route {
            table: 1000,
            ..Route::new(net("10.5.0.0/16"), ROUTE_PROTOCOL).dev("one")
        },
    ];
    for route in &wanted {
        links.add_route(route).unwrap();
    }
    let error = links.add_route(wanted.first().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not add route 10.1.0.0/16 via 10.0.0.2 dev one"
    );
    let ours = |links: &mut Links| -> Vec<Route> {
        let all = links.routes().unwrap();
        all.into_iter()
            .filter(|route| route.protocol == ROUTE_PROTOCOL)
            .collect()
    };
    wanted.sort();
    assert_eq!(ours(&mut links), wanted);
    let changed = Route::new(net("10.1.0.0/16"), ROUTE_PROTOCOL).blackhole();
    links.replace_route(&changed).unwrap();
    let kinds: Vec<_> = ours(&mut links)
        .into_iter()
        .filter(|route| route.dst == changed.dst)
        .map(|route| route.kind)
        .collect();
    assert_eq!(kinds, [RouteKind::Blackhole]);
    for route in ours(&mut links) {
        links.delete_route(&route).unwrap();
    }
    assert_eq!(ours(&mut links), []);
    assert!(links.delete_route(&changed).is_err());
}

#[test]
fn the_way_to_an_address_is_what_the_routes_say() {
    let (near, far) = (Netns::new().unwrap(), Netns::new().unwrap());
    let mut links = Links::open_in(&near).unwrap();
    let mut beyond = Links::open_in(&far).unwrap();
    for (name, peer, own) in [("one", "uno", "10.8.1.1/24"), ("two", "due", "10.8.2.1/24")] {
        let spec = VethSpec {
            mac: None,
            peer_mac: None,
            ..veth(name, peer)
        };
        links.create_veth(&spec, Some(&far)).unwrap();
        links.add_address(name, net(own)).unwrap();
        links.set_up(name).unwrap();
        beyond.set_up(peer).unwrap();
    }
    let to = Route::new(net("203.0.113.0/24"), 80).via("10.8.2.9".parse().unwrap());
    links.add_route(&to.dev("two")).unwrap();
    let v6 = Route::new(net("fd08:1::/64"), 80).dev("one");
    links.add_route(&v6).unwrap();
    links
        .add_route(&Route::new(net("203.0.113.7/32"), 80).blackhole())
        .unwrap();
    let number = |links: &mut Links, name: &str| Some(links.index(name).unwrap());
    for (address, name) in [
        ("10.8.1.77", Some("one")),
        ("fd08:1::77", Some("one")),
        ("203.0.113.1", Some("two")),
        ("203.0.113.7", None),
        ("198.51.100.1", None),
        ("2001:db8::1", None),
    ] {
        let expected = name.and_then(|name| number(&mut links, name));
        let found = links.way_to(address.parse().unwrap()).unwrap();
        assert_eq!(found, expected, "{address}");
    }
}

#[test]
fn a_pods_cable_works_both_ways_and_goes_away() {
    let (node, pod) = (Netns::new().unwrap(), Netns::new().unwrap());
    plumb::prepare_node(&node).unwrap();
    plumb::prepare_pod(&pod).unwrap();
    let cable = PodCable {
        host_iface: "cali0".to_owned(),
        pod_iface: "eth0".to_owned(),
        addresses: vec!["10.7.0.1".parse().unwrap(), "fd07::1".parse().unwrap()],
        mtu_bytes: None,
    };
    let plumbed = plumb::plumb_pod(&node, &pod, &cable).unwrap();
    let later: IpAddr = "10.7.0.2".parse().unwrap();
    plumb::add_pod_address(&node, &pod, &cable, later).unwrap();
    let mut host = Links::open_in(&node).unwrap();
    assert_eq!(host.link("cali0").unwrap().mac, Some(HOST_MAC));
    assert_eq!(host.index("cali0").unwrap(), plumbed.host_index);
    host.add_address("lo", net("192.168.3.3/32")).unwrap();
    for address in cable.addresses.iter().copied().chain([later]) {
        let addr = SocketAddr::new(address, 80);
        let _listener = pod.run(|| TcpListener::bind(addr)).unwrap().unwrap();
        let deadline = Duration::from_secs(5);
        node.run(|| TcpStream::connect_timeout(&addr, deadline))
            .unwrap()
            .unwrap();
    }
    let addr: SocketAddr = "192.168.3.3:80".parse().unwrap();
    let _listener = node.run(|| TcpListener::bind(addr)).unwrap().unwrap();
    pod.run(|| TcpStream::connect_timeout(&addr, Duration::from_secs(5)))
        .unwrap()
        .unwrap();
    plumb::plumb_pod(&node, &pod, &cable).unwrap_err();
    assert!(plumb::unplumb_pod(&node, "cali0").unwrap());
    assert!(!plumb::unplumb_pod(&node, "cali0").unwrap());
    let left = host.routes().unwrap();
    assert!(
        left.iter().all(|route| route.protocol != ROUTE_PROTOCOL),
        "{left:?}"
    );
}

#[test]
fn hardware_addresses_parse_strictly() {
    assert_eq!("ee:ee:ee:ee:ee:ee".parse::<Mac>().unwrap(), HOST_MAC);
    assert_eq!(HOST_MAC.to_string(), "ee:ee:ee:ee:ee:ee");
    for bad in [
        "",
        "ee:ee:ee:ee:ee",
        "ee:ee:ee:ee:ee:ee:ee",
        "e:ee:ee:ee:ee:ee",
        "+1:ee:ee:ee:ee:ee",
        "zz:ee:ee:ee:ee:ee",
    ] {
        assert!(bad.parse::<Mac>().is_err(), "{bad}");
    }
}
