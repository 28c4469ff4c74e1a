//! The language that people write: serde types of every resource, decoding with positions, defaults, and
//! validation with a field path.
//!
//! ```text
//! bytes ──manifest::decode──▶ Located<Object> + Diagnostics        JSON value ──Object::from_value──▶ Object
//!            read (YAML/JSON, spans) ─▶ field (strict types) ─▶ default ─▶ validate
//! ```
//!
//! Level 1: knows no storage, no kernel, no files; [`manifest::decode`] gets bytes and a name to call them by.
#![forbid(unsafe_code)]

mod absent;
mod default;
pub mod discovery;
mod field;
pub mod k8s;
mod kind;
pub mod manifest;
mod meta;
pub mod names;
mod nearest;
pub mod npa;
mod object;
mod remains;
pub mod v1;
pub mod v3;
mod validate;

pub use field::{Code, FieldError};
pub use kind::{Kind, KindError};
pub use meta::{
    IntOrString, LabelOperator, LabelRequirement, LabelSelector, ObjectMeta, PolicyType,
    TransportProtocol,
};
pub use nearest::nearest;
pub use object::{Object, ObjectKey};
pub use remains::{Remains, Remnant};
pub use validate::{Check, checks};
