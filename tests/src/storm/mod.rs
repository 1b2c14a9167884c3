//! A storm: a steady load, faults in between, then calm, and then the rules that hold whatever happened.
//!
//! Invariant: the load never outgrows the places there are, so a run that waits past its time is stuck and not in a queue;
//! what a storm does is bounded in time, and how long by the suite's size.
//!
//! ```ignore
//! let mut storm = Storm::begin("workers killed", &world, &key, counter).await;
//! while storm.next_fault(gap).await {
//!     // ... kill something, and start it again
//! }
//! println!("{}", storm.calm().await);
//! ```
mod orders;
mod rules;

use crate::{
    chance::Chance,
    effects::Effects,
    key::ApiKey,
    limits,
    look::{Census, Look},
    size::Size,
    world::World,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};

/// A lease of 15 seconds may run out after a fault; so long after that everything must have been taken up.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the calm after a storm may last.
const CALM: Duration = Duration::from_secs(150);

/// What the storm's tasks share.
#[derive(Debug)]
struct Shared {
    address: watch::Sender<String>,
    /// `None` while the store is down.
    census: watch::Sender<Option<Census>>,
    over: watch::Sender<bool>,
    acknowledged: Mutex<BTreeMap<u64, String>>,
    /// Since when whoever has to take runs up has been there; `None` while it is not.
    served_since: Mutex<Option<Instant>>,
    most_overdue: Mutex<Duration>,
}

#[derive(Debug)]
pub struct Storm {
    name: &'static str,
    pub chance: Chance,
    key: ApiKey,
    look: Look,
    effects: Effects,
    shared: Arc<Shared>,
    load: JoinHandle<()>,
    watcher: JoinHandle<()>,
    began: Instant,
    until: Instant,
    faults: u32,
}

impl Storm {
    /// Publishes the load's flows and lets it begin. `counter` is the suite's `effect-counter`.
    #[expect(clippy::print_stderr, reason = "the seed must be seen, above all when the suite fails")]
    pub async fn begin(name: &'static str, world: &World, key: &ApiKey, counter: &Path) -> Self {
        let (size, chance) = (Size::chosen(), Chance::of_this_run());
        eprintln!("{name}: {size:?}, WEIR_SUITE_SEED={}", chance.seed());
        let effects = Effects::start(counter).await;
        key.put_flow(orders::PARCEL, &orders::parcel(&effects.url())).await.expect_success();
        key.put_flow(orders::ORDER, &orders::order(&effects.url())).await.expect_success();
        let shared = Arc::new(Shared {
            address: watch::Sender::new(world.url()),
            census: watch::Sender::new(None),
            over: watch::Sender::new(false),
            acknowledged: Mutex::default(),
            served_since: Mutex::new(Some(Instant::now())),
            most_overdue: Mutex::default(),
        });
        let look = Look::into(world).await;
        let watcher = tokio::spawn(keep_looking(look.clone(), Arc::clone(&shared)));
        let load = tokio::spawn(orders::keep_coming(key.clone(), Arc::clone(&shared), size.of(30, 50, 60)));
        let began = Instant::now();
        let until = began + size.of(Duration::from_secs(20), Duration::from_secs(130), Duration::from_secs(850));
        let (key, faults) = (key.clone(), 0);
        Self { name, chance, key, look, effects, shared, load, watcher, began, until, faults }
    }

    /// Waits for the moment of the next fault, so many milliseconds from now. `false` when the storm is over.
    pub async fn next_fault(&mut self, milliseconds: RangeInclusive<u64>) -> bool {
        let of = Duration::from_millis;
        let moment = Instant::now() + self.chance.between(of(*milliseconds.start()), of(*milliseconds.end()));
        tokio::time::sleep_until(moment.min(self.until).into()).await;
        let goes_on = moment < self.until && !self.load.is_finished();
        self.faults += u32::from(goes_on);
        goes_on
    }

    /// What has to take runs up is gone for now.
    pub fn nobody_serves(&self) {
        *self.shared.served_since.lock().expect("no holder of the lock panics") = None;
    }

    /// It is there again, and the API at this address.
    pub fn served_again(&self, address: &str) {
        self.shared.address.send_replace(address.to_owned());
        *self.shared.served_since.lock().expect("no holder of the lock panics") = Some(Instant::now());
    }

    /// Waits until no run is held by this process any more: its leases ran out and others went on.
    pub async fn until_taken_from(&self, process: u32) {
        let looking = async {
            let mut census = self.shared.census.subscribe();
            while self.look.held_by(process).await.is_ok_and(|held| held > 0) {
                census.changed().await.expect("the watcher lives as long as the storm");
            }
        };
        limits::within(CALM, &format!("the loss of all that process {process} held"), looking).await;
    }

    /// Ends the load, waits until every run is over, and checks every rule.
    pub async fn calm(mut self) -> Report {
        self.shared.over.send_replace(true);
        if let Err(error) = (&mut self.load).await {
            panic!("{}: the load ended in a panic: {error}", self.name);
        }
        let ended = Instant::now();
        let tried_again = self.settle().await;
        let calm = ended.elapsed();
        self.watcher.abort();
        let (runs, journals, effects) = (self.look.runs().await, self.look.journals().await, self.effects.all().await);
        let acknowledged = self.shared.acknowledged.lock().expect("no holder of the lock panics").clone();
        let mut faults = rules::broken(&runs, &journals, &effects, &acknowledged);
        faults.extend(self.look.integrity_faults().await);
        let overdue = *self.shared.most_overdue.lock().expect("no holder of the lock panics");
        if overdue > PATIENCE {
            faults.push(format!("a run could have been taken up for {overdue:?} and was not"));
        }
        let shown: Vec<&String> = faults.iter().take(20).collect();
        assert!(faults.is_empty(), "{}: {} rules broken: {shown:#?}", self.name, faults.len());
        assert!(!acknowledged.is_empty(), "{}: nothing was started", self.name);
        Report {
            name: self.name,
            seed: self.chance.seed(),
            lasted: self.began.elapsed(),
            faults: self.faults,
            orders: acknowledged.len(),
            runs: runs.len(),
            lines: journals.len(),
            taken_over: runs.iter().filter(|run| run.token > 1).count(),
            effects: effects.iter().filter(|effect| effect.done).count(),
            arrived: effects.iter().map(|effect| effect.arrived).sum(),
            tried_again,
            overdue,
            calm,
        }
    }

    /// Waits for the end of every run. Those that were left to a person, because workers kept dying with them, are tried
    /// again as a person would; says how many that were.
    async fn settle(&mut self) -> usize {
        let mut census = self.shared.census.subscribe();
        let mut tried_again = 0;
        let settling = async {
            loop {
                census.changed().await.expect("the watcher lives as long as the storm");
                let now = *census.borrow_and_update();
                match now {
                    Some(now) if now.parked > 0 => tried_again += self.try_parked_again().await,
                    Some(now) if now.open == 0 => return,
                    _ => {}
                }
            }
        };
        if tokio::time::timeout(CALM, settling).await.is_err() {
            let left: Vec<_> = self.look.runs().await.into_iter().filter(|run| run.status != "succeeded").collect();
            panic!("{}: {} runs are not over {CALM:?} after the storm: {left:#?}", self.name, left.len());
        }
        tried_again
    }

    async fn try_parked_again(&self) -> usize {
        let key = self.key.at(&self.shared.address.borrow());
        let parked = self.look.runs().await.into_iter().filter(|run| run.status == "needs_attention");
        let mut count = 0;
        for run in parked {
            assert_eq!(
                run.error["code"], "worker_killed",
                "{}: only a run whose workers died is parked: {run:?}",
                self.name
            );
            let id = domain::RunId::from_uuid(run.id);
            key.post(&format!("/api/v1/runs/{id}/restart"), &json!({})).await.expect_success();
            count += 1;
        }
        count
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.load.abort();
        self.watcher.abort();
    }
}

/// Counts what is there, and how long what could be taken up has waited for somebody.
async fn keep_looking(look: Look, shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(LOOK_EVERY);
    loop {
        beat.tick().await;
        let census = look.census().await.ok();
        let served = *shared.served_since.lock().expect("no holder of the lock panics");
        if let (Some(census), Some(since)) = (census, served) {
            let overdue = census.overdue.min(since.elapsed());
            let mut most = shared.most_overdue.lock().expect("no holder of the lock panics");
            *most = (*most).max(overdue);
        }
        shared.census.send_replace(census);
    }
}

/// What a storm came to, in figures.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    seed: u64,
    lasted: Duration,
    faults: u32,
    orders: usize,
    runs: usize,
    lines: usize,
    taken_over: usize,
    effects: usize,
    arrived: u64,
    tried_again: usize,
    overdue: Duration,
    calm: Duration,
}

impl Report {
    /// Runs that another worker, or a later process, went on with.
    pub fn taken_over(&self) -> usize {
        self.taken_over
    }

    pub fn faults(&self) -> u32 {
        self.faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {} faults in {:.0?}, {} orders ({} runs, {} journal lines), {} runs taken over; {} effects once each, \
             in {} calls; {} tried again by a person; at most {:.1?} overdue; calm after {:.1?}; seed {}",
            self.name,
            self.faults,
            self.lasted,
            self.orders,
            self.runs,
            self.lines,
            self.taken_over,
            self.effects,
            self.arrived,
            self.tried_again,
            self.overdue,
            self.calm,
            self.seed,
        )
    }
}
