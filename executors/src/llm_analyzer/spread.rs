//! Several addresses of one provider: calls go where answers come soonest, and around what is down.
//!
//! Invariant: an address that failed is left alone for a growing while, unless all of them failed; then the one that is due
//! first is tried. What is known is known to this process alone, and is a hint.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Failure, TenantId};
use tokio::time::Instant;

/// How much the newest latency counts.
const NEWEST: f64 = 0.3;
const SHORTEST_AWAY: Duration = Duration::from_secs(1);
const LONGEST_AWAY: Duration = Duration::from_secs(60);
/// Addresses kept before those that nobody uses are forgotten.
const KEPT: usize = 4_096;

type Key = (TenantId, String);

/// One a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread {
    known: Arc<Mutex<HashMap<Key, Standing>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// Of the answers' heads, in seconds, newer ones counting more; `None` until the first.
    latency: Option<f64>,
    in_flight: u32,
    failures: u32,
    away_until: Option<Instant>,
}

impl Standing {
    /// What one more call there is expected to take. Whoever is not known yet is tried first.
    fn expected(&self) -> f64 {
        self.latency.unwrap_or_default() * f64::from(self.in_flight + 1)
    }
}

/// The address of one call, counted as in use until this is dropped.
#[derive(Debug)]
pub(super) struct Chosen {
    spread: Spread,
    key: Key,
}

impl Spread {
    /// `addresses` is not empty.
    pub(super) fn choose(&self, tenant: TenantId, addresses: &[String], now: Instant) -> Chosen {
        let mut known = self.lock();
        if known.len() >= KEPT {
            known.retain(|_, standing| standing.in_flight > 0 || standing.away_until.is_some_and(|until| until > now));
        }
        let standing = |address: &String| known.get(&(tenant, address.clone())).copied().unwrap_or_default();
        let rank = |address: &&String| {
            let standing = standing(address);
            let away = standing.away_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            (away, standing.expected(), standing.in_flight)
        };
        let best = addresses.iter().min_by(|one, other| {
            let (one, other) = (rank(one), rank(other));
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.cmp(&other.2))
        });
        let key = (tenant, best.cloned().unwrap_or_default());
        known.entry(key.clone()).or_default().in_flight += 1;
        Chosen { spread: self.clone(), key }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Standing>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chosen {
    pub(super) fn address(&self) -> &str {
        &self.key.1
    }

    /// The head of an answer came after so long.
    pub(super) fn answered(&self, after: Duration) {
        self.on(|standing| {
            let newest = after.as_secs_f64();
            standing.latency = Some(standing.latency.map_or(newest, |before| before + NEWEST * (newest - before)));
            (standing.failures, standing.away_until) = (0, None);
        });
    }

    /// The call failed; only what may pass by itself says something about the address.
    pub(super) fn failed(&self, failure: &Failure, now: Instant) {
        if !failure.retryable {
            return;
        }
        self.on(|standing| {
            let doubled = SHORTEST_AWAY * 2_u32.saturating_pow(standing.failures.min(10));
            let asked = failure.retry_after_ms.map(Duration::from_millis).unwrap_or_default();
            standing.failures = standing.failures.saturating_add(1);
            standing.away_until = Some(now + doubled.max(asked).min(LONGEST_AWAY));
        });
    }

    fn on(&self, act: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.spread.lock().get_mut(&self.key) {
            act(standing);
        }
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.on(|standing| standing.in_flight = standing.in_flight.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use domain::FailureKind;

    use super::*;

    fn addresses() -> Vec<String> {
        vec!["https://a.test/v1".to_owned(), "https://b.test/v1".to_owned()]
    }

    fn tenant() -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(1))
    }

    #[test]
    fn calls_go_where_answers_come_soonest_and_spread_as_it_fills() {
        let (spread, addresses, now) = (Spread::default(), addresses(), Instant::now());
        for seconds in [4, 1] {
            let one = spread.choose(tenant(), &addresses, now);
            one.answered(Duration::from_secs(seconds));
        }
        let held: Vec<Chosen> = (0..10).map(|_| spread.choose(tenant(), &addresses, now)).collect();
        let fast = held.iter().filter(|chosen| chosen.address() == addresses[1]).count();
        assert_eq!(fast, 8, "four times as fast takes four of five");
        drop(held);
        assert!(spread.lock().values().all(|standing| standing.in_flight == 0));
    }

    #[test]
    fn what_is_down_is_left_alone_for_a_growing_while_and_tried_when_all_are() {
        let (spread, addresses, now) = (Spread::default(), addresses(), Instant::now());
        let down = Failure::new(FailureKind::Overloaded, "http_503", "down");
        let first = spread.choose(tenant(), &addresses, now);
        first.answered(Duration::from_millis(1));
        first.failed(&Failure::new(FailureKind::Rejected, "http_400", "your fault"), now);
        assert_eq!(first.address(), addresses[0]);
        first.failed(&down, now);
        drop(first);
        let second = spread.choose(tenant(), &addresses, now);
        assert_eq!(second.address(), addresses[1]);
        second.failed(&down.clone().retry_after_ms(Some(30_000)), now);
        drop(second);
        assert_eq!(spread.choose(tenant(), &addresses, now).address(), addresses[0], "it is due first");
        let now = now + Duration::from_secs(2);
        let again = spread.choose(tenant(), &addresses, now);
        assert_eq!(again.address(), addresses[0]);
        again.failed(&down, now);
        assert_eq!(spread.lock()[&again.key].away_until, Some(now + Duration::from_secs(2)));
        again.answered(Duration::from_millis(1));
        assert_eq!(spread.lock()[&again.key].failures, 0);
    }
}
