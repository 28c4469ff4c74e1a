//! Integration tests of the runner: the shared case files, whole.

#[path = "it/shared.rs"]
mod shared;

#[path = "it/differential.rs"]
mod differential;
#[path = "it/faults.rs"]
mod faults;
