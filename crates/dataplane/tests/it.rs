//! The dataplane on a real kernel, each test in a network namespace of its own.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod it {
    mod faults;
    mod hosts;
    mod killed;
    mod revoke;
    mod scenes;
    mod start;
    mod support;
    mod trouble;
    mod walk;
}
