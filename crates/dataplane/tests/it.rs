//! The dataplane on a real kernel, each test in a network namespace of its own.

mod it {
    mod revoke;
    mod start;
    mod support;
    mod walk;
}
