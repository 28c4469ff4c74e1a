//! The policies of the cluster by number, filed by whom they select.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use oncilla_model::{Policy, PolicyKey};

use crate::carriers::Demands;
use crate::filing::Filing;

/// The number of a policy. It is another's when the policy is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PolicyId(u32);

/// The policies. Owned by [`crate::locals::Locals`].
#[derive(Debug)]
pub(crate) struct Policies {
    ids: HashMap<PolicyKey, PolicyId>,
    slots: Vec<Option<Arc<Policy>>>,
    free: Vec<PolicyId>,
    filing: Filing<PolicyId>,
}

impl Policies {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            filing: Filing::new(),
        }
    }

    pub(crate) fn id(&self, key: &PolicyKey) -> Option<PolicyId> {
        self.ids.get(key).copied()
    }

    pub(crate) fn get(&self, key: &PolicyKey) -> Option<&Arc<Policy>> {
        self.of(self.id(key)?)
    }

    pub(crate) fn of(&self, id: PolicyId) -> Option<&Arc<Policy>> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    /// Puts a policy in the place of its older version. Whoever selects by other labels now is to be filed anew.
    pub(crate) fn put(&mut self, policy: &Arc<Policy>) -> PolicyId {
        let slot = Some(Arc::clone(policy));
        if let Some(id) = self.id(&policy.key) {
            self.slots[id.0 as usize] = slot;
            return id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                PolicyId(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 policies"))
            }
        };
        self.ids.insert(policy.key.clone(), id);
        id
    }

    /// Files a policy by what its selector demands.
    pub(crate) fn file(&mut self, id: PolicyId, demands: &Demands) {
        self.filing.insert_demanding(id, demands);
    }

    pub(crate) fn remove(&mut self, key: &PolicyKey) {
        if let Some(id) = self.ids.remove(key) {
            self.filing.remove(&id);
            self.slots[id.0 as usize] = None;
            self.free.push(id);
        }
    }

    pub(crate) fn filing(&self) -> &Filing<PolicyId> {
        &self.filing
    }
}
