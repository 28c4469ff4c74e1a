//! Observe, diff, order, apply, verify, repair, revoke: the only writer of policy state in the kernel.
//!
//! ```text
//!   program delta ─▶ plan ─▶ transactions ─▶ kernel        held: what the kernel has, as far as it is ours
//!                     ▲                        │
//!                    held ◀── start, verify ◀──┘
//! ```
//!
//! Every packet gets the verdict of the policy before or after a change: see [`Dataplane::apply`]. It does not
//! know stores, and reads no clock: whoever calls it decides when to clean.

mod bridge;
mod compare;
mod dataplane;
mod dispatch;
mod edit;
mod elements;
mod error;
mod foreign;
mod garbage;
mod held;
mod hosts;
mod inspect;
mod place;
mod plan;
mod replace;
mod revoke;
mod tombs;

pub use compare::Difference;
pub use dataplane::{Applied, Dataplane, TableOwner};
pub use error::DataplaneError;
pub use inspect::{Compared, Fault, Finding, Inspection};
pub use oncilla_nft::{DENY_LOG_BYTES, DENY_LOG_GROUP};
pub use revoke::{Revoked, Ways};
