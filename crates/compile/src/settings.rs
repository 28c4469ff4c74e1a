//! What Felix's configurations say of a node, as settings of its program.

use std::sync::Arc;

use oncilla_model::{FailsafePort, NodeSettings, ToHost};
use oncilla_program::{EncapDrop, EndpointToHost, Failsafe, Failsafes, Settings};

/// The settings of a node: `base`, but for what configurations say.
pub fn settings_of(said: &NodeSettings, base: &Settings) -> Settings {
    let mut settings = base.clone();
    if let Some(action) = said.endpoint_to_host {
        settings.endpoint_to_host = match action {
            ToHost::Drop => EndpointToHost::Drop,
            ToHost::Accept => EndpointToHost::Accept,
            ToHost::Return => EndpointToHost::Return,
        };
    }
    settings.encap_drop = encap_drop(said, settings.encap_drop);
    settings.drop_invalid = said.drop_invalid.unwrap_or(settings.drop_invalid);
    if let Some(allow) = said.allow_spoofing {
        settings.drop_spoofed = !allow;
    }
    let list = |said: &Option<Vec<FailsafePort>>, base: &Arc<[Failsafe]>| match said {
        None => base.to_vec(),
        Some(ports) => ports.iter().map(failsafe).collect(),
    };
    settings.failsafes = Failsafes::new(
        list(&said.failsafe_inbound, &settings.failsafes.inbound),
        list(&said.failsafe_outbound, &settings.failsafes.outbound),
    );
    settings
}

fn failsafe(port: &FailsafePort) -> Failsafe {
    Failsafe {
        protocol: port.protocol,
        port: port.port,
        net: port.net,
    }
}

fn encap_drop(said: &NodeSettings, base: EncapDrop) -> EncapDrop {
    let port = said
        .vxlan_port
        .or(base.vxlan_port)
        .or(EncapDrop::default().vxlan_port);
    EncapDrop {
        vxlan_port: match said.allow_vxlan {
            Some(true) => None,
            Some(false) => port,
            None => base.vxlan_port.and(port),
        },
        ipip: said.allow_ipip.map_or(base.ipip, |allow| !allow),
    }
}
