//! A whole agent in a namespace of its own, fed by a real API server on a socket.

#![expect(
    clippy::unwrap_used,
    reason = "tests, of which clippy knows only the functions marked so"
)]

mod it {
    mod cut;
    mod denials;
    mod denials_hosts;
    mod field;
    mod harness;
    mod hosts;
    mod killed;
    mod life;
    mod owner;
    mod process;
    mod staged;
    mod trouble;
    mod turn;
    mod verify;
    mod verify_hosts;
}
