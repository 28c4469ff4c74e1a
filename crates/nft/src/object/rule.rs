//! Rules, written left to right as nft reads them.
//!
//! ```
//! use oncilla_nft::object::{Load, Rule};
//! // meta mark & 0xffff0000 . meta l4proto . th dport @k1 return comment "default/allow-a"
//! let rule = Rule::new()
//!     .in_set(&[Load::MarkMasked(0xffff_0000), Load::L4Proto, Load::DstPort], "k1")
//!     .return_()
//!     .comment("default/allow-a");
//! ```

use oncilla_net::IpNet;

use super::load::{IPV4, IPV6};
use super::{
    CmpOp, Comment, CtState, CtStatus, Expr, Limit, Load, Log, MetaKey, Name, Register, Reject,
    SetRef, Value, Verdict,
};

/// A rule: instructions and a comment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Rule {
    /// The instructions in order.
    pub exprs: Vec<Expr>,
    /// For the reader of `nft list ruleset`.
    pub comment: Option<Comment>,
}

/// Tests.
impl Rule {
    /// A rule that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `LOAD == value`.
    #[must_use]
    pub fn eq(self, load: Load, value: impl Into<Value>) -> Self {
        self.compare(load, CmpOp::Eq, value.into())
    }

    /// `LOAD != value`.
    #[must_use]
    pub fn ne(self, load: Load, value: impl Into<Value>) -> Self {
        self.compare(load, CmpOp::Ne, value.into())
    }

    /// `LOAD op value`; less and greater mean network order.
    #[must_use]
    pub fn compare(self, load: Load, op: CmpOp, value: Value) -> Self {
        let sreg = Register::FIRST;
        self.load(load, sreg).with(Expr::Cmp { op, sreg, value })
    }

    /// `LOAD first-last`, both included.
    #[must_use]
    pub fn in_range(self, load: Load, first: impl Into<Value>, last: impl Into<Value>) -> Self {
        let sreg = Register::FIRST;
        let cmp = |op, value| Expr::Cmp { op, sreg, value };
        self.load(load, sreg)
            .with(cmp(CmpOp::Ge, first.into()))
            .with(cmp(CmpOp::Le, last.into()))
    }

    /// `LOAD != first-last`, both included.
    #[must_use]
    pub fn not_in_range(self, load: Load, first: impl Into<Value>, last: impl Into<Value>) -> Self {
        let sreg = Register::FIRST;
        self.load(load, sreg).with(Expr::Range {
            invert: true,
            sreg,
            first: first.into(),
            last: last.into(),
        })
    }

    /// `ip saddr NET` and its like. A network of the other family than the load's never matches.
    #[must_use]
    pub fn in_net(self, load: Load, net: IpNet) -> Self {
        self.net(load, CmpOp::Eq, net)
    }

    /// `ip saddr != NET` and its like; still only packets of the load's family.
    #[must_use]
    pub fn not_in_net(self, load: Load, net: IpNet) -> Self {
        self.net(load, CmpOp::Ne, net)
    }

    /// `A . B . C @set`.
    #[must_use]
    pub fn in_set(self, loads: &[Load], set: impl Into<SetRef>) -> Self {
        self.load_all(loads).with(Expr::Lookup {
            set: set.into(),
            sreg: Register::FIRST,
            invert: false,
        })
    }

    /// `A . B . C != @set`.
    #[must_use]
    pub fn not_in_set(self, loads: &[Load], set: impl Into<SetRef>) -> Self {
        self.load_all(loads).with(Expr::Lookup {
            set: set.into(),
            sreg: Register::FIRST,
            invert: true,
        })
    }

    /// `iifname "name"`.
    #[must_use]
    pub fn iifname(self, name: &str) -> Self {
        self.eq(Load::IifName, Value::ifname(name))
    }

    /// `iifname != "name"`.
    #[must_use]
    pub fn iifname_not(self, name: &str) -> Self {
        self.ne(Load::IifName, Value::ifname(name))
    }

    /// `iifname "prefix*"`; at most 15 bytes.
    #[must_use]
    pub fn iifname_prefix(self, prefix: &str) -> Self {
        self.eq(Load::IifName, Value::new(prefix.as_bytes()))
    }

    /// `iifname != "prefix*"`.
    #[must_use]
    pub fn iifname_prefix_not(self, prefix: &str) -> Self {
        self.ne(Load::IifName, Value::new(prefix.as_bytes()))
    }

    /// `oifname "name"`.
    #[must_use]
    pub fn oifname(self, name: &str) -> Self {
        self.eq(Load::OifName, Value::ifname(name))
    }

    /// `oifname != "name"`.
    #[must_use]
    pub fn oifname_not(self, name: &str) -> Self {
        self.ne(Load::OifName, Value::ifname(name))
    }

    /// `oifname "prefix*"`; at most 15 bytes.
    #[must_use]
    pub fn oifname_prefix(self, prefix: &str) -> Self {
        self.eq(Load::OifName, Value::new(prefix.as_bytes()))
    }

    /// `oifname != "prefix*"`.
    #[must_use]
    pub fn oifname_prefix_not(self, prefix: &str) -> Self {
        self.ne(Load::OifName, Value::new(prefix.as_bytes()))
    }

    /// `iifname @set`.
    #[must_use]
    pub fn iifname_in(self, set: impl Into<SetRef>) -> Self {
        self.in_set(&[Load::IifName], set)
    }

    /// `oifname @set`.
    #[must_use]
    pub fn oifname_in(self, set: impl Into<SetRef>) -> Self {
        self.in_set(&[Load::OifName], set)
    }

    /// `meta nfproto @set`.
    #[must_use]
    pub fn nfproto_in(self, set: impl Into<SetRef>) -> Self {
        self.in_set(&[Load::NfProto], set)
    }

    /// `meta nfproto ipv4`.
    #[must_use]
    pub fn ipv4(self) -> Self {
        self.eq(Load::NfProto, Value::byte(IPV4))
    }

    /// `meta nfproto ipv6`.
    #[must_use]
    pub fn ipv6(self) -> Self {
        self.eq(Load::NfProto, Value::byte(IPV6))
    }

    /// `meta l4proto N`.
    #[must_use]
    pub fn l4proto(self, proto: u8) -> Self {
        self.eq(Load::L4Proto, Value::byte(proto))
    }

    /// `meta l4proto != N`.
    #[must_use]
    pub fn l4proto_not(self, proto: u8) -> Self {
        self.ne(Load::L4Proto, Value::byte(proto))
    }

    /// `meta mark & MASK == value`.
    #[must_use]
    pub fn mark(self, mask: u32, value: u32) -> Self {
        self.eq(Load::MarkMasked(mask), Value::word(value))
    }

    /// `meta mark & MASK != value`.
    #[must_use]
    pub fn mark_not(self, mask: u32, value: u32) -> Self {
        self.ne(Load::MarkMasked(mask), Value::word(value))
    }

    /// `ct state A,B`: one of these.
    #[must_use]
    pub fn ct_state(self, states: CtState) -> Self {
        self.any_bit(Load::CtState, states.0)
    }

    /// `ct status A,B`: one of these.
    #[must_use]
    pub fn ct_status(self, status: CtStatus) -> Self {
        self.any_bit(Load::CtStatus, status.0)
    }

    /// `icmp type N`.
    #[must_use]
    pub fn icmp_type(self, icmp_type: u8) -> Self {
        self.eq(Load::IcmpType, Value::byte(icmp_type))
    }

    /// `icmpv6 type N`.
    #[must_use]
    pub fn icmpv6_type(self, icmp_type: u8) -> Self {
        self.eq(Load::Icmpv6Type, Value::byte(icmp_type))
    }
}

/// What the rule does.
impl Rule {
    /// `meta mark set value`: all 32 bits.
    #[must_use]
    pub fn set_mark(self, value: u32) -> Self {
        self.with(Expr::Immediate {
            dreg: Register::FIRST,
            value: Value::word(value),
        })
        .store_mark()
    }

    /// `meta mark set meta mark & kept`: every other bit becomes 0.
    #[must_use]
    pub fn keep_mark(self, kept: u32) -> Self {
        self.change_mark(kept, 0)
    }

    /// `meta mark set meta mark | bits`.
    #[must_use]
    pub fn or_mark(self, bits: u32) -> Self {
        self.change_mark(!bits, bits)
    }

    /// `meta mark set meta mark & mask ^ xor`.
    #[must_use]
    pub fn change_mark(self, mask: u32, xor: u32) -> Self {
        let register = Register::FIRST;
        self.load(Load::Mark, register)
            .with(Expr::Bitwise {
                sreg: register,
                dreg: register,
                mask: Value::word(mask),
                xor: Value::word(xor),
            })
            .store_mark()
    }

    /// `meta mark set A . B map @map`: all 32 bits; the rule ends here when the map has no such key.
    #[must_use]
    pub fn set_mark_from(self, loads: &[Load], map: impl Into<SetRef>) -> Self {
        self.load_all(loads)
            .with(Expr::LookupValue {
                set: map.into(),
                sreg: Register::FIRST,
                dreg: Register::FIRST,
            })
            .store_mark()
    }

    /// `A . B vmap @map`: the map's verdict, or the next rule when it has no such key.
    #[must_use]
    pub fn vmap(self, loads: &[Load], map: impl Into<SetRef>) -> Self {
        self.load_all(loads).with(Expr::LookupVerdict {
            set: map.into(),
            sreg: Register::FIRST,
        })
    }

    /// `iifname vmap @map`.
    #[must_use]
    pub fn iifname_vmap(self, map: impl Into<SetRef>) -> Self {
        self.vmap(&[Load::IifName], map)
    }

    /// `oifname vmap @map`.
    #[must_use]
    pub fn oifname_vmap(self, map: impl Into<SetRef>) -> Self {
        self.vmap(&[Load::OifName], map)
    }

    /// `limit rate …`: goes on while the rate is kept.
    #[must_use]
    pub fn limit(self, limit: Limit) -> Self {
        self.with(Expr::Limit(limit))
    }

    /// `log …`.
    #[must_use]
    pub fn log(self, log: Log) -> Self {
        self.with(Expr::Log(log))
    }

    /// `counter`.
    #[must_use]
    pub fn counter(self) -> Self {
        self.with(Expr::Counter)
    }

    /// `notrack`: hook prerouting or output, priority raw.
    #[must_use]
    pub fn notrack(self) -> Self {
        self.with(Expr::Notrack)
    }

    /// `meta l4proto tcp reject with tcp reset`; hook input, forward or output.
    #[must_use]
    pub fn reject_tcp_reset(self) -> Self {
        self.needs(Load::L4Proto, 6)
            .with(Expr::Reject(Reject::TcpReset))
    }

    /// `reject with icmpx …`; hook input, forward or output. Codes at [`Reject::Icmpx`].
    #[must_use]
    pub fn reject_icmpx(self, code: u8) -> Self {
        self.with(Expr::Reject(Reject::Icmpx(code)))
    }

    /// `accept`.
    #[must_use]
    pub fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    /// `drop`.
    #[must_use]
    pub fn drop(self) -> Self {
        self.verdict(Verdict::Drop)
    }

    /// `return`.
    #[must_use]
    pub fn return_(self) -> Self {
        self.verdict(Verdict::Return)
    }

    /// `jump chain`.
    #[must_use]
    pub fn jump(self, chain: impl Into<Name>) -> Self {
        self.verdict(Verdict::Jump(chain.into()))
    }

    /// `goto chain`.
    #[must_use]
    pub fn goto(self, chain: impl Into<Name>) -> Self {
        self.verdict(Verdict::Goto(chain.into()))
    }

    /// Any verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.with(Expr::Verdict(verdict))
    }

    /// One more instruction, as it is.
    #[must_use]
    pub fn with(mut self, expr: Expr) -> Self {
        self.exprs.push(expr);
        self
    }

    /// A comment.
    #[must_use]
    pub fn comment(mut self, text: &str) -> Self {
        self.comment = Some(Comment::new(text));
        self
    }
}

/// Reading.
impl Rule {
    /// The chains it leads to, also through sets written inside it.
    pub fn chains(&self) -> impl Iterator<Item = &Name> {
        self.exprs.iter().flat_map(|expr| {
            let direct = if let Expr::Verdict(verdict) = expr {
                verdict.chain()
            } else {
                None
            };
            let elements = match expr.set() {
                Some(SetRef::Anonymous(set)) => set.elements(),
                Some(SetRef::Named(_)) | None => &[],
            };
            direct.into_iter().chain(
                elements
                    .iter()
                    .filter_map(|element| element.verdict_value()?.chain()),
            )
        })
    }

    /// The named sets and maps it asks.
    pub fn sets(&self) -> impl Iterator<Item = &Name> {
        self.exprs.iter().filter_map(|expr| match expr.set()? {
            SetRef::Named(name) => Some(name),
            SetRef::Anonymous(_) => None,
        })
    }
}

impl Rule {
    fn load(mut self, load: Load, dreg: Register) -> Self {
        self = self.family_and_proto(load);
        self.load_ready(load, dreg)
    }

    /// All tests for families and protocols come before the first part: a test uses the first register.
    fn load_all(mut self, loads: &[Load]) -> Self {
        for load in loads {
            self = self.family_and_proto(*load);
        }
        let mut slot = 0;
        for load in loads {
            self = self.load_ready(*load, Register(slot));
            slot += load.bytes().div_ceil(4);
        }
        self
    }

    fn load_ready(self, load: Load, dreg: Register) -> Self {
        let loaded = self.with(load.expr(dreg));
        let Load::MarkMasked(mask) = load else {
            return loaded;
        };
        loaded.with(Expr::Bitwise {
            sreg: dreg,
            dreg,
            mask: Value::word(mask),
            xor: Value::word(0),
        })
    }

    fn family_and_proto(mut self, load: Load) -> Self {
        if let Some(family) = load.family() {
            self = self.needs(Load::NfProto, family);
        }
        if let Some(proto) = load.proto() {
            self = self.needs(Load::L4Proto, proto);
        }
        self
    }

    /// The test `load == byte`, unless the rule has it.
    fn needs(self, load: Load, byte: u8) -> Self {
        let read = load.expr(Register::FIRST);
        let test = Expr::Cmp {
            op: CmpOp::Eq,
            sreg: Register::FIRST,
            value: Value::byte(byte),
        };
        let tested = self
            .exprs
            .windows(2)
            .any(|pair| matches!(pair, [first, second] if *first == read && *second == test));
        if tested {
            self
        } else {
            self.eq(load, Value::byte(byte))
        }
    }

    fn net(self, load: Load, op: CmpOp, net: IpNet) -> Self {
        let sreg = Register::FIRST;
        let mask = Value::from(net.netmask());
        let xor = Value::new(&vec![0; mask.as_bytes().len()]);
        let loaded = self.load(load, sreg);
        let whole = net.prefix_len() == net.max_prefix_len();
        let masked = if whole {
            loaded
        } else {
            loaded.with(Expr::Bitwise {
                sreg,
                dreg: sreg,
                mask,
                xor,
            })
        };
        masked.with(Expr::Cmp {
            op,
            sreg,
            value: net.network().into(),
        })
    }

    fn any_bit(self, load: Load, bits: u32) -> Self {
        let register = Register::FIRST;
        self.load(load, register)
            .with(Expr::Bitwise {
                sreg: register,
                dreg: register,
                mask: Value::word(bits),
                xor: Value::word(0),
            })
            .with(Expr::Cmp {
                op: CmpOp::Ne,
                sreg: register,
                value: Value::word(0),
            })
    }

    fn store_mark(self) -> Self {
        self.with(Expr::MetaSet {
            key: MetaKey::Mark,
            sreg: Register::FIRST,
        })
    }
}

impl Expr {
    /// The set a lookup asks.
    pub fn set(&self) -> Option<&SetRef> {
        if let Self::Lookup { set, .. }
        | Self::LookupValue { set, .. }
        | Self::LookupVerdict { set, .. } = self
        {
            Some(set)
        } else {
            None
        }
    }

    /// The set a lookup asks, to replace it.
    pub fn set_mut(&mut self) -> Option<&mut SetRef> {
        if let Self::Lookup { set, .. }
        | Self::LookupValue { set, .. }
        | Self::LookupVerdict { set, .. } = self
        {
            Some(set)
        } else {
            None
        }
    }
}
