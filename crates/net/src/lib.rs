//! Addresses, CIDRs, port sets, protocols, marks and packet headers as values.
#![forbid(unsafe_code)]
