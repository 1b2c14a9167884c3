//! One priced use by one attempt. Never changed.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub run_id: Uuid,
    pub flow_id: Uuid,
    pub step: String,
    pub attempt: i32,
    pub at: DateTimeUtc,
    pub model: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub units: JsonText,
    pub price_version: Option<String>,
    pub cost_nano_usd: Option<i64>,
    pub estimated: bool,
    pub test: bool,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
