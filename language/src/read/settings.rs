//! Settings that steps, groups and flows share: caches, places, pools and money.
//!
//! Invariant: money is whole nano-dollars, never negative.

use super::step;
use crate::codes;
use crate::flow::{Cache, Concurrency, Resources};
use crate::limits;
use crate::node::{Entry, Kind};
use crate::plan::{CacheMode, CacheScope, MaxCost, OnExceeded, OnLimit};
use crate::reader::Reader;

pub(crate) const CACHE_KEYS: &[&str] = &["mode", "ttl", "scope", "tags", "force"];
pub(crate) const CONCURRENCY_KEYS: &[&str] = &["limit", "key", "on_limit", "max_wait"];
pub(crate) const RESOURCES_KEYS: &[&str] = &["pool", "units"];
pub(crate) const MAX_COST_KEYS: &[&str] = &["amount", "on_exceeded"];

const NANO: f64 = 1_000_000_000.0;

pub(super) fn cache(reader: &mut Reader<'_>, entry: &Entry) -> Option<Cache> {
    let span = entry.value.span;
    if !matches!(entry.value.kind, Kind::Map(_)) {
        let mode = reader.choice(entry, &[("on", CacheMode::On), ("off", CacheMode::Off)])?;
        return Some(Cache { mode: Some(mode), ttl: None, scope: None, tags: None, force: None, span });
    }
    let fields = reader.fields(&entry.value, "`cache`", CACHE_KEYS, &[])?;
    let modes = [
        ("on", CacheMode::On),
        ("off", CacheMode::Off),
        ("read_only", CacheMode::ReadOnly),
        ("write_only", CacheMode::WriteOnly),
    ];
    let scopes = [("flow", CacheScope::Flow), ("tenant", CacheScope::Tenant), ("run", CacheScope::Run)];
    let tags = fields.get("tags").and_then(|entry| reader.texts(entry));
    Some(Cache {
        mode: fields.get("mode").and_then(|entry| reader.choice(entry, &modes)),
        ttl: fields.get("ttl").and_then(|entry| reader.duration(entry, false)),
        scope: fields.get("scope").and_then(|entry| reader.choice(entry, &scopes)),
        tags: tags.map(|tags| tags.into_iter().map(|tag| tag.value).collect()),
        force: fields.get("force").and_then(|entry| reader.flag(entry)),
        span,
    })
}

pub(super) fn concurrency(reader: &mut Reader<'_>, entry: &Entry) -> Option<Concurrency> {
    let fields = reader.fields(&entry.value, "`concurrency`", CONCURRENCY_KEYS, &[])?;
    let limit = match fields.get("limit") {
        Some(entry) => reader.whole(entry, 1..=limits::PLACES),
        None => {
            reader.error(entry.value.span.before(), codes::MISSING_KEY, "`concurrency` needs `limit: <number>`");
            None
        }
    };
    let choices = [
        ("queue", OnLimit::Queue),
        ("reject", OnLimit::Reject),
        ("skip", OnLimit::Skip),
        ("replace_oldest", OnLimit::ReplaceOldest),
    ];
    let key = fields.get("key").and_then(|entry| reader.located(entry));
    let on_limit = fields.get("on_limit").and_then(|entry| reader.choice(entry, &choices));
    let max_wait = fields.get("max_wait").and_then(|entry| reader.duration(entry, false));
    Some(Concurrency { limit: limit? as u32, key, on_limit, max_wait })
}

pub(super) fn resources(reader: &mut Reader<'_>, entry: &Entry) -> Option<Resources> {
    let fields = reader.fields(&entry.value, "`resources`", RESOURCES_KEYS, &[])?;
    let pool = step::required(reader, &fields, "`resources`", "pool");
    let pool = pool.filter(|pool| reader.name("a pool", &pool.value, pool.span));
    let units = fields.get("units").and_then(|entry| reader.whole(entry, 1..=limits::PLACES));
    Some(Resources { pool: pool?, units: units.map(|units| units as u32) })
}

/// US dollars, or a mapping with them.
pub(super) fn max_cost(reader: &mut Reader<'_>, entry: &Entry) -> Option<MaxCost> {
    if matches!(entry.value.kind, Kind::Number(_)) {
        return dollars(reader, entry).map(|nano_usd| MaxCost { nano_usd, on_exceeded: OnExceeded::Fail });
    }
    if !matches!(entry.value.kind, Kind::Map(_)) {
        reader.wrong("max_cost", &entry.value, "a number of US dollars");
        return None;
    }
    let fields = reader.fields(&entry.value, "`max_cost`", MAX_COST_KEYS, &[])?;
    let choices = [("fail", OnExceeded::Fail), ("fallback", OnExceeded::Fallback), ("approve", OnExceeded::Approve)];
    let on_exceeded = fields.get("on_exceeded").and_then(|entry| reader.choice(entry, &choices));
    let Some(amount) = fields.get("amount") else {
        reader.error(entry.value.span.before(), codes::MISSING_KEY, "`max_cost` needs `amount: <US dollars>`");
        return None;
    };
    Some(MaxCost { nano_usd: dollars(reader, amount)?, on_exceeded: on_exceeded.unwrap_or_default() })
}

fn dollars(reader: &mut Reader<'_>, entry: &Entry) -> Option<i64> {
    let dollars = reader.number(entry, 0.0..=limits::DOLLARS)?;
    Some((dollars * NANO).round() as i64)
}
