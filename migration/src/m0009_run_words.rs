//! The words by which runs are found: those of the fields that a flow names in `search`.
//!
//! Invariant: a word's runs lie together and in the order of their ids, so that a page of them costs what it shows.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0009_run_words"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, WORDS).await?;
        roles::fence(manager, "run_words", "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await
    }
}

const WORDS: &str = "
CREATE TABLE run_words (
    tenant_id {uuid} NOT NULL,
    word {text} NOT NULL,
    run_id {uuid} NOT NULL,
    PRIMARY KEY (tenant_id, word, run_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX run_words_run ON run_words (tenant_id, run_id)
";
