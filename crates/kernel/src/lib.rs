//! The only crate with system calls: rtnetlink, nf_tables, conntrack, NFLOG, network namespaces, sysctl.
//!
//! Everything blocks and nothing here knows policy. A handle (netlink socket, packet socket) stays in the network
//! namespace it was opened in, whatever its owner's thread does later: open it inside [`netns::Netns::run`].
#![expect(
    unsafe_code,
    reason = "system calls that rustix has no safe call for, one operation per block"
)]

pub mod calls;
pub mod conntrack;
pub mod host_ip;
pub mod link;
mod netlink;
pub mod netns;
pub mod nf_tables;
pub mod nflog;
pub mod plumb;
pub mod probe;
pub mod process;
pub mod raw;
pub mod sysctl;
