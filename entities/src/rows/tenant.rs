//! A tenant: the wall everything else stands behind. `name` is the one in URLs; `data_key` is wrapped by the master key.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

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
    /// How many runs of this tenant are taken from the queue for each one of a tenant with weight 1.
    pub queue_weight: i32,
    /// Runs that may execute at once.
    pub max_running: Option<i32>,
    /// Units by name of pool, for steps with `resources`.
    #[sea_orm(column_type = "Text", nullable)]
    /// Grows with every change of a connection's prices.
    pub price_revision: i32,
    pub pools: Option<JsonText>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(Id);
