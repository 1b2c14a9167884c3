//! Deleting a flow: its name answers no more, its runs keep what they point at.

use domain::{FlowId, Permission};
use entities::{channel, flow};
use sea_orm::ColumnTrait;

use super::{plans, publish};
use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz};

/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn delete(weir: &Weir, actor: &Actor, name: &str) -> Result<(), ServiceError> {
    authz::check_flow(actor, Permission::FlowsWrite, name)?;
    let (weir2, actor2, name, now) = (weir.clone(), actor.clone(), name.to_owned(), weir.now());
    let deleted = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let row = plans::find(&unit, &name).await?;
            for channel_name in plans::channels(&unit, &row).await?.into_keys() {
                let position = publish::next_position(&unit).await?;
                unit.insert(channel::Model {
                    tenant_id: row.tenant_id,
                    position,
                    flow_id: row.id,
                    name: channel_name,
                    number: None,
                    created_by: actor2.name().to_owned(),
                    created_at: now,
                })
                .await?;
            }
            unit.update::<flow::Entity>()
                .set(flow::Column::DeletedAt, Some(now))
                .set(flow::Column::DraftYaml, None::<String>)
                .set(flow::Column::DraftFiles, None::<String>)
                .set(flow::Column::DraftProblems, None::<String>)
                .filter(flow::Column::Id.eq(row.id))
                .exec()
                .await?;
            let entry = Entry {
                action: "flow.deleted",
                target_kind: "flow",
                target_id: Some(FlowId::from_uuid(row.id).to_string()),
                target_name: &name,
                data: serde_json::json!({}),
            };
            audit::write(&unit, audit::row(&weir2, &actor2, entry)).await?;
            Ok(())
        })
        .await;
    weir.plans().changed();
    deleted
}
