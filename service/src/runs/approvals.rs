//! Questions that runs ask people: listed, and decided.
//!
//! Invariant: a question is decided once, by somebody who may; the decision, the letter to the run and the audit entry are
//! one unit of work.

use domain::wire::{ApprovalStatus, ApprovalView, DecisionInput, Page, Verdict};
use domain::{ApprovalId, Permission, Role, RunId};
use engine::event::Outside;
use entities::{JsonText, Scope as _, approval};
use sea_orm::ColumnTrait;
use serde_json::{Value, json};

use super::acts::{self, Refused};
use super::inbox;
use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz};

const COMMENT: usize = 2_000;
const FORM_BYTES: usize = 64 * 1024;

/// Which questions a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    pub status: Option<ApprovalStatus>,
    pub run: Option<RunId>,
    pub cursor: Option<String>,
    pub limit: Option<u32>,
}

/// A page of questions, newest first.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn approvals(
    weir: &Weir,
    actor: &Actor,
    filter: &ApprovalFilter,
) -> Result<Page<ApprovalView>, ServiceError> {
    use approval::Column as C;
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let limit = filter.limit.unwrap_or(super::PAGE_USUAL).clamp(1, super::PAGE_MOST);
    let reader = weir.store().read(actor.tenant).await?;
    let mut query = reader.find::<approval::Entity>().order_by_desc(C::Id).limit(u64::from(limit) + 1);
    if let Some(status) = filter.status {
        query = query.filter(C::Status.eq(status.as_str()));
    }
    if let Some(run) = filter.run {
        query = query.filter(C::RunId.eq(run.uuid()));
    }
    if let Some(flows) = authz::flows_of(actor, Permission::RunsRead) {
        query = query.filter(C::FlowName.is_in(flows));
    }
    if let Some(cursor) = &filter.cursor {
        let last: ApprovalId = cursor
            .parse()
            .map_err(|_| ServiceError::BadRequest("The cursor is none of ours. Start again without one.".to_owned()))?;
        query = query.filter(C::Id.lt(last.uuid()));
    }
    let rows = query.all().await?;
    let has_more = rows.len() > limit as usize;
    let data: Vec<ApprovalView> = rows.into_iter().take(limit as usize).map(view).collect();
    let next_cursor = data.last().filter(|_| has_more).map(|approval| approval.id.to_string());
    Ok(Page { data, has_more, next_cursor })
}

/// One question.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn approval(weir: &Weir, actor: &Actor, id: ApprovalId) -> Result<ApprovalView, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let row = find(weir, actor, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &row.flow_name)?;
    Ok(view(row))
}

async fn find(weir: &Weir, actor: &Actor, id: ApprovalId) -> Result<approval::Model, ServiceError> {
    let reader = weir.store().read(actor.tenant).await?;
    let row = reader.find::<approval::Entity>().filter(approval::Column::Id.eq(id.uuid())).one().await?;
    row.ok_or_else(|| ServiceError::not_found("approval", id))
}

/// Decides a question.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`] also for a role that the question does not name,
/// [`ServiceError::Invalid`] for a form that does not fit, [`ServiceError::Conflict`] for one that is decided or over.
pub async fn decide(
    weir: &Weir,
    actor: &Actor,
    id: ApprovalId,
    input: DecisionInput,
) -> Result<ApprovalView, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsApprove)?;
    let row = find(weir, actor, id).await?;
    authz::check_flow(actor, Permission::RunsApprove, &row.flow_name)?;
    let roles: Vec<String> = row.roles.read().unwrap_or_default();
    if !roles.is_empty() && actor.role != Role::Owner && !roles.iter().any(|role| role == actor.role.as_str()) {
        let text = format!("This is decided by: {}. Your role is `{}`.", roles.join(", "), actor.role.as_str());
        return Err(ServiceError::Forbidden(text));
    }
    let approved = input.decision == Verdict::Approve;
    if approved {
        check_form(row.form.as_ref(), &input.form)?;
    }
    if input.form.to_string().len() > FORM_BYTES {
        return Err(ServiceError::TooLarge("What is filled in may have at most 64 KiB of JSON.".to_owned()));
    }
    let comment = input.comment.map(|text| crate::text::column(&text, COMMENT)).filter(|text| !text.is_empty());
    let run = RunId::from_uuid(row.run_id);
    let what = Outside::Decision {
        step: row.step.clone(),
        item: row.item.and_then(|item| u32::try_from(item).ok()),
        approved,
        comment: comment.clone(),
        form: input.form.clone(),
    };
    let status = if approved { ApprovalStatus::Approved } else { ApprovalStatus::Rejected };
    let entry = Entry {
        action: if approved { "approval.approved" } else { "approval.rejected" },
        target_kind: "approval",
        target_id: Some(id.to_string()),
        target_name: &row.flow_name,
        data: json!({ "run": run.to_string(), "step": row.step, "comment": comment }),
    };
    let entry = audit::row(weir, actor, entry);
    let letter = inbox::row(weir, actor, run, &what);
    let (sent, now, by) = (letter.clone(), weir.now(), actor.name().to_owned());
    let kept = weir.store().write(actor.tenant, move |unit| async move {
        use approval::Column as C;
        let decided = unit
            .update::<approval::Entity>()
            .set(C::Status, status.as_str())
            .set(C::DecidedAt, Some(now))
            .set(C::DecidedBy, Some(by))
            .set(C::Comment, comment)
            .set(C::Answer, (!input.form.is_null()).then(|| JsonText(input.form)))
            .filter(C::Id.eq(id.uuid()))
            .filter(C::Status.eq(ApprovalStatus::Open.as_str()))
            .exec()
            .await?;
        if decided == 0 {
            return Err(Refused::Changed("The question is decided already, or its time is over.".to_owned()));
        }
        acts::put(&unit, run, sent, &what, now).await?;
        unit.insert(entry).await?;
        Ok(())
    });
    kept.await.map_err(|refused| refused.of(run))?;
    acts::hand_over(weir, actor.tenant, run, &letter);
    Ok(view(find(weir, actor, id).await?))
}

fn check_form(schema: Option<&JsonText>, form: &Value) -> Result<(), ServiceError> {
    let Some(schema) = schema else { return Ok(()) };
    let empty = json!({});
    let form = if form.is_null() { &empty } else { form };
    // A schema that is none was refused when the flow was checked; whatever it is, nobody can fill it in.
    let validator = language::json_schema::compile(schema)
        .map_err(|error| ServiceError::Conflict(format!("The question's form is no JSON Schema: {error}.")))?;
    let fields: Vec<domain::FieldProblem> = validator
        .iter_errors(form)
        .map(|error| domain::FieldProblem {
            pointer: format!("/form{}", error.instance_path()),
            message: error.masked().to_string(),
            hint: None,
        })
        .collect();
    if fields.is_empty() {
        return Ok(());
    }
    Err(ServiceError::Invalid { detail: "What was filled in does not fit the question's form.".to_owned(), fields })
}

fn view(row: approval::Model) -> ApprovalView {
    ApprovalView {
        id: ApprovalId::from_uuid(row.id),
        run_id: RunId::from_uuid(row.run_id),
        flow: row.flow_name,
        step: row.step,
        item: row.item.and_then(|item| u32::try_from(item).ok()),
        status: ApprovalStatus::parse(&row.status).unwrap_or(ApprovalStatus::Withdrawn),
        message: row.message,
        roles: row.roles.read().unwrap_or_default(),
        form: row.form.map(JsonText::into_inner),
        asked_at: row.asked_at,
        expires_at: row.expires_at,
        decided_at: row.decided_at,
        decided_by: row.decided_by,
        comment: row.comment,
        answer: row.answer.map(JsonText::into_inner),
    }
}
