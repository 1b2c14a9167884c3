//! A split of one flow's traffic between versions. `share_ppm` is millionths of the traffic that take part.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "experiments")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub flow_id: Uuid,
    pub name: String,
    pub state: String,
    pub share_ppm: i32,
    pub entry_salt: String,
    pub variant_salt: String,
    #[sea_orm(column_type = "Text")]
    pub variants: JsonText,
    pub control: String,
    #[sea_orm(column_type = "Text")]
    pub guards: JsonText,
    pub note: Option<String>,
    pub started_at: DateTimeUtc,
    pub created_by: String,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
