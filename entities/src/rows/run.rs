//! A run: what the list shows, what the queue claims, what recovery starts from.

use sea_orm::entity::prelude::*;

use crate::json::JsonText;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub flow_id: Uuid,
    pub flow_name: String,
    pub version_id: Uuid,
    pub version_number: i32,
    pub channel: Option<String>,
    pub channel_position: i64,
    pub price_version: Option<String>,
    pub status: String,
    pub epoch: i32,
    pub trigger_kind: String,
    pub started_by: String,
    pub user_id: Option<Uuid>,
    pub api_key_id: Option<Uuid>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    pub test: bool,
    #[sea_orm(column_type = "Text")]
    pub labels: JsonText,
    #[sea_orm(column_type = "Text", nullable)]
    pub inputs: Option<JsonText>,
    pub inputs_blob: Option<Uuid>,
    #[sea_orm(column_type = "Text", nullable)]
    pub outputs: Option<JsonText>,
    pub outputs_blob: Option<Uuid>,
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<JsonText>,
    /// What handlers failed with, beside `error`.
    #[sea_orm(column_type = "Text", nullable)]
    pub handler_errors: Option<JsonText>,
    pub failed_step: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub usage: Option<JsonText>,
    pub cost_nano_usd: Option<i64>,
    pub parent_run_id: Option<Uuid>,
    /// The step that waits for it; none for a run that goes its own way.
    pub parent_step: Option<String>,
    /// Names the start of a child run, so that a parent that starts again finds the same child.
    pub start_key: Option<String>,
    pub root_run_id: Uuid,
    pub depth: i32,
    pub created_at: DateTimeUtc,
    pub started_at: Option<DateTimeUtc>,
    pub ended_at: Option<DateTimeUtc>,
    pub duration_ms: Option<i64>,
    pub cancel_requested_at: Option<DateTimeUtc>,
    pub cancel_reason: Option<String>,
    pub event_position: i64,
    pub priority: i32,
    pub available_at: DateTimeUtc,
    pub lease_owner: Option<String>,
    pub lease_until: Option<DateTimeUtc>,
    pub fencing_token: i64,
    pub claims: i32,
    /// The experiment that chose the version, by id and name, and which of its variants it was.
    pub experiment_id: Option<Uuid>,
    pub experiment: Option<String>,
    pub variant: Option<String>,
    /// The limit of the flow that the run is counted under while it executes, and how many may.
    pub slot_key: Option<String>,
    pub slot_limit: Option<i32>,
    /// The limit that a queued run waits behind; it is not looked at until a place there is free.
    pub parked_for: Option<String>,
    /// When a run that still waits behind a limit is given up.
    pub queue_deadline: Option<DateTimeUtc>,
    /// The run that this one replays, and from where.
    pub replay_of: Option<Uuid>,
    #[sea_orm(column_type = "Text", nullable)]
    pub replay: Option<JsonText>,
    /// Who asked for the next epoch of a run that had ended.
    pub restart_by: Option<String>,
    /// The trace it belongs to and the span that started it, in hex, with the flags and the vendors' part of its context.
    pub trace_id: Option<String>,
    pub parent_span_id: Option<String>,
    pub trace_flags: Option<i32>,
    pub trace_state: Option<String>,
    /// What a child that went on had used before: its parent counted that already.
    #[sea_orm(column_type = "Text", nullable)]
    pub counted: Option<JsonText>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenanted!(TenantId);
