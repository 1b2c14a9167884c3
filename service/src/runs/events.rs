//! A run's events: the journal after a position, then what happens.
//!
//! Invariant: every journal event comes exactly once and in order, whatever was missed live; text comes beside it,
//! without a position, and may be lost, but never comes twice, nor before the event that its attempt started.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::wire::EventView;
use domain::{Permission, RunId, TenantId};
use engine::Entry;
use entities::{Scope, append};
use futures_util::Stream;
use sea_orm::ColumnTrait;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::bus::{Live, Speaker};
use super::desk::Told;
use super::entries;
use crate::{Actor, ServiceError, Weir, authz};

/// Events read from the store at a time.
const PAGE: usize = 500;
/// How often the journal of a run that executes elsewhere is looked at when nothing is heard.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One thing that a watcher gets.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchItem {
    Event(EventView),
    /// Text of a running attempt. Has no position.
    Delta {
        of: Speaker,
        attempt: u32,
        text: Arc<str>,
    },
    /// How far along a running attempt is. Has no position.
    Progress {
        of: Speaker,
        attempt: u32,
        done: u64,
        total: Option<u64>,
        unit: Arc<str>,
    },
}

/// Watches a run: the events after `after`, then live ones, until the run is settled. The text so far of running attempts
/// comes first if they had started by then, else right behind their start.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`]; in the stream, faults of the store.
pub async fn events(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    after: u64,
) -> Result<impl Stream<Item = Result<WatchItem, ServiceError>> + Send + use<>, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let row = super::find_row(weir, actor.tenant, id).await?;
    let flow = match (row, weir.runs().find(id)) {
        (Some(row), _) => row.flow_name,
        // A run that its own starter watches may not be written yet.
        (None, Some(local)) if local.tenant == actor.tenant => local.flow.clone(),
        (None, _) => return Err(ServiceError::not_found("run", id)),
    };
    authz::check_flow(actor, Permission::RunsRead, &flow)?;
    // Heard from before the texts are looked at, so that nothing is missed in between.
    let live = weir.runs().bus().of_run(id);
    let texts = weir.runs().find(id).map(|local| local.texts()).unwrap_or_default();
    let watch = Watch {
        weir: weir.clone(),
        tenant: actor.tenant,
        run: id,
        live,
        last: after,
        ready: VecDeque::new(),
        over: false,
        look: true,
        known: texts.iter().map(|(of, told)| ((of.clone(), told.attempt), told.bytes)).collect(),
        texts,
    };
    Ok(futures_util::stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((item, watch))
    }))
}

/// A page of a run's events after a position, oldest first; whether there are more. Never waits.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn events_page(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    after: u64,
    limit: u32,
) -> Result<(Vec<EventView>, bool), ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let row = super::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &row.flow_name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let (entries, more) = after_position(&reader, id, after, limit as usize).await?;
    Ok((entries.iter().map(entries::view_of).collect(), more))
}

/// Appends that are read at once: each holds at least one entry, and may hold many.
const APPENDS: u64 = 32;

/// So many entries behind a position, and whether there are more.
async fn after_position(
    reader: &entities::Reader,
    run: RunId,
    after: u64,
    limit: usize,
) -> Result<(Vec<Entry>, bool), ServiceError> {
    use append::Column as C;
    let mut found: Vec<Entry> = Vec::new();
    loop {
        let last = found.last().map_or(after, |entry| entry.position);
        let behind = C::Position.gt(i64::try_from(last).unwrap_or(i64::MAX));
        let appends = reader.find::<append::Entity>().filter(C::RunId.eq(run.uuid())).filter(behind);
        let rows = appends.order_by_asc(C::Position).limit(APPENDS).all().await?;
        let is_last = (rows.len() as u64) < APPENDS;
        let entries = entries::entries_of(&rows).map_err(ServiceError::internal)?;
        found.extend(entries.into_iter().filter(|entry| entry.position > last));
        if found.len() > limit {
            found.truncate(limit);
            return Ok((found, true));
        }
        if is_last {
            return Ok((found, false));
        }
    }
}

struct Watch {
    weir: Weir,
    tenant: TenantId,
    run: RunId,
    live: Receiver<Live>,
    /// Position of the last event that was given out or stands in `ready`.
    last: u64,
    ready: VecDeque<WatchItem>,
    /// The run is settled, or the stream broke.
    over: bool,
    /// The journal must be read before anything live is given out.
    look: bool,
    /// Texts from before the watcher came that were not given out yet.
    texts: Vec<(Speaker, Told)>,
    /// The bytes of those texts, by step and attempt: pieces of them that are still to be heard are known.
    known: HashMap<(Speaker, u32), usize>,
}

fn so_far((of, told): (Speaker, Told)) -> WatchItem {
    WatchItem::Delta { of, attempt: told.attempt, text: told.text.into() }
}

/// Whether this is the event that the text's attempt started.
fn starts(view: &EventView, (of, told): &(Speaker, Told)) -> bool {
    view.event == "attempt_started"
        && view.step.as_deref() == Some(&*of.step)
        && view.data["item"].as_u64() == of.item.map(u64::from)
        && view.data["attempt"] == told.attempt
}

impl Watch {
    async fn next(&mut self) -> Option<Result<WatchItem, ServiceError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            // A run that was restarted goes on behind an event that ended it once.
            if self.over && !self.look {
                return None;
            }
            if self.look {
                if let Err(error) = self.read().await {
                    (self.over, self.look) = (true, false);
                    return Some(Err(error));
                }
                continue;
            }
            self.hear().await;
        }
    }

    async fn read(&mut self) -> Result<(), ServiceError> {
        let reader = self.weir.store().read(self.tenant).await?;
        let (entries, more) = after_position(&reader, self.run, self.last, PAGE).await?;
        drop(reader);
        self.look = more;
        let views: Vec<EventView> = entries.iter().map(entries::view_of).collect();
        if !self.look {
            // Behind the last page nothing is left whose start could still come.
            let to_come = |text: &(Speaker, Told)| views.iter().any(|view| starts(view, text));
            let (to_come, running) = self.texts.drain(..).partition(to_come);
            self.texts = to_come;
            self.ready.extend(Vec::into_iter(running).map(so_far));
        }
        let is_behind_all = views.is_empty() && self.last > 0;
        for view in views {
            self.take(view);
        }
        if !self.look && (self.over || is_behind_all) {
            // Behind the last event nothing more will be heard if the run is over; one that is restarted only just has not
            // written its next event yet.
            let row = super::find_row(&self.weir, self.tenant, self.run).await?;
            let status = row.and_then(|row| domain::RunStatus::parse(&row.status));
            self.over = status.is_none_or(domain::RunStatus::is_terminal);
        }
        Ok(())
    }

    fn take(&mut self, view: EventView) {
        self.last = view.position;
        self.over = view.event == "run_settled";
        let begun = self.texts.iter().position(|text| starts(&view, text)).map(|index| self.texts.swap_remove(index));
        self.ready.push_back(WatchItem::Event(view));
        self.ready.extend(begun.map(so_far));
    }

    async fn hear(&mut self) {
        match tokio::time::timeout(LOOK_EVERY, self.live.recv()).await {
            Ok(Ok(Live::Events(happened))) => {
                for view in happened.views() {
                    match view.position {
                        position if position <= self.last => {}
                        position if position == self.last + 1 => self.take(view.clone()),
                        _ => self.look = true,
                    }
                }
            }
            Ok(Ok(Live::Delta { of, attempt, from, text })) => {
                let key = (of, attempt);
                if self.known.get(&key).is_none_or(|known| from >= *known) {
                    self.ready.push_back(WatchItem::Delta { of: key.0, attempt, text });
                }
            }
            Ok(Ok(Live::Progress { of, attempt, done, total, unit })) => {
                self.ready.push_back(WatchItem::Progress { of, attempt, done, total, unit });
            }
            Ok(Ok(Live::Changed | Live::Settled(_)) | Err(RecvError::Lagged(_))) => self.look = true,
            Ok(Ok(Live::Abandoned) | Err(RecvError::Closed)) => self.over = true,
            // What executes here is heard of; what executes elsewhere must be looked at.
            Err(_) => self.look = self.weir.runs().find(self.run).is_none(),
        }
    }
}
