//! Where in the flow's own file a call stands.
//!
//! Invariant: what cannot be found there, since it comes from a flow that this one extends, has no place.

use super::Call;
use crate::node::{Kind, Node};
use crate::report::Report;
use crate::source::{Source, Sources, Span};
use crate::{FLOW_FILE, Folder, bounded, yaml};

/// Whether a key is meant, or what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Key,
    Value,
}

/// The flow's file, read once more.
pub(super) struct Places {
    sources: Sources,
    root: Option<Node>,
}

/// The lists of a flow that hold steps.
const LISTS: [&str; 3] = ["steps", "on_error", "finally"];

impl Places {
    pub(super) fn of(folder: &Folder) -> Self {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let file = sources.add(FLOW_FILE, bounded(&folder.yaml), &mut report);
        let root = yaml::parse(sources.get(file), &folder.yaml, &mut report);
        Self { sources, root }
    }

    pub(super) fn source(&self) -> &Source {
        self.sources.get(0)
    }

    pub(super) fn root(&self) -> Option<&Node> {
        self.root.as_ref()
    }

    /// A place in the config of a call's step, or of its fallback.
    pub(super) fn of_config(&self, call: &Call<'_>, pointer: &str, at: At) -> Option<Span> {
        let (node, key) = below(self.config(call)?, pointer)?;
        Some(if at == At::Key { key } else { node.span })
    }

    /// A value there.
    pub(super) fn node(&self, call: &Call<'_>, pointer: &str) -> Option<&Node> {
        below(self.config(call)?, pointer).map(|(node, _)| node)
    }

    fn config(&self, call: &Call<'_>) -> Option<&Node> {
        let (name, is_undoing) = match call.step.name.strip_suffix(":compensate") {
            Some(name) => (name, true),
            None => (call.step.name.as_str(), false),
        };
        let root = self.root.as_ref()?;
        let steps = LISTS.iter().filter_map(|list| root.get(list)).flat_map(Node::items);
        let step = steps.into_iter().find(|step| step.get("name").and_then(Node::as_str) == Some(name))?;
        let way = match call.entry.checked_sub(1) {
            Some(index) => step.get("on_error")?.get("fallback")?.items().get(index)?,
            None if is_undoing => step.get("compensate")?,
            None => step,
        };
        way.get("config")
    }
}

/// The value, and the span of its key.
fn below<'n>(config: &'n Node, pointer: &str) -> Option<(&'n Node, Span)> {
    let (mut node, mut key) = (config, config.span);
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match &node.kind {
            Kind::Map(entries) => {
                let entry = entries.iter().find(|entry| entry.key == part)?;
                (node, key) = (&entry.value, entry.key_span);
            }
            Kind::List(items) => {
                node = items.get(part.parse::<usize>().ok()?)?;
                key = node.span;
            }
            _ => return None,
        }
    }
    Some((node, key))
}
