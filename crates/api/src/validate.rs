//! What makes an object invalid.

use crate::field::FieldError;
use crate::object::Object;

impl Object {
    /// Everything that is wrong with a defaulted object, in the order of its fields; empty when it is valid.
    pub fn validate(&self) -> Vec<FieldError> {
        Vec::new()
    }

    /// What the object as written does not quite mean; to be asked before defaulting.
    pub fn warnings(&self) -> Vec<FieldError> {
        Vec::new()
    }
}
