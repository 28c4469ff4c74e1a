//! Objects that only the server writes, or that others are made of.

use oncilla_api::v3::DEFAULT_ALLOW_PROFILE;
use oncilla_api::{Kind, ObjectKey};

use crate::bootstrap::DEFAULT;
use crate::failure::Failure;

/// What the names of the profiles start with that namespaces and service accounts are.
const DERIVED_PROFILES: [(&str, &str); 2] = [("kns.", "namespace"), ("ksa.", "service account")];

/// A new object of this name may be stored.
pub(super) fn admit_create(key: &ObjectKey) -> Result<(), Failure> {
    match key.kind {
        Kind::WorkloadEndpoint => {
            let why = "workload endpoints are made of pods; create the pod";
            Err(Failure::forbidden(key, why))
        }
        Kind::Profile => {
            let mut derived = DERIVED_PROFILES.iter();
            match derived.find(|(start, _)| key.name.starts_with(start)) {
                Some((start, of)) => {
                    let why =
                        format!("the profiles {start}* are made of each {of}; choose another name");
                    Err(Failure::forbidden(key, &why))
                }
                None => Ok(()),
            }
        }
        Kind::ClusterInformation if key.name != DEFAULT => {
            Err(Failure::forbidden(key, READ_ONLY_INFORMATION))
        }
        _ => Ok(()),
    }
}

const READ_ONLY_INFORMATION: &str = "ClusterInformation is a read-only resource";

/// A stored object may be changed or removed.
pub(super) fn admit_change(key: &ObjectKey) -> Result<(), Failure> {
    match key.kind {
        Kind::Profile if key.name == DEFAULT_ALLOW_PROFILE => {
            let why = "this profile is always there and allows everything; make one of your own";
            Err(Failure::forbidden(key, why))
        }
        Kind::ClusterInformation if key.name == DEFAULT => {
            Err(Failure::forbidden(key, READ_ONLY_INFORMATION))
        }
        _ => Ok(()),
    }
}
