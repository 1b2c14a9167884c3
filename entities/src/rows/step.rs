//! A step's record, projected from the journal.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "steps")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub ordinal: i32,
    pub executor: String,
    pub group_name: Option<String>,
    pub status: String,
    pub success: Option<bool>,
    pub skipped: bool,
    pub cached: bool,
    pub skip_reason: Option<String>,
    pub attempts: i32,
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<JsonText>,
    #[sea_orm(column_type = "Text", nullable)]
    pub config: Option<JsonText>,
    pub config_blob: Option<Uuid>,
    #[sea_orm(column_type = "Text", nullable)]
    pub output: Option<JsonText>,
    pub output_blob: Option<Uuid>,
    pub started_at: Option<DateTimeUtc>,
    pub ended_at: Option<DateTimeUtc>,
    pub duration_ms: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub usage: Option<JsonText>,
    pub cost_nano_usd: Option<i64>,
    pub child_run_id: Option<Uuid>,
    /// What it waits for.
    #[sea_orm(column_type = "Text", nullable)]
    pub waiting: Option<JsonText>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
