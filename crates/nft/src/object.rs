//! What nf_tables holds, as values: tables, chains, sets, elements, rules and expressions.
//!
//! ```text
//!   lowering ──▶ object ──▶ kernel::nf_tables (bytes) ──▶ the kernel
//!                  ▲                                          │
//!                  └────────────── read back ─────────────────┘
//! ```
//!
//! A value here is exactly what the kernel reports after it took it, so wanted and read-back state are compared with
//! `==`. Three things the kernel reports are no part of a value: handles, counter values, and a set's number of elements.
//! All tables are of the family `inet`. Nothing here knows netlink, policy or time.

mod bytes;
mod chain;
mod element;
mod expr;
mod load;
mod rule;
mod set;
mod text;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use bytes::Value;
pub use chain::{BaseChain, Chain, ChainType, Hook, Policy, Table, TableFlags, priority};
pub use element::{Element, MapValue};
pub use expr::{
    Base, CmpOp, CtKey, CtState, CtStatus, Expr, FibFlags, FibResult, Limit, LimitUnit, Log,
    MetaKey, Register, Reject, SetRef, Verdict,
};
pub use load::Load;
pub use rule::Rule;
pub use set::{AnonymousSet, DataType, FieldType, KeyPart, KeyType, Set, SetFlags};
pub use text::{Comment, LogPrefix, TEXT_BYTES_MAX};

/// The name of a table, chain or set: at most 255 bytes, letters, digits, `_`, `-`, `.` and `/`, and no keyword of
/// nft (`fwd`, `dst`, `ip6`), or `nft list ruleset` prints what it cannot read.
pub type Name = Arc<str>;

/// Defines a set of kernel flags as a newtype with named bits.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident($repr:ty) { $($(#[$doc:meta])* $flag:ident = $bits:expr;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $repr);

        impl $name {
            $($(#[$doc])* pub const $flag: Self = Self($bits);)*

            /// No flag.
            pub const NONE: Self = Self(0);

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The flags of both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The flags of `self` that are not in `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }
    };
}
use flags;
