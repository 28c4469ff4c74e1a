//! The judge: whether policy lets a packet through, and every step that led there.
//!
//! Written naively from the semantics (Calico's and Kubernetes' documented rules), over the objects as
//! people wrote them. It has its own defaulting, ordering, selector evaluation and reading of Kubernetes
//! policies on purpose: every other stage is tested against it, so it shares nothing with them but `net`,
//! `api` and the selector parser. When it and another stage differ, one of them is wrong.
//!
//! ```text
//! Cluster (raw objects) ──Evaluator──▶ tiers of policies, endpoints, address sets
//! Question ──resolve──▶ Traffic ──walk: source's node ─▶ nodes between ─▶ destination's node──▶ Answer with its trace
//! ```
//!
//! Fail closed: a policy that the API would refuse denies whatever it selects, or could have selected, first
//! of all when even its tier is unknown; a tier that it would refuse ends with Deny, and stands first and
//! allows nothing early when its order is unknown; a network set that it would refuse may hold any address;
//! a policy of a missing tier is enforced behind all others; a pod whose namespace is unknown gets no
//! traffic that no policy allows.
#![forbid(unsafe_code)]

mod answer;
mod cluster;
mod endpoint;
mod evaluator;
mod hidden;
mod host;
mod labels;
mod leg;
mod lists;
mod policy;
mod profile;
mod question;
mod rule;
mod staged;
#[cfg(test)]
mod tests;
mod tier;
mod walk;

pub use answer::{
    Answer, Chain, DecidedRule, Decision, Hit, Leg, PolicyOutcome, PolicyTrace, ProfileOutcome,
    ProfileTrace, TierOutcome, TierTrace,
};
pub use cluster::Cluster;
pub use evaluator::{Evaluator, evaluate};
pub use question::{Hop, Party, Question, QuestionError, Way};
pub use staged::{Staged, StagedAnswer, StagedPolicy, StagedTrace};
