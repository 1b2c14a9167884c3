//! One item of a `for_each` step, projected from the journal.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "items")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub step: String,
    /// Counted from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item: i32,
    pub status: String,
    pub attempts: i32,
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<JsonText>,
    #[sea_orm(column_type = "Text", nullable)]
    pub output: Option<JsonText>,
    pub output_blob: Option<Uuid>,
    /// What it waits for.
    #[sea_orm(column_type = "Text", nullable)]
    pub waiting: Option<JsonText>,
    pub started_at: Option<DateTimeUtc>,
    pub ended_at: Option<DateTimeUtc>,
    pub duration_ms: Option<i64>,
    pub cost_nano_usd: Option<i64>,
    pub child_run_id: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
