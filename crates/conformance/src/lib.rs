//! Runner of case files: public test cases and our own scenarios, judged at several levels of the engine.
//!
//! ```text
//! FILE ──format──▶ Suite of Cases (a neutral script) ──run──▶ Level (verdict | program | kernel) ──▶ Report
//! ```
//! A case is a cluster and steps; a step changes objects and then expects verdicts, cell by cell. A format
//! only translates; it never judges. A level only judges; it knows no file format.

pub mod case;
pub mod engine;
pub mod format;
mod hosts;
pub mod left_out;
pub mod level;
pub mod rig;
pub mod run;
#[cfg(test)]
mod tests;
