//! YAML to nodes, strictly: the budgets are counted while the events come in, before anything is built of them.
//!
//! Invariant: a hostile text costs at most its budget; only `true` and `false` are booleans and only what JSON would
//! take is a number, so that `no`, `010`, `1_000` and `+49` stay the text that was written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan, StrInput, Tag};
use serde_json::Number;

use crate::codes::{self, Code};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::report::Report;
use crate::source::{Source, Span};

/// Reads one document. `None` where there is nothing to go on with.
pub(crate) fn parse(source: &Source, text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > limits::YAML_BYTES {
        let message = format!("the file has {} bytes; at most {} are allowed", text.len(), limits::YAML_BYTES);
        report.add(source.span(0, 0), codes::TOO_LARGE, message);
        return None;
    }
    let mut builder = Builder {
        source,
        report,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        copied: 0,
        aliases: 0,
    };
    match builder.run(Parser::new_from_str(text)) {
        Ok(()) => builder.root,
        Err(Stop) => None,
    }
}

/// Parsing cannot go on; the reason is in the report.
struct Stop;

enum Frame {
    List { anchor: usize, span: YamlSpan, items: Vec<Node> },
    Map { anchor: usize, span: YamlSpan, entries: Vec<Entry>, seen: HashSet<String>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    text: String,
    span: Span,
    /// Reported; its value is left out.
    is_double: bool,
}

struct Builder<'a> {
    source: &'a Source,
    report: &'a mut Report,
    stack: Vec<Frame>,
    root: Option<Node>,
    /// Finished nodes by anchor, with their size.
    anchors: HashMap<usize, (Node, Size)>,
    nodes: usize,
    /// Bytes of text that aliases have copied.
    copied: usize,
    aliases: usize,
}

impl<'a> Builder<'a> {
    fn run(&mut self, mut parser: Parser<'a, StrInput<'a>>) -> Result<(), Stop> {
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => return Err(self.syntax(&error)),
            };
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.refuse(span, codes::YAML_FEATURE, "a second YAML document; a flow is one"));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => self.scalar((text, style), anchor, tag.as_deref(), span)?,
                Event::SequenceStart(anchor, tag) => {
                    self.open(span, tag.as_deref())?;
                    self.stack.push(Frame::List { anchor, span, items: Vec::new() });
                }
                Event::MappingStart(anchor, tag) => {
                    self.open(span, tag.as_deref())?;
                    self.stack.push(Frame::Map { anchor, span, entries: Vec::new(), seen: HashSet::new(), key: None });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn span(&self, span: YamlSpan) -> Span {
        self.source.span(span.start.index(), span.end.index())
    }

    fn refuse(&mut self, span: YamlSpan, code: Code, message: impl Into<String>) -> Stop {
        let span = self.span(span);
        self.report.add(span, code, message);
        Stop
    }

    fn syntax(&mut self, error: &saphyr_parser::ScanError) -> Stop {
        let index = error.marker().index();
        let span = self.source.span(index, index + 1);
        // A template without quotes often ends in a syntax error on its own line.
        let line: String = self.source.line(span.start.line).iter().collect();
        if let Some(start) = ["{{", "{%"].iter().find_map(|open| unquoted(&line, open)) {
            let column = line[..start].chars().count();
            let line_start = self.source.place(index).index - (span.start.column as usize - 1);
            let whole = self.source.span(line_start + column, line_start + line.trim_end().chars().count());
            self.unquoted_template(whole);
            return Stop;
        }
        let message = format!("this is not YAML: {}", error.info());
        let hint = if line.contains('\t') { "Indent with spaces; YAML takes no tabs." } else { "" };
        self.report.hint(span, codes::YAML_SYNTAX, (message, hint));
        Stop
    }

    fn unquoted_template(&mut self, span: Span) {
        let message = "a template must be quoted; without quotes YAML reads `{{` as a mapping";
        let hint = "Quote the template: \"{{ ... }}\".";
        self.report.hint(span, codes::UNQUOTED_TEMPLATE, (message, hint));
    }

    fn count(&mut self, span: YamlSpan, nodes: usize) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > limits::YAML_NODES {
            let message = format!("more than {} YAML nodes", limits::YAML_NODES);
            return Err(self.refuse(span, codes::TOO_LARGE, message));
        }
        Ok(())
    }

    fn untagged(&mut self, span: YamlSpan, tag: Option<&Tag>) -> Result<(), Stop> {
        match tag {
            None => Ok(()),
            Some(tag) => {
                let handle = if tag.is_yaml_core_schema() { "!!" } else { tag.handle.as_str() };
                let message =
                    format!("the YAML tag `{handle}{}`; flows have no tags", crate::reader::shorten(&tag.suffix));
                Err(self.refuse(span, codes::YAML_FEATURE, message))
            }
        }
    }

    fn open(&mut self, span: YamlSpan, tag: Option<&Tag>) -> Result<(), Stop> {
        self.count(span, 1)?;
        self.untagged(span, tag)?;
        if self.stack.len() >= limits::YAML_DEPTH {
            let message = format!("nested deeper than {} levels", limits::YAML_DEPTH);
            return Err(self.refuse(span, codes::TOO_LARGE, message));
        }
        // `{{ x }}` without quotes: a mapping whose first key would be a mapping.
        if let Some(Frame::Map { key: None, span: outer, .. }) = self.stack.last() {
            let start = outer.start.index();
            let is_template = self.source.char(start) == Some('{') && self.source.char(start + 1) == Some('{');
            if is_template {
                let place = self.source.place(start);
                let length = self.source.line(place.line).len();
                let span = self.source.span(start, start + length - (place.column as usize - 1));
                self.unquoted_template(span);
                return Err(Stop);
            }
            return Err(self.refuse(span, codes::YAML_FEATURE, "a key that is not text"));
        }
        Ok(())
    }

    fn close(&mut self, end: YamlSpan) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let (kind, anchor, span) = match frame {
            Frame::List { anchor, span, items } => (Kind::List(items), anchor, span),
            Frame::Map { anchor, span, entries, .. } => (Kind::Map(entries), anchor, span),
        };
        let last = match &kind {
            Kind::List(items) => items.last().map(|item| item.span.end),
            Kind::Map(entries) => entries.last().map(|entry| entry.value.span.end.max(entry.key_span.end)),
            _ => None,
        };
        // A block's end is reported at the next token; the last thing in it is where it ends for a reader.
        let flow_style = matches!(self.source.char(span.start.index()), Some('[' | '{'));
        let end = self.source.place(end.end.index());
        let end = if flow_style { end } else { last.unwrap_or(end) };
        self.add(Node { kind, span: Span { end, ..self.source.span(span.start.index(), span.start.index()) } }, anchor)
    }

    fn scalar(
        &mut self,
        (text, style): (Cow<'_, str>, ScalarStyle),
        anchor: usize,
        tag: Option<&Tag>,
        span: YamlSpan,
    ) -> Result<(), Stop> {
        self.count(span, 1)?;
        self.untagged(span, tag)?;
        let place = self.span(span);
        if let Some(Frame::Map { entries, seen, key: key @ None, .. }) = self.stack.last_mut() {
            if text == "<<" {
                return Err(self.refuse(span, codes::YAML_FEATURE, "a merge key `<<`; write the keys out"));
            }
            let is_double = !seen.insert(text.to_string());
            if is_double && !self.report.is_full() {
                let first = entries.iter().find(|entry| entry.key == *text);
                let line = first.map_or(place.start.line, |entry| entry.key_span.start.line);
                let message = format!("`{}` is written twice; first on line {line}", crate::reader::shorten(&text));
                self.report.add(place, codes::DUPLICATE_KEY, message);
            }
            *key = Some(Key { text: text.into_owned(), span: place, is_double });
            return Ok(());
        }
        let kind =
            if style == ScalarStyle::Plain { self.resolve(&text, place) } else { Kind::String(text.into_owned()) };
        self.add(Node { kind, span: place }, anchor)
    }

    fn resolve(&mut self, text: &str, span: Span) -> Kind {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
            "true" => return Kind::Bool(true),
            "false" => return Kind::Bool(false),
            _ => {}
        }
        if !is_json_number(text) {
            return Kind::String(text.to_owned());
        }
        match serde_json::from_str::<Number>(text) {
            Ok(number) if number.is_f64() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
                let message = format!("the number {text} does not fit 64 bits");
                let hint = "Quote it if it is an identifier and not a number.";
                self.report.hint(span, codes::NUMBER_TOO_LARGE, (message, hint));
                Kind::String(text.to_owned())
            }
            Ok(number) => Kind::Number(number),
            Err(_) => Kind::String(text.to_owned()),
        }
    }

    fn alias(&mut self, anchor: usize, span: YamlSpan) -> Result<(), Stop> {
        self.aliases += 1;
        if self.aliases > limits::YAML_ALIASES {
            let message = format!("more than {} aliases", limits::YAML_ALIASES);
            return Err(self.refuse(span, codes::TOO_LARGE, message));
        }
        if matches!(self.stack.last(), Some(Frame::Map { key: None, .. })) {
            return Err(self.refuse(span, codes::YAML_FEATURE, "a key that is not text"));
        }
        let Some((_, size)) = self.anchors.get(&anchor) else {
            return Err(self.refuse(span, codes::YAML_FEATURE, "an alias to something that is not finished yet"));
        };
        // Counted before it is copied.
        let size = *size;
        self.count(span, size.nodes)?;
        self.copied += size.bytes;
        if self.copied > limits::YAML_COPIED_BYTES {
            let message = format!("aliases copy more than {} bytes of text", limits::YAML_COPIED_BYTES);
            return Err(self.refuse(span, codes::TOO_LARGE, message));
        }
        let copy = self.anchors.get(&anchor).map(|(node, _)| node.clone());
        let Some(copy) = copy else { return Ok(()) };
        if depth(&copy) + self.stack.len() > limits::YAML_DEPTH {
            let message = format!("nested deeper than {} levels", limits::YAML_DEPTH);
            return Err(self.refuse(span, codes::TOO_LARGE, message));
        }
        self.add(copy, 0)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            let size = size(&node);
            let span = node.span;
            // A remembered node is a copy too.
            self.nodes += size.nodes;
            if self.nodes > limits::YAML_NODES {
                let message = format!("more than {} YAML nodes", limits::YAML_NODES);
                self.report.add(span, codes::TOO_LARGE, message);
                return Err(Stop);
            }
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => {
                if let Some(Key { text, span, is_double: false }) = key.take() {
                    entries.push(Entry { key: text, key_span: span, value: node });
                }
            }
        }
        Ok(())
    }
}

/// Where an opening brace pair stands that no quote and no block scalar precedes on its line.
fn unquoted(line: &str, open: &str) -> Option<usize> {
    let start = line.find(open)?;
    let before = line[..start].trim_end();
    let opens_value = before.is_empty() || before.ends_with(':') || before.ends_with('-') || before.ends_with('[');
    (opens_value && !line[..start].contains(['"', '\''])).then_some(start)
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

fn size(node: &Node) -> Size {
    let own = Size { nodes: 1, bytes: node.as_str().map_or(0, str::len) };
    let add = |sum: Size, more: Size| Size { nodes: sum.nodes + more.nodes, bytes: sum.bytes + more.bytes };
    let items = node.items().iter().map(size).fold(own, add);
    let keys = node.entries().iter().map(|entry| Size { nodes: 1, bytes: entry.key.len() });
    node.entries().iter().map(|entry| size(&entry.value)).chain(keys).fold(items, add)
}

fn depth(node: &Node) -> usize {
    let items = node.items().iter().map(depth).max();
    let entries = node.entries().iter().map(|entry| depth(&entry.value)).max();
    1 + items.max(entries).unwrap_or(0)
}

/// JSON's own grammar: no leading zeros, no sign but minus, no underscores, digits on both sides of the point.
fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && text.len() <= 64
        && serde_json::from_str::<Number>(text).is_ok()
}
