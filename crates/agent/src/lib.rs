//! One node: wires the stages.
