//! A whole agent in a namespace of its own, fed by a real API server on a socket.

#[path = "it/harness.rs"]
mod harness;
#[path = "it/life.rs"]
mod life;
#[path = "it/trouble.rs"]
mod trouble;
