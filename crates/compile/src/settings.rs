//! What Felix's configurations say of a node, as settings of its program.

use std::sync::Arc;

use oncilla_model::{FailsafePort, NodeSettings, ToHost};
use oncilla_net::fault;
use oncilla_program::{EncapDrop, EndpointToHost, Failsafe, Failsafes, LogRate, Settings};

/// How many lines a Log rule may write at once when only their rate is given: upstream's default.
const BURST: u32 = 5;

/// The settings of a node: `base`, but for what configurations say. Where nobody knows which of several sayings is
/// meant, what lets through no more than any of them.
pub fn settings_of(said: &[NodeSettings], base: &Settings) -> Settings {
    let each = said.iter().map(|said| settings_with(said, base));
    each.reduce(|one, other| one.and(&other))
        .unwrap_or_else(|| base.clone())
}

fn settings_with(said: &NodeSettings, base: &Settings) -> Settings {
    let mut settings = base.clone();
    if let Some(said) = &said.interface_prefixes
        && !fault::is("compile/interface-prefixes-forgotten")
    {
        // Those of the base stay: they are what the node's own pods are called by.
        let said = said.listed.iter().map(|prefix| prefix.as_str().into());
        settings.interface_prefixes = base.interface_prefixes.with(said);
    }
    if let Some(action) = said.endpoint_to_host {
        settings.endpoint_to_host = match action {
            ToHost::Drop => EndpointToHost::Drop,
            ToHost::Accept => EndpointToHost::Accept,
            ToHost::Return => EndpointToHost::Return,
        };
    }
    settings.encap_drop = encap_drop(said, &settings.encap_drop);
    settings.drop_invalid = said.drop_invalid.unwrap_or(settings.drop_invalid);
    if let Some(allow) = said.allow_spoofing {
        settings.drop_spoofed = !allow;
    }
    if let Some(prefix) = &said.log_prefix {
        settings.log_prefix = prefix.as_str().into();
    }
    settings.log_rate = log_rate(said, settings.log_rate);
    let list = |said: &Option<Vec<FailsafePort>>, base: &Arc<[Failsafe]>| match said {
        None => base.to_vec(),
        Some(ports) => ports.iter().map(failsafe).collect(),
    };
    settings.failsafes = Failsafes::new(
        list(&said.failsafe_inbound, &settings.failsafes.inbound),
        list(&said.failsafe_outbound, &settings.failsafes.outbound),
    );
    settings.failsafes.are_certain = !said.hides_failsafes;
    settings
}

fn failsafe(port: &FailsafePort) -> Failsafe {
    Failsafe {
        protocol: port.protocol,
        port: port.port,
        net: port.net,
    }
}

fn encap_drop(said: &NodeSettings, base: &EncapDrop) -> EncapDrop {
    let ports = || match said.vxlan_port {
        Some(port) => [port].into(),
        None if base.vxlan_ports.is_empty() => EncapDrop::default().vxlan_ports,
        None => Arc::clone(&base.vxlan_ports),
    };
    let drops_vxlan = match said.allow_vxlan {
        Some(allow) => !allow,
        None => !base.vxlan_ports.is_empty(),
    };
    EncapDrop {
        vxlan_ports: if drops_vxlan { ports() } else { [].into() },
        ipip: said.allow_ipip.map_or(base.ipip, |allow| !allow),
    }
}

fn log_rate(said: &NodeSettings, base: LogRate) -> LogRate {
    let burst = |default| match said.log_burst {
        Some(0) => BURST,
        Some(burst) => burst,
        None => default,
    };
    match said.log_rate {
        Some((packets, seconds)) => LogRate {
            packets,
            seconds,
            burst: burst(BURST),
        },
        None => LogRate {
            burst: burst(base.burst),
            ..base
        },
    }
}
