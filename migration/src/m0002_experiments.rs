//! Experiments between versions of a flow, and what people say of a run.
//!
//! Invariant: a run remembers its variant by itself, so that a changed or deleted experiment changes no past.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_experiments"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await?;
        roles::fence(manager, "experiments", "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await?;
        roles::fence(manager, "feedback", "tenant_id", "SELECT, INSERT").await
    }
}

const TABLES: &str = "
ALTER TABLE runs ADD COLUMN experiment_id {uuid}
;
ALTER TABLE runs ADD COLUMN experiment {text}
;
ALTER TABLE runs ADD COLUMN variant {text}
;
CREATE INDEX runs_experiment ON runs (tenant_id, experiment_id, variant, id) WHERE experiment_id IS NOT NULL
;
CREATE TABLE experiments (
    tenant_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    name {text} NOT NULL,
    state {text} NOT NULL,
    share_ppm {int} NOT NULL,
    entry_salt {text} NOT NULL,
    variant_salt {text} NOT NULL,
    variants {json} NOT NULL,
    control {text} NOT NULL,
    guards {json} NOT NULL,
    note {text},
    started_at {time} NOT NULL,
    created_by {text} NOT NULL,
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, flow_id, name),
    FOREIGN KEY (tenant_id, flow_id) REFERENCES flows (tenant_id, id)
) {end}
;
CREATE TABLE feedback (
    tenant_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    experiment_id {uuid},
    variant {text},
    score_ppm {int} NOT NULL,
    comment {text},
    labels {json} NOT NULL,
    created_by {text} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX feedback_run ON feedback (tenant_id, run_id)
;
CREATE INDEX feedback_experiment ON feedback (tenant_id, experiment_id, variant) WHERE experiment_id IS NOT NULL
";
