//! A flow by name, with its newest draft. A deleted flow keeps its row, because runs point at it.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "flows")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub labels: JsonText,
    pub last_number: i32,
    pub draft_yaml: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub draft_files: Option<JsonText>,
    #[sea_orm(column_type = "Text", nullable)]
    pub draft_problems: Option<JsonText>,
    pub draft_updated_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub deleted_at: Option<DateTimeUtc>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
