//! All prices of a connection's models from one revision on. Never changed.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connection_prices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    /// Counts over the tenant's connections.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i32,
    pub connection: String,
    #[sea_orm(column_type = "Text")]
    pub prices: JsonText,
    pub created_at: DateTimeUtc,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
