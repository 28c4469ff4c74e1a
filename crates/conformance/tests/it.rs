//! Integration tests of the runner: the shared case files, whole.

#[path = "it/shared.rs"]
mod shared;
