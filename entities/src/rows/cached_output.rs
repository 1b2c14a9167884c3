//! An output of a step, kept for whoever asks the same until `expires_at`.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "step_cache")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub cache_key: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub value: Option<JsonText>,
    pub value_blob: Option<Uuid>,
    pub cost_nano_usd: Option<i64>,
    #[sea_orm(column_type = "Text")]
    pub tags: JsonText,
    pub created_at: DateTimeUtc,
    pub expires_at: DateTimeUtc,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
