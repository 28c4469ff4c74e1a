//! What tests and judges stand on: networks of namespaces, packets that can be recognised, a prober that tells
//! "denied" from "late", a seeded generator.
//!
//! Nothing here touches the machine's own network: everything happens in namespaces that end with the values that
//! hold them, after a panic too.

pub mod cluster;
pub mod connect;
pub mod fuzz;
pub mod net;
pub mod packet;
pub mod prober;
pub mod rng;
pub mod topology;
