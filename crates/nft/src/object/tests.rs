//! What values promise: normal forms, orders, and the instructions a text-like rule becomes.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

#[test]
fn keys_of_a_concatenation_are_padded_to_words() {
    let parts = [
        KeyPart::Mark(0x0003_0000),
        KeyPart::Proto(6),
        KeyPart::Port(80),
    ];
    let key = Value::concat(&parts);
    assert_eq!(key, Value::mark_proto_port(0x0003_0000, 6, 80));
    let key_type = KeyType::concat([
        FieldType::Mark,
        FieldType::InetProto,
        FieldType::InetService,
    ]);
    assert_eq!(key_type.bytes(), key.as_bytes().len());
    assert_eq!(key_type.parts(&key), Some(parts.to_vec()));
    assert_eq!(key_type.parts(&Value::word(1)), None);
}

#[test]
fn long_keys_are_whole() {
    let addr = KeyPart::Ipv6(Ipv6Addr::LOCALHOST);
    let parts = [
        addr.clone(),
        addr,
        KeyPart::Proto(6),
        KeyPart::Port(1),
        KeyPart::Port(2),
    ];
    let key = Value::concat(&parts);
    assert_eq!(key.as_bytes().len(), 44);
    let key_type = KeyType::concat([
        FieldType::Ipv6Addr,
        FieldType::Ipv6Addr,
        FieldType::InetProto,
        FieldType::InetService,
        FieldType::InetService,
    ]);
    assert_eq!(key_type.parts(&key), Some(parts.to_vec()));
}

#[test]
fn neighbours_of_values() {
    let last = Value::ipv4(Ipv4Addr::new(10, 0, 255, 255));
    assert_eq!(
        last.successor(),
        Some(Value::ipv4(Ipv4Addr::new(10, 1, 0, 0)))
    );
    assert_eq!(
        last.successor().and_then(|next| next.predecessor()),
        Some(last)
    );
    assert_eq!(Value::ipv4(Ipv4Addr::BROADCAST).successor(), None);
    assert_eq!(Value::ipv4(Ipv4Addr::UNSPECIFIED).predecessor(), None);
}

#[test]
fn a_range_of_one_key_is_the_key() {
    assert_eq!(
        Element::range(Value::port(1), Value::port(1)),
        Element::new(Value::port(1))
    );
    let net = Element::net("10.0.0.0/8".parse().unwrap());
    assert_eq!(
        net.key_end(),
        Some(&Value::ipv4(Ipv4Addr::new(10, 255, 255, 255)))
    );
    assert!(Element::net("10.0.0.1/32".parse().unwrap()).is_plain());
}

#[test]
fn expiry_is_no_part_of_what_two_readings_share() {
    let read = Element::new(Value::port(1)).expires_ms(7);
    assert_eq!(read.without_expiry(), Element::new(Value::port(1)));
    let read = Element::new(Value::port(1)).timeout_ms(9).expires_ms(7);
    assert_eq!(
        read.without_expiry(),
        Element::new(Value::port(1)).timeout_ms(9)
    );
}

#[test]
fn an_element_stays_small() {
    assert_eq!(size_of::<Element>(), 56);
    assert_eq!(size_of::<Value>(), 24);
}

#[test]
fn texts_survive_being_loaded() {
    assert_eq!(Comment::new("say \"hi\"\n").as_str(), "say 'hi' ");
    assert_eq!(Comment::new(&"\u{e9}".repeat(100)).as_str().len(), 126);
    assert_eq!(LogPrefix::new("$x").as_str(), "_x");
}

#[test]
fn family_is_asked_once_and_before_the_key() {
    let rule = Rule::new()
        .in_set(&[Load::Src4, Load::Dst4, Load::L4Proto], "tomb")
        .reject_tcp_reset();
    let nfproto = |expr: &&Expr| {
        matches!(
            expr,
            Expr::Meta {
                key: MetaKey::NfProto,
                ..
            }
        )
    };
    assert_eq!(rule.exprs.iter().filter(nfproto).count(), 1);
    assert!(matches!(
        rule.exprs.first(),
        Some(Expr::Meta {
            key: MetaKey::NfProto,
            ..
        })
    ));
    let slots: Vec<u8> = rule
        .exprs
        .iter()
        .filter_map(|expr| {
            if let Expr::Payload { dreg, .. } = expr {
                Some(dreg.0)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(slots, [0, 1]);
}

#[test]
fn a_rule_names_its_chains_and_sets() {
    let inner = AnonymousSet::new(
        FieldType::Mark,
        [Element::verdict(
            Value::word(1),
            Verdict::Goto("keep".into()),
        )],
    );
    let rule = Rule::new()
        .in_set(&[Load::Mark], "p9")
        .vmap(&[Load::MarkMasked(15)], inner)
        .goto("deny");
    assert_eq!(
        rule.chains().map(|name| &**name).collect::<Vec<_>>(),
        ["keep", "deny"]
    );
    assert_eq!(rule.sets().map(|name| &**name).collect::<Vec<_>>(), ["p9"]);
}
