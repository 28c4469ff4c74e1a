//! Whether what was computed is right: some packets, judged by the naive judge and by the program.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use oncilla_api::{Object, ObjectKey};
use oncilla_net::{Packet, Protocol, Verdict};
use oncilla_program::{Passage, Program};
use oncilla_verdict::{Cluster, Evaluator, Question};

use crate::dataset::{Dataset, NODE};

/// Pods of each side whose packets are judged.
const LOCALS: usize = 7;
const PEERS: usize = 13;

/// What was asked.
pub(crate) struct Checked {
    pub(crate) packets: usize,
    pub(crate) allowed: usize,
}

/// A pod that is asked about.
struct Sample<'a> {
    key: ObjectKey,
    address: IpAddr,
    node: &'a str,
}

/// Judges packets both ways between some local pods and some others, addresses outside among them.
///
/// # Errors
/// When judge and program differ, or all packets had one fate.
pub(crate) fn check(
    dataset: Dataset,
    objects: &[Object],
    program: &Program,
) -> anyhow::Result<Checked> {
    let samples = samples(objects)?;
    let known: BTreeSet<&ObjectKey> = samples.iter().map(|sample| &sample.key).collect();
    let mut cluster = Cluster::new();
    for object in objects {
        // Pods that no packet comes from or goes to change no verdict: policies here name no other pod.
        if !matches!(object, Object::Pod(_)) || known.contains(&object.key()) {
            cluster.insert(object.clone());
        }
    }
    let judge = Evaluator::new(&cluster);
    let mut checked = Checked {
        packets: 0,
        allowed: 0,
    };
    let peers: Vec<IpAddr> = samples
        .iter()
        .map(|sample| sample.address)
        .chain(dataset.outside())
        .collect();
    for local in samples.iter().filter(|sample| sample.node == NODE) {
        for peer in peers.iter().filter(|peer| **peer != local.address) {
            for (src, dst) in [(*peer, local.address), (local.address, *peer)] {
                let packet = Packet {
                    src,
                    dst,
                    protocol: Protocol::UDP,
                    src_port: 40_000,
                    dst_port: 53,
                    icmp: None,
                };
                let expected = expected(&judge, local, packet)?;
                let found = found(program, local, &packet)?;
                ensure!(
                    found == expected,
                    "{packet:?}: the judge says {expected:?}, the program {found:?}"
                );
                checked.packets += 1;
                checked.allowed += usize::from(found == Verdict::Allow);
            }
        }
    }
    ensure!(
        (1..checked.packets).contains(&checked.allowed),
        "{} of {} packets are allowed",
        checked.allowed,
        checked.packets
    );
    Ok(checked)
}

/// Pods by stride: local and other ones.
fn samples(objects: &[Object]) -> anyhow::Result<Vec<Sample<'_>>> {
    let mut all = Vec::new();
    for (is_local, wanted) in [(true, LOCALS), (false, PEERS)] {
        let pods = objects.iter().filter_map(|object| match object {
            Object::Pod(pod) => Some((object, pod, pod.spec.node_name.as_str())),
            _ => None,
        });
        let pods: Vec<_> = pods
            .filter(|(.., node)| (*node == NODE) == is_local)
            .collect();
        for (object, pod, node) in pods.iter().step_by((pods.len() / wanted).max(1)) {
            let address = pod.status.pod_ips.first();
            let address = address.context("a pod without address")?.ip.parse()?;
            all.push(Sample {
                key: object.key(),
                address,
                node,
            });
        }
    }
    Ok(all)
}

/// What the local pod's policies say, whatever those of the other end do.
fn expected(judge: &Evaluator, local: &Sample<'_>, packet: Packet) -> anyhow::Result<Verdict> {
    let answer = judge.explain(&Question::from(packet))?;
    let mut legs = answer.legs.iter().filter(|leg| leg.endpoint == local.key);
    let denies = legs.any(|leg| leg.verdict == Verdict::Deny);
    Ok(if denies {
        Verdict::Deny
    } else {
        Verdict::Allow
    })
}

fn found(program: &Program, local: &Sample<'_>, packet: &Packet) -> anyhow::Result<Verdict> {
    let owns = |addresses: &[IpAddr]| addresses.contains(&local.address);
    let mut endpoints = program.endpoints.iter();
    let found = endpoints.find(|(_, endpoint)| owns(&endpoint.addresses));
    let (interface, _) = found.context("a local pod has no interface")?;
    let passage = if packet.src == local.address {
        Passage::forward(interface, "eth0")
    } else {
        Passage::forward("eth0", interface)
    };
    Ok(program.judge(&passage, packet).verdict)
}
