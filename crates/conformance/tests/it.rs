//! Integration tests of the runner: the shared case files, whole.

#[path = "it/shared.rs"]
mod shared;

#[path = "it/broken.rs"]
mod broken;
#[path = "it/coverage.rs"]
mod coverage;
#[path = "it/differential.rs"]
mod differential;
#[path = "it/extremes.rs"]
mod extremes;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/fuzz.rs"]
mod fuzz;
#[path = "it/hosts.rs"]
mod hosts;
#[path = "it/real.rs"]
mod real;
#[path = "it/rebuild.rs"]
mod rebuild;
