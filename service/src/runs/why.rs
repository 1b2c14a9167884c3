//! What a run waits for, in a sentence and as fields.
//!
//! Invariant: reads only; costs a few look-ups however long the queue is.

use chrono::{DateTime, Utc};
use domain::wire::{WhyKind, WhyView};
use domain::{Failure, Permission, RunId, RunStatus, StepStatus};
use entities::{Reader, Scope as _, run, slot, step};
use sea_orm::{ColumnTrait, Condition};

use super::{far_future, slots};
use crate::{Actor, ServiceError, Weir, authz};

/// Holders and steps that are named.
const NAMED: usize = 10;
/// Runs counted ahead of one; more is said as that many.
const AHEAD: u64 = 10_000;

/// Says what a run waits for.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn why(weir: &Weir, actor: &Actor, id: RunId) -> Result<WhyView, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let row = super::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &row.flow_name)?;
    let status = RunStatus::parse(&row.status).unwrap_or(RunStatus::NeedsAttention);
    let reader = weir.store().read(actor.tenant).await?;
    let now = weir.now();
    let blank = WhyView {
        run_id: id,
        status,
        kind: WhyKind::Nothing,
        sentence: String::new(),
        limit: None,
        held_by: Vec::new(),
        ahead: None,
        until: None,
        steps: Vec::new(),
        error: None,
    };
    match status {
        _ if status.is_terminal() => Ok(WhyView { sentence: format!("The run is over: it is `{status}`."), ..blank }),
        RunStatus::Queued => queued(weir, &reader, &row, now, blank).await,
        _ => begun(&reader, &row, now, blank).await,
    }
}

async fn queued(
    weir: &Weir,
    reader: &Reader,
    row: &run::Model,
    now: DateTime<Utc>,
    blank: WhyView,
) -> Result<WhyView, ServiceError> {
    use run::Column as C;
    let first = |of: Condition| {
        of.add(
            Condition::any()
                .add(C::Priority.lt(row.priority))
                .add(Condition::all().add(C::Priority.eq(row.priority)).add(C::Id.lt(row.id))),
        )
    };
    if let Some(key) = &row.parked_for {
        let holders = slots::holders(reader, key, now).await?;
        let before = reader.find::<run::Entity>().filter(first(Condition::all().add(C::ParkedFor.eq(key.as_str()))));
        let ahead = before.limit(AHEAD).count().await?;
        let most = row.slot_limit.unwrap_or_default();
        return Ok(WhyView {
            kind: WhyKind::Limit,
            sentence: format!(
                "{} of `{}` may execute at once, and {} already; {} before this one.",
                runs(i64::from(most)),
                row.flow_name,
                if holders.len() == 1 { "one does".to_owned() } else { format!("{} do", holders.len()) },
                others(ahead)
            ),
            limit: Some(key.clone()),
            held_by: holders.iter().take(NAMED).map(|place| RunId::from_uuid(place.run_id)).collect(),
            ahead: Some(ahead),
            until: row.queue_deadline,
            ..blank
        });
    }
    if let Some(view) = behind_slots(reader, row, now, &blank).await? {
        return Ok(view);
    }
    if row.available_at > now {
        return Ok(WhyView {
            kind: WhyKind::Time,
            sentence: "The run rests after a fault of ours and is tried again.".to_owned(),
            until: Some(row.available_at),
            ..blank
        });
    }
    let waiting = Condition::all().add(C::Status.eq("queued")).add(C::AvailableAt.lte(now));
    let ahead = reader.find::<run::Entity>().filter(first(waiting)).limit(AHEAD).count().await?;
    let paused = weir.settings().paused;
    let sentence = if paused {
        "This server was started with WEIR_PAUSED and executes nothing.".to_owned()
    } else if let Some(most) = tenant_limit(weir, row).await? {
        format!(
            "The run waits for a worker; {ahead} of this tenant wait before it, and at most {most} execute at once."
        )
    } else {
        format!("The run waits for a worker; {ahead} of this tenant wait before it.")
    };
    Ok(WhyView { kind: WhyKind::Worker, sentence, ahead: Some(ahead), ..blank })
}

/// The line that an attempt of the run stands in, where nothing else of it executes.
async fn behind_slots(
    reader: &Reader,
    row: &run::Model,
    now: DateTime<Utc>,
    blank: &WhyView,
) -> Result<Option<WhyView>, ServiceError> {
    let mine = reader.find::<slot::Entity>().filter(slot::Column::RunId.eq(row.id));
    let places = mine.order_by_asc(slot::Column::TakenAt).all().await?;
    let (waiting, held): (Vec<_>, Vec<_>) =
        places.into_iter().filter(|place| !place.step.is_empty()).partition(|place| place.waiting);
    let (Some(first), true) = (waiting.first(), held.is_empty()) else { return Ok(None) };
    let key = &first.slot_key;
    let holders = slots::holders(reader, key, now).await?;
    let taken: i64 = holders.iter().map(|place| i64::from(place.units)).sum();
    let line = reader.find::<slot::Entity>().filter(slot::Column::SlotKey.eq(key.as_str()));
    let line = line.filter(slot::Column::Waiting.eq(true)).filter(slot::Column::TakenAt.lt(first.taken_at));
    let ahead = line.limit(AHEAD).count().await?;
    let what = match key.split_once(':') {
        Some(("pool", pool)) => format!("{} of the pool `{pool}`, of which {} taken", units(first.units), are(taken)),
        Some(("connection", name)) => {
            format!(
                "one of the calls that may go through the connection `{name}` at once, of which {} taken",
                are(taken)
            )
        }
        Some(("cache", _)) => "an output that another run is making for the step cache".to_owned(),
        _ => format!("a place under its `concurrency` limit, of which {} taken", are(taken)),
    };
    let mut names: Vec<String> = waiting.iter().map(|place| step_of(&place.step).to_owned()).collect();
    names.dedup();
    Ok(Some(WhyView {
        kind: WhyKind::Slot,
        sentence: format!("The step `{}` waits for {what}; {} before it.", step_of(&first.step), others(ahead)),
        limit: Some(key.clone()),
        held_by: holders.iter().take(NAMED).map(|place| RunId::from_uuid(place.run_id)).collect(),
        ahead: Some(ahead),
        steps: names,
        ..blank.clone()
    }))
}

/// The step that a slot is for; items have a number behind it.
fn step_of(slot: &str) -> &str {
    slot.split('#').next().unwrap_or(slot)
}

fn others(ahead: u64) -> String {
    match ahead {
        0 => "no other waits".to_owned(),
        1 => "one other waits".to_owned(),
        more => format!("{more} others wait"),
    }
}

fn are(count: i64) -> String {
    if count == 1 { "1 is".to_owned() } else { format!("{count} are") }
}

fn units(count: i32) -> String {
    if count == 1 { "one unit".to_owned() } else { format!("{count} units") }
}

async fn tenant_limit(weir: &Weir, row: &run::Model) -> Result<Option<i32>, ServiceError> {
    Ok(crate::tenants::row(weir, domain::TenantId::from_uuid(row.tenant_id)).await?.max_running)
}

async fn begun(reader: &Reader, row: &run::Model, now: DateTime<Utc>, blank: WhyView) -> Result<WhyView, ServiceError> {
    if let Some(view) = behind_slots(reader, row, now, &blank).await? {
        return Ok(view);
    }
    let steps = reader.find::<step::Entity>().filter(step::Column::RunId.eq(row.id));
    let steps = steps.order_by_asc(step::Column::Ordinal).all().await?;
    let status_of = |step: &step::Model| StepStatus::parse(&step.status).unwrap_or(StepStatus::Pending);
    let with = |wanted: &[StepStatus]| -> Vec<&step::Model> {
        steps.iter().filter(|step| wanted.contains(&status_of(step))).take(NAMED).collect()
    };
    let until = Some(row.available_at).filter(|at| row.lease_owner.is_none() && *at > now && *at < far_future());
    let known = [
        (WhyKind::Person, with(&[StepStatus::NeedsAttention])),
        (WhyKind::Outside, with(&[StepStatus::Waiting])),
        (WhyKind::Step, with(&[StepStatus::Running])),
        (WhyKind::Slot, with(&[StepStatus::Queued])),
        (WhyKind::Time, with(&[StepStatus::RetryWait])),
    ];
    let Some((kind, found)) = known.into_iter().find(|(_, found)| !found.is_empty()) else {
        if blank.status == RunStatus::NeedsAttention {
            return Ok(WhyView {
                kind: WhyKind::Person,
                sentence: "The run needs a person: its error says why.".to_owned(),
                error: super::wait::failure(row.error.as_ref()),
                ..blank
            });
        }
        return Ok(WhyView { kind: WhyKind::Step, sentence: "The run is about to go on.".to_owned(), until, ..blank });
    };
    if let (WhyKind::Step, RunStatus::Waiting | RunStatus::NeedsAttention, Some((step, child))) =
        (kind, blank.status, found.iter().find_map(|step| Some((*step, step.child_run_id?))))
    {
        return behind_child(reader, step, child, until, blank).await;
    }
    let error: Option<Failure> = found.first().and_then(|step| super::wait::failure(step.error.as_ref()));
    Ok(WhyView {
        kind,
        sentence: sentence(kind, &found),
        steps: found.iter().map(|step| step.name.clone()).collect(),
        held_by: found.iter().filter_map(|step| step.child_run_id).map(RunId::from_uuid).collect(),
        error: error.filter(|_| matches!(kind, WhyKind::Person | WhyKind::Time)),
        until,
        ..blank
    })
}

/// A run that rests because a child does.
async fn behind_child(
    reader: &Reader,
    step: &step::Model,
    child: uuid::Uuid,
    until: Option<DateTime<Utc>>,
    blank: WhyView,
) -> Result<WhyView, ServiceError> {
    let row = reader.find::<run::Entity>().filter(run::Column::Id.eq(child)).one().await?;
    let (flow, status) = row.map_or_else(Default::default, |row| (row.flow_name, row.status));
    let asks = blank.status == RunStatus::NeedsAttention;
    let child = RunId::from_uuid(child);
    let what = if asks { "needs a person".to_owned() } else { format!("is `{status}`") };
    Ok(WhyView {
        kind: if asks { WhyKind::Person } else { WhyKind::Outside },
        sentence: format!(
            "The step `{}` waits for {child}, a run of `{flow}`, which {what}: ask why that one waits.",
            step.name
        ),
        steps: vec![step.name.clone()],
        held_by: vec![child],
        until,
        ..blank
    })
}

fn sentence(kind: WhyKind, steps: &[&step::Model]) -> String {
    let names: Vec<String> = steps.iter().map(|step| format!("`{}`", step.name)).collect();
    let (names, one) = (names.join(", "), steps.len() == 1);
    let noun = if one { "The step" } else { "The steps" };
    match kind {
        WhyKind::Person => format!(
            "{noun} {names} need{} a person: nobody knows what became of the last call, or its author wants somebody to look.",
            if one { "s" } else { "" }
        ),
        WhyKind::Outside => {
            format!("{noun} {names} wait{} for a time, a signal or a decision.", if one { "s" } else { "" })
        }
        WhyKind::Slot => format!("{noun} {names} wait{} for a place under a limit.", if one { "s" } else { "" }),
        WhyKind::Time => format!("{noun} {names} failed and {} tried again later.", if one { "is" } else { "are" }),
        _ => format!("{noun} {names} execute{}.", if one { "s" } else { "" }),
    }
}

fn runs(count: i64) -> String {
    if count == 1 { "One run".to_owned() } else { format!("{count} runs") }
}
