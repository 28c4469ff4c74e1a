//! The validated cluster, and api to model conversion.
#![forbid(unsafe_code)]
