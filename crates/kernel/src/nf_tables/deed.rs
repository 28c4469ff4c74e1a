//! What a rule that anybody made may do to a packet. Conditions are not looked at: what may happen is told, not when.

use std::collections::BTreeMap;
use std::fmt;

use oncilla_nft::object::{Base, Expr, MetaKey, Name, Register, SetRef, Value, Verdict};

use super::attribute::{Attributes, be32};
use super::decode_expr::{self, Body};
use super::error::Malformed;
use super::wire::{BASES, REGISTER_VERDICT, expr, value_of};

/// Expressions of others that change neither the packet's way nor what anybody judges of it. Writing (`meta priority`,
/// `ct mark`, TCP options) is among them; what is written elsewhere is looked at.
const HARMLESS: [&str; 29] = [
    "meta",
    "ct",
    "fib",
    "cmp",
    "range",
    "lookup",
    "byteorder",
    "exthdr",
    "hash",
    "numgen",
    "rt",
    "socket",
    "osf",
    "tunnel",
    "xfrm",
    "inner",
    "quota",
    "connlimit",
    "dynset",
    "objref",
    "counter",
    "limit",
    "log",
    "last",
    "secmark",
    "match",
    "bitwise",
    "payload",
    "immediate",
];
/// Targets of iptables that change neither.
const HARMLESS_TARGETS: [&str; 19] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNSECMARK",
    "DSCP",
    "ECN",
    "HL",
    "IDLETIMER",
    "LED",
    "LOG",
    "NFLOG",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TOS",
    "TRACE",
    "TTL",
];
/// `NF_QUEUE` in the lowest byte of a verdict.
const QUEUE: u32 = 3;
/// Bytes of the IPv4 and IPv6 headers that are addresses, from the smaller family's first to the larger one's last.
const ADDRESS_BYTES: std::ops::Range<u32> = 12..40;
/// Source and destination port.
const PORT_BYTES: std::ops::Range<u32> = 0..4;

/// Something that may happen to a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Deed {
    /// It leaves the base chain, and goes on to the next one of the hook.
    Accept,
    /// It ends: dropped or refused.
    Drop,
    /// A program decides.
    Queue,
    /// These bits of its mark may change.
    Mark(u32),
    /// Its connection is not followed.
    Notrack,
    /// The source of its connection is translated.
    TranslateSource,
    /// The destination of its connection is translated, or a local socket gets it.
    TranslateDestination,
    /// Its addresses or ports are overwritten, behind connection tracking's back.
    Rewrite,
    /// It, or a copy, leaves by another way than routing's.
    Divert,
    /// Further packets of its connection skip the hooks.
    Offload,
    /// Something that nobody here knows, by its name.
    Unknown(Name),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Queue => f.write_str("queue"),
            Self::Mark(bits) => write!(f, "mark bits {bits:#010x}"),
            Self::Notrack => f.write_str("notrack"),
            Self::TranslateSource => f.write_str("source NAT"),
            Self::TranslateDestination => f.write_str("destination NAT"),
            Self::Rewrite => f.write_str("rewrite of addresses or ports"),
            Self::Divert => f.write_str("fwd or dup"),
            Self::Offload => f.write_str("flow offload"),
            Self::Unknown(name) => write!(f, "{name:?}, which is not known here"),
        }
    }
}

/// Where something may happen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Done {
    /// What.
    pub deed: Deed,
    /// The chain that has the rule.
    pub chain: Name,
    /// The first such rule of the chain, from 0.
    pub rule: usize,
    /// How many rules of the chain do so.
    pub rules: usize,
}

/// What one rule may do, and where it leads.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) deeds: Vec<Deed>,
    pub(super) chains: Vec<Name>,
    /// Verdict maps that it asks.
    pub(super) maps: Vec<Name>,
}

/// What the expressions of a rule may do.
pub(super) fn deeds(expressions: &[u8]) -> Result<Effects, Malformed> {
    let mut found = Effects::default();
    let mut marks = Marks::default();
    for item in Attributes::new(expressions) {
        let (_, bytes) = item?;
        // What is malformed to us may be only new.
        match decode_expr::expr(bytes) {
            Ok((Expr::Other(_), _)) | Err(_) => {
                marks = Marks::default();
                let (name, body) = decode_expr::parts(bytes)?;
                found.deeds.extend(foreign(name, &body));
            }
            Ok((known, _)) => found.take(&known, &mut marks),
        }
    }
    Ok(found)
}

impl Effects {
    fn take(&mut self, known: &Expr, marks: &mut Marks) {
        match known {
            Expr::Verdict(verdict) => self.verdict(verdict),
            Expr::Reject(_) => self.deeds.push(Deed::Drop),
            Expr::Notrack => self.deeds.push(Deed::Notrack),
            Expr::MetaSet {
                key: MetaKey::Mark,
                sreg,
            } => self.deeds.push(Deed::Mark(marks.written_from(*sreg))),
            Expr::LookupVerdict {
                set: SetRef::Named(map),
                ..
            } => self.maps.push(Name::clone(map)),
            _ => {}
        }
        marks.take(known);
    }

    /// What a verdict does.
    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.deeds.push(Deed::Accept),
            Verdict::Drop => self.deeds.push(Deed::Drop),
            Verdict::Return | Verdict::Continue => {}
            Verdict::Jump(chain) | Verdict::Goto(chain) => self.chains.push(Name::clone(chain)),
        }
    }
}

/// Registers that hold the packet's mark, each with the bits in which it may differ from it.
#[derive(Debug, Default)]
struct Marks(BTreeMap<Register, u32>);

impl Marks {
    fn written_from(&self, register: Register) -> u32 {
        self.0.get(&register).copied().unwrap_or(u32::MAX)
    }

    fn take(&mut self, known: &Expr) {
        let word = |value: &Value| value.as_word().unwrap_or(u32::MAX);
        match known {
            Expr::Meta {
                key: MetaKey::Mark,
                dreg,
            } => {
                self.0.insert(*dreg, 0);
            }
            Expr::Bitwise {
                sreg,
                dreg,
                mask,
                xor,
            } => {
                let changed = mask.as_word().map_or(u32::MAX, |mask| !mask) | word(xor);
                match self.0.get(sreg).copied() {
                    Some(before) => self.0.insert(*dreg, before | changed),
                    None => self.0.remove(dreg),
                };
            }
            // Whatever it is, a wide value covers the registers behind it too.
            Expr::Meta { .. }
            | Expr::Payload { .. }
            | Expr::Ct { .. }
            | Expr::Fib { .. }
            | Expr::Immediate { .. }
            | Expr::LookupValue { .. } => self.0.clear(),
            _ => {}
        }
    }
}

/// What an expression does that we never write.
fn foreign(name: &str, body: &Body<'_>) -> Option<Deed> {
    let unknown = || Some(Deed::Unknown(name.into()));
    match name {
        "immediate" if body.number(1) == Ok(REGISTER_VERDICT) => Some(odd_verdict(body)),
        // Reading has a destination register.
        "payload" if !body.has(1) => rewrites(body).then_some(Deed::Rewrite),
        "nat" => match body.number(1) {
            Ok(0) => Some(Deed::TranslateSource),
            Ok(1) => Some(Deed::TranslateDestination),
            _ => unknown(),
        },
        "masq" => Some(Deed::TranslateSource),
        "redir" | "tproxy" => Some(Deed::TranslateDestination),
        "queue" => Some(Deed::Queue),
        "fwd" | "dup" => Some(Deed::Divert),
        "flow_offload" => Some(Deed::Offload),
        "target" => target(body),
        _ if HARMLESS.contains(&name) => None,
        _ => unknown(),
    }
}

/// A verdict that nf_tables has no word for.
fn odd_verdict(body: &Body<'_>) -> Deed {
    let code = body.bytes(2).ok().and_then(|data| {
        let verdict = Attributes::new(data).find(expr::DATA_VERDICT).ok()??;
        let code = Attributes::new(verdict).find(expr::VERDICT_CODE).ok()??;
        be32(code).ok()
    });
    match code {
        Some(code) if code & 0xff == QUEUE => Deed::Queue,
        _ => Deed::Unknown("verdict".into()),
    }
}

/// Whether bytes of the packet that are written are addresses or ports.
fn rewrites(body: &Body<'_>) -> bool {
    let base = body.number(2).map(|base| value_of(&BASES, &base));
    let (Ok(base), Ok(first), Ok(length)) = (base, body.number(3), body.number(4)) else {
        return true;
    };
    let hits = |bytes: std::ops::Range<u32>| {
        first < bytes.end && first.saturating_add(length) > bytes.start
    };
    match base {
        Some(Base::Link) => false,
        Some(Base::Network) => hits(ADDRESS_BYTES),
        Some(Base::Transport) => hits(PORT_BYTES),
        None => true,
    }
}

/// A target of iptables, by its name and its own bytes, which are in the machine's order.
fn target(body: &Body<'_>) -> Option<Deed> {
    let name = body
        .bytes(1)
        .ok()
        .and_then(|bytes| super::attribute::text(bytes).ok());
    let revision = body.number(2).unwrap_or_default();
    let info = body.bytes(3).unwrap_or_default();
    let word = |at: usize| {
        let bytes = info.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let byte = |at: usize| info.get(at).copied();
    match name.unwrap_or_default() {
        "REJECT" => Some(Deed::Drop),
        "NFQUEUE" => Some(Deed::Queue),
        "NOTRACK" => Some(Deed::Notrack),
        // `struct xt_ct_target_info`: flags first, the lowest of them says notrack.
        "CT" => (byte(0).is_none_or(|flags| flags & 1 != 0)).then_some(Deed::Notrack),
        "DNAT" | "REDIRECT" | "TPROXY" | "NETMAP" => Some(Deed::TranslateDestination),
        "SNAT" | "MASQUERADE" => Some(Deed::TranslateSource),
        "TEE" => Some(Deed::Divert),
        // `struct xt_mark_tginfo2`: value and mask.
        "MARK" => Some(Deed::Mark(match (revision, word(0), word(4)) {
            (2, Some(value), Some(mask)) => value | mask,
            _ => u32::MAX,
        })),
        // `struct xt_connmark_tginfo1`, 2: two values for the connection, one for the packet, and what to do.
        "CONNMARK" => {
            let (mode, bits) = (byte(if revision < 2 { 12 } else { 14 }), word(8));
            match mode {
                Some(0 | 1) => None,
                _ => Some(Deed::Mark(bits.unwrap_or(u32::MAX))),
            }
        }
        "HMARK" | "mark" => Some(Deed::Mark(u32::MAX)),
        name if HARMLESS_TARGETS.contains(&name) => None,
        name => Some(Deed::Unknown(format!("target {name}").into())),
    }
}
