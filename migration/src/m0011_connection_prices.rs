//! What models cost at a tenant's own connections, as a history: a run keeps the prices that held when it started.
//!
//! Invariant: a revision never changes; it holds all prices of one connection from then on.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0011_connection_prices"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, PRICES).await?;
        roles::fence(manager, "connection_prices", "tenant_id", "SELECT, INSERT").await
    }
}

/// The first table of prices was never written to: built-in prices come with the program.
const PRICES: &str = "
ALTER TABLE tenants ADD COLUMN price_revision {int} NOT NULL DEFAULT 0
;
CREATE TABLE connection_prices (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    revision {int} NOT NULL,
    connection {text} NOT NULL,
    prices {json} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, revision)
) {end}
;
DROP TABLE prices
";
