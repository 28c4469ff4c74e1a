//! Expressions: what the kernel's register machine runs for a rule, one value per instruction.

use super::{AnonymousSet, LogPrefix, Name, Value, flags};

/// A 32-bit slot of the register file, 0 to 15. A value of n bytes fills n/4 slots, rounded up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Register(pub u8);

impl Register {
    /// The first slot: where nft puts everything that is no concatenation.
    pub const FIRST: Self = Self(0);
}

/// What happens to the packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// The packet leaves the base chain and goes on.
    Accept,
    /// The packet is gone.
    Drop,
    /// On in the calling chain.
    Return,
    /// The next rule.
    Continue,
    /// Into another chain, back after it.
    Jump(Name),
    /// Into another chain, not back.
    Goto(Name),
}

impl Verdict {
    /// The chain it leads to.
    pub fn chain(&self) -> Option<&Name> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return | Self::Continue => None,
        }
    }
}

/// A property of the packet that is not in its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MetaKey {
    /// `meta mark`, 4 bytes.
    Mark,
    /// `iif`, 4 bytes.
    Iif,
    /// `oif`, 4 bytes.
    Oif,
    /// `iifname`, 16 bytes.
    IifName,
    /// `oifname`, 16 bytes.
    OifName,
    /// `meta nfproto`, 1 byte: 2 IPv4, 10 IPv6.
    NfProto,
    /// `meta l4proto`, 1 byte.
    L4Proto,
}

/// Where a payload offset counts from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Base {
    /// The link-layer header.
    Link,
    /// The IP header.
    Network,
    /// The header after IP and its extensions.
    Transport,
}

/// A property of the packet's connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CtKey {
    /// `ct state`, 4 bytes; see [`CtState`].
    State,
    /// `ct direction`, 1 byte.
    Direction,
    /// `ct status`, 4 bytes; see [`CtStatus`].
    Status,
    /// `ct mark`, 4 bytes.
    Mark,
}

flags! {
    /// Connection states.
    CtState(u32) {
        /// Cannot be said.
        INVALID = 1;
        /// Both directions were seen.
        ESTABLISHED = 2;
        /// Opened by, or an ICMP error of, another connection.
        RELATED = 4;
        /// First packet.
        NEW = 8;
        /// Not followed.
        UNTRACKED = 64;
    }
}

flags! {
    /// Connection status bits.
    CtStatus(u32) {
        /// Expected by another connection.
        EXPECTED = 0x1;
        /// A reply was seen.
        SEEN_REPLY = 0x2;
        /// Kept when the table is full.
        ASSURED = 0x4;
        /// In the table.
        CONFIRMED = 0x8;
        /// Its source is translated.
        SNAT = 0x10;
        /// Its destination is translated.
        DNAT = 0x20;
        /// On its way out.
        DYING = 0x200;
    }
}

/// What a route lookup answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FibResult {
    /// Number of the interface, 0 when there is no route; 4 bytes.
    Oif,
    /// Its name; 16 bytes.
    OifName,
    /// The kind of address; 4 bytes.
    AddrType,
}

flags! {
    /// What a route lookup asks with.
    FibFlags(u32) {
        /// The source address.
        SADDR = 1;
        /// The destination address.
        DADDR = 2;
        /// With the packet's mark.
        MARK = 4;
        /// Only by the interface it came in.
        IIF = 8;
        /// Only by the interface it goes out.
        OIF = 16;
    }
}

/// How a register is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// The set a lookup asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SetRef {
    /// A set of the table.
    Named(Name),
    /// A set written inside the rule.
    Anonymous(Box<AnonymousSet>),
}

impl From<&str> for SetRef {
    fn from(name: &str) -> Self {
        Self::Named(name.into())
    }
}

impl From<Name> for SetRef {
    fn from(name: Name) -> Self {
        Self::Named(name)
    }
}

impl From<&Name> for SetRef {
    fn from(name: &Name) -> Self {
        Self::Named(Name::clone(name))
    }
}

impl From<AnonymousSet> for SetRef {
    fn from(set: AnonymousSet) -> Self {
        Self::Anonymous(Box::new(set))
    }
}

/// How a packet is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reject {
    /// A TCP reset; the rule must have asked for TCP before.
    TcpReset,
    /// An ICMP error of the packet's family: 0 no route, 1 port, 2 host, 3 prohibited.
    Icmpx(u8),
    /// An ICMP or `ICMPv6` error with the family's own code.
    Icmp(u8),
}

/// The unit of a rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LimitUnit {
    /// Per second.
    Second,
    /// Per minute.
    Minute,
    /// Per hour.
    Hour,
    /// Per day.
    Day,
    /// Per this many seconds: read back from others, nft has no word for it.
    Seconds(u64),
}

impl LimitUnit {
    /// The unit of this many seconds.
    pub const fn of_seconds(seconds: u64) -> Self {
        match seconds {
            1 => Self::Second,
            60 => Self::Minute,
            3_600 => Self::Hour,
            86_400 => Self::Day,
            other => Self::Seconds(other),
        }
    }

    /// Its length in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Seconds(seconds) => seconds,
        }
    }
}

/// A packet rate: the rule goes on while it is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Limit {
    /// Packets per unit.
    pub rate: u64,
    /// The unit.
    pub unit: LimitUnit,
    /// Packets that may come at once; never 0, the kernel would make it 5.
    pub burst: u32,
    /// The rule goes on while the rate is exceeded (`rate over`).
    pub over: bool,
}

impl Limit {
    /// So many packets per second, so many at once (0: five, as the kernel and nft say).
    pub const fn per_second(rate: u64, burst: u32) -> Self {
        Self {
            rate,
            unit: LimitUnit::Second,
            burst: if burst == 0 { 5 } else { burst },
            over: false,
        }
    }
}

/// A log line, or a copy of the packet to an NFLOG group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Log {
    /// The text in front.
    pub prefix: Option<LogPrefix>,
    /// The NFLOG group; `None`: the kernel's log, level warning.
    pub group: Option<u16>,
    /// Bytes of the packet that go with it; `None`: all. Only with a group; never 0, which says the same as `None`.
    pub snaplen: Option<u32>,
    /// Copies the kernel gathers before it sends; `None` or 1: each at once (group only). Never 0.
    pub qthreshold: Option<u16>,
}

impl Log {
    /// To an NFLOG group.
    pub const fn group(group: u16) -> Self {
        Self {
            prefix: None,
            group: Some(group),
            snaplen: None,
            qthreshold: None,
        }
    }

    /// To the kernel's log.
    pub const fn kernel() -> Self {
        Self {
            prefix: None,
            group: None,
            snaplen: None,
            qthreshold: None,
        }
    }

    /// The same with a text in front.
    #[must_use]
    pub fn prefix(mut self, text: &str) -> Self {
        self.prefix = (!text.is_empty()).then(|| LogPrefix::new(text));
        self
    }

    /// The same with at most this many bytes of the packet.
    #[must_use]
    pub fn snaplen(mut self, bytes: u32) -> Self {
        self.snaplen = (bytes > 0).then_some(bytes);
        self
    }
}

/// One instruction of a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Expr {
    /// A property of the packet into a register.
    Meta {
        /// Which.
        key: MetaKey,
        /// Where to.
        dreg: Register,
    },
    /// A register into a property of the packet.
    MetaSet {
        /// Which.
        key: MetaKey,
        /// Where from.
        sreg: Register,
    },
    /// Bytes of the packet into a register.
    Payload {
        /// Where the offset counts from.
        base: Base,
        /// Bytes to skip.
        offset: u32,
        /// Bytes to read.
        len: u32,
        /// Where to.
        dreg: Register,
    },
    /// A property of the connection into a register.
    Ct {
        /// Which.
        key: CtKey,
        /// Where to.
        dreg: Register,
    },
    /// A route lookup into a register.
    Fib {
        /// What it asks with.
        flags: FibFlags,
        /// What it answers.
        result: FibResult,
        /// Where to.
        dreg: Register,
    },
    /// `dreg = (sreg & mask) ^ xor`.
    Bitwise {
        /// Where from.
        sreg: Register,
        /// Where to.
        dreg: Register,
        /// Kept bits.
        mask: Value,
        /// Bits turned over.
        xor: Value,
    },
    /// The rule goes on when the comparison holds.
    Cmp {
        /// How.
        op: CmpOp,
        /// What.
        sreg: Register,
        /// With what.
        value: Value,
    },
    /// The rule goes on when the register is in a range of network-order values (or not, if inverted).
    Range {
        /// Outside instead of inside.
        invert: bool,
        /// What.
        sreg: Register,
        /// Lowest value inside.
        first: Value,
        /// Highest value inside.
        last: Value,
    },
    /// The rule goes on when the key is in the set (or not, if inverted).
    Lookup {
        /// The set.
        set: SetRef,
        /// Where the key starts.
        sreg: Register,
        /// Not in the set instead.
        invert: bool,
    },
    /// What the map has for the key into a register; the rule goes on when it has the key.
    LookupValue {
        /// The map.
        set: SetRef,
        /// Where the key starts.
        sreg: Register,
        /// Where to.
        dreg: Register,
    },
    /// The verdict the map has for the key; the rule goes on when it has none.
    LookupVerdict {
        /// The map.
        set: SetRef,
        /// Where the key starts.
        sreg: Register,
    },
    /// A constant into a register.
    Immediate {
        /// Where to.
        dreg: Register,
        /// What.
        value: Value,
    },
    /// The end: a verdict.
    Verdict(Verdict),
    /// The end: refused.
    Reject(Reject),
    /// The rule goes on while a rate is kept.
    Limit(Limit),
    /// A log line.
    Log(Log),
    /// Counts packets and bytes.
    Counter,
    /// The connection is not followed.
    Notrack,
    /// Something that only others write: the name of the expression. Read back, never made: the kernel refuses it.
    Other(Name),
}
