//! One try of a step, projected from the journal.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub step: String,
    /// Of a `for_each` step, counted from 0; -1 for the step itself.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i32,
    pub status: String,
    pub started_at: DateTimeUtc,
    pub ended_at: Option<DateTimeUtc>,
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<JsonText>,
    #[sea_orm(column_type = "Text", nullable)]
    pub usage: Option<JsonText>,
    pub cost_nano_usd: Option<i64>,
    pub worker: Option<String>,
    /// `main`, `fallback_1` ... or `compensation`.
    pub entry: Option<String>,
    /// Of a `repeat` step, counted from 1.
    pub iteration: Option<i32>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
