//! A point that is a host itself: its sockets, above its hooks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_kernel::host_ip::{HostIpError, HostReceiver, HostSender, Sent};
use oncilla_kernel::netns::{Netns, NetnsError};
use oncilla_net::{Family, Protocol, family_of};

use super::ProberError;
use crate::packet;

/// Bytes kept of a capture; probes are shorter.
const CAPTURE_BYTES: usize = 256;

/// A host's sockets.
#[derive(Debug)]
pub(super) struct Host {
    netns: Arc<Netns>,
    sender: HostSender,
    receivers: BTreeMap<(Family, Protocol), HostReceiver>,
}

impl Host {
    pub(super) fn open(netns: &Arc<Netns>) -> Result<Result<Self, HostIpError>, NetnsError> {
        let sender = netns.run(HostSender::open)?;
        Ok(sender.map(|sender| Self {
            netns: Arc::clone(netns),
            sender,
            receivers: BTreeMap::new(),
        }))
    }

    /// Sends a packet as one of the host's own processes would.
    pub(super) fn send(&self, packet: &[u8], dst: IpAddr) -> Result<Sent, HostIpError> {
        self.sender.send(packet, dst)
    }

    /// Gets, from now on, what is delivered to the host under the protocol.
    pub(super) fn listen(
        &mut self,
        dst: IpAddr,
        protocol: Protocol,
    ) -> Result<Result<(), HostIpError>, NetnsError> {
        let family = family_of(dst);
        let Entry::Vacant(slot) = self.receivers.entry((family, protocol)) else {
            return Ok(Ok(()));
        };
        let opened = self.netns.run(|| HostReceiver::open(family, protocol))?;
        Ok(opened.map(|receiver| {
            slot.insert(receiver);
        }))
    }

    /// Takes what was delivered; `each` sees the cookies.
    pub(super) fn drain(&self, mut each: impl FnMut(u64)) -> Result<(), HostIpError> {
        let mut buffer = [0; CAPTURE_BYTES];
        for receiver in self.receivers.values() {
            while let Some(payload) = receiver.receive(&mut buffer)? {
                if let Some(cookie) = packet::cookie_behind(receiver.protocol(), payload) {
                    each(cookie);
                }
            }
        }
        Ok(())
    }

    /// What the sockets lost since they were last asked.
    pub(super) fn lost(&mut self) -> Result<u64, HostIpError> {
        let mut lost = 0;
        for receiver in self.receivers.values_mut() {
            lost += u64::from(receiver.lost()?);
        }
        Ok(lost)
    }
}

pub(super) fn at(point: &str) -> impl FnOnce(HostIpError) -> ProberError {
    let point = point.to_owned();
    move |source| ProberError::Host { point, source }
}
