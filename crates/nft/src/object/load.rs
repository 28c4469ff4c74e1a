//! What a rule can load of a packet into a register.

use super::{Base, CtKey, Expr, FibFlags, FibResult, MetaKey, Register};

/// `NFPROTO_IPV4`.
pub(super) const IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
pub(super) const IPV6: u8 = 10;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;

/// Something of the packet that a rule can compare or look up. Loading one that only one family or protocol has adds
/// the test for it first, once per rule, as nft does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Load {
    /// `meta mark`.
    Mark,
    /// `meta mark & MASK`.
    MarkMasked(u32),
    /// `iifname`.
    IifName,
    /// `oifname`.
    OifName,
    /// `iif`.
    Iif,
    /// `oif`.
    Oif,
    /// `meta nfproto`.
    NfProto,
    /// `meta l4proto`.
    L4Proto,
    /// `ip saddr`; IPv4 only.
    Src4,
    /// `ip daddr`; IPv4 only.
    Dst4,
    /// `ip6 saddr`; IPv6 only.
    Src6,
    /// `ip6 daddr`; IPv6 only.
    Dst6,
    /// `th sport`. Whether the protocol has ports is the rule's business.
    SrcPort,
    /// `th dport`. Whether the protocol has ports is the rule's business.
    DstPort,
    /// `icmp type`; ICMP in IPv4 only.
    IcmpType,
    /// `icmp code`; ICMP in IPv4 only.
    IcmpCode,
    /// `icmpv6 type`; `ICMPv6` in IPv6 only.
    Icmpv6Type,
    /// `icmpv6 code`; `ICMPv6` in IPv6 only.
    Icmpv6Code,
    /// `ct state`.
    CtState,
    /// `ct status`.
    CtStatus,
    /// `ct direction`.
    CtDirection,
    /// `fib saddr . mark . iif oif`: the interface an answer would leave by, by mark and incoming interface; 0 is none.
    FibSrcMarkIifOif,
}

impl Load {
    /// How many bytes it fills.
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Mark
            | Self::MarkMasked(_)
            | Self::Iif
            | Self::Oif
            | Self::Src4
            | Self::Dst4
            | Self::CtState
            | Self::CtStatus
            | Self::FibSrcMarkIifOif => 4,
            Self::IifName | Self::OifName | Self::Src6 | Self::Dst6 => 16,
            Self::SrcPort | Self::DstPort => 2,
            Self::NfProto
            | Self::L4Proto
            | Self::IcmpType
            | Self::IcmpCode
            | Self::Icmpv6Type
            | Self::Icmpv6Code
            | Self::CtDirection => 1,
        }
    }

    /// The family it needs, as `meta nfproto` has it.
    pub(super) const fn family(self) -> Option<u8> {
        match self {
            Self::Src4 | Self::Dst4 | Self::IcmpType | Self::IcmpCode => Some(IPV4),
            Self::Src6 | Self::Dst6 | Self::Icmpv6Type | Self::Icmpv6Code => Some(IPV6),
            Self::Mark
            | Self::MarkMasked(_)
            | Self::IifName
            | Self::OifName
            | Self::Iif
            | Self::Oif
            | Self::NfProto
            | Self::L4Proto
            | Self::SrcPort
            | Self::DstPort
            | Self::CtState
            | Self::CtStatus
            | Self::CtDirection
            | Self::FibSrcMarkIifOif => None,
        }
    }

    /// The protocol it needs, as `meta l4proto` has it.
    pub(super) fn proto(self) -> Option<u8> {
        if matches!(self, Self::IcmpType | Self::IcmpCode) {
            Some(ICMP)
        } else if matches!(self, Self::Icmpv6Type | Self::Icmpv6Code) {
            Some(ICMPV6)
        } else {
            None
        }
    }

    pub(super) fn expr(self, dreg: Register) -> Expr {
        let meta = |key| Expr::Meta { key, dreg };
        let payload = |base, offset| Expr::Payload {
            base,
            offset,
            len: self.bytes().into(),
            dreg,
        };
        let ct = |key| Expr::Ct { key, dreg };
        match self {
            Self::Mark | Self::MarkMasked(_) => meta(MetaKey::Mark),
            Self::IifName => meta(MetaKey::IifName),
            Self::OifName => meta(MetaKey::OifName),
            Self::Iif => meta(MetaKey::Iif),
            Self::Oif => meta(MetaKey::Oif),
            Self::NfProto => meta(MetaKey::NfProto),
            Self::L4Proto => meta(MetaKey::L4Proto),
            Self::Src4 => payload(Base::Network, 12),
            Self::Dst4 => payload(Base::Network, 16),
            Self::Src6 => payload(Base::Network, 8),
            Self::Dst6 => payload(Base::Network, 24),
            Self::SrcPort | Self::IcmpType | Self::Icmpv6Type => payload(Base::Transport, 0),
            Self::DstPort => payload(Base::Transport, 2),
            Self::IcmpCode | Self::Icmpv6Code => payload(Base::Transport, 1),
            Self::CtState => ct(CtKey::State),
            Self::CtStatus => ct(CtKey::Status),
            Self::CtDirection => ct(CtKey::Direction),
            Self::FibSrcMarkIifOif => Expr::Fib {
                flags: FibFlags::SADDR | FibFlags::MARK | FibFlags::IIF,
                result: FibResult::Oif,
                dreg,
            },
        }
    }
}
