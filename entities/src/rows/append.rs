//! The journal: the entries that were made durable together, as a JSON list. Positions count from 1 without gaps in a run.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "appends")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    /// Of the last entry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// Of the first entry.
    pub first: i64,
    #[sea_orm(column_type = "Text")]
    pub entries: String,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
