//! nf_tables: batches of changes to the kernel, what it holds back from it, and news of changes.
//!
//! ```text
//!   object values ─▶ Batch (bytes) ─▶ Socket::commit ─▶ one sendmsg, one transaction
//!   object values ◀─ decode        ◀─ Socket::{tables, chains, sets, elements, rules, read_table}
//!                    Event         ◀─ Monitor
//! ```
//!
//! Every table is of the family `inet`. Knows the bytes, not what the rules are for. Kernel 5.12 and newer; what needs
//! more says so.
#![warn(clippy::indexing_slicing)]

mod answer;
mod attribute;
mod batch;
mod decode;
mod decode_expr;
mod encode;
mod encode_expr;
mod error;
mod monitor;
mod quiesce;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use batch::{Action, Batch, Operation, Subject};
pub use decode::{Counts, ListedChain, ListedRule, ListedTable};
pub use error::{BatchError, Malformed, ReadError, Refusal};
pub use monitor::{Change, Event, Monitor};
pub use quiesce::wait_for_packets;
pub use socket::{BATCH_BYTES_MAX, Generation, Socket, TableState};
