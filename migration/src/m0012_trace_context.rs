//! The W3C trace that a run belongs to: what its caller sent, or what began with it. And what an attempt was one of: the
//! step's own way, a fallback or an undoing, and which iteration.
//!
//! Invariant: rows from before have none of it, and lose nothing by it.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0012_trace_context"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, COLUMNS).await
    }
}

const COLUMNS: &str = "
ALTER TABLE runs ADD COLUMN trace_id {text}
;
ALTER TABLE runs ADD COLUMN parent_span_id {text}
;
ALTER TABLE runs ADD COLUMN trace_flags {int}
;
ALTER TABLE runs ADD COLUMN trace_state {text}
;
ALTER TABLE attempts ADD COLUMN entry {text}
;
ALTER TABLE attempts ADD COLUMN iteration {int}
";
