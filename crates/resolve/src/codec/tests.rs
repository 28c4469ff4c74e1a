//! What is packed is read back as it was.

use oncilla_selector::parse;

use super::*;

fn predicates() -> Vec<Predicate> {
    let selector = |text| parse(text).unwrap();
    let service = || ServiceKey {
        namespace: "shop".into(),
        name: "db".into(),
    };
    let nets = ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "fd00::/8", "::/0"];
    vec![
        Predicate::selector(selector(
            "all() && global() || has(a) && !(b == 'x' || c != '') && d contains 'y'",
        )),
        Predicate::selector(selector(
            "a starts with 'p' && b ends with 's' && a in {'x', 'y'} && b not in {'x'}",
        )),
        Predicate::nets(nets.map(|net| net.parse().unwrap())),
        Predicate::nets([]),
        Predicate::nodes(selector("has(zone)")),
        Predicate::named_port(None, "http", Protocol::TCP),
        Predicate::named_port(Some(selector("a == 'b'")), "http", Protocol::SCTP),
        Predicate::listed(List::Service(service())),
        Predicate::listed(List::ServicePorts(service())),
    ]
}

fn rule(number: usize) -> Rule {
    let port = |first, last| PortRange::new(first, last).unwrap();
    let icmp = [None, Some((8, None)), Some((255, Some(0)))]
        .map(|each| each.map(|(kind, code)| IcmpMatch { kind, code }));
    let ports = Ports {
        numbers: [port(0, 0), port(80, 443), port(65535, 65535)]
            .into_iter()
            .collect(),
        names: predicates().into_iter().skip(5).take(2).collect(),
    };
    let side = |full: bool| Side {
        all: if full { predicates() } else { Vec::new() },
        none: predicates().into_iter().skip(number % 9).collect(),
        ports: full.then(|| ports.clone()),
        not_ports: (!full).then(Ports::default),
    };
    Rule {
        action: ACTIONS[number % 4],
        families: Families {
            v4: number.is_multiple_of(2),
            v6: number.is_multiple_of(3),
        },
        protocol: ProtocolMatch {
            is: (number.is_multiple_of(2)).then_some(Protocol(0)),
            is_not: (number.is_multiple_of(3)).then_some(Protocol(255)),
        },
        icmp: icmp[number % 3],
        not_icmp: icmp[(number + 1) % 3],
        source: side(number.is_multiple_of(2)),
        destination: side(number % 2 == 1),
        index: if number == 0 { u32::MAX } else { 3 },
    }
}

fn policy(number: usize) -> Policy {
    let orders = [Some(-0.5), Some(1e300), None, Some(0.0)];
    let rules: Arc<[Rule]> = (0..number % 5).map(rule).collect();
    Policy {
        key: PolicyKey {
            kind: KINDS[number % 4],
            namespace: (number.is_multiple_of(3)).then(|| "shop".into()),
            name: format!("policy-{number}").into(),
        },
        tier: TierName("security".into()),
        order: Order::new(orders[number % 4]),
        applies: APPLIES[number % 5],
        selector: parse(["all()", "shop == 'shop'", "has(a)"][number % 3]).unwrap(),
        ingress: (number.is_multiple_of(2)).then(|| Arc::clone(&rules)),
        egress: (number.is_multiple_of(3)).then_some(rules),
    }
}

#[test]
fn a_policy_is_read_as_it_was_written() {
    let mut texts = Texts::default();
    for policy in (0..120).map(policy) {
        let bytes = written(&mut texts, &policy).unwrap();
        assert_eq!(read(&texts, &bytes), policy);
        assert_eq!(selector(&texts, &bytes), policy.selector);
        let (kind, namespace, name) = key(&texts, &bytes);
        let PolicyKey {
            kind: own,
            namespace: place,
            name: called,
        } = &policy.key;
        assert_eq!((kind, namespace, name), (*own, place.as_deref(), &**called));
        for word in words(&bytes) {
            texts.release(word);
        }
    }
    assert!(texts.find("security").is_none(), "a word is left");
}

/// A predicate's equality is that of its text: what it selects is looked at by itself.
#[test]
fn predicates_ask_what_they_asked() {
    let mut texts = Texts::default();
    let policy = Policy {
        ingress: Some([rule(0)].into()),
        ..policy(0)
    };
    let bytes = written(&mut texts, &policy).unwrap();
    let found = read(&texts, &bytes);
    let asked = |policy: &Policy| format!("{:?}", policy.ingress);
    assert_eq!(asked(&found), asked(&policy));
}

#[test]
fn a_policy_of_too_many_words_leaves_none() {
    let mut texts = Texts::default();
    let values: Vec<String> = (0..=WORDS_MAX).map(|number| format!("v{number}")).collect();
    let large = Policy {
        selector: Selector::in_set("a", &values),
        ..policy(0)
    };
    assert_eq!(written(&mut texts, &large), None);
    assert!(texts.find("v0").is_none() && texts.find("a").is_none());
    let fits = Policy {
        selector: Selector::in_set("a", &values[..WORDS_MAX / 2]),
        ..policy(0)
    };
    let bytes = written(&mut texts, &fits).unwrap();
    assert_eq!(read(&texts, &bytes), fits);
}
