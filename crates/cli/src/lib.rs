//! The `oncilla` binary.
