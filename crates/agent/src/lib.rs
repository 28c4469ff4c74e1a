//! One node: wires the stages.
//!
//! ```text
//!   runtime thread                         policy thread (blocking)
//!   Follow, one a kind ──News, bounded──▶ intake ─▶ pipeline ─▶ kernel
//!   status ─▶ Node object ◀──latest wins── enforcer ◀── nf_tables news, timers
//! ```
//! [`run()`] follows the store through the REST API and keeps the kernel as it says. It decides when stages
//! run, never what they decide: it knows no rule, no class and no chain.

mod clock;
mod enforcer;
mod error;
mod flow_log;
mod follow;
mod hints;
mod intake;
mod links;
mod options;
mod pipeline;
mod publish;
mod run;
mod settings;
mod status;
#[doc(hidden)]
pub mod street;
mod timers;
mod verify;
mod wake;

pub use error::AgentError;
pub use flow_log::{flow_socket, flow_sockets};
pub use oncilla_dataplane::TableOwner;
pub use oncilla_dataplane::{Fault, Finding};
pub use oncilla_program::EndpointToHost;
pub use options::{InterfacePrefixError, NodeName, NodeNameError, Options, PrefixList};
pub use run::{remove, run};
pub use status::{
    AGENT_ANNOTATION, AgentState, AgentStatus, Isolated, KernelStatus, PROBLEMS_MAX, Problem,
    STALE_AFTER_MS,
};
pub use verify::{Misjudged, PACKETS, Verified, verify};
