//! Tables and chains.

use super::{Comment, Name, flags};

flags! {
    /// What a table is marked with.
    TableFlags(u32) {
        /// Its chains see no packet.
        DORMANT = 1;
        /// The socket that made it is the only one that may change it (kernel 5.12).
        OWNER = 2;
        /// It outlives its owner's socket, and a new owner may claim it (kernel 6.9).
        PERSIST = 4;
    }
}

/// A table of the family `inet`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// Its flags.
    pub flags: TableFlags,
    /// For the reader of `nft list ruleset`. The kernel keeps the comment a table was made with: adding it again with
    /// another changes nothing.
    pub comment: Option<Comment>,
}

impl Table {
    /// A table without flags and comment.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            flags: TableFlags::NONE,
            comment: None,
        }
    }

    /// The same with these flags.
    #[must_use]
    pub fn flags(mut self, flags: TableFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(mut self, text: &str) -> Self {
        self.comment = Some(Comment::new(text));
        self
    }
}

/// What a base chain may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChainType {
    /// Accept and drop.
    Filter,
    /// Change the mark and be routed again (hook output only).
    Route,
    /// Translate addresses.
    Nat,
}

/// Where a base chain sees packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
}

/// The verdict at the end of a base chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Policy {
    /// The packet goes on.
    Accept,
    /// The packet is dropped.
    Drop,
}

/// The priorities that nft has names for, in the `inet` family.
pub mod priority {
    /// Before conntrack.
    pub const RAW: i32 = -300;
    /// After conntrack, before destination translation.
    pub const MANGLE: i32 = -150;
    /// Destination translation.
    pub const DSTNAT: i32 = -100;
    /// Filtering.
    pub const FILTER: i32 = 0;
    /// Mandatory access control.
    pub const SECURITY: i32 = 50;
    /// Source translation.
    pub const SRCNAT: i32 = 100;
}

/// What makes a chain a base chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BaseChain {
    /// What it may do.
    pub chain_type: ChainType,
    /// Where it sees packets.
    pub hook: Hook,
    /// Lower comes first at one hook; see [`priority`].
    pub priority: i32,
    /// The verdict at its end.
    pub policy: Policy,
}

/// A chain without its rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Chain {
    /// Its name.
    pub name: Name,
    /// Hook and priority, or `None` for a chain that others jump to.
    pub base: Option<BaseChain>,
    /// For the reader of `nft list ruleset`. The kernel keeps the comment a chain was made with.
    pub comment: Option<Comment>,
}

impl Chain {
    /// A chain that others jump to.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            base: None,
            comment: None,
        }
    }

    /// A base chain of type filter with policy accept.
    pub fn filter(name: impl Into<Name>, hook: Hook, priority: i32) -> Self {
        Self {
            name: name.into(),
            base: Some(BaseChain {
                chain_type: ChainType::Filter,
                hook,
                priority,
                policy: Policy::Accept,
            }),
            comment: None,
        }
    }

    /// The same with another policy; a chain without a hook has none and stays as it is.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        if let Some(base) = &mut self.base {
            base.policy = policy;
        }
        self
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(mut self, text: &str) -> Self {
        self.comment = Some(Comment::new(text));
        self
    }
}
