//! Serde types of every resource, defaults, decoding with positions, validation with a field path.
#![forbid(unsafe_code)]
