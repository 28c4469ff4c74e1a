//! Node state to program, in small pure passes.
#![forbid(unsafe_code)]
