//! Attempts of steps that stand in line for slots under limits beyond their run.
//!
//! Invariant: who stands in line holds nothing; the order of the line is that of `taken_at`.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0007_waiting_slots"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, WAITING).await
    }
}

const WAITING: &str = "
ALTER TABLE slots ADD COLUMN waiting {bool} NOT NULL DEFAULT {false}
;
";
