//! Retries against one host share a budget, so that an outage does not multiply the load on it: a fifth of the calls of the
//! last minute, by tenant. A retry beyond it is not refused but put off until the budget has room.
//!
//! Invariant: in any minute at most [`SHARE`] of a minute's calls, or [`FLOOR`], are promised as retries of one host; the
//! step's own policy decides whether waiting that long is worth it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{Failure, TenantId};
use engine::Call;
use tokio::time::Instant;

/// Retries for each call of the last minute.
const SHARE: f64 = 0.2;
/// Retries a minute that a host with few calls may have all the same.
const FLOOR: f64 = 20.0;
const WINDOW: Duration = Duration::from_secs(60);
/// Hosts kept before those that nobody called for two minutes are forgotten.
const KEPT: usize = 4_096;

/// One a process; shared by all executors that call hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetryBudget {
    hosts: Arc<Mutex<HashMap<(TenantId, String), Host>>>,
}

/// What is known of one host.
#[derive(Debug)]
struct Host {
    /// When the minute that is counted now began.
    began: Instant,
    calls: u32,
    /// Calls of the minute before.
    before: u32,
    /// When the budget has taken in all retries that were promised (generic cell rate).
    arrival: Instant,
}

impl Host {
    fn new(now: Instant) -> Self {
        Self { began: now, calls: 0, before: 0, arrival: now }
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        if passed < WINDOW {
            return;
        }
        self.before = if passed < WINDOW * 2 { self.calls } else { 0 };
        self.calls = 0;
        self.began = now;
    }

    /// Calls of the last minute, as far as two counters know.
    fn rate(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.began).as_secs_f64() / WINDOW.as_secs_f64();
        f64::from(self.before) * (1.0 - passed).max(0.0) + f64::from(self.calls)
    }

    /// How long the next retry has to wait for its place.
    fn promise(&mut self, now: Instant) -> Duration {
        let allowed = (self.rate(now) * SHARE).max(FLOOR);
        self.arrival = self.arrival.max(now) + WINDOW.div_f64(allowed);
        (self.arrival - now).saturating_sub(WINDOW)
    }
}

impl RetryBudget {
    /// Counts a call to this host.
    pub(crate) fn called(&self, call: &Call, host: &str) {
        self.called_at(call, host, Instant::now());
    }

    fn called_at(&self, call: &Call, host: &str, now: Instant) {
        self.on(call.tenant, host, now, |host, _| host.calls = host.calls.saturating_add(1));
    }

    /// The failure of a call to this host, with the wait that the budget asks for.
    pub(crate) fn failed(&self, call: &Call, host: &str, failure: Failure) -> Failure {
        self.failed_at(call, host, failure, Instant::now())
    }

    fn failed_at(&self, call: &Call, host: &str, failure: Failure, now: Instant) -> Failure {
        if !failure.retryable || !call.may_be_retried {
            return failure;
        }
        let wait = self.on(call.tenant, host, now, Host::promise);
        if wait.is_zero() {
            return failure;
        }
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let asked = failure.retry_after_ms.unwrap_or_default();
        failure.retry_after_ms(Some(asked.max(wait)))
    }

    fn on<T>(&self, tenant: TenantId, host: &str, now: Instant, act: impl FnOnce(&mut Host, Instant) -> T) -> T {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= KEPT {
            hosts.retain(|_, host| now.saturating_duration_since(host.began) < WINDOW * 2 || host.arrival > now);
        }
        let host = hosts.entry((tenant, host.to_owned())).or_insert_with(|| Host::new(now));
        host.turn(now);
        act(host, now)
    }
}

#[cfg(test)]
mod tests {
    use domain::FailureKind;

    use super::*;

    #[test]
    fn an_outage_gets_a_fifth_of_its_calls_again_in_a_minute_and_the_rest_later() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        let (call, _) = crate::testing::call(None);
        let call = Call { may_be_retried: true, ..call };
        let outage = || Failure::new(FailureKind::Overloaded, "http_503", "down");
        for _ in 0..1_000 {
            budget.called_at(&call, "api.test", now);
        }
        let waits: Vec<u64> = (0..1_000)
            .map(|_| budget.failed_at(&call, "api.test", outage(), now).retry_after_ms.unwrap_or_default())
            .collect();
        assert_eq!(waits.iter().filter(|wait| **wait == 0).count(), 200);
        for minute in 1..5_u64 {
            let within = |wait: &&u64| **wait > (minute - 1) * 60_000 && **wait <= minute * 60_000;
            assert_eq!(waits.iter().filter(within).count(), 200, "minute {minute}");
        }
        // Another host, another tenant, a call that is not retried: none of its business.
        assert_eq!(budget.failed_at(&call, "other.test", outage(), now).retry_after_ms, None);
        let last = Call { may_be_retried: false, ..crate::testing::call(None).0 };
        assert_eq!(budget.failed_at(&last, "api.test", outage(), now).retry_after_ms, None);
        assert_eq!(
            budget.failed_at(&call, "api.test", outage(), now + WINDOW * 6).retry_after_ms,
            None,
            "the outage is forgotten"
        );
    }

    #[test]
    fn a_host_with_few_calls_has_some_retries_and_a_server_s_longer_wish_counts() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        let (call, _) = crate::testing::call(None);
        let call = Call { may_be_retried: true, ..call };
        let busy = || Failure::new(FailureKind::RateLimited, "http_429", "busy").retry_after_ms(Some(90_000));
        let waits: Vec<Option<u64>> =
            (0..40).map(|_| budget.failed_at(&call, "api.test", busy(), now).retry_after_ms).collect();
        assert!(waits.iter().all(|wait| *wait == Some(90_000)));
        assert_eq!(
            budget.failed_at(&call, "api.test", Failure::new(FailureKind::Input, "x", "x"), now).retry_after_ms,
            None
        );
    }
}
