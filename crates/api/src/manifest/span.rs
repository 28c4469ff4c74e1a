//! Where in the file each value is: a tree that mirrors the document.

use std::ops::Range;

/// The place of one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    /// The key's bytes; empty for list items and documents.
    pub(super) key: Range<u32>,
    /// The value's bytes.
    pub(super) value: Range<u32>,
    /// The places inside.
    pub(super) children: Children,
}

/// The places inside a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Children {
    /// Nothing is inside.
    #[default]
    None,
    /// A list's items.
    List(Vec<Node>),
    /// A mapping's entries, in the file's order.
    Map(Vec<(Box<str>, Node)>),
}

/// The result of [`Node::find`].
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The node, or the last one on the way to it.
    pub(super) node: &'a Node,
    /// Whether it is the one that was asked for.
    pub(super) complete: bool,
}

impl Node {
    /// Follows a path such as `spec.ingress[1].action`. Keys may contain dots: the longest one wins.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        let mut node = self;
        let mut rest = path;
        while !rest.is_empty() {
            match node.step(rest) {
                Some((child, remaining)) => (node, rest) = (child, remaining),
                None => {
                    return Found {
                        node,
                        complete: false,
                    };
                }
            }
        }
        Found {
            node,
            complete: true,
        }
    }

    fn step<'a>(&self, path: &'a str) -> Option<(&Self, &'a str)> {
        match &self.children {
            Children::None => None,
            Children::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, rest))
            }
            Children::Map(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                entries
                    .iter()
                    .filter_map(|(key, child)| {
                        let rest = path.strip_prefix(&**key)?;
                        let ends = rest.is_empty() || rest.starts_with(['.', '[']);
                        ends.then_some((child, rest))
                    })
                    .min_by_key(|(_, rest)| rest.len())
            }
        }
    }

    /// The child of a mapping under this key.
    pub(super) fn take(&mut self, key: &str) -> Self {
        match &mut self.children {
            Children::Map(entries) => entries
                .iter_mut()
                .find(|(name, _)| **name == *key)
                .map(|(_, child)| std::mem::take(child))
                .unwrap_or_default(),
            Children::None | Children::List(_) => Self::default(),
        }
    }

    /// What names the value: its key; for list items, the first key inside, or the value.
    pub(super) fn field_span(&self) -> Range<usize> {
        if !self.key.is_empty() {
            return widen(&self.key);
        }
        match &self.children {
            Children::Map(entries) => match entries.first() {
                Some((_, first)) => widen(&first.key),
                None => widen(&self.value),
            },
            Children::List(_) | Children::None => widen(&self.value),
        }
    }

    /// The value itself when it is a number or text, else what names it.
    pub(super) fn value_span(&self) -> Range<usize> {
        match self.children {
            Children::None => widen(&self.value),
            Children::List(_) | Children::Map(_) => self.field_span(),
        }
    }
}

fn widen(span: &Range<u32>) -> Range<usize> {
    span.start as usize..span.end as usize
}
