//! A tenant: the wall everything else stands behind. `name` is the one in URLs; `data_key` is wrapped by the master key.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenants")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub default_model: Option<String>,
    pub data_key: Vec<u8>,
    pub data_key_version: i32,
    pub channel_position: i64,
    pub created_at: DateTimeUtc,
    pub suspended_at: Option<DateTimeUtc>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(Id);
