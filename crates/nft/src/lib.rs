//! Program to nf_tables objects, and reading them back.
#![forbid(unsafe_code)]
