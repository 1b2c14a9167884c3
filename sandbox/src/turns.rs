//! Who is next for the few places that all tenants share.
//!
//! Invariant: a free place goes to the waiting tenant that holds the fewest, of several such to the one that was served
//! longest ago. So a tenant alone may hold every place, and a newcomer's first job gets the very next one, however many
//! jobs of others came before it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Tenants whose last turn is remembered although they want nothing now; beyond it they count as newcomers again.
const REMEMBERED: usize = 10_000;

/// A few places and the lines before them, one line a tenant. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    shared: Arc<Shared>,
}

struct Shared {
    /// Jobs of one tenant that may wait; one more is refused.
    max_waiting: usize,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    free: usize,
    served: u64,
    tenants: HashMap<u128, Tenant>,
}

#[derive(Default)]
struct Tenant {
    holds: usize,
    /// The number of its last turn; 0 before its first.
    last: u64,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A place that is held; dropping it hands it on.
pub struct Turn {
    shared: Arc<Shared>,
    tenant: u128,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("free", &self.shared.lines().free).finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Turns {
    #[must_use]
    pub fn new(places: usize, max_waiting: usize) -> Self {
        let lines = Mutex::new(Lines { free: places, ..Lines::default() });
        Self { shared: Arc::new(Shared { max_waiting, lines }) }
    }

    /// Waits for a place. `None` if too many jobs of this tenant wait already. Dropping the future leaves the line.
    pub async fn take(&self, tenant: u128) -> Option<Turn> {
        let place = {
            let mut lines = self.shared.lines();
            if lines.free > 0 {
                lines.serve(tenant);
                return Some(Turn { shared: Arc::clone(&self.shared), tenant });
            }
            let line = lines.tenants.entry(tenant).or_default();
            line.waiting.retain(|waiter| !waiter.is_closed());
            if line.waiting.len() >= self.shared.max_waiting {
                return None;
            }
            let (sender, place) = oneshot::channel();
            line.waiting.push_back(sender);
            place
        };
        place.await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.shared.lines().hand_on(self.tenant);
        if let Some((tenant, waiter)) = next {
            // A waiter that left in this very moment gives the turn back, and its drop hands it on.
            drop(waiter.send(Self { shared: Arc::clone(&self.shared), tenant }));
        }
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn serve(&mut self, tenant: u128) {
        self.free -= 1;
        self.served += 1;
        let line = self.tenants.entry(tenant).or_default();
        line.holds += 1;
        line.last = self.served;
    }

    /// Takes back a place of this tenant and gives it to whoever is next.
    fn hand_on(&mut self, tenant: u128) -> Option<(u128, oneshot::Sender<Turn>)> {
        self.free += 1;
        if let Some(line) = self.tenants.get_mut(&tenant) {
            line.holds = line.holds.saturating_sub(1);
        }
        let next = self.next();
        if let Some((tenant, _)) = &next {
            self.serve(*tenant);
        }
        if self.tenants.len() > REMEMBERED {
            self.tenants.retain(|_, line| line.holds > 0 || !line.waiting.is_empty());
        }
        next
    }

    fn next(&mut self) -> Option<(u128, oneshot::Sender<Turn>)> {
        for line in self.tenants.values_mut() {
            line.waiting.retain(|waiter| !waiter.is_closed());
        }
        let waiting = self.tenants.iter_mut().filter(|(_, line)| !line.waiting.is_empty());
        let (tenant, line) = waiting.min_by_key(|(_, line)| (line.holds, line.last))?;
        Some((*tenant, line.waiting.pop_front()?))
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    const FLOOD: u128 = 1;
    const NEWCOMER: u128 = 2;

    /// Stands in line; answers with the turn.
    async fn line_up(turns: &Turns, tenant: u128) -> JoinHandle<Turn> {
        let (turns, before) = (turns.clone(), waiting(turns, tenant));
        let task = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(tenant).await.unwrap() }
        });
        while waiting(&turns, tenant) == before && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task
    }

    fn waiting(turns: &Turns, tenant: u128) -> usize {
        turns
            .shared
            .lines()
            .tenants
            .get(&tenant)
            .map_or(0, |line| line.waiting.iter().filter(|waiter| !waiter.is_closed()).count())
    }

    #[tokio::test]
    async fn a_newcomers_first_job_gets_the_next_place_of_a_flooded_pool() {
        let turns = Turns::new(2, 1000);
        let (first, second) = (turns.take(FLOOD).await.unwrap(), turns.take(FLOOD).await.unwrap());
        let mut flood = Vec::new();
        for _ in 0..500 {
            flood.push(line_up(&turns, FLOOD).await);
        }
        let newcomer = line_up(&turns, NEWCOMER).await;
        let another = line_up(&turns, NEWCOMER).await;
        drop(first);
        let held = newcomer.await.unwrap();
        assert!(flood.iter().all(|task| !task.is_finished()), "nobody else was served");
        drop(second);
        let flooding = flood.remove(0).await.unwrap();
        assert!(!another.is_finished(), "each holds one place now, and the newcomer was served last");
        drop(held);
        drop(another.await.unwrap());
        drop(flooding);
        for task in flood {
            drop(task.await.unwrap());
        }
        assert_eq!(turns.shared.lines().free, 2, "no place is lost");
    }

    #[tokio::test]
    async fn tenants_with_much_to_do_get_the_one_place_by_turns() {
        let turns = Turns::new(1, 1000);
        let mut held = turns.take(99).await.unwrap();
        let mut tasks = Vec::new();
        for tenant in [7, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9] {
            tasks.push(line_up(&turns, tenant).await);
        }
        let mut order = Vec::new();
        while !tasks.is_empty() {
            drop(held);
            held = loop {
                if let Some(at) = tasks.iter().position(JoinHandle::is_finished) {
                    break tasks.swap_remove(at).await.unwrap();
                }
                tokio::task::yield_now().await;
            };
            order.push(held.tenant);
        }
        for round in order.chunks(3) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [7, 8, 9], "{order:?}");
        }
    }

    #[tokio::test]
    async fn a_tenants_line_is_bounded_and_its_length_is_no_concern_of_others() {
        let turns = Turns::new(1, 3);
        let held = turns.take(FLOOD).await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(line_up(&turns, FLOOD).await);
        }
        assert!(turns.take(FLOOD).await.is_none());
        let newcomer = line_up(&turns, NEWCOMER).await;
        // Those who leave the line make room in it.
        tasks.pop().unwrap().abort();
        tokio::task::yield_now().await;
        tasks.push(line_up(&turns, FLOOD).await);
        drop(held);
        drop(newcomer.await.unwrap());
        for task in tasks {
            drop(task.await.unwrap());
        }
        assert_eq!(turns.shared.lines().free, 1);
    }

    #[tokio::test]
    async fn a_place_that_was_given_to_somebody_who_left_is_handed_on() {
        let turns = Turns::new(1, 10);
        let held = turns.take(FLOOD).await.unwrap();
        let mut leaver = Box::pin(turns.take(FLOOD));
        assert!(futures_poll(&mut leaver).await);
        let stays = line_up(&turns, NEWCOMER).await;
        let another = line_up(&turns, FLOOD).await;
        drop(held);
        drop(stays.await.unwrap());
        // The leaver has the place now, and goes without having looked.
        drop(leaver);
        drop(another.await.unwrap());
        assert_eq!(turns.shared.lines().free, 1);
    }

    /// Polls once; whether it is still pending.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
