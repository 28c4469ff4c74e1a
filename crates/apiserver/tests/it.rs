//! The API server over its socket.

#![expect(
    clippy::unwrap_used,
    reason = "tests, of which clippy knows only the functions marked so"
)]

mod it {
    mod admission;
    mod behaviour;
    mod cluster_policies;
    mod follow;
    mod fuzz;
    mod hosts;
    mod refusals;
    mod server;
    mod socket;
    mod wire;
}
