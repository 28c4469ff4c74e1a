//! A cluster on one Linux machine, in network namespaces.
//!
//! ```text
//!  caller ──socket──▶ guardian ──socket──▶ supervisor: PID 1 of a PID namespace, own mounts and network
//!    │                holds the folder      │  fabric ══ n1 ══ pods     REST API, kubelet, responders
//!    │                and removes it        │         ══ n2 ══ pods     one agent process per node
//!    └──control.sock, api.sock─────────────▶│         ══ outside hosts
//! ```
//! Everything a lab has hangs on one process: when the supervisor dies, however it dies, the kernel ends what ran in
//! its PID namespace and frees the anonymous namespaces. The guardian outlives it just long enough to remove the
//! lab's folder. The machine's own network is never touched: the supervisor leaves it before it makes anything.
//!
//! The executable that uses this library must call [`run_role`] before anything else: guardian and supervisor are the
//! same executable, started anew.

mod error;
mod exec;
mod folder;
mod guardian;
mod lab;
mod labs;
mod options;
mod place;
mod probe;
mod protocol;
mod role;
mod status;
mod supervisor;

pub use error::LabError;
pub use folder::name_is_valid;
pub use lab::Lab;
pub use labs::{Canceller, Labs, Rising};
pub use options::{
    AGENT_ANNOTATION, IPS_ANNOTATION, LISTEN_ANNOTATION, LabOptions, ListenPort, ListenPortError,
    NODES_MAX, OutsideHost,
};
pub use place::{Place, PlaceError};
pub use probe::{Hold, HoldEvent, HoldRequest, Outcome, Probe, ProbeProtocol, ProbeResult};
pub use role::{ROLE_ARGUMENT, run_role};
pub use status::{AgentStatus, LabStatus, NodeStatus, OutsideStatus, PodStatus};
