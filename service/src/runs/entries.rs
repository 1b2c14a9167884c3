//! Journal entries as rows and as watchers see them.
//!
//! Invariant: what was made durable together is one row, and comes out of it as it went in.

use domain::wire::EventView;
use domain::{RunId, TenantId};
use engine::Entry;
use entities::append;

/// Entries that are made durable together, as their row.
pub(super) fn append_of(tenant: TenantId, run: RunId, entries: &[Entry]) -> Option<append::Model> {
    let (first, last) = (entries.first()?, entries.last()?);
    let position = |entry: &Entry| i64::try_from(entry.position).unwrap_or(i64::MAX);
    Some(append::Model {
        tenant_id: tenant.uuid(),
        run_id: run.uuid(),
        position: position(last),
        first: position(first),
        entries: serde_json::to_string(entries).unwrap_or_default(),
    })
}

/// The entries of some appends, in their order.
pub(super) fn entries_of(rows: &[append::Model]) -> Result<Vec<Entry>, serde_json::Error> {
    let mut entries = Vec::new();
    for row in rows {
        entries.append(&mut serde_json::from_str::<Vec<Entry>>(&row.entries)?);
    }
    Ok(entries)
}

/// An entry as watchers see it.
pub(super) fn view_of(entry: &Entry) -> EventView {
    let mut data = serde_json::to_value(&entry.event).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        // Said beside the data already, or nobody's business: which parts of a config are secrets.
        fields.retain(|name, _| !matches!(name.as_str(), "type" | "step" | "secrets"));
        for name in ["output", "outputs"] {
            if let Some(inline) =
                fields.get_mut(name).and_then(|stored| stored.get_mut("inline")).map(serde_json::Value::take)
            {
                fields.insert(name.to_owned(), inline);
            }
        }
    }
    EventView {
        position: entry.position,
        at: entry.at,
        event: entry.event.name().to_owned(),
        step: entry.event.step().map(ToOwned::to_owned),
        data,
    }
}
