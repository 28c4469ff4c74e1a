//! The reference evaluator with its trace, from api objects.
#![forbid(unsafe_code)]
