//! The document that is being read: open lists and mappings, anchors, merges.

use std::collections::HashMap;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::Span;

use super::{Bytes, Document, Fault, Reader};
use crate::field::{Code, FieldError};
use crate::manifest::span::{Children, Node};

/// A finished value with its place.
#[derive(Clone, Debug)]
struct Anchored {
    value: Value,
    spans: Node,
    nodes: usize,
}

/// A text, number or alias about to be added.
pub(super) struct Leaf {
    pub(super) value: Value,
    /// The text as written, for use as a key; `None` when it cannot be one.
    pub(super) key_text: Option<String>,
    pub(super) bytes: Bytes,
    pub(super) anchor: usize,
}

/// A list or mapping that is still open.
pub(super) struct Frame {
    anchor: usize,
    start: u32,
    /// The reader's count when it was opened, its own included.
    nodes_before: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>, Vec<Node>),
    Map(MapFrame),
}

#[derive(Default)]
struct MapFrame {
    fields: Map<String, Value>,
    spans: Vec<(Box<str>, Node)>,
    key: Option<(String, Bytes)>,
    /// Values of `<<`, first ones win.
    merged: Vec<(Value, Node, Bytes)>,
}

impl Frame {
    pub(super) fn list(anchor: usize, bytes: Bytes, nodes_before: usize) -> Self {
        Self {
            anchor,
            start: bytes.start,
            nodes_before,
            content: Content::List(Vec::new(), Vec::new()),
        }
    }

    pub(super) fn map(anchor: usize, bytes: Bytes, nodes_before: usize) -> Self {
        Self {
            anchor,
            start: bytes.start,
            nodes_before,
            content: Content::Map(MapFrame::default()),
        }
    }
}

/// The document that is being read.
pub(super) struct Builder {
    /// Where the parsed part starts in the file.
    pub(super) base: usize,
    pub(super) stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    pub(super) document: Document,
    /// How many diagnostics there were when the document began.
    pub(super) diagnostics_before: usize,
}

impl Builder {
    pub(super) fn new(base: usize, diagnostics_before: usize) -> Self {
        Self {
            base,
            stack: Vec::new(),
            anchors: HashMap::new(),
            document: Document::default(),
            diagnostics_before,
        }
    }

    /// The document as far as it was read.
    pub(super) fn so_far(&self) -> Value {
        let mut inner = Value::Null;
        for frame in self.stack.iter().rev() {
            inner = match &frame.content {
                Content::List(items, _) => {
                    Value::Array(items.iter().cloned().chain([inner]).collect())
                }
                Content::Map(map) => {
                    let mut fields = map.fields.clone();
                    if let Some((key, _)) = &map.key {
                        fields.entry(key.clone()).or_insert(inner);
                    }
                    Value::Object(fields)
                }
            };
        }
        inner
    }

    pub(super) fn bytes(&self, span: Span) -> Bytes {
        let offset = |bytes: Option<usize>| {
            u32::try_from(self.base + bytes.unwrap_or_default()).unwrap_or(u32::MAX)
        };
        offset(span.start.byte_offset())..offset(span.end.byte_offset())
    }

    pub(super) fn open(&mut self, frame: Frame) {
        self.stack.push(frame);
    }

    pub(super) fn add(&mut self, reader: &mut Reader<'_>, leaf: Leaf) -> Result<(), Fault> {
        let spans = Node {
            value: leaf.bytes.clone(),
            ..Node::default()
        };
        if leaf.anchor > 0 {
            let anchored = Anchored {
                value: leaf.value.clone(),
                spans: spans.clone(),
                nodes: 1,
            };
            self.anchors.insert(leaf.anchor, anchored);
        }
        let is_key = match self.stack.last() {
            Some(Frame {
                content: Content::Map(map),
                ..
            }) => map.key.is_none(),
            Some(Frame {
                content: Content::List(..),
                ..
            })
            | None => false,
        };
        match leaf.key_text {
            Some(text) if is_key => {
                self.begin_entry(reader, text, leaf.bytes);
                Ok(())
            }
            _ => self.place(reader, leaf.value, spans),
        }
    }

    /// Notes the key of the entry that follows.
    fn begin_entry(&mut self, reader: &mut Reader<'_>, key: String, bytes: Bytes) {
        let path = self.path(&key);
        let Some(Frame {
            content: Content::Map(map),
            ..
        }) = self.stack.last_mut()
        else {
            return;
        };
        if map.fields.contains_key(&key)
            && let Some((_, first)) = map.spans.iter().find(|(name, _)| **name == *key)
        {
            let line = reader.source.position(first.field_span()).line;
            let error = FieldError::new(path, format!("duplicate key {key:?}"))
                .with_code(Code::DuplicateKey)
                .with_help(format!(
                    "it is already on line {line}: remove one of the two"
                ));
            let diagnostic = reader.at(&bytes, error);
            reader.diagnostics.push(diagnostic);
            self.document.broken = true;
        }
        map.key = Some((key, bytes));
    }

    /// The path of a key in the innermost mapping.
    fn path(&self, key: &str) -> String {
        let mut path = String::new();
        for frame in &self.stack {
            match &frame.content {
                Content::List(items, _) => path.extend(["[", &items.len().to_string(), "]"]),
                Content::Map(map) => {
                    let name = map.key.as_ref().map_or(key, |(name, _)| name);
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        path
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, reader: &Reader<'_>, value: Value, mut spans: Node) -> Result<(), Fault> {
        let Some(frame) = self.stack.last_mut() else {
            self.document.value = value;
            self.document.spans = spans;
            return Ok(());
        };
        match &mut frame.content {
            Content::List(items, places) => {
                items.push(value);
                places.push(spans);
            }
            Content::Map(map) => {
                let Some((key, bytes)) = map.key.take() else {
                    return Err(reader.fault(
                        &spans.value,
                        "a key is a list or mapping",
                        "keys are texts; put it in quotes",
                    ));
                };
                if key == "<<" {
                    map.merged.push((value, spans, bytes));
                    return Ok(());
                }
                spans.key = bytes;
                if !map.fields.contains_key(&key) {
                    map.spans.push((key.clone().into_boxed_str(), spans));
                    map.fields.insert(key, value);
                }
            }
        }
        Ok(())
    }

    pub(super) fn close(&mut self, reader: &mut Reader<'_>, end: &Bytes) -> Result<(), Fault> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let (value, children) = match frame.content {
            Content::List(items, places) => (Value::Array(items), Children::List(places)),
            Content::Map(mut map) => {
                for (value, spans, bytes) in std::mem::take(&mut map.merged) {
                    merge(reader, &mut map, value, spans, &bytes)?;
                }
                (Value::Object(map.fields), Children::Map(map.spans))
            }
        };
        let spans = Node {
            key: 0..0,
            value: frame.start..end.end.max(frame.start),
            children,
        };
        if frame.anchor > 0 {
            let anchored = Anchored {
                value: value.clone(),
                spans: spans.clone(),
                nodes: reader.nodes - frame.nodes_before + 1,
            };
            self.anchors.insert(frame.anchor, anchored);
        }
        self.place(reader, value, spans)
    }

    pub(super) fn alias(
        &mut self,
        reader: &mut Reader<'_>,
        anchor: usize,
        bytes: Bytes,
    ) -> Result<(), Fault> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(reader.fault(
                &bytes,
                "the alias stands inside the value that it repeats",
                "write the value out",
            ));
        };
        reader.count_alias(&bytes, anchored.nodes)?;
        let Anchored {
            value, mut spans, ..
        } = anchored.clone();
        if depth(&value) + self.stack.len() > reader.limits.depth_max {
            return Err(reader.too_deep(bytes));
        }
        if let Children::None = spans.children {
            let key_text = match &value {
                Value::String(text) => Some(text.clone()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
                Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            };
            return self.add(
                reader,
                Leaf {
                    value,
                    key_text,
                    bytes,
                    anchor: 0,
                },
            );
        }
        // The alias is what the document shows here; the fields inside are where the anchor is.
        spans.key = 0..0;
        self.place(reader, value, spans)
    }
}

/// Lists and mappings inside each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Adds the fields of a `<<` value that the mapping does not have itself.
fn merge(
    reader: &Reader<'_>,
    map: &mut MapFrame,
    value: Value,
    spans: Node,
    bytes: &Bytes,
) -> Result<(), Fault> {
    match (value, spans.children) {
        (Value::Object(fields), Children::Map(entries)) => {
            for ((key, value), (_, spans)) in fields.into_iter().zip(entries) {
                if !map.fields.contains_key(&key) {
                    map.spans.push((key.clone().into_boxed_str(), spans));
                    map.fields.insert(key, value);
                }
            }
            Ok(())
        }
        (Value::Array(items), Children::List(places)) if items.iter().all(Value::is_object) => {
            for (item, place) in items.into_iter().zip(places) {
                merge(reader, map, item, place, bytes)?;
            }
            Ok(())
        }
        _ => Err(reader.fault(
            bytes,
            "`<<` needs a mapping or a list of mappings",
            "write `<<: *name` with an anchor on a mapping",
        )),
    }
}
