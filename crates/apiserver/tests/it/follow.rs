//! The follower: snapshots, changes, restarts and lost history.

use std::time::Duration;

use oncilla_api::Kind;
use oncilla_store::rest::{Collection, Event, Follow};
use serde_json::json;
use tokio::time::timeout;

use super::server::{SETS, Served, set, set_key};

fn next(served: &Served, follow: &mut Follow) -> Event {
    let next = async { timeout(Duration::from_secs(30), follow.next()).await };
    served.runtime.block_on(next).expect("an event in time")
}

/// The next event that is neither `Synced` nor a matter of the connection.
fn change(served: &Served, follow: &mut Follow) -> Event {
    loop {
        match next(served, follow) {
            Event::Synced(_) | Event::Disconnected(_) => {}
            event => return event,
        }
    }
}

fn follow(served: &Served) -> Follow {
    served.client().follow(Collection::of(Kind::NetworkSet))
}

#[test]
fn a_follower_sees_a_snapshot_then_changes() {
    let served = Served::new();
    served.made(SETS, &set("one", "10.0.0.0/8"));
    let mut follow = follow(&served);
    let Event::Snapshot(objects) = next(&served, &mut follow) else {
        panic!("a snapshot comes first");
    };
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].key, set_key("one"));
    let Event::Synced(revision) = next(&served, &mut follow) else {
        panic!("then the watch is open");
    };
    assert_eq!(revision, served.store.revision().unwrap());
    served.patch(&format!("{SETS}/one"), &json!({ "spec": { "nets": [] } }));
    let Event::Applied(object) = change(&served, &mut follow) else {
        panic!("a change");
    };
    assert_eq!(object.key, set_key("one"));
    served.delete(&format!("{SETS}/one"));
    let Event::Deleted(object) = change(&served, &mut follow) else {
        panic!("a removal");
    };
    assert_eq!(object.key, set_key("one"));
    assert_eq!(follow.revision(), Some(served.store.revision().unwrap()));
    // A write to another kind is heard of as well.
    served.made("/api/v1/namespaces", &super::server::namespace("other"));
    let now = served.store.revision().unwrap();
    while follow.revision() < Some(now) {
        let event = next(&served, &mut follow);
        assert!(matches!(event, Event::Synced(_)), "{event:?}");
    }
}

#[test]
fn a_follower_survives_a_restart_without_a_new_list() {
    let mut served = Served::new();
    let mut follow = follow(&served);
    assert!(matches!(next(&served, &mut follow), Event::Snapshot(objects) if objects.is_empty()));
    assert!(matches!(next(&served, &mut follow), Event::Synced(_)));
    served.stop();
    let mut outages = 0;
    while outages == 0 {
        match next(&served, &mut follow) {
            Event::Disconnected(reason) => {
                outages += 1;
                assert!(reason.is_transient(), "{reason}");
                assert!(reason.to_string().contains("api.sock"), "{reason}");
            }
            Event::Synced(_) => {}
            event => panic!("{event:?}"),
        }
    }
    served.start();
    served.made(SETS, &set("one", "10.0.0.0/8"));
    loop {
        match next(&served, &mut follow) {
            Event::Applied(object) => {
                assert_eq!(object.key, set_key("one"));
                break;
            }
            Event::Synced(_) => {}
            event => panic!("one outage is told once, and nothing was missed: {event:?}"),
        }
    }
}

#[test]
fn a_follower_lists_again_when_the_history_is_gone() {
    let mut served = Served::new();
    served.made(SETS, &set("one", "10.0.0.0/8"));
    let mut follow = follow(&served);
    assert!(matches!(change(&served, &mut follow), Event::Snapshot(_)));
    served.stop();
    // While the server is away the history moves on.
    served.store.delete(&set_key("one"), None).unwrap();
    served
        .store
        .create(&set_key("two"), set("two", "10.0.0.0/8"))
        .unwrap();
    served
        .store
        .compact(served.store.revision().unwrap())
        .unwrap();
    served.start();
    let Event::Restarted(objects) = change(&served, &mut follow) else {
        panic!("everything again");
    };
    let keys: Vec<_> = objects.into_iter().map(|object| object.key).collect();
    assert_eq!(keys, [set_key("two")]);
    served.delete(&format!("{SETS}/two"));
    assert!(matches!(change(&served, &mut follow), Event::Deleted(_)));
}

#[test]
fn a_follower_loses_nothing_when_its_wait_is_cancelled() {
    let served = Served::new();
    let mut follow = follow(&served);
    let mut seen = Vec::new();
    for number in 0..20 {
        served.made(SETS, &set(&format!("set-{number:02}"), "10.0.0.0/8"));
        // A wait that is given up again and again, as in a `select!` with other work.
        let polled = async { timeout(Duration::from_micros(300), follow.next()).await };
        if let Ok(event) = served.runtime.block_on(polled) {
            seen.push(event);
        }
    }
    let now = served.store.revision().unwrap();
    while follow.revision() < Some(now) {
        seen.push(next(&served, &mut follow));
    }
    let mut names = Vec::new();
    for event in seen {
        match event {
            Event::Snapshot(objects) => names.extend(objects.into_iter().map(|o| o.key.name)),
            Event::Applied(object) => names.push(object.key.name),
            Event::Synced(_) => {}
            event => panic!("{event:?}"),
        }
    }
    let expected: Vec<String> = (0..20).map(|number| format!("set-{number:02}")).collect();
    assert_eq!(names, expected, "each once, in order");
}
