//! Every call to the kernel fails once, in every way it can: real packets meet the program before or the program after,
//! and the next step leads to the one after.
//!
//! The tests take a part of the points, `make soak` all of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use oncilla_kernel::calls::Call;
use oncilla_kernel::calls::trouble::{Trouble, fits, plant};
use oncilla_net::Verdict;

use super::scenes::{Asking, Flow, Scene, World, expected, flows, scenes};
use super::support::is_soak;

const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ERESTART: i32 = 85;
const ENOBUFS: i32 = 105;

const TROUBLES: [Trouble; 20] = [
    Trouble::Fails(EINTR),
    Trouble::Fails(EAGAIN),
    Trouble::Fails(ENOMEM),
    Trouble::Fails(ENOBUFS),
    Trouble::Lost(ENOBUFS),
    Trouble::Lost(ENOMEM),
    Trouble::RefusesFirst(EEXIST),
    Trouble::RefusesFirst(ENOENT),
    Trouble::RefusesFirst(ENOMEM),
    Trouble::RefusesFirst(EBUSY),
    Trouble::RefusesLast(EEXIST),
    Trouble::RefusesLast(ENOENT),
    Trouble::RefusesLast(ENOMEM),
    Trouble::RefusesLast(EBUSY),
    // The generation changed.
    Trouble::RefusesWhole(ERESTART),
    Trouble::RefusesWhole(ENOMEM),
    Trouble::RefusesWhole(EAGAIN),
    Trouble::RefusesUnheard(ENOMEM),
    Trouble::Cut,
    Trouble::Torn,
];

/// Points of one sort that the tests take, and fewer than which mean that the run has become empty.
const POINTS: usize = 4;

/// The calls that a deed makes when all goes well.
fn calls(scene: &Scene) -> Vec<Call> {
    let mut dataplane = scene.prepare();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&seen);
    let planted = plant(move |call| {
        noted.borrow_mut().push(call);
        Trouble::None
    });
    scene.act(&mut dataplane).unwrap();
    drop(planted);
    seen.take()
}

/// What came of a point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum End {
    /// The deed was done all the same.
    Done,
    /// It failed, and the program before was in force.
    Old,
    /// It failed, and the program after was in force.
    New,
    /// It failed, and both judged.
    Both,
}

fn meet(
    scene: &Scene,
    (at, trouble): (usize, Trouble),
    flows: &[Flow],
    asking: &mut Asking,
) -> End {
    let what = format!("{:?} {trouble:?} at call {at}", scene.deed);
    let mut dataplane = scene.prepare();
    let mut number = 0;
    let planted = plant(move |_| {
        number += 1;
        if number == at + 1 {
            trouble
        } else {
            Trouble::None
        }
    });
    let done = scene.act(&mut dataplane);
    drop(planted);
    let old = expected(flows, scene.begun().as_ref());
    let new = expected(flows, Some(&scene.after));
    let found = asking.ask();
    let both: Vec<Verdict> = old
        .iter()
        .zip(&new)
        .map(|(old, new)| *old.max(new))
        .collect();
    let end = match &done {
        Ok(()) if found == new => End::Done,
        Err(_) if found == old => End::Old,
        Err(_) if found == new => End::New,
        Err(_) if found == both => End::Both,
        _ => panic!(
            "{}, {what}: {done:?}\n{found:?}\nold {old:?}\nnew {new:?}",
            scene.name
        ),
    };
    if done.is_err() {
        scene.go_on(&mut dataplane);
        assert_eq!(asking.ask(), new, "{}, {what}, gone on", scene.name);
    }
    scene.assert_done(&mut dataplane, &what);
    end
}

#[test]
fn after_every_trouble_the_kernel_holds_the_old_or_the_new_and_the_next_step_leads_on() {
    let (world, flows) = (World::new(), flows());
    let mut asking = world.asking(&flows);
    assert!(
        Verdict::Deny > Verdict::Allow,
        "both together is the greater"
    );
    let (mut met, mut ends) = (BTreeMap::new(), BTreeMap::new());
    let mut number = 0;
    let work = || {
        for (scene, at, call, trouble) in points() {
            let end = meet(&scene, (at, trouble), &flows, &mut asking);
            *met.entry((call, trouble)).or_insert(0) += 1;
            *ends.entry(end).or_insert(0) += 1;
            number += 1;
        }
    };
    world.node.run(work).unwrap();
    println!("{number} points, {ends:?}: {met:?}");
    for sort in SORTS.iter().flat_map(|call| sorts_of(*call)) {
        let points = met.get(&sort).copied().unwrap_or_default();
        assert!(points >= POINTS, "{sort:?} {points} times");
    }
    for end in [End::Done, End::Old, End::New, End::Both] {
        assert!(ends.contains_key(&end), "{end:?} never happened");
    }
}

const SORTS: [Call; 4] = [
    Call::SendChanges,
    Call::ReceiveOutcome,
    Call::SendQuestion,
    Call::ReceiveAnswer,
];

fn sorts_of(call: Call) -> impl Iterator<Item = (Call, Trouble)> {
    let fitting = TROUBLES
        .into_iter()
        .filter(move |trouble| fits(call, *trouble));
    fitting.map(move |trouble| (call, trouble))
}

/// All points, or a few of each sort from all over the scenes.
fn points() -> Vec<(Scene, usize, Call, Trouble)> {
    let scenes: Vec<(Scene, Vec<Call>)> = scenes()
        .into_iter()
        .map(|scene| (scene.clone(), calls(&scene)))
        .collect();
    let mut points = Vec::new();
    for (call, trouble) in SORTS.iter().flat_map(|call| sorts_of(*call)) {
        let at = |(scene, calls): &(Scene, Vec<Call>)| {
            let places = calls.iter().enumerate().filter(|(_, made)| **made == call);
            let places = places.map(|(at, _)| (scene.clone(), at, call, trouble));
            places.collect::<Vec<_>>()
        };
        let all: Vec<_> = scenes.iter().flat_map(at).collect();
        let step = if is_soak() { 1 } else { all.len() / POINTS };
        // Not the same calls for every sort.
        let first = points.len() % step.max(1);
        points.extend(all.into_iter().skip(first).step_by(step.max(1)));
    }
    points
}
