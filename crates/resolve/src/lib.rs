//! Incremental: batches of model changes in, node deltas out.
#![forbid(unsafe_code)]
