//! Values that flows keep between their runs.
//!
//! Invariant: as in the foundation, the tenant is part of the key.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_kept_values"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, KEPT_VALUES).await?;
        roles::fence(manager, "kept_values", "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await?;
        roles::open_to_system(manager, "kept_values", "SELECT, DELETE").await
    }
}

const KEPT_VALUES: &str = "
CREATE TABLE kept_values (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    key {text} NOT NULL,
    value {json} NOT NULL,
    expires_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, key)
) {end}
;
CREATE INDEX kept_values_expiry ON kept_values (expires_at)
;
";
