//! Incremental resolution: batches of model changes in, node deltas out.
#![forbid(unsafe_code)]

pub mod node;
