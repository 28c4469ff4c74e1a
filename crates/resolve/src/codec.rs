//! Policies as bytes: for the many that select nobody here.
//!
//! ```text
//!   number of words, words │ key │ selector │ tier, order, applies │ ingress │ egress
//! ```
//! Words are numbers of interned texts; what follows refers to them by their place in the list, so that a policy's own
//! namespace costs a byte wherever it stands. What is read back is equal to what was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use oncilla_model::{
    Action, Applies, Families, List, Order, Policy, PolicyKey, PolicyKind, Ports, Predicate,
    ProtocolMatch, Rule, ServiceKey, Side, TierName,
};
use oncilla_net::{IcmpMatch, IpNet, PortRange, PortSet, Protocol};
use oncilla_selector::{Expr, Selector};

use crate::labels::{TextId, Texts, put_id, take_id};
use crate::packs::{put_net, put_number, take_net, take_number, take_octets};

/// The most words of a policy that is written. Larger ones are few, and looking for a word would take long.
const WORDS_MAX: usize = 256;

/// Writes a policy; `None`: it is too large. Each of its words has one reference more.
pub(crate) fn written(texts: &mut Texts, policy: &Policy) -> Option<Vec<u8>> {
    let mut writer = Writer {
        texts,
        words: Vec::new(),
        body: Vec::with_capacity(128),
        is_too_large: false,
    };
    writer.policy(policy);
    if writer.is_too_large {
        writer
            .words
            .iter()
            .for_each(|word| writer.texts.release(*word));
        return None;
    }
    let mut bytes = Vec::with_capacity(writer.body.len() + 4 * writer.words.len());
    put_number(&mut bytes, writer.words.len());
    for word in writer.words {
        put_id(&mut bytes, word);
    }
    bytes.extend_from_slice(&writer.body);
    Some(bytes)
}

/// The words of a written policy.
pub(crate) fn words(mut bytes: &[u8]) -> Vec<TextId> {
    let count = take_number(&mut bytes);
    (0..count).map(|_| take_id(&mut bytes)).collect()
}

/// The key of a written policy: kind, namespace, name.
pub(crate) fn key<'a>(texts: &'a Texts, bytes: &[u8]) -> (PolicyKind, Option<&'a str>, &'a str) {
    let words = words(bytes);
    let mut rest = body(bytes);
    let kind = KINDS[take_number(&mut rest)];
    let word = |rest: &mut &[u8]| texts.text(words[take_number(rest)]);
    let name = word(&mut rest);
    let has_namespace = take_number(&mut rest) != 0;
    (kind, has_namespace.then(|| word(&mut rest)), name)
}

/// The selector of a written policy.
pub(crate) fn selector(texts: &Texts, bytes: &[u8]) -> Selector {
    let mut reader = Reader::new(texts, bytes);
    reader.key();
    reader.selector()
}

/// A written policy.
pub(crate) fn read(texts: &Texts, bytes: &[u8]) -> Policy {
    Reader::new(texts, bytes).policy()
}

const KINDS: [PolicyKind; 4] = [
    PolicyKind::GlobalNetworkPolicy,
    PolicyKind::KubernetesClusterNetworkPolicy,
    PolicyKind::KubernetesNetworkPolicy,
    PolicyKind::NetworkPolicy,
];
const APPLIES: [Applies; 5] = [
    Applies::Normal,
    Applies::Forward,
    Applies::PreDnat,
    Applies::Untracked,
    Applies::Everywhere,
];
const ACTIONS: [Action; 4] = [Action::Allow, Action::Deny, Action::Pass, Action::Log];

struct Writer<'a> {
    texts: &'a mut Texts,
    words: Vec<TextId>,
    body: Vec<u8>,
    is_too_large: bool,
}

impl Writer<'_> {
    fn policy(&mut self, policy: &Policy) {
        // Everything is named, so that nothing new is forgotten here.
        let Policy {
            key,
            tier,
            order,
            applies,
            selector,
            ingress,
            egress,
        } = policy;
        self.place(&KINDS, &key.kind);
        self.word(&key.name);
        self.number(usize::from(key.namespace.is_some()));
        if let Some(namespace) = &key.namespace {
            self.word(namespace);
        }
        self.selector(selector);
        self.word(&tier.0);
        self.body.extend(order.value().to_bits().to_be_bytes());
        self.place(&APPLIES, applies);
        self.rules(ingress.as_deref());
        self.rules(egress.as_deref());
    }

    fn number(&mut self, number: usize) {
        put_number(&mut self.body, number);
    }

    /// The place of one of few values in their list.
    fn place<T: PartialEq>(&mut self, all: &[T], value: &T) {
        let place = all.iter().position(|each| each == value);
        self.number(place.expect("the list is complete"));
    }

    fn word(&mut self, text: &str) {
        let id = self.texts.intern(text);
        let known = self.words.iter().position(|word| *word == id);
        let place = known.unwrap_or(self.words.len());
        if known.is_none() && place < WORDS_MAX {
            self.words.push(id);
        } else {
            self.texts.release(id);
            self.is_too_large |= known.is_none();
        }
        self.number(place);
    }

    fn selector(&mut self, selector: &Selector) {
        match selector.expr() {
            Expr::All => self.number(0),
            Expr::Global => self.number(1),
            Expr::Has(label) => {
                self.number(2);
                self.word(label);
            }
            Expr::Equal(label, value) => self.comparison(3, label, value),
            Expr::NotEqual(label, value) => self.comparison(4, label, value),
            Expr::Contains(label, value) => self.comparison(5, label, value),
            Expr::StartsWith(label, value) => self.comparison(6, label, value),
            Expr::EndsWith(label, value) => self.comparison(7, label, value),
            Expr::In(label, values) => self.membership(8, label, values),
            Expr::NotIn(label, values) => self.membership(9, label, values),
            Expr::Not(operand) => {
                self.number(10);
                self.selector(operand);
            }
            Expr::And(operands) => self.operands(11, operands),
            Expr::Or(operands) => self.operands(12, operands),
        }
    }

    fn comparison(&mut self, tag: usize, label: &str, value: &str) {
        self.number(tag);
        self.word(label);
        self.word(value);
    }

    fn membership(&mut self, tag: usize, label: &str, values: &BTreeSet<Arc<str>>) {
        self.number(tag);
        self.word(label);
        self.number(values.len());
        for value in values {
            self.word(value);
        }
    }

    fn operands(&mut self, tag: usize, operands: &[Selector]) {
        self.number(tag);
        self.number(operands.len());
        for operand in operands {
            self.selector(operand);
        }
    }

    /// One more than there are rules; nothing: the direction is not governed.
    fn rules(&mut self, rules: Option<&[Rule]>) {
        let Some(rules) = rules else {
            return self.number(0);
        };
        self.number(1 + rules.len());
        for rule in rules {
            self.rule(rule);
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let Rule {
            action,
            families,
            protocol,
            icmp,
            not_icmp,
            source,
            destination,
            index,
        } = rule;
        self.place(&ACTIONS, action);
        self.number(usize::from(families.v4) | usize::from(families.v6) << 1);
        for protocol in [protocol.is, protocol.is_not] {
            self.number(protocol.map_or(0, |Protocol(number)| 1 + usize::from(number)));
        }
        for icmp in [icmp, not_icmp] {
            let Some(IcmpMatch { kind, code }) = icmp else {
                self.number(0);
                continue;
            };
            self.number(1 + usize::from(*kind));
            self.number(code.map_or(0, |code| 1 + usize::from(code)));
        }
        self.side(source);
        self.side(destination);
        self.number(*index as usize);
    }

    fn side(&mut self, side: &Side) {
        let Side {
            all,
            none,
            ports,
            not_ports,
        } = side;
        self.predicates(all);
        self.predicates(none);
        for ports in [ports, not_ports] {
            let Some(Ports { numbers, names }) = ports else {
                self.number(0);
                continue;
            };
            self.number(1 + numbers.ranges().len());
            for range in numbers.ranges() {
                self.number(usize::from(range.first()));
                self.number(usize::from(range.last()));
            }
            self.predicates(names);
        }
    }

    fn predicates(&mut self, predicates: &[Predicate]) {
        self.number(predicates.len());
        for predicate in predicates {
            self.predicate(predicate);
        }
    }

    fn predicate(&mut self, predicate: &Predicate) {
        match predicate {
            Predicate::Selector { selector, .. } => {
                self.number(0);
                self.selector(selector);
            }
            Predicate::Nets { nets, .. } => {
                self.number(1);
                self.number(nets.len());
                for net in nets.iter() {
                    put_net(&mut self.body, *net);
                }
            }
            Predicate::Nodes { selector, .. } => {
                self.number(2);
                self.selector(selector);
            }
            Predicate::NamedPort {
                selector,
                port,
                protocol,
                ..
            } => {
                self.number(3 + usize::from(selector.is_some()));
                if let Some(selector) = selector {
                    self.selector(selector);
                }
                self.word(port);
                self.number(usize::from(protocol.0));
            }
            Predicate::Listed { list, .. } => {
                let (tag, service) = match list {
                    List::Service(service) => (5, service),
                    List::ServicePorts(service) => (6, service),
                };
                self.number(tag);
                self.word(&service.namespace);
                self.word(&service.name);
            }
        }
    }
}

struct Reader<'a> {
    words: Vec<Arc<str>>,
    rest: &'a [u8],
}

/// What stands behind the words.
fn body(mut bytes: &[u8]) -> &[u8] {
    let count = take_number(&mut bytes);
    for _ in 0..count {
        take_id(&mut bytes);
    }
    bytes
}

impl<'a> Reader<'a> {
    fn new(texts: &Texts, bytes: &'a [u8]) -> Self {
        let words = words(bytes).into_iter();
        Self {
            words: words.map(|word| texts.text(word).into()).collect(),
            rest: body(bytes),
        }
    }

    fn policy(mut self) -> Policy {
        let key = self.key();
        let selector = self.selector();
        Policy {
            key,
            selector,
            tier: TierName(self.word()),
            order: Order::new(Some(f64::from_bits(u64::from_be_bytes(take_octets(
                &mut self.rest,
            ))))),
            applies: APPLIES[self.number()],
            ingress: self.rules(),
            egress: self.rules(),
        }
    }

    fn key(&mut self) -> PolicyKey {
        let kind = KINDS[self.number()];
        let name = self.word();
        let namespace = self.flag().then(|| self.word());
        PolicyKey {
            kind,
            namespace,
            name,
        }
    }

    fn number(&mut self) -> usize {
        take_number(&mut self.rest)
    }

    fn flag(&mut self) -> bool {
        self.number() != 0
    }

    /// A number of one byte behind one more than zero; zero: none.
    fn byte(&mut self) -> Option<u8> {
        let number = self.number().checked_sub(1)?;
        Some(narrow(number))
    }

    fn word(&mut self) -> Arc<str> {
        let place = self.number();
        Arc::clone(&self.words[place])
    }

    fn selector(&mut self) -> Selector {
        let tag = self.number();
        Selector::from(match tag {
            0 => Expr::All,
            1 => Expr::Global,
            2 => Expr::Has(self.word()),
            3 => Expr::Equal(self.word(), self.word()),
            4 => Expr::NotEqual(self.word(), self.word()),
            5 => Expr::Contains(self.word(), self.word()),
            6 => Expr::StartsWith(self.word(), self.word()),
            7 => Expr::EndsWith(self.word(), self.word()),
            8 => Expr::In(self.word(), self.several(Self::word)),
            9 => Expr::NotIn(self.word(), self.several(Self::word)),
            10 => Expr::Not(self.selector()),
            11 => Expr::And(self.several(Self::selector)),
            12 => Expr::Or(self.several(Self::selector)),
            _ => unreachable!("{tag} was not written for an expression"),
        })
    }

    fn several<T, C: FromIterator<T>>(&mut self, one: impl Fn(&mut Self) -> T) -> C {
        let count = self.number();
        (0..count).map(|_| one(self)).collect()
    }

    fn rules(&mut self) -> Option<Arc<[Rule]>> {
        let count = self.number().checked_sub(1)?;
        Some((0..count).map(|_| self.rule()).collect())
    }

    fn rule(&mut self) -> Rule {
        let action = ACTIONS[self.number()];
        let families = self.number();
        let mut protocol = || self.byte().map(Protocol);
        let protocol = ProtocolMatch {
            is: protocol(),
            is_not: protocol(),
        };
        Rule {
            action,
            families: Families {
                v4: families & 1 != 0,
                v6: families & 2 != 0,
            },
            protocol,
            icmp: self.icmp(),
            not_icmp: self.icmp(),
            source: self.side(),
            destination: self.side(),
            index: u32::try_from(self.number()).expect("an index was written"),
        }
    }

    fn icmp(&mut self) -> Option<IcmpMatch> {
        let kind = self.byte()?;
        let code = self.byte();
        Some(IcmpMatch { kind, code })
    }

    fn side(&mut self) -> Side {
        Side {
            all: self.several(Self::predicate),
            none: self.several(Self::predicate),
            ports: self.ports(),
            not_ports: self.ports(),
        }
    }

    fn ports(&mut self) -> Option<Ports> {
        let count = self.number().checked_sub(1)?;
        let mut port = || u16::try_from(self.number()).expect("a port was written");
        let mut range = || PortRange::new(port(), port()).expect("a range was written");
        let numbers: PortSet = (0..count).map(|_| range()).collect();
        let names = self.several(Self::predicate);
        Some(Ports { numbers, names })
    }

    fn predicate(&mut self) -> Predicate {
        let tag = self.number();
        match tag {
            0 => Predicate::selector(self.selector()),
            1 => {
                let nets: Vec<IpNet> = self.several(|reader| take_net(&mut reader.rest));
                Predicate::nets(nets)
            }
            2 => Predicate::nodes(self.selector()),
            3 | 4 => {
                let selector = (tag == 4).then(|| self.selector());
                let port = self.word();
                let protocol = Protocol(narrow(self.number()));
                Predicate::named_port(selector, &port, protocol)
            }
            5 | 6 => {
                let service = ServiceKey {
                    namespace: self.word(),
                    name: self.word(),
                };
                Predicate::listed(if tag == 5 {
                    List::Service(service)
                } else {
                    List::ServicePorts(service)
                })
            }
            _ => unreachable!("{tag} was not written for a predicate"),
        }
    }
}

fn narrow(number: usize) -> u8 {
    u8::try_from(number).expect("a byte was written")
}

#[cfg(test)]
mod tests;
