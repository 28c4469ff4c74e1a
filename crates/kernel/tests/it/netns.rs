//! Namespaces: made, entered, left alone; settings and capabilities inside them.

use std::net::{TcpListener, TcpStream};

use oncilla_kernel::link::Links;
use oncilla_kernel::netns::Netns;
use oncilla_kernel::probe::{Capabilities, Missing};
use oncilla_kernel::sysctl::{self, SysctlError};

#[test]
fn a_new_one_is_empty_and_the_caller_stays() {
    let before = Netns::current().unwrap().id().unwrap();
    let netns = Netns::new().unwrap();
    assert_eq!(Netns::current().unwrap().id().unwrap(), before);
    assert_ne!(netns.id().unwrap(), before);
    assert_eq!(
        netns.try_clone().unwrap().id().unwrap(),
        netns.id().unwrap()
    );
    let links = Links::open_in(&netns).unwrap().list().unwrap();
    let names: Vec<_> = links
        .iter()
        .map(|link| (link.name.as_str(), link.up))
        .collect();
    assert_eq!(names, [("lo", false)]);
    netns.loopback_up().unwrap();
    assert!(Links::open_in(&netns).unwrap().link("lo").unwrap().up);
}

#[test]
fn run_gives_values_and_sockets_stay_inside() {
    let netns = Netns::new().unwrap();
    netns.loopback_up().unwrap();
    let inside = netns
        .run(|| Netns::current().unwrap().id().unwrap())
        .unwrap();
    assert_eq!(inside, netns.id().unwrap());
    let listener = netns
        .run(|| TcpListener::bind("127.0.0.1:0"))
        .unwrap()
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let stream = netns.run(|| TcpStream::connect(addr)).unwrap();
    stream.unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.accept().unwrap();
    let joined = netns
        .spawn(|| Netns::current().unwrap().id().unwrap())
        .unwrap();
    assert_eq!(joined.join().unwrap().unwrap(), netns.id().unwrap());
}

#[test]
fn a_panic_inside_goes_on_outside() {
    let netns = Netns::new().unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        netns.run(|| panic!("on purpose")).unwrap();
    }));
    assert_eq!(
        *caught.unwrap_err().downcast::<&str>().unwrap(),
        "on purpose"
    );
}

#[test]
fn of_a_process_and_of_nobody() {
    let own = Netns::of_pid(std::process::id()).unwrap().id().unwrap();
    assert_eq!(own, Netns::current().unwrap().id().unwrap());
    let error = Netns::of_pid(u32::MAX).unwrap_err();
    assert!(
        error.to_string().contains("/proc/4294967295/ns/net"),
        "{error}"
    );
}

#[test]
fn settings_belong_to_one_namespace() {
    let (one, other) = (Netns::new().unwrap(), Netns::new().unwrap());
    let host = sysctl::read("ipv4/ip_forward").unwrap();
    sysctl::write_in(
        &one,
        &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")],
    )
    .unwrap();
    sysctl::write_in(&other, &[("ipv4/ip_forward", "0")]).unwrap();
    assert_eq!(sysctl::read_in(&one, "ipv4/ip_forward").unwrap(), "1");
    assert_eq!(sysctl::read_in(&other, "ipv4/ip_forward").unwrap(), "0");
    assert_eq!(sysctl::read("ipv4/ip_forward").unwrap(), host);
    for key in ["../kernel/hostname", "ipv4//x", "", "/etc/passwd"] {
        assert!(
            matches!(sysctl::read_in(&one, key), Err(SysctlError::Key { .. })),
            "{key}"
        );
    }
    let absent = sysctl::read_in(&one, "ipv4/nothing").unwrap_err();
    assert_eq!(absent.to_string(), "sysctl ipv4/nothing could not be read");
}

#[test]
fn the_report_names_what_is_here() {
    // These tests run as root on a kernel with nf_tables: anything else makes every other kernel test fail too.
    let found = Netns::new().unwrap().run(Capabilities::probe).unwrap();
    assert!(found.kernel >= (5, 8), "{found:?}");
    assert!(
        found.nf_tables && found.conntrack && found.net_admin && found.sys_admin,
        "{found:?}"
    );
    assert_eq!(found.missing_for_agent(), []);
    let poor = Capabilities {
        net_admin: false,
        sys_admin: false,
        user_namespaces: false,
        ..found
    };
    assert_eq!(poor.missing_for_agent(), [Missing::NetAdmin]);
    assert_eq!(poor.missing_for_lab(), [Missing::UserNamespaces]);
}
