//! Denied flows in words: from logged packets to lines that people read.
//!
//! ```text
//!   bytes ──headers──▶ Packet ──(whoever knows the policy names the rule)──▶ Denial ──Aggregator──▶ Record
//! ```
//!
//! It knows neither the kernel nor policy, and no clock: time is an argument.
#![forbid(unsafe_code)]

mod aggregate;
mod headers;
mod record;

pub use aggregate::{Aggregator, DENIALS_MAX, Denial, WINDOW_MS};
pub use headers::{Headers, Missing, headers};
pub use record::{AtHost, Blame, End, Record};
