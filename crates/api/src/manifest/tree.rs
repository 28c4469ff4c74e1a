//! Text to values: parser events become JSON values and, beside them, a tree of places.
//!
//! Aliases and merge keys are resolved here, against a budget, so that a short file cannot become a large one.

mod builder;

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use serde_saphyr::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::Limits;
use super::diagnostic::Diagnostic;
use super::document::label;
use super::scalar::{ScalarError, resolve};
use super::source::Source;
use super::span::Node;
use crate::field::{Code, FieldError};
use builder::{Builder, Frame, Leaf};

/// One document of a file: what it says, and where.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) spans: Node,
    /// A fault was reported in it: it may be examined for more faults but never used.
    pub(super) broken: bool,
}

/// Every document of a file that is not empty. Faults go to `diagnostics`; after one, reading goes on with
/// the next document.
pub(super) fn read(
    source: &Arc<Source>,
    limits: &Limits,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Document> {
    let mut reader = Reader {
        source,
        limits,
        diagnostics,
        nodes: 0,
        alias_nodes: 0,
        documents: Vec::new(),
    };
    for part in json_stream(&source.text) {
        if reader.part(part).is_err() {
            break;
        }
    }
    reader.documents
}

/// JSON values one after the other, as `jq` writes them, are no YAML: they are read one by one. Anything
/// else is one part.
fn json_stream(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    if text.trim_start().starts_with('{') {
        let mut stream =
            serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
        let mut start = 0;
        while let Some(result) = stream.next() {
            if result.is_err() {
                parts.clear();
                break;
            }
            parts.push(start..stream.byte_offset());
            start = stream.byte_offset();
        }
    }
    if parts.len() < 2 {
        std::iter::once(0..text.len()).collect()
    } else {
        parts
    }
}

/// A limit of the whole file was hit: nothing more is read.
struct Stop;

struct Reader<'a> {
    source: &'a Arc<Source>,
    limits: &'a Limits,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// Values so far, those from aliases included.
    nodes: usize,
    /// Values so far that came from aliases.
    alias_nodes: usize,
    documents: Vec<Document>,
}

impl Reader<'_> {
    fn part(&mut self, part: Range<usize>) -> Result<(), Stop> {
        let base = part.start;
        let text = self.source.text.get(part).unwrap_or_default();
        let options = serde_saphyr::granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: self.limits.depth_max,
            block_nesting_limit: self.limits.depth_max,
        };
        let mut parser = Parser::new_from_str_with_options(text, options);
        let mut builder = Builder::new(base, self.diagnostics.len());
        while let Some(next) = parser.next_event() {
            let outcome = match next {
                Ok((event, span)) => {
                    self.event(&mut builder, event, span)
                        .map_err(|fault| match fault {
                            Fault::Document(mut diagnostic) => {
                                diagnostic.object = object(&builder.so_far());
                                Fault::Document(diagnostic)
                            }
                            Fault::File(_) => fault,
                        })
                }
                Err(error) => Err(Fault::Document(Box::new(self.syntax(base, &error)))),
            };
            match outcome {
                Ok(()) => {}
                Err(Fault::Document(diagnostic)) => {
                    self.name(&builder, &builder.so_far());
                    self.diagnostics.push(*diagnostic);
                    builder = Builder::new(base, self.diagnostics.len());
                    if !matches!(parser.proceed_next_document(), Ok(true)) {
                        break;
                    }
                }
                Err(Fault::File(diagnostic)) => {
                    self.diagnostics.push(*diagnostic);
                    return Err(Stop);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, builder: &mut Builder, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let bytes = builder.bytes(span);
        match event {
            Event::DocumentStart(..) => {
                *builder = Builder::new(builder.base, self.diagnostics.len());
            }
            Event::DocumentEnd => {
                self.name(builder, &builder.document.value);
                let document = std::mem::take(&mut builder.document);
                if !document.value.is_null() {
                    self.documents.push(document);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(&bytes, 1)?;
                let value = self.scalar(&text, style, tag.as_deref(), &bytes)?;
                let key_text = Some(text.into_owned());
                builder.add(
                    self,
                    Leaf {
                        value,
                        key_text,
                        bytes,
                        anchor,
                    },
                )?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(builder, tag.as_deref(), &bytes)?;
                builder.open(Frame::list(anchor, bytes, self.nodes));
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(builder, tag.as_deref(), &bytes)?;
                builder.open(Frame::map(anchor, bytes, self.nodes));
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(self, &bytes)?,
            Event::Alias(anchor) => builder.alias(self, anchor, bytes)?,
            // Start and end of the stream, comments, and whatever a later parser adds as metadata.
            _ => {}
        }
        Ok(())
    }

    /// Says of which object the faults are that were found while a document was read.
    fn name(&mut self, builder: &Builder, value: &Value) {
        let found = self.diagnostics.iter_mut().skip(builder.diagnostics_before);
        for diagnostic in found {
            diagnostic.object = object(value);
        }
    }

    /// Checks before a list or mapping is opened.
    fn open(&mut self, builder: &Builder, tag: Option<&Tag>, bytes: &Bytes) -> Result<(), Fault> {
        self.count(bytes, 1)?;
        self.check_tag(tag, &["seq", "map"], bytes)?;
        if builder.stack.len() >= self.limits.depth_max {
            return Err(self.too_deep(bytes.clone()));
        }
        Ok(())
    }

    /// Counts values against the file's limit.
    fn count(&mut self, bytes: &Bytes, added: usize) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(added);
        if self.nodes <= self.limits.nodes_max {
            return Ok(());
        }
        let message = format!(
            "the file has more values than the limit of {}",
            self.limits.nodes_max
        );
        let error = FieldError::new("", message)
            .with_code(Code::Limit)
            .with_help("split it into several files");
        Err(Fault::File(Box::new(self.at(bytes, error))))
    }

    /// Counts values that an alias repeats.
    fn count_alias(&mut self, bytes: &Bytes, added: usize) -> Result<(), Fault> {
        self.alias_nodes = self.alias_nodes.saturating_add(added);
        if self.alias_nodes <= self.limits.alias_nodes_max {
            return self.count(bytes, added);
        }
        let message = format!(
            "aliases expand to more values than the limit of {}",
            self.limits.alias_nodes_max
        );
        let error = FieldError::new("", message)
            .with_code(Code::Limit)
            .with_help("write the values out instead of nesting aliases");
        Err(Fault::File(Box::new(self.at(bytes, error))))
    }

    fn too_deep(&self, bytes: Bytes) -> Fault {
        let message = format!(
            "lists and mappings are nested deeper than the limit of {}",
            self.limits.depth_max
        );
        let error = FieldError::new("", message)
            .with_code(Code::Limit)
            .with_help("close brackets earlier, or check the indentation: no object needs so many");
        Fault::Document(Box::new(self.at(&bytes, error)))
    }

    fn at(&self, bytes: &Bytes, error: FieldError) -> Diagnostic {
        Diagnostic::at(self.source, bytes.start as usize..bytes.end as usize, error)
    }

    fn fault(&self, bytes: &Bytes, message: impl Into<String>, help: &str) -> Fault {
        let error = FieldError::new("", message)
            .with_code(Code::Syntax)
            .with_help(help);
        Fault::Document(Box::new(self.at(bytes, error)))
    }

    fn syntax(&self, base: usize, error: &ScanError) -> Diagnostic {
        let start = base + error.marker().byte_offset().unwrap_or_default();
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            let start = u32::try_from(start).unwrap_or(u32::MAX);
            if let Fault::Document(diagnostic) = self.too_deep(start..start) {
                return *diagnostic;
            }
        }
        let message = format!("neither YAML nor JSON: {}", error.info());
        let fault = FieldError::new("", message).with_code(Code::Syntax);
        let help = match error.kind() {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation => "indent with spaces",
            ErrorKind::UnclosedQuotedScalar
            | ErrorKind::InvalidQuotedScalarIndent
            | ErrorKind::DocumentIndicatorInQuotedScalar => {
                "close the quotes of the text before this place"
            }
            ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping => "close the bracket",
            ErrorKind::UnknownAnchor => {
                "an alias (`*name`) needs an anchor (`&name`) before it; put the text in quotes if it is no alias"
            }
            _ => "check the indentation, quotes and colons around this place",
        };
        Diagnostic::at(self.source, start..start, fault.with_help(help))
    }

    /// The value of a text, by its quotes and tag.
    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        bytes: &Bytes,
    ) -> Result<Value, Fault> {
        self.check_tag(tag, &["str", "int", "bool", "float", "null"], bytes)?;
        let quoted = style != ScalarStyle::Plain
            || tag.is_some_and(|tag| tag.core_suffix().is_none_or(|suffix| suffix == "str"));
        if quoted {
            return Ok(Value::String(text.to_owned()));
        }
        resolve(text).map_err(|error| match error {
            ScalarError::LeadingZero => self.fault(
                bytes,
                format!("the number {text} has a leading zero, which some readers take for octal"),
                &format!(
                    "write {} for the number, or \"{text}\" for the text",
                    text.trim_start_matches('0')
                ),
            ),
            ScalarError::NotFinite => self.fault(
                bytes,
                format!("{text} is not a finite number"),
                "leave the field out, or put the text in quotes",
            ),
        })
    }

    /// Tags that change nothing are accepted, everything else would be guessing.
    fn check_tag(&self, tag: Option<&Tag>, known: &[&str], bytes: &Bytes) -> Result<(), Fault> {
        match tag {
            Some(tag) if !tag_fits(tag, known) => Err(self.fault(
                bytes,
                format!("the tag {} is not supported", tag.original()),
                "remove the tag",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// What to call the object that a document, perhaps only begun, holds. Items of a list have no name yet.
fn object(value: &Value) -> Option<String> {
    let is_list = value.get("items").is_some();
    label(value).filter(|_| !is_list)
}

fn tag_fits(tag: &Tag, known: &[&str]) -> bool {
    match tag.core_suffix() {
        Some(suffix) => known.contains(&suffix),
        // A lone `!` says "not resolved": a text stays a text.
        None => tag.handle().is_empty() && tag.suffix() == "!" || tag.original() == "!",
    }
}

/// Bytes of the file.
type Bytes = Range<u32>;

/// Why a document or the whole file is given up.
enum Fault {
    Document(Box<Diagnostic>),
    File(Box<Diagnostic>),
}
