//! Bytes to instructions. Attribute numbers of one expression stand beside it, as in the encoder.

use std::collections::BTreeMap;

use oncilla_nft::object::{
    Expr, FibFlags, Limit, LimitUnit, Log, LogPrefix, MetaKey, Register, Reject, SetRef, Value,
};

use super::attribute::{Attributes, be16, be32, be64, text};
use super::decode::{Counts, data_value, verdict_data};
use super::error::Malformed;
use super::wire::{
    BASES, CMP_OPS, CT_KEYS, FIB_RESULTS, META_KEYS, REGISTER_VERDICT, expr, register, value_of,
};

/// One list item: an instruction and, of a counter, what it counted. What only others write is [`Expr::Other`].
pub(super) fn expr(bytes: &[u8]) -> Result<(Expr, Option<Counts>), Malformed> {
    let (name, body) = parts(bytes)?;
    let known = match name {
        "meta" => meta(&body)?,
        "payload" => payload(&body)?,
        "ct" => ct(&body)?,
        "fib" => fib(&body)?,
        "bitwise" => bitwise(&body)?,
        "cmp" => cmp(&body)?,
        "range" => range(&body)?,
        "lookup" => lookup(&body)?,
        "immediate" => immediate(&body)?,
        "reject" => reject(&body)?,
        "limit" => limit(&body)?,
        "log" => log(&body)?,
        "counter" => {
            let counts = Counts {
                bytes: body.number64(1)?,
                packets: body.number64(2)?,
            };
            return Ok((Expr::Counter, Some(counts)));
        }
        "notrack" => Some(Expr::Notrack),
        _ => None,
    };
    Ok((known.unwrap_or_else(|| Expr::Other(name.into())), None))
}

/// The name of an expression, and its attributes.
pub(super) fn parts(bytes: &[u8]) -> Result<(&str, Body<'_>), Malformed> {
    let (mut name, mut body): (&str, &[u8]) = ("", &[]);
    for attribute in Attributes::new(bytes) {
        let (kind, value) = attribute?;
        match kind {
            expr::NAME => name = text(value)?,
            expr::BODY => body = value,
            _ => {}
        }
    }
    Ok((name, Body::read(body)?))
}

/// The attributes of an expression by kind.
pub(super) struct Body<'a>(BTreeMap<u16, &'a [u8]>);

impl<'a> Body<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Attributes::new(bytes).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn has(&self, kind: u16) -> bool {
        self.0.contains_key(&kind)
    }

    pub(super) fn bytes(&self, kind: u16) -> Result<&'a [u8], Malformed> {
        self.0
            .get(&kind)
            .copied()
            .ok_or(Malformed::Missing("part of an expression"))
    }

    pub(super) fn number(&self, kind: u16) -> Result<u32, Malformed> {
        be32(self.bytes(kind)?)
    }

    fn number64(&self, kind: u16) -> Result<u64, Malformed> {
        be64(self.bytes(kind)?)
    }

    /// A number that the kernel leaves out when it is 0.
    fn number_or_0(&self, kind: u16) -> Result<u32, Malformed> {
        if self.has(kind) {
            self.number(kind)
        } else {
            Ok(0)
        }
    }

    fn register(&self, kind: u16) -> Result<Register, Malformed> {
        let number = self.number(kind)?;
        register(number).ok_or(Malformed::Unknown {
            what: "register",
            number,
        })
    }

    fn value(&self, kind: u16) -> Result<Value, Malformed> {
        data_value(self.bytes(kind)?)
    }
}

type Decoded = Result<Option<Expr>, Malformed>;

fn meta(body: &Body<'_>) -> Decoded {
    let Some(key) = value_of(&META_KEYS, &body.number(2)?) else {
        return Ok(None);
    };
    if body.has(1) {
        let dreg = body.register(1)?;
        return Ok(Some(Expr::Meta { key, dreg }));
    }
    let sreg = body.register(3)?;
    Ok((key == MetaKey::Mark).then_some(Expr::MetaSet { key, sreg }))
}

/// Writing into the packet is something that only others do.
fn payload(body: &Body<'_>) -> Decoded {
    if !body.has(1) {
        return Ok(None);
    }
    let Some(base) = value_of(&BASES, &body.number(2)?) else {
        return Ok(None);
    };
    Ok(Some(Expr::Payload {
        base,
        offset: body.number(3)?,
        len: body.number(4)?,
        dreg: body.register(1)?,
    }))
}

/// Keys of one direction, and writing, are something that only others do.
fn ct(body: &Body<'_>) -> Decoded {
    if !body.has(1) || body.has(3) {
        return Ok(None);
    }
    let key = value_of(&CT_KEYS, &body.number(2)?);
    let dreg = body.register(1)?;
    Ok(key.map(|key| Expr::Ct { key, dreg }))
}

fn fib(body: &Body<'_>) -> Decoded {
    let flags = FibFlags(body.number_or_0(3)?);
    let dreg = body.register(1)?;
    let known = FibFlags::SADDR | FibFlags::DADDR | FibFlags::MARK | FibFlags::IIF | FibFlags::OIF;
    let result = value_of(&FIB_RESULTS, &body.number(2)?);
    Ok(result
        .filter(|_| known.contains(flags))
        .map(|result| Expr::Fib {
            flags,
            result,
            dreg,
        }))
}

/// Shifts are something that only others use.
fn bitwise(body: &Body<'_>) -> Decoded {
    if body.number_or_0(6)? != 0 {
        return Ok(None);
    }
    Ok(Some(Expr::Bitwise {
        sreg: body.register(1)?,
        dreg: body.register(2)?,
        mask: body.value(4)?,
        xor: body.value(5)?,
    }))
}

fn cmp(body: &Body<'_>) -> Decoded {
    let Some(op) = value_of(&CMP_OPS, &body.number(2)?) else {
        return Ok(None);
    };
    Ok(Some(Expr::Cmp {
        op,
        sreg: body.register(1)?,
        value: body.value(3)?,
    }))
}

fn range(body: &Body<'_>) -> Decoded {
    Ok(Some(Expr::Range {
        sreg: body.register(1)?,
        invert: body.number(2)? != 0,
        first: body.value(3)?,
        last: body.value(4)?,
    }))
}

fn lookup(body: &Body<'_>) -> Decoded {
    let set = SetRef::from(text(body.bytes(1)?)?);
    let sreg = body.register(2)?;
    let invert = body.number_or_0(5)? != 0;
    if !body.has(3) {
        return Ok(Some(Expr::Lookup { set, sreg, invert }));
    }
    if body.number(3)? == REGISTER_VERDICT {
        return Ok(Some(Expr::LookupVerdict { set, sreg }));
    }
    let dreg = body.register(3)?;
    Ok(Some(Expr::LookupValue { set, sreg, dreg }))
}

fn immediate(body: &Body<'_>) -> Decoded {
    if body.number(1)? == REGISTER_VERDICT {
        return verdict_data(body.bytes(2)?).map(|verdict| Some(Expr::Verdict(verdict)));
    }
    Ok(Some(Expr::Immediate {
        dreg: body.register(1)?,
        value: body.value(2)?,
    }))
}

fn reject(body: &Body<'_>) -> Decoded {
    let code = || match body.bytes(2)? {
        [code] => Ok(*code),
        _ => Err(Malformed::Length),
    };
    let reject = match body.number(1)? {
        0 => Reject::Icmp(code()?),
        1 => Reject::TcpReset,
        2 => Reject::Icmpx(code()?),
        _ => return Ok(None),
    };
    Ok(Some(Expr::Reject(reject)))
}

/// Limits of bytes are something that only others use.
fn limit(body: &Body<'_>) -> Decoded {
    if body.number_or_0(4)? != 0 {
        return Ok(None);
    }
    Ok(Some(Expr::Limit(Limit {
        rate: body.number64(1)?,
        unit: LimitUnit::of_seconds(body.number64(2)?),
        burst: body.number_or_0(3)?,
        over: body.number_or_0(5)? & 1 != 0,
    })))
}

/// Levels other than warning, and flags, are something that only others use.
fn log(body: &Body<'_>) -> Decoded {
    const LEVEL_WARNING: u32 = 4;
    if body.has(5) && body.number(5)? != LEVEL_WARNING || body.number_or_0(6)? != 0 {
        return Ok(None);
    }
    let prefix = match body.0.get(&2) {
        Some(bytes) => Some(text(bytes)?).filter(|text| !text.is_empty()),
        None => None,
    };
    let word = |kind| body.0.get(&kind).map(|bytes| be16(bytes)).transpose();
    Ok(Some(Expr::Log(Log {
        prefix: prefix.map(LogPrefix::new),
        group: word(1)?,
        snaplen: Some(body.number_or_0(3)?).filter(|bytes| *bytes != 0),
        qthreshold: word(4)?.filter(|copies| *copies != 0),
    })))
}
