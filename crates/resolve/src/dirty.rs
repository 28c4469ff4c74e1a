//! What changed in the input and is not published yet. Outlives a publication that failed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use oncilla_net::IpNet;
use oncilla_program::GroupId;

use crate::labels::TextId;
use crate::shapes::ShapeId;

/// The marks.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// Addresses whose sources or answers changed.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Regions in which prefixes or their answers changed.
    pub(crate) regions: BTreeSet<IpNet>,
    /// Profiles that came, went or changed labels.
    pub(crate) profiles: BTreeSet<TextId>,
    /// Local shapes whose groups must be found anew.
    pub(crate) shapes: BTreeSet<ShapeId>,
    /// Groups whose definition changed.
    pub(crate) groups: BTreeSet<GroupId>,
    /// Interfaces whose endpoint changed.
    pub(crate) interfaces: BTreeSet<Arc<str>>,
    /// Host endpoints of this node whose groups must be found anew.
    pub(crate) hosts: BTreeSet<Arc<str>>,
    /// Whether an interface may have another host endpoint, or one with other groups.
    pub(crate) host_endpoints: bool,
    /// What must be looked at as a whole.
    pub(crate) whole: Whole,
}

/// Marks without a place.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// Predicates came or went: every address.
    pub(crate) plane: bool,
    /// The address sets of the local side.
    pub(crate) local_sets: bool,
}
