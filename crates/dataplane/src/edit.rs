//! Edits of the table as values, so that a plan can be read, tested and repeated before it is sent.

use oncilla_kernel::nf_tables::Batch;
use oncilla_nft::object::{Chain, DataType, Element, Name, Rule, Set, Table};
use oncilla_nft::{FilledChain, FilledSet, Ruleset, TABLE};

/// One edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Edit {
    /// The table, with flags.
    AddTable(Table),
    /// The table and everything in it, if it is there.
    DestroyTable,
    /// A set without elements.
    AddSet(Set),
    /// A set and its elements. Nothing may ask it any more.
    DeleteSet(Name),
    /// Elements of a set.
    AddElements(Set, Vec<Element>),
    /// Elements of a set, by key.
    DeleteElements(Set, Vec<Element>),
    /// Elements of a set, by key, as far as they are there.
    DestroyElements(Set, Vec<Element>),
    /// A chain without rules.
    AddChain(Chain),
    /// Rules at the end of a chain.
    AddRules(Name, Vec<Rule>),
    /// The rules of a chain; the chain stays.
    FlushChain(Name),
    /// A chain without rules that nothing leads to.
    DeleteChain(Name),
}

/// Edits that take effect at one instant.
pub(crate) type Transaction = Vec<Edit>;

/// The bytes of a transaction in our table.
pub(crate) fn batch(transaction: &[Edit]) -> Batch {
    batch_in(TABLE, transaction)
}

/// The bytes of a transaction in a table.
pub(crate) fn batch_in(table: &str, transaction: &[Edit]) -> Batch {
    let mut batch = Batch::new(table);
    for edit in transaction {
        match edit {
            Edit::AddTable(table) => batch.add_table(table),
            Edit::DestroyTable => batch.destroy_table(),
            Edit::AddSet(set) => batch.add_set(set),
            Edit::DeleteSet(name) => batch.delete_set(name),
            Edit::AddElements(set, elements) => batch.add_elements(set, elements),
            Edit::DeleteElements(set, elements) => batch.delete_elements(set, elements),
            Edit::DestroyElements(set, elements) => batch.destroy_elements(set, elements),
            Edit::AddChain(chain) => batch.add_chain(chain),
            Edit::AddRules(chain, rules) => {
                for rule in rules {
                    batch.add_rule(chain, rule);
                }
                &mut batch
            }
            Edit::FlushChain(name) => batch.flush_chain(name),
            Edit::DeleteChain(name) => batch.delete_chain(name),
        };
    }
    batch
}

/// How many elements a transaction adds or deletes.
pub(crate) fn elements(transaction: &[Edit]) -> u64 {
    transaction
        .iter()
        .map(|edit| match edit {
            Edit::AddElements(_, elements) | Edit::DeleteElements(_, elements) => {
                u64::try_from(elements.len()).unwrap_or(u64::MAX)
            }
            _ => 0,
        })
        .sum()
}

/// Sets first, then all chains, then the rules: everything that a rule mentions is there before it.
pub(crate) fn create<'a>(
    sets: impl IntoIterator<Item = &'a FilledSet>,
    chains: impl IntoIterator<Item = &'a FilledChain> + Clone,
) -> Transaction {
    let mut edits = Vec::new();
    for filled in sets {
        edits.push(Edit::AddSet(filled.set.clone()));
        if filled.set.data != Some(DataType::Verdict) {
            push_elements(&mut edits, filled);
        }
    }
    edits.extend(
        chains
            .clone()
            .into_iter()
            .map(|filled| Edit::AddChain(filled.chain.clone())),
    );
    for filled in chains {
        if !filled.rules.is_empty() {
            let name = Name::clone(&filled.chain.name);
            edits.push(Edit::AddRules(name, filled.rules.clone()));
        }
    }
    edits
}

fn push_elements(edits: &mut Transaction, filled: &FilledSet) {
    if !filled.elements.is_empty() {
        let elements = filled.elements.iter().cloned().collect();
        edits.push(Edit::AddElements(filled.set.clone(), elements));
    }
}

/// A whole table that no packet meets: everything but the chains that packets enter by.
pub(crate) fn prepare(ruleset: &Ruleset) -> Transaction {
    let mut edits = vec![Edit::DestroyTable, Edit::AddTable(ruleset.table.clone())];
    let chains = ruleset.chains.values();
    let inner = chains.filter(|filled| filled.chain.base.is_none());
    edits.extend(create(ruleset.sets.values(), inner));
    // Verdict maps lead to chains, so their elements come last.
    for filled in ruleset.sets.values() {
        if filled.set.data == Some(DataType::Verdict) {
            push_elements(&mut edits, filled);
        }
    }
    edits
}

/// The chains by which packets enter a table that is there.
pub(crate) fn hook_in(ruleset: &Ruleset) -> Transaction {
    let chains = ruleset.chains.values();
    create([], chains.filter(|filled| filled.chain.base.is_some()))
}

/// A transaction that no packet can meet in parts, for a socket that does not take it at once.
pub(crate) fn parts(transaction: Transaction, bytes_max: usize) -> Vec<Transaction> {
    let mut parts: Vec<Transaction> = Vec::new();
    let mut room = 0;
    for edit in transaction.into_iter().flat_map(pieces) {
        let bytes = batch(std::slice::from_ref(&edit)).bytes_len();
        if let Some(part) = parts.last_mut().filter(|_| bytes <= room) {
            part.push(edit);
            room -= bytes;
        } else {
            parts.push(vec![edit]);
            room = bytes_max.saturating_sub(bytes);
        }
    }
    parts
}

/// Elements of one edit in a part.
const PIECE: usize = 256;

fn pieces(edit: Edit) -> Vec<Edit> {
    if let Edit::AddElements(set, elements) = edit {
        let chunks = elements.chunks(PIECE);
        chunks
            .map(|chunk| Edit::AddElements(set.clone(), chunk.to_vec()))
            .collect()
    } else {
        vec![edit]
    }
}
