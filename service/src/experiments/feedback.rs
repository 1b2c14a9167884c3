//! What people and programs say of a run afterwards.
//!
//! Invariant: feedback is added, never changed; it is counted with the variant that the run had.

use domain::wire::{FeedbackInput, FeedbackView, Page};
use domain::{FeedbackId, Permission, RunId};
use entities::{JsonText, Scope as _, StoreError, feedback};
use sea_orm::ColumnTrait;

use super::assign::WHOLE_PPM;
use crate::{Actor, Paging, ServiceError, Weir, authz};

const COMMENT: usize = 4_000;
const LABELS: usize = 50;
const LABEL: usize = 200;

/// Adds feedback to a run.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`].
pub async fn feedback(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    input: FeedbackInput,
) -> Result<FeedbackView, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsFeedback)?;
    let run = crate::runs::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsFeedback, &run.flow_name)?;
    if !(0.0..=1.0).contains(&input.score) {
        return Err(ServiceError::field("/score", "A score is a number from 0 (useless) to 1 (right)."));
    }
    let too_long = |text: &str| text.chars().count() > LABEL;
    if input.labels.len() > LABELS || input.labels.iter().any(|(name, value)| too_long(name) || too_long(value)) {
        let text = format!("Feedback has at most {LABELS} labels of at most {LABEL} characters.");
        return Err(ServiceError::field("/labels", text));
    }
    let row = feedback::Model {
        tenant_id: actor.tenant.uuid(),
        id: weir.ids().feedback().uuid(),
        run_id: run.id,
        flow_id: run.flow_id,
        experiment_id: run.experiment_id,
        variant: run.variant,
        score_ppm: ppm(input.score),
        comment: input.comment.map(|text| crate::text::column(&text, COMMENT)).filter(|text| !text.is_empty()),
        labels: JsonText::of(&input.labels),
        created_by: actor.name().to_owned(),
        created_at: weir.now(),
    };
    let view = view(&row);
    weir.store()
        .write(actor.tenant, |unit| async move { unit.insert(row).await })
        .await
        .map_err(|error: StoreError| error)?;
    Ok(view)
}

/// A page of a run's feedback, oldest first.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn feedback_of(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    paging: &Paging,
) -> Result<Page<FeedbackView>, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let run = crate::runs::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &run.flow_name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let behind: Option<FeedbackId> = paging.behind(|cursor| cursor.parse().ok())?;
    let mut rows = reader.find::<feedback::Entity>().filter(feedback::Column::RunId.eq(run.id));
    if let Some(behind) = behind {
        rows = rows.filter(feedback::Column::Id.gt(behind.uuid()));
    }
    let rows = rows.order_by_asc(feedback::Column::Id).limit(paging.rows()).all().await?;
    Ok(paging.page(rows, |row| FeedbackId::from_uuid(row.id).to_string(), |row| Some(view(&row))))
}

fn view(row: &feedback::Model) -> FeedbackView {
    FeedbackView {
        id: FeedbackId::from_uuid(row.id),
        score: score(row.score_ppm),
        comment: row.comment.clone(),
        labels: row.labels.read().unwrap_or_default(),
        created_by: row.created_by.clone(),
        created_at: row.created_at,
    }
}

pub(super) fn score(ppm: i32) -> f64 {
    f64::from(ppm) / f64::from(WHOLE_PPM)
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 1, checked")]
fn ppm(score: f64) -> i32 {
    (score * f64::from(WHOLE_PPM)).round() as i32
}
