//! The resolver against a naive oracle, in any order, and its cost.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod it {
    mod adoption;
    mod cost;
    mod events;
    mod fallback;
    mod faults;
    mod mirror;
    mod oracle;
    mod order;
    mod world;
}
