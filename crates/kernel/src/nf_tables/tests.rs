//! The codec without a kernel: what is written reads back, and no bytes make a decoder panic.
#![expect(clippy::indexing_slicing, reason = "a test may fail")]

use std::net::{IpAddr, Ipv4Addr};

use oncilla_nft::object::{
    AnonymousSet, Chain, CtState, DataType, Element, FieldType, Hook, KeyPart, Limit, Load, Log,
    Name, Rule, Set, SetFlags, Table, Value, Verdict, priority,
};
use oncilla_testkit::fuzz::Run;

use super::answer::{Acknowledgement, Reading};
use super::attribute::{Attributes, Message, Messages, Writer};
use super::batch::{Batch, SEQUENCE_FIRST};
use super::encode::KeyShape;
use super::wire::message;
use super::{decode, decode_expr, deed, monitor};

fn sample_rules() -> Vec<Rule> {
    let inline = AnonymousSet::new(
        FieldType::Mark,
        [Element::verdict(Value::word(1), Verdict::Goto("c".into()))],
    );
    vec![
        Rule::new()
            .ct_state(CtState::ESTABLISHED)
            .accept()
            .comment("rule"),
        Rule::new()
            .in_set(
                &[Load::MarkMasked(0xffff_0000), Load::L4Proto, Load::DstPort],
                "k1",
            )
            .return_(),
        Rule::new()
            .iifname_prefix("cali")
            .eq(Load::FibSrcMarkIifOif, Value::word(0))
            .drop(),
        Rule::new().set_mark_from(&[Load::Src4], "addr4").counter(),
        Rule::new()
            .l4proto(6)
            .not_in_range(Load::DstPort, Value::port(1), Value::port(2))
            .notrack(),
        Rule::new()
            .limit(Limit::per_second(9, 8))
            .log(Log::group(1).prefix("p").snaplen(80)),
        Rule::new().vmap(&[Load::MarkMasked(15)], inline),
        Rule::new().or_mark(1).reject_tcp_reset(),
    ]
}

fn sample() -> Batch {
    let addr4 = Set::map("addr4", FieldType::Ipv4Addr, DataType::Mark).comment("set");
    let nets = Set::new("nets", FieldType::Ipv4Addr).flags(SetFlags::INTERVAL);
    let pairs = Set::new("pairs", [FieldType::InetProto, FieldType::InetService])
        .flags(SetFlags::INTERVAL | SetFlags::TIMEOUT)
        .size(9);
    let pair = |port| Value::concat(&[KeyPart::Proto(6), KeyPart::Port(port)]);
    let mut batch = Batch::new("t");
    batch
        .add_table(&Table::new("t").comment("table"))
        .add_chain(&Chain::filter("c", Hook::Input, priority::RAW).comment("chain"))
        .add_set(&addr4)
        .add_elements(
            &addr4,
            [Element::mark(Ipv4Addr::LOCALHOST, 7).comment("element")],
        )
        .add_set(&nets)
        .add_elements(&nets, [Element::net("10.0.0.0/8".parse().unwrap())])
        .add_set(&pairs)
        .add_elements(
            &pairs,
            [Element::range(pair(1), pair(9)).timeout_ms(5).expires_ms(4)],
        );
    for rule in sample_rules() {
        batch.add_rule(&Name::from("c"), &rule);
    }
    batch
}

/// Runs every decoder over the bytes, as a whole and message by message.
fn decode_everything(bytes: &[u8]) {
    let mut reading = Reading::new(SEQUENCE_FIRST);
    reading.read(bytes, &mut |_, attributes| {
        decode::table(attributes).map(drop)
    });
    drop(monitor::events_of(bytes));
    decode_attributes(&Attributes::new(bytes));
    drop(decode_expr::expr(bytes));
    drop(deed::deeds(bytes));
    for message in Messages::new(bytes).map_while(Result::ok) {
        drop(Acknowledgement::read(&message));
        if let Ok((_, attributes)) = message.family_and_attributes() {
            decode_attributes(&attributes);
        }
    }
}

fn decode_attributes(attributes: &Attributes<'_>) {
    drop(decode::table(attributes.clone()));
    drop(decode::chain(attributes.clone()));
    drop(decode::set(attributes.clone()).map(|listed| {
        let key = Value::new(&[1; 64]);
        listed.set.key.parts(&key)
    }));
    drop(decode::rule(attributes.clone()));
    drop(decode::generation(attributes.clone()));
    for data in [
        None,
        Some(DataType::Mark),
        Some(DataType::Verdict),
        Some(DataType::Other(3)),
    ] {
        for shape in [KeyShape::Single, KeyShape::Bounds, KeyShape::Pair] {
            let mut raw = Vec::new();
            let outcome = decode::elements(attributes.clone(), data, &mut raw);
            std::hint::black_box(&outcome);
            drop(decode::finish_elements(raw, shape));
        }
    }
}

#[test]
fn fuzz_messages() {
    let real = sample().bytes().to_vec();
    // Each message alone as well: what is changed in one does not hide behind those before it.
    let mut samples = vec![real.as_slice()];
    let mut rest = real.as_slice();
    while let Some(length) = rest.first_chunk().map(|length| u32::from_ne_bytes(*length)) {
        let length = usize::try_from(length).unwrap().next_multiple_of(4);
        let (one, more) = rest.split_at(length.min(rest.len()));
        samples.push(one);
        rest = more;
    }
    assert!(samples.len() > 10, "{}", samples.len());
    Run::new("nf_tables", 20_000).bytes(&samples, decode_everything);
}

#[test]
fn what_is_written_reads_back() {
    let batch = sample();
    let messages: Vec<Message<'_>> = Messages::new(batch.bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let of = |number: u8| {
        messages
            .iter()
            .filter(move |message| message.number() == Some(number))
            .map(|message| message.family_and_attributes().unwrap().1)
            .collect::<Vec<_>>()
    };
    let table = decode::table(of(message::NEW_TABLE).remove(0)).unwrap();
    assert_eq!(table.table, Table::new("t").comment("table"));
    let (_, chain) = decode::chain(of(message::NEW_CHAIN).remove(0)).unwrap();
    assert_eq!(
        chain.chain,
        Chain::filter("c", Hook::Input, priority::RAW).comment("chain")
    );
    let sets = of(message::NEW_SET);
    assert_eq!(sets.len(), 4);
    assert!(decode::set(sets[3].clone()).unwrap().anonymous);
    let set = decode::set(sets[2].clone()).unwrap();
    assert_eq!((set.set.size, set.set.key.bytes()), (Some(9), 8));
    let mut raw = Vec::new();
    decode::elements(of(message::NEW_ELEMENTS).remove(1), None, &mut raw).unwrap();
    let nets = decode::finish_elements(raw, KeyShape::Bounds);
    assert_eq!(nets, [Element::net("10.0.0.0/8".parse().unwrap())]);
    let rules = of(message::NEW_RULE);
    for (attributes, rule) in rules.into_iter().zip(sample_rules()) {
        let (_, read) = decode::rule(attributes).unwrap();
        assert_eq!(read.rule.comment, rule.comment);
        assert_eq!(read.rule.exprs.len(), rule.exprs.len());
        if rule.sets().count()
            == rule
                .exprs
                .iter()
                .filter(|expr| expr.set().is_some())
                .count()
        {
            assert_eq!(read.rule, rule);
        }
    }
}

#[test]
fn the_last_range_has_no_end_and_neighbours_touch() {
    let set = Set::map("nets", FieldType::Ipv4Addr, DataType::Mark).flags(SetFlags::INTERVAL);
    let elements: Vec<_> = [
        "0.0.0.0/1",
        "128.0.0.0/2",
        "192.0.0.0/32",
        "192.0.0.1/32",
        "255.0.0.0/8",
    ]
    .map(|net| Element::net(net.parse().unwrap()))
    .into_iter()
    .enumerate()
    .map(|(i, element)| {
        element.maps_to(oncilla_nft::object::MapValue::Mark(
            u32::try_from(i).unwrap(),
        ))
    })
    .collect();
    let mut batch = Batch::new("t");
    batch.add_elements(&set, elements.iter().rev());
    let message = Messages::new(batch.bytes()).next().unwrap().unwrap();
    let (_, attributes) = message.family_and_attributes().unwrap();
    let mut raw = Vec::new();
    decode::elements(attributes, set.data, &mut raw).unwrap();
    assert_eq!(raw.len(), 9);
    assert_eq!(decode::finish_elements(raw, KeyShape::Bounds), elements);
}

#[test]
fn elements_are_split_and_located() {
    let set = Set::new("p", FieldType::Ipv6Addr);
    let elements: Vec<_> = (0..5_000_u128)
        .map(|i| Element::new(IpAddr::from(i.to_be_bytes())))
        .collect();
    let mut batch = Batch::new("t");
    batch
        .add_elements(&set, [] as [Element; 0])
        .add_elements(&set, &elements);
    let lengths: Vec<usize> = Messages::new(batch.bytes())
        .map(|m| m.unwrap().body.len())
        .collect();
    assert!(
        lengths.len() > 2 && lengths.iter().all(|length| *length < 65_000),
        "{lengths:?}"
    );
    assert_eq!(batch.operations().len(), 2);
    assert_eq!(batch.locate(SEQUENCE_FIRST, None), Some((1, None)));
    // 20 bytes of headers, two names, the list, then 28 bytes an element.
    let list = 20 + 8 + 8;
    assert_eq!(
        batch.locate(SEQUENCE_FIRST, Some(list + 4)),
        Some((1, Some(0)))
    );
    assert_eq!(
        batch.locate(SEQUENCE_FIRST, Some(list + 4 + 3 * 28)),
        Some((1, Some(3)))
    );
    let first = (lengths[0] + 16 - usize::try_from(list).unwrap() - 4) / 28;
    assert_eq!(
        batch.locate(SEQUENCE_FIRST + 1, Some(list + 4)),
        Some((1, Some(first)))
    );
    assert_eq!(batch.locate(SEQUENCE_FIRST + 99, None), None);
    assert_eq!(batch.locate(0, None), None);
}

/// A rule of iptables-nft with one target.
fn target(name: &str, revision: u32, info: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let item = writer.nest(1);
    writer.text(1, "target");
    let body = writer.nest(2);
    writer.text(1, name);
    writer.be32(2, revision);
    writer.bytes(3, info);
    writer.close(&body);
    writer.close(&item);
    bytes
}

#[test]
fn targets_of_iptables_are_understood() {
    use deed::Deed;

    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_ne_bytes()).collect() };
    let check = |name: &str, revision, info: &[u8], expected: &[Deed]| {
        let found = deed::deeds(&target(name, revision, info)).unwrap();
        assert_eq!(found.deeds, expected, "{name} {revision}");
    };
    check("REJECT", 0, &[0; 4], &[Deed::Drop]);
    check("CT", 2, &[1, 0, 0, 0], &[Deed::Notrack]);
    check("CT", 2, &[0, 0, 7, 0], &[]);
    check("CT", 2, &[], &[Deed::Notrack]);
    check("MARK", 2, &words(&[0x4000, 0x4000]), &[Deed::Mark(0x4000)]);
    check("MARK", 0, &words(&[0x4000]), &[Deed::Mark(u32::MAX)]);
    let restore = [words(&[0, 0, 0xf]), vec![2, 0, 0, 0]].concat();
    check("CONNMARK", 1, &restore, &[Deed::Mark(0xf)]);
    let save = [words(&[0, 0, 0xf]), vec![1, 0, 0, 0]].concat();
    check("CONNMARK", 1, &save, &[]);
    let restore = [words(&[0, 0, 0xf]), vec![0, 0, 2, 0]].concat();
    check("CONNMARK", 2, &restore, &[Deed::Mark(0xf)]);
    check("DNAT", 2, &[0; 8], &[Deed::TranslateDestination]);
    check("MASQUERADE", 0, &[0; 8], &[Deed::TranslateSource]);
    check("TCPMSS", 0, &[0; 4], &[]);
    check("MAGIC", 0, &[], &[Deed::Unknown("target MAGIC".into())]);
}

#[test]
fn the_mark_is_followed_through_registers() {
    use deed::Deed;

    let bits = |rule: &Rule| {
        let mut batch = Batch::new("t");
        batch.add_rule(&Name::from("c"), rule);
        let message = Messages::new(batch.bytes()).next().unwrap().unwrap();
        let (_, attributes) = message.family_and_attributes().unwrap();
        let expressions = attributes.find(super::wire::rule::EXPRESSIONS).unwrap();
        deed::deeds(expressions.unwrap()).unwrap().deeds
    };
    assert_eq!(bits(&Rule::new().or_mark(0x4000)), [Deed::Mark(0x4000)]);
    assert_eq!(bits(&Rule::new().keep_mark(0xff)), [Deed::Mark(!0xff)]);
    assert_eq!(bits(&Rule::new().set_mark(7)), [Deed::Mark(u32::MAX)]);
    let mapped = Rule::new().set_mark_from(&[Load::Src4], "addr4");
    assert_eq!(bits(&mapped), [Deed::Mark(u32::MAX)]);
    assert_eq!(bits(&Rule::new().mark(0xff, 1).accept()), [Deed::Accept]);
}
