//! Which groups judge local shapes. Shapes that the same policies select share what is made of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use oncilla_model::Policy;
use oncilla_net::Direction;
use oncilla_program::{Dispatch, GroupId, Hook};

use crate::dirty::Dirty;
use crate::groups::{self, Ending};
use crate::hosts::applies;
use crate::index::Index;
use crate::locals::{Locals, Of, define_with};
use crate::node::TierDef;
use crate::policies::PolicyId;
use crate::shapes::ShapeId;
use crate::usage::{port_names, sides};

/// The numbers of policies, ascending.
pub(crate) type PolicyIds = Arc<Vec<PolicyId>>;

/// Which list of policies, by its address: the memo has each list once and keeps it.
type ListAt = usize;

/// What the policies of a list come to in one direction.
struct Draft {
    tiers: Vec<TierDef>,
    /// Whether a rule asks for a port's name of the endpoint itself: then its ports tell endpoints apart.
    asks_own_names: bool,
}

/// What was found for the shapes so far. Lives as long as one regrouping.
struct Memo {
    lists: HashSet<PolicyIds>,
    drafts: HashMap<(ListAt, Direction), Draft>,
    /// Groups of a list with profiles that end in one verdict, and whether that is to allow.
    groups: HashMap<(ListAt, Direction, bool), Option<GroupId>>,
}

impl Memo {
    fn new() -> Self {
        Self {
            lists: HashSet::new(),
            drafts: HashMap::new(),
            groups: HashMap::new(),
        }
    }

    /// The one list of all that are equal to this one.
    fn share(&mut self, list: &PolicyIds) -> PolicyIds {
        if let Some(known) = self.lists.get(list) {
            return Arc::clone(known);
        }
        self.lists.insert(Arc::clone(list));
        Arc::clone(list)
    }
}

impl Locals {
    /// Finds the groups of the marked shapes and host endpoints.
    pub(crate) fn regroup(&mut self, index: &mut Index, dirty: &mut Dirty) {
        self.regroup_hosts(index, dirty);
        let mut memo = Memo::new();
        let mut moved = BTreeSet::new();
        for shape in std::mem::take(&mut dirty.shapes) {
            let Some(local) = self.shapes.get_mut(&shape) else {
                continue;
            };
            index.work.rows_touched += 1;
            local.selected = memo.share(&local.selected);
            let selected = Arc::clone(&local.selected);
            let dispatch = Direction::ALL.map(|direction| {
                let group = self.group_of((index, dirty), &mut memo, (shape, &selected), direction);
                group.map_or(Dispatch::Open, Dispatch::Group)
            });
            let Some(local) = self.shapes.get_mut(&shape) else {
                continue;
            };
            let old = local.dispatch.replace(dispatch.clone());
            if old.as_ref() != Some(&dispatch) {
                moved.insert(shape);
            }
            self.leave_groups(dirty, old);
        }
        self.mark_interfaces(dirty, &moved);
    }

    /// The group of a shape in one direction, joined; `None`: nothing to evaluate.
    fn group_of(
        &mut self,
        (index, dirty): (&mut Index, &mut Dirty),
        memo: &mut Memo,
        (shape, selected): (ShapeId, &PolicyIds),
        direction: Direction,
    ) -> Option<GroupId> {
        let way = (Hook::Normal, direction);
        if index.is_obscure(shape) {
            index.work.groups_built += 1;
            return Some(self.join_group(dirty, groups::closed((Of::Workload, way))));
        }
        let list = Arc::as_ptr(selected).addr();
        let draft = memo.drafts.entry((list, direction));
        let draft = draft.or_insert_with(|| self.draft(selected, direction));
        let profiles: Vec<_> = index.profiles_of(shape).collect();
        let profiles: Vec<_> = profiles.iter().map(Option::as_ref).collect();
        let allows = match groups::ending(direction, &profiles) {
            _ if draft.asks_own_names => None,
            Ending::Allow => Some(true),
            Ending::Deny => Some(false),
            Ending::Rules => None,
        };
        let place = allows.map(|allows| (list, direction, allows));
        if let Some(known) = place.and_then(|place| memo.groups.get(&place)) {
            // Joined by a shape before this one, which is still in it.
            if let Some(id) = known {
                self.join_known(id);
            }
            return known.clone();
        }
        index.work.groups_built += 1;
        let group = define_with(index, (Of::Workload, shape), way, draft.tiers.clone());
        let id = group.map(|group| self.join_group(dirty, group));
        if let Some(place) = place {
            memo.groups.insert(place, id.clone());
        }
        id
    }

    fn draft(&self, selected: &PolicyIds, direction: Direction) -> Draft {
        let policies: Vec<Arc<Policy>> = selected
            .iter()
            .filter_map(|id| self.policies.of(*id))
            .filter(|policy| applies(policy.applies, Hook::Normal))
            .collect();
        let policies: Vec<&Arc<Policy>> = policies.iter().collect();
        let tiers = groups::tiers(&self.tiers, direction, &policies);
        let rules = policies.iter().filter_map(|policy| match direction {
            Direction::Ingress => policy.ingress.as_ref(),
            Direction::Egress => policy.egress.as_ref(),
        });
        let mut own_sides = rules
            .flat_map(|rules| rules.iter())
            .map(|rule| sides(rule, direction).1);
        Draft {
            tiers,
            asks_own_names: own_sides.any(|side| port_names(side).next().is_some()),
        }
    }

    fn mark_interfaces(&self, dirty: &mut Dirty, moved: &BTreeSet<ShapeId>) {
        if moved.is_empty() {
            return;
        }
        let rows = self.rows.values();
        let rows = rows.filter(|(_, shape)| moved.contains(shape));
        let interfaces = rows.map(|(endpoint, _)| Arc::clone(&endpoint.interface));
        dirty.interfaces.extend(interfaces);
    }
}
