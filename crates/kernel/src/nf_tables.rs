//! nf_tables: batches of changes to the kernel, what it holds back from it, and news of changes.
//!
//! ```text
//!   object values ─▶ Batch (bytes) ─▶ Socket::commit ─▶ one sendmsg, one transaction
//!   object values ◀─ decode        ◀─ Socket::{tables, chains, sets, elements, rules, read_table}
//!                    Hooked        ◀─ Socket::hooked (everybody's tables)
//!                    Event         ◀─ Monitor
//! ```
//!
//! Every table that is written is of the family `inet`; what others have in any family may do is read too
//! ([`Socket::hooked`]). Knows the bytes, not what the rules are for. Kernel 5.12 and newer; what needs
//! more says so.
#![warn(clippy::indexing_slicing)]

mod answer;
mod attribute;
mod batch;
mod decode;
mod decode_expr;
mod deed;
mod encode;
mod encode_expr;
mod error;
mod hooks;
mod monitor;
mod quiesce;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use batch::{Action, Batch, Operation, Subject};
pub use decode::{Counts, ListedChain, ListedRule, ListedTable};
pub use deed::{Deed, Done};
pub use error::{BatchError, Malformed, ReadError, Refusal};
pub use hooks::{Hooked, Point, TableFamily, legacy_tables};
pub use monitor::{Change, Event, Monitor};
pub use quiesce::wait_for_packets;
pub use socket::{BATCH_BYTES_MAX, Generation, Socket, TableState};
