//! Instructions and verdicts to bytes. Attribute numbers of one expression stand beside it: nothing else uses them.

use std::slice;

use oncilla_nft::object::{Expr, Limit, Log, Register, Reject, SetRef, Value, Verdict};

use super::attribute::Writer;
use super::encode::anonymous_name;
use super::wire::{
    BASES, CMP_OPS, CT_KEYS, FIB_RESULTS, META_KEYS, REGISTER_VERDICT, expr, number_of,
    register_number, verdict,
};

/// The content of one list item: the expression's name and body. `set_ids` gives the id of every anonymous set.
pub(super) fn expr(writer: &mut Writer<'_>, value: &Expr, set_ids: &mut slice::Iter<'_, u32>) {
    writer.text(expr::NAME, name(value));
    let body = writer.nest(expr::BODY);
    match value {
        Expr::Meta { key, dreg } => {
            writer.be32(2, number_of(&META_KEYS, key));
            register(writer, 1, *dreg);
        }
        Expr::MetaSet { key, sreg } => {
            writer.be32(2, number_of(&META_KEYS, key));
            register(writer, 3, *sreg);
        }
        Expr::Payload {
            base,
            offset,
            len,
            dreg,
        } => {
            register(writer, 1, *dreg);
            writer.be32(2, number_of(&BASES, base));
            writer.be32(3, *offset);
            writer.be32(4, *len);
        }
        Expr::Ct { key, dreg } => {
            writer.be32(2, number_of(&CT_KEYS, key));
            register(writer, 1, *dreg);
        }
        Expr::Fib {
            flags,
            result,
            dreg,
        } => {
            writer.be32(3, flags.0);
            writer.be32(2, number_of(&FIB_RESULTS, result));
            register(writer, 1, *dreg);
        }
        Expr::Bitwise { .. } | Expr::Cmp { .. } | Expr::Range { .. } => compare(writer, value),
        Expr::Lookup { set, sreg, invert } => {
            lookup(writer, set, *sreg, set_ids);
            writer.be32(5, u32::from(*invert));
        }
        Expr::LookupValue { set, sreg, dreg } => {
            lookup(writer, set, *sreg, set_ids);
            register(writer, 3, *dreg);
        }
        Expr::LookupVerdict { set, sreg } => {
            lookup(writer, set, *sreg, set_ids);
            writer.be32(3, REGISTER_VERDICT);
        }
        Expr::Immediate { dreg, value } => {
            register(writer, 1, *dreg);
            data(writer, 2, value);
        }
        Expr::Verdict(code) => {
            writer.be32(1, REGISTER_VERDICT);
            let nest = writer.nest(2);
            verdict(writer, code);
            writer.close(&nest);
        }
        Expr::Reject(reject) => self::reject(writer, *reject),
        Expr::Limit(limit) => self::limit(writer, limit),
        Expr::Log(log) => self::log(writer, log),
        Expr::Counter => {
            writer.be64(1, 0);
            writer.be64(2, 0);
        }
        Expr::Notrack | Expr::Other(_) => {}
    }
    writer.close(&body);
}

/// A verdict, inside a data attribute.
pub(super) fn verdict(writer: &mut Writer<'_>, value: &Verdict) {
    let code = match value {
        Verdict::Accept => verdict::ACCEPT,
        Verdict::Drop => verdict::DROP,
        Verdict::Return => verdict::RETURN,
        Verdict::Continue => verdict::CONTINUE,
        Verdict::Jump(_) => verdict::JUMP,
        Verdict::Goto(_) => verdict::GOTO,
    };
    let nest = writer.nest(expr::DATA_VERDICT);
    writer.bytes(expr::VERDICT_CODE, &code.to_be_bytes());
    if let Some(chain) = value.chain() {
        writer.text(expr::VERDICT_CHAIN, chain);
    }
    writer.close(&nest);
}

fn name(value: &Expr) -> &str {
    match value {
        Expr::Meta { .. } | Expr::MetaSet { .. } => "meta",
        Expr::Payload { .. } => "payload",
        Expr::Ct { .. } => "ct",
        Expr::Fib { .. } => "fib",
        Expr::Bitwise { .. } => "bitwise",
        Expr::Cmp { .. } => "cmp",
        Expr::Range { .. } => "range",
        Expr::Lookup { .. } | Expr::LookupValue { .. } | Expr::LookupVerdict { .. } => "lookup",
        Expr::Immediate { .. } | Expr::Verdict(_) => "immediate",
        Expr::Reject(_) => "reject",
        Expr::Limit(_) => "limit",
        Expr::Log(_) => "log",
        Expr::Counter => "counter",
        Expr::Notrack => "notrack",
        Expr::Other(name) => name,
    }
}

fn compare(writer: &mut Writer<'_>, value: &Expr) {
    match value {
        Expr::Bitwise {
            sreg,
            dreg,
            mask,
            xor,
        } => {
            register(writer, 1, *sreg);
            register(writer, 2, *dreg);
            let len = u32::try_from(mask.as_bytes().len()).unwrap_or(u32::MAX);
            writer.be32(3, len);
            data(writer, 4, mask);
            data(writer, 5, xor);
        }
        Expr::Cmp { op, sreg, value } => {
            register(writer, 1, *sreg);
            writer.be32(2, number_of(&CMP_OPS, op));
            data(writer, 3, value);
        }
        Expr::Range {
            invert,
            sreg,
            first,
            last,
        } => {
            register(writer, 1, *sreg);
            writer.be32(2, u32::from(*invert));
            data(writer, 3, first);
            data(writer, 4, last);
        }
        _ => {}
    }
}

fn lookup(writer: &mut Writer<'_>, set: &SetRef, sreg: Register, ids: &mut slice::Iter<'_, u32>) {
    match set {
        SetRef::Named(name) => writer.text(1, name),
        SetRef::Anonymous(set) => {
            writer.text(1, anonymous_name(set.data));
            let id = ids.next().expect("every anonymous set was given an id");
            writer.be32(4, *id);
        }
    }
    register(writer, 2, sreg);
}

fn reject(writer: &mut Writer<'_>, value: Reject) {
    let (kind, code) = match value {
        Reject::Icmp(code) => (0, code),
        Reject::TcpReset => (1, 0),
        Reject::Icmpx(code) => (2, code),
    };
    writer.be32(1, kind);
    writer.bytes(2, &[code]);
}

fn limit(writer: &mut Writer<'_>, value: &Limit) {
    writer.be64(1, value.rate);
    writer.be64(2, value.unit.seconds());
    writer.be32(3, value.burst);
    writer.be32(4, 0);
    writer.be32(5, u32::from(value.over));
}

fn log(writer: &mut Writer<'_>, value: &Log) {
    if let Some(prefix) = &value.prefix {
        writer.text(2, prefix.as_str());
    }
    if let Some(group) = value.group {
        writer.be16(1, group);
        if let Some(snaplen) = value.snaplen {
            writer.be32(3, snaplen);
        }
        if let Some(qthreshold) = value.qthreshold {
            writer.be16(4, qthreshold);
        }
    }
}

fn register(writer: &mut Writer<'_>, kind: u16, register: Register) {
    writer.be32(kind, register_number(register));
}

fn data(writer: &mut Writer<'_>, kind: u16, value: &Value) {
    let nest = writer.nest(kind);
    writer.bytes(expr::DATA_VALUE, value.as_bytes());
    writer.close(&nest);
}
