//! Incremental resolution: batches of model changes in, node deltas out.
//!
//! ```text
//!   endpoints, sets ─▶ plane (addresses, prefixes) ─┐
//!   labels, profiles ─▶ index (shapes, identities) ─┼─▶ publish ─▶ classes ─▶ NodeDelta
//!   policies, tiers ─▶ locals (groups) ─ usage ─▶ active predicates
//! ```
//!
//! Every event marks what it touched; a publication looks at the marks only. When predicates come or go,
//! which is rare, it looks at every address. It does not know the kernel, clocks or how rules are compiled.
#![forbid(unsafe_code)]
#![expect(
    clippy::single_match_else,
    reason = "two equal cases, there and not there, read better side by side"
)]

mod absorb;
mod addresses;
mod carriers;
mod classes;
mod codec;
mod dirty;
mod fallback;
mod filing;
mod groups;
mod hosts;
mod identity;
mod index;
mod labels;
mod lists;
mod locals;
pub mod node;
mod outside;
mod own_ports;
mod packs;
mod plane;
mod policies;
mod predicates;
mod prefixes;
mod profiles;
mod publish;
mod regroup;
mod resolver;
mod rows;
mod sets;
mod shapes;
mod signature;
mod usage;
mod work;

pub use classes::CLASS_QUARANTINE_MS;
pub use fallback::CLASSES_SETTLED_MAX_PERCENT;
pub use node::{Class, GroupDef, LocalPorts, NodeDelta, NodeState, PredicateMode, TierDef};
pub use resolver::{Adoption, Exhausted, Limits, Resolver};
pub use work::Work;
