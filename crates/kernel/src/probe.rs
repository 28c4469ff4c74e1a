//! What this kernel and this process can do, so that a message can say what is missing instead of an error number.

use std::fmt;
use std::fs;

use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{CapabilitySet, capabilities};

use crate::netlink::Channel;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`.
const NFT_MSG_GETGEN: u16 = (10 << 8) | 16;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS`.
const CTNETLINK_STATS: u16 = (1 << 8) | 5;

/// The report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a report of independent yes-or-no facts"
)]
pub struct Capabilities {
    /// The kernel's version: major, minor.
    pub kernel: (u32, u32),
    /// nf_tables answers.
    pub nf_tables: bool,
    /// conntrack can be read through netlink.
    pub conntrack: bool,
    /// User namespaces may be made by this user.
    pub user_namespaces: bool,
    /// SCTP sockets can be opened.
    pub sctp_sockets: bool,
    /// This process has `CAP_NET_ADMIN` over its user namespace.
    pub net_admin: bool,
    /// This process has `CAP_NET_RAW` over its user namespace.
    pub net_raw: bool,
    /// This process has `CAP_SYS_ADMIN` over its user namespace.
    pub sys_admin: bool,
    /// IPv6 is there.
    pub ipv6: bool,
}

impl Capabilities {
    /// Looks at the kernel, from the calling thread's namespace. Nothing is changed.
    pub fn probe() -> Self {
        let effective = capabilities(None).map(|sets| sets.effective);
        let has = |wanted| effective.is_ok_and(|set: CapabilitySet| set.contains(wanted));
        Self {
            kernel: kernel_version(),
            nf_tables: answers(NFT_MSG_GETGEN),
            conntrack: answers(CTNETLINK_STATS),
            user_namespaces: user_namespaces(),
            sctp_sockets: socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                Some(rustix::net::ipproto::SCTP),
            )
            .is_ok(),
            net_admin: has(CapabilitySet::NET_ADMIN),
            net_raw: has(CapabilitySet::NET_RAW),
            sys_admin: has(CapabilitySet::SYS_ADMIN),
            ipv6: fs::metadata("/proc/sys/net/ipv6").is_ok(),
        }
    }

    /// What an agent needs and this kernel or process lacks, each with how to mend it; empty when all is there.
    pub fn missing_for_agent(&self) -> Vec<Missing> {
        [
            (!self.net_admin, Missing::NetAdmin),
            (!self.nf_tables, Missing::NfTables),
            (!self.conntrack, Missing::Conntrack),
        ]
        .into_iter()
        .filter_map(|(absent, what)| absent.then_some(what))
        .collect()
    }

    /// What a lab needs and this kernel or process lacks; empty when all is there. Without root a lab lives in a user
    /// namespace, and inside one nf_tables answers even if it does not here.
    pub fn missing_for_lab(&self) -> Vec<Missing> {
        if self.sys_admin && self.net_admin {
            return self.missing_for_agent();
        }
        if self.user_namespaces {
            return Vec::new();
        }
        vec![Missing::UserNamespaces]
    }
}

/// One thing that is missing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Missing {
    /// nf_tables.
    NfTables,
    /// conntrack over netlink.
    Conntrack,
    /// The right to administer the network.
    NetAdmin,
    /// Root, or user namespaces for others.
    UserNamespaces,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NfTables => "nf_tables is not in this kernel: load module nf_tables, or use a kernel with CONFIG_NF_TABLES",
            Self::Conntrack => {
                "conntrack cannot be read: load module nf_conntrack_netlink, or use a kernel with CONFIG_NF_CT_NETLINK"
            }
            Self::NetAdmin => "this process may not administer the network: run it as root or with CAP_NET_ADMIN",
            Self::UserNamespaces => {
                "neither root nor user namespaces are available: run as root, or let users make namespaces \
                 (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
            }
        })
    }
}

/// Whether the netfilter subsystem behind a message type answers at all.
fn answers(kind: u16) -> bool {
    // `nfgenmsg`: any family, version 0, resource 0.
    let body = [0; 4];
    let Ok(mut channel) = Channel::open(Some(NETFILTER), 0) else {
        return false;
    };
    channel.request(kind, 0, &body, &mut |_| {}).is_ok()
}

/// Making one would need a process of its own, so the limits that the kernel publishes are read instead.
fn user_namespaces() -> bool {
    let number = |path| {
        let text = fs::read_to_string(path).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let root = rustix::process::geteuid().is_root();
    let allowed = number("/proc/sys/user/max_user_namespaces").is_some_and(|max| max > 0);
    let clone = number("/proc/sys/kernel/unprivileged_userns_clone") != Some(0);
    let unrestricted = number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") != Some(1);
    allowed && (root || clone && unrestricted)
}

fn kernel_version() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
