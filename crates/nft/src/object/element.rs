//! Elements of sets and maps. Small (56 bytes), because there are hundreds of thousands.

use oncilla_net::IpNet;

use super::{Comment, Value, Verdict};

/// What a map gives for a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MapValue {
    /// A mark.
    Mark(u32),
    /// A verdict.
    Verdict(Verdict),
    /// Something that only others put there.
    Other,
}

/// One element: a key or a range of keys, what a map gives for it, and what few elements have beside.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Element {
    key: Value,
    value: Option<MapValue>,
    rare: Option<Box<Rare>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct Rare {
    key_end: Option<Value>,
    timeout_ms: Option<u64>,
    expires_ms: Option<u64>,
    comment: Option<Comment>,
}

impl Element {
    /// An element of a set.
    pub fn new(key: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: None,
            rare: None,
        }
    }

    /// An element of a map to marks.
    pub fn mark(key: impl Into<Value>, mark: u32) -> Self {
        Self::new(key).maps_to(MapValue::Mark(mark))
    }

    /// An element of a verdict map.
    pub fn verdict(key: impl Into<Value>, verdict: Verdict) -> Self {
        Self::new(key).maps_to(MapValue::Verdict(verdict))
    }

    /// All keys from `first` to `last`, both included, field by field in a concatenation. A range of one key is the key.
    pub fn range(first: impl Into<Value>, last: impl Into<Value>) -> Self {
        Self::new(first).until(last.into())
    }

    /// The same for all keys up to `last`, included.
    #[must_use]
    pub fn until(mut self, last: Value) -> Self {
        if self.key != last {
            self.rare_mut().key_end = Some(last);
        }
        self
    }

    /// All addresses of a network; a network of one address is that address.
    pub fn net(net: IpNet) -> Self {
        Self::range(net.network(), net.broadcast())
    }

    /// The same, giving `value`.
    #[must_use]
    pub fn maps_to(mut self, value: MapValue) -> Self {
        self.value = Some(value);
        self
    }

    /// The same, gone after this many milliseconds. In a set without [`super::SetFlags::TIMEOUT`] the kernel refuses it.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.rare_mut().timeout_ms = Some(timeout_ms);
        self
    }

    /// The same with this many milliseconds left of its timeout.
    #[must_use]
    pub fn expires_ms(mut self, expires_ms: u64) -> Self {
        self.rare_mut().expires_ms = Some(expires_ms);
        self
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.with_comment(Comment::new(text))
    }

    /// The same with a finished comment.
    #[must_use]
    pub fn with_comment(mut self, comment: Comment) -> Self {
        self.rare_mut().comment = Some(comment);
        self
    }

    /// The same without the time it has left: what two readings of one element have in common.
    #[must_use]
    pub fn without_expiry(mut self) -> Self {
        if let Some(mut rare) = self.rare.take() {
            rare.expires_ms = None;
            self.rare = (*rare != Rare::default()).then_some(rare);
        }
        self
    }

    /// The key, or the first key of the range.
    pub fn key(&self) -> &Value {
        &self.key
    }

    /// The last key of the range; `None` when it is one key.
    pub fn key_end(&self) -> Option<&Value> {
        self.rare.as_ref()?.key_end.as_ref()
    }

    /// What a map gives for the key.
    pub fn value(&self) -> Option<&MapValue> {
        self.value.as_ref()
    }

    /// The mark a map gives for the key.
    pub fn mark_value(&self) -> Option<u32> {
        match self.value {
            Some(MapValue::Mark(mark)) => Some(mark),
            Some(MapValue::Verdict(_) | MapValue::Other) | None => None,
        }
    }

    /// The verdict a map gives for the key.
    pub fn verdict_value(&self) -> Option<&Verdict> {
        match &self.value {
            Some(MapValue::Verdict(verdict)) => Some(verdict),
            Some(MapValue::Mark(_) | MapValue::Other) | None => None,
        }
    }

    /// After how many milliseconds it goes.
    pub fn timeout(&self) -> Option<u64> {
        self.rare.as_ref()?.timeout_ms
    }

    /// How many milliseconds of its timeout are left.
    pub fn expires(&self) -> Option<u64> {
        self.rare.as_ref()?.expires_ms
    }

    /// Its comment.
    pub fn comment_text(&self) -> Option<&Comment> {
        self.rare.as_ref()?.comment.as_ref()
    }

    /// Whether it has only a key and a value, as almost all have.
    pub fn is_plain(&self) -> bool {
        self.rare.is_none()
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}
