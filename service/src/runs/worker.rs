//! The worker: claims runs that wait, keeps their leases, and drains when told to stop.
//!
//! Invariant: it executes at most `concurrency` root runs at once; what it still holds when it must go is given back
//! unharmed, and what it can not give back is claimed by another when its lease runs out.

use std::sync::Arc;
use std::time::Duration;

use domain::{RunId, TenantId};
use entities::system::{Claim, ReadyTenant};
use entities::{StoreError, StoreKind, run};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::claimed;
use super::desk::Crew;
use super::fairness::{Candidate, Turns};
use crate::Weir;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Root runs at once. 0: only listens, so that this process hears of runs that others execute.
    pub concurrency: usize,
    /// How long a run stays with a worker that is not heard of. Kept up every third of it.
    pub lease: Duration,
    /// How long runs may go on after the shutdown began.
    pub grace: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { concurrency: 256, lease: Duration::from_secs(15), grace: Duration::from_secs(20) }
    }
}

/// How often a queue that others write to is looked at when nothing is heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a worker rests after the store refused.
const REST: Duration = Duration::from_millis(500);
/// Runs taken in one claim. What is taken has its turn, whoever comes meanwhile: with four times as many, a few runs took twice
/// as long to begin beside a long queue.
const BATCH: usize = 16;
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// Starts this process's worker. It ends when `shutdown` is cancelled and its runs are over or given back.
pub fn spawn(weir: Weir, options: WorkerOptions, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let crew = crew(&options);
        let background = TaskTracker::new();
        let over = CancellationToken::new();
        background.spawn(super::listen::listen(weir.clone(), over.clone()));
        if options.concurrency == 0 {
            shutdown.cancelled().await;
        } else {
            adopt(&weir, &crew).await;
            background.spawn(keep_leases(weir.clone(), Arc::clone(&crew), over.clone()));
            background.spawn(sweep(weir.clone(), over.clone()));
            background.spawn(free_slots(weir.clone(), over.clone()));
            weir.runs().hire(Some(Arc::clone(&crew)));
            work(&weir, &crew, &shutdown).await;
            weir.runs().hire(None);
            drain(&crew, options.grace).await;
        }
        over.cancel();
        background.close();
        background.wait().await;
    })
}

/// Claims everything that may be claimed now, executes it to its end or suspension, and says how many runs that were.
/// For suites that move workers by hand.
///
/// # Errors
/// [`crate::ServiceError::Unavailable`] when the store does not answer.
pub async fn step(weir: &Weir) -> Result<usize, crate::ServiceError> {
    let crew = crew(&WorkerOptions::default());
    let runs = claim(weir, &crew, BATCH).await?;
    let count = runs.len();
    let entered = claimed::enter_claimed(weir, &crew, runs);
    claimed::fetch_letters(weir, &entered).await;
    let executing = entered
        .into_iter()
        .map(|(row, entered)| claimed::execute_claimed(weir.clone(), Arc::clone(&crew), row, entered));
    futures_util::future::join_all(executing).await;
    crew.tasks.close();
    crew.tasks.wait().await;
    Ok(count)
}

pub(super) fn crew(options: &WorkerOptions) -> Arc<Crew> {
    Arc::new(Crew {
        owner: format!("worker-{}-{:016x}", std::process::id(), rand::random::<u64>()),
        lease: options.lease,
        places: Arc::new(Semaphore::new(options.concurrency.min(Semaphore::MAX_PERMITS))),
        for_queue: Arc::new(Semaphore::new(
            options.concurrency.div_ceil(4).saturating_mul(3).min(Semaphore::MAX_PERMITS),
        )),
        in_line: Semaphore::new(options.concurrency.div_ceil(4).min(Semaphore::MAX_PERMITS)),
        behind: std::sync::Mutex::default(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        lane: Arc::new(Semaphore::new(1)),
        turns: std::sync::Mutex::default(),
    })
}

/// An embedded store has one process: who else holds a lease there was killed.
async fn adopt(weir: &Weir, crew: &Crew) {
    if weir.store().kind() != StoreKind::Sqlite {
        return;
    }
    let (owner, now) = (crew.owner.clone(), weir.now());
    let adopted = weir.store().write_system(move |unit| async move { unit.adopt_runs(&owner, now).await }).await;
    match adopted {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "runs of an earlier process are taken up again"),
        Err(error) => {
            let error: StoreError = error;
            tracing::warn!(%error, "runs of an earlier process wait for their leases to run out");
        }
    }
}

async fn work(weir: &Weir, crew: &Arc<Crew>, shutdown: &CancellationToken) {
    let mut last_claim = Instant::now();
    loop {
        weir.runs().claims_turn(last_claim).await;
        let both = async {
            let of_queue = Arc::clone(&crew.for_queue).acquire_owned().await.ok()?;
            Some((of_queue, Arc::clone(&crew.places).acquire_owned().await.ok()?))
        };
        let place = tokio::select! {
            () = shutdown.cancelled() => return,
            place = both => place,
        };
        let Some(first) = place else { return };
        let mut places = vec![first];
        while places.len() < BATCH
            && let Ok(of_queue) = Arc::clone(&crew.for_queue).try_acquire_owned()
            && let Ok(another) = Arc::clone(&crew.places).try_acquire_owned()
        {
            places.push((of_queue, another));
        }
        last_claim = Instant::now();
        let rest = match claim_if_any(weir, crew, places.len()).await {
            Ok(Claimed::Runs(runs)) => {
                begin(weir, crew, runs, places).await;
                continue;
            }
            Ok(Claimed::Nothing(rest)) => rest,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                REST
            }
        };
        // Given back before resting, so that new runs find a free place.
        drop(places);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = weir.runs().woken() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Executes runs that were claimed, each in its place. The next claim waits until they begin: with claims that did not, ten
/// runs took 2.4 times as long beside 100,000 queued ones as without them, and 1.6 times with these.
async fn begin(weir: &Weir, crew: &Arc<Crew>, runs: Vec<run::Model>, places: Vec<Place>) {
    let entered = claimed::enter_claimed(weir, crew, runs);
    claimed::fetch_letters(weir, &entered).await;
    for ((row, entered), place) in entered.into_iter().zip(places) {
        let (weir, of_crew) = (weir.clone(), Arc::clone(crew));
        crew.tasks.spawn(async move {
            claimed::execute_claimed(weir, of_crew, row, entered).await;
            drop(place);
        });
    }
}

/// Among those for runs out of the queue, and among all.
type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

enum Claimed {
    Runs(Vec<run::Model>),
    /// Nothing may be claimed for this long, as far as is known.
    Nothing(Duration),
}

/// Looks before it claims: looking writes nothing.
async fn claim_if_any(weir: &Weir, crew: &Crew, limit: usize) -> Result<Claimed, StoreError> {
    let next = weir.store().system().await?.next_available().await?;
    let now = weir.now();
    if next.is_some_and(|next| next <= now) {
        let runs = claim(weir, crew, limit).await?;
        if !runs.is_empty() {
            return Ok(Claimed::Runs(runs));
        }
    }
    crew.behind().clear();
    let until_next = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(LOOK_EVERY);
    Ok(Claimed::Nothing(until_next.clamp(Duration::from_millis(5), LOOK_EVERY)))
}

async fn claim(weir: &Weir, crew: &Crew, limit: usize) -> Result<Vec<run::Model>, StoreError> {
    let now = weir.now();
    let lease_until = now + chrono::Duration::from_std(crew.lease).unwrap_or(chrono::Duration::seconds(15));
    let mut ready = weir.store().system().await?.ready_tenants(now).await?;
    let mut runs = Vec::new();
    while runs.len() < limit && !ready.is_empty() {
        let candidates: Vec<Candidate> =
            ready.iter().map(|ready| Candidate { tenant: ready.tenant, weight: ready.weight }).collect();
        let shares = turns(crew).shares(&candidates, limit - runs.len());
        let wishes: Vec<(Claim, ReadyTenant)> = shares
            .iter()
            .filter_map(|(tenant, share)| {
                let ready = ready.iter().find(|ready| ready.tenant == *tenant)?;
                let claim = Claim { owner: crew.owner.clone(), now, lease_until, limit: *share as u64 };
                Some((claim, *ready))
            })
            .collect();
        let asked = wishes.clone();
        let taken: Vec<Vec<run::Model>> = weir
            .runs()
            .store_for_claims(weir.store())
            .write_system(move |unit| async move {
                let mut taken = Vec::with_capacity(asked.len());
                for (claim, tenant) in &asked {
                    taken.push(unit.claim_runs(claim, tenant).await?);
                }
                Ok::<_, StoreError>(taken)
            })
            .await?;
        for ((claim, tenant), taken) in wishes.into_iter().zip(taken) {
            turns(crew).taken(Candidate { tenant: tenant.tenant, weight: tenant.weight }, taken.len());
            if (taken.len() as u64) < claim.limit {
                // It has no more for now, or is at its limit: the others have its share.
                ready.retain(|other| other.tenant != tenant.tenant);
            }
            runs.extend(taken);
        }
    }
    *crew.behind() = ready.into_iter().map(|ready| ready.tenant).collect();
    Ok(runs)
}

fn turns(crew: &Crew) -> std::sync::MutexGuard<'_, Turns> {
    crew.turns.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Lets those in who wait behind a place whose holder is gone.
async fn free_slots(weir: Weir, over: CancellationToken) {
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = super::slots::free_expired(&weir).await {
            tracing::warn!(%error, "places of lost holders could not be freed");
        }
    }
}

/// Keeps the leases of everything this worker executes, and hears who asked to cancel.
async fn keep_leases(weir: Weir, crew: Arc<Crew>, over: CancellationToken) {
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(crew.lease / 3) => {}
        }
        let mine: Vec<(TenantId, RunId)> =
            weir.runs().all().into_iter().map(|(run, local)| (local.tenant, run)).collect();
        if mine.is_empty() {
            continue;
        }
        let (owner, until) =
            (crew.owner.clone(), weir.now() + chrono::Duration::from_std(crew.lease).unwrap_or_default());
        let runs = mine.iter().map(|(_, run)| *run).collect();
        let places = mine.iter().map(|(_, run)| *run).collect();
        let held = weir.store().write_system(move |unit| async move {
            unit.extend_slots(&owner, places, until).await?;
            unit.extend_leases(&owner, runs, until).await
        });
        if let Err(error) = held.await {
            let error: StoreError = error;
            // Nothing is stopped for this: a write under a lost lease is refused by its fencing token.
            tracing::warn!(%error, "leases could not be kept");
            continue;
        }
        let asked = match weir.store().system().await {
            Ok(system) => system.cancelled_of(&crew.owner).await,
            Err(error) => Err(error),
        };
        let letters = match weir.store().system().await {
            Ok(system) => system.with_open_inbox(&mine).await,
            Err(error) => Err(error),
        };
        for (tenant, run) in letters.unwrap_or_default() {
            if let Some(local) = weir.runs().find(run)
                && let Err(error) = super::inbox::fetch(&weir, tenant, run, &local).await
            {
                tracing::warn!(%error, %run, "a run's inbox could not be read");
            }
        }
        for (tenant, run) in asked.unwrap_or_default() {
            if let Some(local) = weir.runs().find(run) {
                let row = super::find_row(&weir, tenant, run).await.ok().flatten();
                local.cancel(row.and_then(|row| row.cancel_reason));
            }
        }
    }
}

async fn sweep(weir: Weir, over: CancellationToken) {
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        let now = weir.now();
        let swept = weir.store().write_system(move |unit| async move { unit.sweep_expired(now).await }).await;
        if let Err(error) = swept {
            let error: StoreError = error;
            tracing::warn!(%error, "expired rows could not be removed");
        }
    }
}

/// Lets runs end within the grace, then stops the rest and waits until they are given back.
async fn drain(crew: &Crew, grace: Duration) {
    crew.tasks.close();
    if tokio::time::timeout(grace, crew.tasks.wait()).await.is_err() {
        crew.stop.cancel();
        crew.tasks.wait().await;
    }
}
