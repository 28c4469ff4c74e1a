//! What needs a counting allocator: it counts the whole process, so there is one test here.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod it {
    mod churn;
}
