//! The money of a run, a group or handlers with a cap, with everything below: what is set aside and what is spent never exceed the cap together.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "run_accounts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    /// Empty for the run's own; `group:<name>`, or `handlers`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub cap_nano_usd: i64,
    pub reserved_nano_usd: i64,
    pub spent_nano_usd: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
