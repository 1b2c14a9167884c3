//! Retry is data plus an iterator that can start at any attempt.
//!
//! Invariant: nothing here waits or draws a random number; the same policy, attempt and jitter give the same delay.

use std::time::Duration;

use domain::{Failure, FailureKind};
use language::Effect;
use language::plan::{Backoff, Jitter, RetryPolicy};

/// The delays after attempt n, n + 1 ..., before jitter. Ends with the last attempt the policy allows.
#[derive(Debug, Clone)]
pub struct Delays<'a> {
    policy: &'a RetryPolicy,
    attempt: u32,
}

impl<'a> Delays<'a> {
    /// Starts with the delay that follows attempt `attempt` (1 is the first).
    #[must_use]
    pub const fn after(policy: &'a RetryPolicy, attempt: u32) -> Self {
        Self { policy, attempt }
    }
}

impl Iterator for Delays<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.attempt >= self.policy.max_attempts {
            return None;
        }
        let retries = f64::from(self.attempt.saturating_sub(1));
        let scale = match self.policy.backoff {
            Backoff::Constant => 1.0,
            Backoff::Linear => retries + 1.0,
            Backoff::Exponential => self.policy.factor.max(0.0).powf(retries),
        };
        self.attempt += 1;
        let longest = Duration::from_millis(self.policy.max_delay_ms);
        let first = Duration::from_millis(self.policy.initial_delay_ms).as_secs_f64();
        Some(Duration::try_from_secs_f64(first * scale).unwrap_or(longest).min(longest))
    }
}

/// What becomes of a step whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Again {
        after: Duration,
    },
    GiveUp,
    /// Something was sent and nobody knows what became of it.
    Attention,
}

/// What a step has spent so far.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// Attempts made, the failed one included.
    pub attempts: u32,
    /// Since the first attempt began.
    pub elapsed: Duration,
}

/// Decides after a failed attempt. `jitter` lies in `0.0..1.0`.
#[must_use]
pub fn verdict(policy: &RetryPolicy, effect: Effect, failure: &Failure, spent: Spent, jitter: f64) -> Verdict {
    if effect == Effect::Unsafe && !failure.kind.proves_nothing_happened() {
        return if outcome_is_unknown(failure) { Verdict::Attention } else { Verdict::GiveUp };
    }
    if !wanted(policy, failure) {
        return Verdict::GiveUp;
    }
    let Some(delay) = Delays::after(policy, spent.attempts).next() else { return Verdict::GiveUp };
    let after = match failure.asked_wait_ms() {
        Some(asked) => Duration::from_millis(asked),
        None => jittered(delay, policy.jitter, jitter),
    };
    if spent.elapsed + after > Duration::from_millis(policy.max_elapsed_ms) {
        Verdict::GiveUp
    } else {
        Verdict::Again { after }
    }
}

/// Whether the fault leaves open what happened on the other side.
#[must_use]
pub const fn outcome_is_unknown(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Timeout
            | FailureKind::Overloaded
            | FailureKind::Provider
            | FailureKind::Unknown
            | FailureKind::Cancelled
            | FailureKind::Internal
    )
}

fn wanted(policy: &RetryPolicy, failure: &Failure) -> bool {
    let named = |list: &[String]| list.iter().any(|word| word == failure.kind.as_str() || *word == failure.code);
    !named(&policy.no_retry_on) && (failure.retryable || named(&policy.retry_on))
}

fn jittered(delay: Duration, jitter: Jitter, chance: f64) -> Duration {
    let chance = chance.clamp(0.0, 1.0);
    match jitter {
        Jitter::None => delay,
        Jitter::Full => delay.mul_f64(chance),
        Jitter::Equal => delay.mul_f64(0.5 + chance / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(backoff: Backoff) -> RetryPolicy {
        RetryPolicy { max_attempts: 5, backoff, jitter: Jitter::None, max_delay_ms: 5_000, ..RetryPolicy::default() }
    }

    fn seconds(policy: &RetryPolicy, attempt: u32) -> Vec<u64> {
        Delays::after(policy, attempt).map(|delay| delay.as_secs()).collect()
    }

    fn after(policy: &RetryPolicy, effect: Effect, failure: &Failure) -> Verdict {
        verdict(policy, effect, failure, Spent { attempts: 1, elapsed: Duration::from_secs(1) }, 0.5)
    }

    #[test]
    fn delays_grow_by_strategy_up_to_the_longest_and_can_start_anywhere() {
        assert_eq!(seconds(&policy(Backoff::Constant), 1), [1, 1, 1, 1]);
        assert_eq!(seconds(&policy(Backoff::Linear), 1), [1, 2, 3, 4]);
        assert_eq!(seconds(&policy(Backoff::Exponential), 1), [1, 2, 4, 5]);
        assert_eq!(seconds(&policy(Backoff::Exponential), 3), [4, 5]);
        assert!(seconds(&policy(Backoff::Exponential), 5).is_empty());
        let mut steep = policy(Backoff::Exponential);
        steep.factor = f64::MAX;
        assert_eq!(seconds(&steep, 3), [5, 5]);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, Jitter::Full, 0.0), Duration::ZERO);
        assert_eq!(jittered(second, Jitter::Equal, 0.0), second / 2);
        assert_eq!(jittered(second, Jitter::Equal, 1.0), second);
        assert_eq!(jittered(second, Jitter::None, 0.3), second);
    }

    #[test]
    fn a_servers_wish_replaces_the_delay_within_the_time_in_all() {
        let busy = |wait| Failure::new(FailureKind::RateLimited, "rate_limited", "busy").retry_after_ms(Some(wait));
        let policy = policy(Backoff::Constant);
        assert_eq!(after(&policy, Effect::Pure, &busy(30_000)), Verdict::Again { after: Duration::from_secs(30) });
        assert_eq!(after(&policy, Effect::Pure, &busy(3_600_000)), Verdict::GiveUp);
    }

    #[test]
    fn the_author_may_widen_and_narrow_what_is_retried() {
        let rejected = Failure::new(FailureKind::Rejected, "no_such_page", "gone");
        let cut = Failure::new(FailureKind::Provider, "cut", "cut");
        let mut policy = policy(Backoff::Constant);
        assert_eq!(after(&policy, Effect::Pure, &rejected), Verdict::GiveUp);
        assert!(matches!(after(&policy, Effect::Pure, &cut), Verdict::Again { .. }));
        policy.retry_on = vec!["no_such_page".to_owned()];
        policy.no_retry_on = vec!["provider".to_owned()];
        assert!(matches!(after(&policy, Effect::Pure, &rejected), Verdict::Again { .. }));
        assert_eq!(after(&policy, Effect::Pure, &cut), Verdict::GiveUp);
    }

    #[test]
    fn an_unsafe_call_is_repeated_only_if_nothing_can_have_happened() {
        let policy = policy(Backoff::Constant);
        let of = |kind| after(&policy, Effect::Unsafe, &Failure::new(kind, "x", "x"));
        assert!(matches!(of(FailureKind::Connect), Verdict::Again { .. }));
        assert!(matches!(of(FailureKind::RateLimited), Verdict::Again { .. }));
        assert_eq!(of(FailureKind::Timeout), Verdict::Attention);
        assert_eq!(of(FailureKind::Provider), Verdict::Attention);
        assert_eq!(of(FailureKind::Unknown), Verdict::Attention);
        assert_eq!(of(FailureKind::Rejected), Verdict::GiveUp);
        assert_eq!(of(FailureKind::Input), Verdict::GiveUp);
    }
}
