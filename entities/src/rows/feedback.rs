//! What somebody says of a run. `score_ppm` is the score, 0 to 1, in millionths. Never changed.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feedback")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub run_id: Uuid,
    pub flow_id: Uuid,
    pub experiment_id: Option<Uuid>,
    pub variant: Option<String>,
    pub score_ppm: i32,
    pub comment: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub labels: JsonText,
    pub created_by: String,
    pub created_at: DateTimeUtc,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
