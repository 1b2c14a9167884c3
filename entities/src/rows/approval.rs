//! A question to a person, projected from the journal, with its answer.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approvals")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub run_id: Uuid,
    pub flow_id: Uuid,
    pub flow_name: String,
    pub step: String,
    pub item: Option<i32>,
    pub status: String,
    pub message: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub roles: JsonText,
    #[sea_orm(column_type = "Text", nullable)]
    pub form: Option<JsonText>,
    pub asked_at: DateTimeUtc,
    pub expires_at: Option<DateTimeUtc>,
    pub decided_at: Option<DateTimeUtc>,
    pub decided_by: Option<String>,
    pub comment: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub answer: Option<JsonText>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
