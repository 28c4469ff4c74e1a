//! The selector language: parse, canonical form, evaluate, label restrictions.
#![forbid(unsafe_code)]
