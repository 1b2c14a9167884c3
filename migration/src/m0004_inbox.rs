//! What comes into a run from outside: signals, decisions, a person's acts; and what people are asked.
//!
//! Invariant: what is put into an inbox is durable before it is acknowledged, and is taken out in the unit of work that
//! journals it, so that a run gets it exactly once.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_inbox"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await?;
        for table in ["run_inbox", "approvals"] {
            roles::fence(manager, table, "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await?;
        }
        roles::open_to_system(manager, "run_inbox", "SELECT").await
    }
}

const TABLES: &str = "
ALTER TABLE runs ADD COLUMN replay_of {uuid}
;
ALTER TABLE runs ADD COLUMN replay {json}
;
ALTER TABLE runs ADD COLUMN restart_by {text}
;
CREATE TABLE run_inbox (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    kind {text} NOT NULL,
    data {json} NOT NULL,
    sent_by {text} NOT NULL,
    created_at {time} NOT NULL,
    taken_at {time},
    PRIMARY KEY (tenant_id, run_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX run_inbox_open ON run_inbox (run_id, id) WHERE taken_at IS NULL
;
CREATE TABLE approvals (
    tenant_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    flow_name {text} NOT NULL,
    step {text} NOT NULL,
    item {int},
    status {text} NOT NULL,
    message {text},
    roles {json} NOT NULL,
    form {json},
    asked_at {time} NOT NULL,
    expires_at {time},
    decided_at {time},
    decided_by {text},
    comment {text},
    answer {json},
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX approvals_status ON approvals (tenant_id, status, id)
;
CREATE INDEX approvals_run ON approvals (tenant_id, run_id)
";
