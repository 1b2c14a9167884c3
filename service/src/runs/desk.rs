//! What this process knows of runs beyond the store: those it executes, its worker, prepared plans.
//!
//! Invariant: nothing in here is needed to recover; losing it loses speed, live text and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::{RunId, TenantId, VersionId};
use engine::{Control, Prepared};
use entities::Store;
use language::Plan;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bus::{Bus, Speaker};
use super::fairness::Turns;
use super::inbox::Letters;
use super::journal::RunJournal;
use super::pace::Pace;
use super::room::Room;
use crate::experiments::Watch;

/// How long a caller waits for a place of the worker before its run goes to the queue.
const PATIENCE: Duration = Duration::from_millis(20);

/// Text of a running attempt that is kept for watchers who come late.
const TEXT_BYTES: usize = 64 * 1024;

/// The runs of this process. Cheap to clone; one a [`crate::Weir`].
#[derive(Clone)]
pub struct Runs {
    bus: Bus,
    inner: Arc<Inner>,
}

struct Inner {
    wake: Notify,
    crew: Mutex<Option<Arc<Crew>>>,
    local: Mutex<HashMap<RunId, Arc<LocalRun>>>,
    /// Runs that went to the queue although somebody here waits for them, and whether they are parked behind a limit.
    awaited: Mutex<HashMap<RunId, bool>>,
    pace: Pace,
    prepared: moka::future::Cache<VersionId, Arc<Prepared>>,
    /// How much room the trees have that grow here, by their roots.
    trees: moka::future::Cache<RunId, Arc<Room>>,
    experiments: Watch,
}

impl Default for Runs {
    fn default() -> Self {
        let inner = Inner {
            wake: Notify::new(),
            crew: Mutex::default(),
            local: Mutex::default(),
            awaited: Mutex::default(),
            pace: Pace::default(),
            prepared: moka::future::Cache::new(500),
            trees: moka::future::Cache::new(10_000),
            experiments: Watch::default(),
        };
        Self { bus: Bus::default(), inner: Arc::new(inner) }
    }
}

/// A worker as those see it who hand runs to it.
pub(super) struct Crew {
    /// Who holds the leases; unique for each start.
    pub(super) owner: String,
    pub(super) lease: Duration,
    pub(super) places: Arc<Semaphore>,
    /// Of the places, those that runs out of the queue may have together: the others are for calls that come meanwhile.
    pub(super) for_queue: Arc<Semaphore>,
    /// Callers that wait for a place. More than this are more than a moment could serve.
    pub(super) in_line: Semaphore,
    /// Tenants that have more in the queue than was taken from it, as far as this worker knows: their new runs go behind it.
    pub(super) behind: Mutex<HashSet<TenantId>>,
    pub(super) tasks: TaskTracker,
    /// Ends every run at once and leaves it for recovery.
    pub(super) stop: CancellationToken,
    /// One place: runs that went down with several workers are tried one at a time, so that the culprit is told from
    /// those that were only there.
    pub(super) lane: Arc<Semaphore>,
    /// Whose turn it is in the queue, as far as this worker serves it.
    pub(super) turns: Mutex<Turns>,
}

impl Crew {
    pub(super) fn behind(&self) -> MutexGuard<'_, HashSet<TenantId>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that this process executes.
pub(super) struct LocalRun {
    pub(super) tenant: TenantId,
    pub(super) flow: String,
    pub(super) control: Control,
    /// Held by a suspect until it settles a step.
    lane: Mutex<Option<OwnedSemaphorePermit>>,
    texts: Mutex<BTreeMap<Speaker, Told>>,
    /// What came for the run from outside.
    pub(super) letters: Letters,
    /// Slots may be free that one of its steps waits for.
    pub(super) offers: Notify,
    /// Children that it waits for and that gave their places back.
    resting: Mutex<HashSet<RunId>>,
    /// Where it is written down, once it begins.
    journal: watch::Sender<Option<Weak<RunJournal>>>,
}

/// What an attempt said so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) attempt: u32,
    /// Up to [`TEXT_BYTES`], from the beginning.
    pub(super) text: String,
    /// Bytes that were said in all.
    pub(super) bytes: usize,
}

impl LocalRun {
    pub(super) fn new(tenant: TenantId, flow: String, stop: &CancellationToken) -> Self {
        Self {
            tenant,
            flow,
            control: Control { stop: stop.child_token(), ..Control::default() },
            lane: Mutex::default(),
            texts: Mutex::default(),
            letters: Letters::default(),
            offers: Notify::new(),
            resting: Mutex::default(),
            journal: watch::Sender::new(None),
        }
    }

    pub(super) fn is_written_by(&self, journal: &Arc<RunJournal>) {
        self.journal.send_replace(Some(Arc::downgrade(journal)));
    }

    /// Where it is written down, as soon as it begins; whoever waits for that must not hold the run itself.
    pub(super) fn journal(&self) -> watch::Receiver<Option<Weak<RunJournal>>> {
        self.journal.subscribe()
    }

    /// Tells the engine that somebody wants the run's end. The first to ask is the one the journal names.
    pub(super) fn cancel(&self, by: Option<String>) {
        if let Some(by) = by {
            self.control.canceller.get_or_init(|| by);
        }
        self.control.cancel.cancel();
    }

    pub(super) fn rests_behind(&self, child: RunId) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(child);
    }

    /// Any of these may be over before the run has given its own place back.
    pub(super) fn resting_behind(&self) -> Vec<RunId> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    pub(super) fn hold_lane(&self, place: OwnedSemaphorePermit) {
        *self.lane.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// A run that settled a step is no suspect any more.
    pub(super) fn leave_lane(&self) {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Keeps a piece of a running step's text; gives the bytes that came before it. A new attempt begins anew.
    pub(super) fn add_text(&self, of: &Speaker, attempt: u32, text: &str) -> usize {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let told = texts.entry(of.clone()).or_default();
        if told.attempt != attempt {
            *told = Told { attempt, ..Told::default() };
        }
        let before = told.bytes;
        // Once a piece was left out, later ones would stand in the wrong place.
        if told.text.len() == before && before + text.len() <= TEXT_BYTES {
            told.text.push_str(text);
        }
        told.bytes += text.len();
        before
    }

    pub(super) fn forget_text(&self, of: &Speaker) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }

    /// What running attempts said so far.
    pub(super) fn texts(&self) -> Vec<(Speaker, Told)> {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.iter().map(|(of, told)| (of.clone(), told.clone())).collect()
    }
}

/// A run's place among those that this process executes.
pub(super) struct Entered {
    runs: Runs,
    run: RunId,
    pub(super) local: Arc<LocalRun>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut all = self.runs.local();
        // The run may have been claimed again here since.
        if all.get(&self.run).is_some_and(|there| Arc::ptr_eq(there, &self.local)) {
            all.remove(&self.run);
        }
    }
}

/// Somebody of this process waits for a run in the queue, until this is dropped.
pub(super) struct Awaited {
    runs: Runs,
    run: RunId,
}

impl std::fmt::Debug for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Awaited").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Awaited {
    /// No claim takes it before there is room behind its limit.
    pub(super) fn is_parked(&self) {
        self.runs.awaited().insert(self.run, true);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.runs.awaited().remove(&self.run);
    }
}

impl Runs {
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// How many runs this process executes now.
    #[must_use]
    pub fn executing(&self) -> usize {
        self.local().len()
    }

    /// Which experiments' guards look now.
    pub(crate) fn experiments(&self) -> &Watch {
        &self.inner.experiments
    }

    /// Tells the worker that there may be something to claim.
    pub(crate) fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// Tells every run that executes here that slots may be free.
    pub(super) fn offer_slots(&self) {
        self.local().values().for_each(|local| local.offers.notify_one());
        self.wake();
    }

    pub(super) async fn woken(&self) {
        self.inner.wake.notified().await;
    }

    pub(super) fn hire(&self, crew: Option<Arc<Crew>>) {
        *self.inner.crew.lock().unwrap_or_else(PoisonError::into_inner) = crew;
    }

    /// This process's worker with a free place, if it has both, for a run of a tenant that has none in the queue. Who stays for
    /// the answer waits a moment for a place: the queue is far more work than that, and what goes there has the tenant's next
    /// ones go there too.
    pub(super) async fn free_place(&self, tenant: TenantId, stays: bool) -> Option<(Arc<Crew>, OwnedSemaphorePermit)> {
        let crew = self.inner.crew.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        if crew.behind().contains(&tenant) {
            return None;
        }
        let mut place = Arc::clone(&crew.places).try_acquire_owned().ok();
        if place.is_none()
            && stays
            && let Ok(_waits) = crew.in_line.try_acquire()
        {
            let free = Arc::clone(&crew.places).acquire_owned();
            place = tokio::time::timeout(PATIENCE, free).await.ok().and_then(Result::ok);
        }
        if place.is_some() {
            self.inner.pace.call();
        } else {
            // It goes to the queue, and what follows it must not overtake it.
            crew.behind().insert(tenant);
        }
        Some((crew, place?))
    }

    /// A caller is answered now, and may call again.
    pub(super) fn served(&self) {
        self.inner.pace.call();
    }

    /// Waits until the queue may be claimed from again: at once, unless callers come whose runs begin without it.
    pub(super) async fn claims_turn(&self, last_claim: Instant) {
        while let Some(open) = self.inner.pace.opens(last_claim)
            && !self.waits_for_claim()
        {
            // Somebody may begin to wait for a run in the queue meanwhile. Whatever else woke the worker is in the claim too.
            tokio::select! {
                () = tokio::time::sleep_until(open) => {}
                () = self.woken() => {}
            }
        }
    }

    /// Whether somebody here waits for a run that a claim may take.
    fn waits_for_claim(&self) -> bool {
        let open: Vec<RunId> = self.awaited().iter().filter(|(_, parked)| !**parked).map(|(run, _)| *run).collect();
        let local = self.local();
        open.iter().any(|run| !local.contains_key(run))
    }

    /// Has a run of the queue written among what callers wait for.
    pub(super) fn wait_for(&self, run: RunId) -> Awaited {
        self.awaited().insert(run, false);
        Awaited { runs: self.clone(), run }
    }

    /// The store as it is for this run: in the background unless somebody here waits for it.
    pub(super) fn store_for(&self, store: &Store, run: RunId) -> Store {
        if self.awaited().contains_key(&run) { store.clone() } else { store.in_background() }
    }

    /// The store as it is for claims, any of which may be of a run that somebody waits for.
    pub(super) fn store_for_claims(&self, store: &Store) -> Store {
        if self.awaited().is_empty() { store.in_background() } else { store.clone() }
    }

    /// Lets what comes for a run find it, until what this gives is dropped.
    pub(super) fn enter(&self, run: RunId, local: Arc<LocalRun>) -> Entered {
        self.local().insert(run, Arc::clone(&local));
        Entered { runs: self.clone(), run, local }
    }

    pub(super) fn find(&self, run: RunId) -> Option<Arc<LocalRun>> {
        self.local().get(&run).cloned()
    }

    pub(super) fn all(&self) -> Vec<(RunId, Arc<LocalRun>)> {
        self.local().iter().map(|(run, local)| (*run, Arc::clone(local))).collect()
    }

    /// A plan made ready for the engine, kept by version.
    pub(super) async fn prepared(
        &self,
        version: VersionId,
        plan: &Arc<Plan>,
        registry: &engine::Registry,
    ) -> Arc<Prepared> {
        let prepare = async { Arc::new(Prepared::new(Arc::clone(plan), registry)) };
        self.inner.prepared.get_with(version, prepare).await
    }

    /// How many runs may join this tree here before somebody counts it again.
    pub(super) async fn room(&self, root: RunId) -> Arc<Room> {
        self.inner.trees.get_with(root, async { Arc::default() }).await
    }

    fn awaited(&self) -> MutexGuard<'_, HashMap<RunId, bool>> {
        self.inner.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn local(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Arc<LocalRun>>> {
        self.inner.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::worker::{WorkerOptions, crew};
    use super::*;

    #[tokio::test]
    async fn who_stays_waits_a_moment_for_a_place_and_goes_behind_the_queue_only_then() {
        let runs = Runs::default();
        let crew = crew(&WorkerOptions { concurrency: 1, ..WorkerOptions::default() });
        runs.hire(Some(Arc::clone(&crew)));
        let [tenant, other] = [1, 2].map(|number| TenantId::from_uuid(uuid::Uuid::from_u128(number)));
        let held = runs.free_place(tenant, true).await.unwrap();
        let freed = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(held);
        };
        let (place, ()) = tokio::join!(runs.free_place(tenant, true), freed);
        assert!(place.is_some() && crew.behind().is_empty(), "it had only to wait for the place");
        assert!(runs.free_place(tenant, true).await.is_none(), "nobody gave it back in time");
        drop(place);
        assert!(runs.free_place(tenant, true).await.is_none(), "its own queue comes first");
        assert!(runs.free_place(other, false).await.is_some(), "another's does not");
    }

    #[tokio::test]
    async fn a_claim_waits_for_callers_unless_one_of_them_waits_for_the_queue() {
        let runs = Runs::default();
        let waits = || {
            runs.inner.pace.call();
            runs.claims_turn(Instant::now()).now_or_never().is_none()
        };
        // More than once: a thread may stand still for longer than the callers' pause.
        assert!((0..100).any(|_| waits()), "callers come");
        let caller = runs.wait_for(RunId::from_uuid(uuid::Uuid::from_u128(1)));
        assert!((0..100).all(|_| !waits()), "one of them waits for it");
        caller.is_parked();
        assert!((0..100).any(|_| waits()), "no claim can take it");
        drop(caller);
        let crew = crew(&WorkerOptions::default());
        let caller = runs.wait_for(RunId::from_uuid(uuid::Uuid::from_u128(2)));
        let local = LocalRun::new(TenantId::from_uuid(uuid::Uuid::nil()), String::new(), &crew.stop);
        let entered = runs.enter(caller.run, Arc::new(local));
        assert!((0..100).any(|_| waits()), "it was claimed");
        drop(entered);
        assert!((0..100).all(|_| !waits()), "it is in the queue again");
        drop(caller);
        assert!((0..100).any(|_| waits()), "nobody waits for the queue any more");
    }

    #[tokio::test]
    async fn a_queued_run_is_written_among_the_callers_as_long_as_one_of_them_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("weir.db").display());
        let store = Store::connect(&url, &entities::StoreOptions::default()).await.unwrap();
        let runs = Runs::default();
        let [one, other] = [1, 2].map(|number| RunId::from_uuid(uuid::Uuid::from_u128(number)));
        assert!(runs.store_for(&store, one).is_in_background() && runs.store_for_claims(&store).is_in_background());
        let caller = runs.wait_for(one);
        assert!(!runs.store_for(&store, one).is_in_background(), "somebody waits for it");
        assert!(runs.store_for(&store, other).is_in_background(), "nobody waits for this one");
        assert!(!runs.store_for_claims(&store).is_in_background(), "the next claim may be of it");
        drop(caller);
        assert!(runs.store_for(&store, one).is_in_background() && runs.store_for_claims(&store).is_in_background());
    }
}
