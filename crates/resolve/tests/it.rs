//! The resolver against a naive oracle, in any order, and its cost.
#![forbid(unsafe_code)]

mod it {
    mod adoption;
    mod cost;
    mod events;
    mod fallback;
    mod mirror;
    mod oracle;
    mod order;
    mod world;
}
