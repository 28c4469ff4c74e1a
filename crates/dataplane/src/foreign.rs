//! What the base chains of others can do to what ours judge, in words.
//!
//! Netfilter asks every base chain of a hook, whoever made it, in the order of priorities. An accept ends one base chain and
//! no more, so nobody can allow what ours deny; a drop ends the packet, so anybody can deny what ours allow. That, and
//! translating addresses in the place where everybody does, is what tenants of one host may do to each other: it is
//! told ([`Fault::Beside`]) and no difference. What takes from ours what it judges by is one ([`Fault::Foreign`]):
//! our bits of the mark, the connection that a packet belongs to, addresses other than connection tracking's, a way
//! around the hooks.

use std::collections::BTreeMap;

use oncilla_kernel::nf_tables::{Deed, Hooked, Point, TableFamily, legacy_tables};
use oncilla_net::MarkMask;
use oncilla_nft::object::{Hook, priority};

use crate::inspect::{Fault, Finding};

/// The hooks and priorities of our own base chains.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct OurHooks(Vec<(Point, i32)>);

impl OurHooks {
    pub(crate) fn new(chains: impl IntoIterator<Item = (Hook, i32)>) -> Self {
        let chains = chains.into_iter();
        Self(
            chains
                .map(|(hook, priority)| (point(hook), priority))
                .collect(),
        )
    }

    fn at(&self, point: Point) -> impl Iterator<Item = i32> {
        let at = self.0.iter().filter(move |(found, _)| *found == point);
        at.map(|(_, priority)| *priority)
    }

    /// Whether a chain there is asked before all of ours at its hook; `false` where there is none.
    fn is_first(&self, hooked: &Hooked) -> bool {
        let first = self.at(hooked.point).min();
        first.is_some_and(|first| hooked.priority <= first)
    }

    fn order(&self, hooked: &Hooked) -> &'static str {
        match hooked.point {
            Point::Ingress => return "before ours",
            Point::Egress => return "behind ours",
            _ if hooked.family == TableFamily::Bridge => return "on bridges, before ours",
            _ => {}
        }
        let priority = hooked.priority;
        let (mut before, mut behind, mut beside) = (false, false, false);
        for ours in self.at(hooked.point) {
            before |= priority < ours;
            behind |= priority > ours;
            beside |= priority == ours;
        }
        match (before, behind, beside) {
            (_, _, true) => "beside ours, in the order in which they were made",
            (true, true, _) => "between ours",
            (true, false, _) => "before ours",
            (false, true, _) => "behind ours",
            (false, false, false) => "where we have no chain",
        }
    }
}

const fn point(hook: Hook) -> Point {
    match hook {
        Hook::Prerouting => Point::Prerouting,
        Hook::Input => Point::Input,
        Hook::Forward => Point::Forward,
        Hook::Output => Point::Output,
        Hook::Postrouting => Point::Postrouting,
    }
}

/// What is to be told of others' base chains.
pub(crate) fn findings(hooked: &[Hooked], ours: &OurHooks, mask: MarkMask) -> Vec<Finding> {
    let mut findings = Vec::new();
    for chain in hooked {
        if chain.drops {
            let effect = effect(&Deed::Drop, chain, ours, mask);
            findings.extend(effect.map(|effect| finding(chain, ours, "policy drop", effect)));
        }
        for (deed, place) in places(chain) {
            let effect = effect(deed, chain, ours, mask);
            findings.extend(effect.map(|effect| finding(chain, ours, &place, effect)));
        }
    }
    findings
}

/// Tables of the old iptables, whose rules cannot be read here.
pub(crate) fn legacy() -> impl Iterator<Item = Finding> {
    legacy_tables().into_iter().map(|(family, table)| Finding {
        fault: Fault::Beside,
        object: format!("table {family} {table} of legacy iptables"),
        part: String::new(),
        meaning: format!(
            "its rules are not read here and may drop what policy allows: `{}tables-legacy-save -t {table}`",
            if family == TableFamily::Ip6 { "ip6" } else { "ip" }
        ),
    })
}

/// Each deed once, with where it stands.
fn places(chain: &Hooked) -> BTreeMap<&Deed, String> {
    let mut places = BTreeMap::new();
    let mut counts: BTreeMap<&Deed, usize> = BTreeMap::new();
    for done in &chain.deeds {
        *counts.entry(&done.deed).or_default() += done.rules;
        places.entry(&done.deed).or_insert_with(|| {
            let at = done.rule;
            if done.chain == chain.chain {
                format!("rule {at}, {}", done.deed)
            } else {
                format!("chain {}, rule {at}, {}", done.chain, done.deed)
            }
        });
    }
    for (deed, place) in &mut places {
        let more = counts.get(*deed).copied().unwrap_or_default();
        if more > 1 {
            *place = format!("{place} and {} more", more - 1);
        }
    }
    places
}

fn finding(chain: &Hooked, ours: &OurHooks, part: &str, (fault, effect): Effect) -> Finding {
    let Hooked {
        family,
        table,
        chain: name,
        point,
        priority,
        ..
    } = chain;
    let order = ours.order(chain);
    Finding {
        fault,
        object: format!("table {family} {table}, chain {name}"),
        part: part.to_owned(),
        meaning: format!("{point} at priority {priority}, {order}: {effect}"),
    }
}

type Effect = (Fault, String);

/// What something may do to our verdicts; `None` where that is nothing.
fn effect(deed: &Deed, chain: &Hooked, ours: &OurHooks, mask: MarkMask) -> Option<Effect> {
    let beside = |text: &str| Some((Fault::Beside, text.to_owned()));
    let breaks = |text: &str| Some((Fault::Foreign, text.to_owned()));
    match deed {
        Deed::Accept => {
            beside("may accept, which ends only its own chain: ours is asked all the same")
        }
        Deed::Drop => beside("may drop what policy allows"),
        Deed::Queue => beside("a program may drop or change what policy allows"),
        Deed::Offload => {
            beside("connections it takes over skip ours until it lets go: a deny cuts them late")
        }
        Deed::Mark(bits) => {
            let clash = bits & mask.bits();
            let is_seen = !matches!(chain.family, TableFamily::Netdev | TableFamily::Bridge)
                && chain.point != Point::Ingress;
            (clash != 0 && is_seen).then(|| {
                let text = format!(
                    "may change our bits of the mark, {clash:#010x}, by which packets are taken for judged: \
                     keep it to other bits, or give the agent another --mark-mask"
                );
                (Fault::Foreign, text)
            })
        }
        Deed::Notrack => breaks(
            "may keep connections from being followed: their answers are judged as if they were new, and a deny \
             cuts none of them",
        ),
        Deed::TranslateSource => (ours.is_first(chain) && chain.point != Point::Prerouting)
            .then(|| "may translate sources before ours judges them".to_owned())
            .map(|text| (Fault::Foreign, text)),
        // Behind preDNAT policy, before everything else, is where destinations are to be translated.
        Deed::TranslateDestination => {
            let judged = ours.at(Point::Prerouting).any(|at| at == priority::MANGLE);
            let is_early = chain.point == Point::Prerouting && chain.priority <= priority::MANGLE;
            (judged && is_early)
                .then(|| "may translate destinations before preDNAT policy judges them".to_owned())
                .map(|text| (Fault::Foreign, text))
        }
        Deed::Rewrite => breaks(
            "may change addresses or ports that policy judges, unknown to connection tracking",
        ),
        Deed::Divert => breaks("may send packets on, or copies of them, past ours"),
        Deed::Unknown(_) => breaks("may do anything"),
    }
}

#[cfg(test)]
mod tests {
    use oncilla_kernel::nf_tables::{Deed, Done, Hooked, Point, TableFamily};
    use oncilla_net::MarkMask;
    use oncilla_nft::object::Hook;

    use super::{OurHooks, findings};

    fn hooked(point: Point, priority: i32, deeds: &[Deed]) -> Hooked {
        let done = |deed: &Deed| Done {
            deed: deed.clone(),
            chain: "c".into(),
            rule: 2,
            rules: 1,
        };
        Hooked {
            family: TableFamily::Ip,
            table: "t".into(),
            chain: "c".into(),
            point,
            priority,
            drops: false,
            deeds: deeds.iter().map(done).collect(),
        }
    }

    #[track_caller]
    fn check(chain: &Hooked, expected: &[&str]) {
        let ours = OurHooks::new([
            (Hook::Prerouting, -300),
            (Hook::Prerouting, -150),
            (Hook::Input, 0),
            (Hook::Forward, 0),
            (Hook::Postrouting, -150),
        ]);
        let found = findings(std::slice::from_ref(chain), &ours, MarkMask::default());
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }

    #[test]
    fn what_only_narrows_is_told_and_no_difference() {
        let mut filter = hooked(Point::Forward, -5, &[Deed::Accept, Deed::Drop]);
        filter.drops = true;
        let at = "(forward at priority -5, before ours: may";
        let lines = ["policy drop", "rule 2, accept", "rule 2, drop"]
            .map(|part| format!("beside: table ip t, chain c: {part} {at}"));
        check(&filter, &lines.each_ref().map(String::as_str));
        let behind = hooked(Point::Forward, 10, &[Deed::Queue]);
        check(
            &behind,
            &["beside: table ip t, chain c: rule 2, queue (forward at priority 10, behind ours: "],
        );
        let same = hooked(Point::Input, 0, &[Deed::Drop]);
        check(
            &same,
            &["beside: table ip t, chain c: rule 2, drop (input at priority 0, beside ours"],
        );
    }

    /// kube-proxy, Docker, Tailscale in their places.
    #[test]
    fn translation_and_marks_of_others_break_nothing() {
        let deeds = [Deed::TranslateDestination, Deed::Mark(0x4000)];
        check(&hooked(Point::Prerouting, -100, &deeds), &[]);
        check(&hooked(Point::Output, -100, &deeds), &[]);
        let deeds = [Deed::TranslateSource, Deed::Mark(0x4000)];
        check(&hooked(Point::Postrouting, 100, &deeds), &[]);
        check(&hooked(Point::Input, 100, &deeds), &[]);
    }

    #[test]
    fn what_takes_from_ours_what_it_judges_by_breaks_it() {
        let foreign = "foreign: table ip t, chain c: rule 2, ";
        for (point, priority, deed) in [
            (Point::Prerouting, -300, Deed::Notrack),
            (Point::Prerouting, -200, Deed::Mark(u32::MAX)),
            (Point::Prerouting, -160, Deed::TranslateDestination),
            (Point::Input, -10, Deed::TranslateSource),
            (Point::Postrouting, -160, Deed::TranslateSource),
            (Point::Postrouting, 0, Deed::Rewrite),
            (Point::Forward, 5, Deed::Divert),
            (Point::Forward, 5, Deed::Unknown("x".into())),
        ] {
            check(&hooked(point, priority, &[deed]), &[foreign]);
        }
    }
}
