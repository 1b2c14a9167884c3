//! Rates by GCRA (the generic cell rate algorithm): one number a subject, exact on this node.
//!
//! Invariant: a subject may burst up to its whole minute and then flows at the rate; a refusal names the true wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a subject stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until the whole limit is free again.
    pub(crate) reset: Duration,
}

pub(crate) struct Rates {
    per_minute: u32,
    started: Instant,
    /// The theoretical arrival time of each subject's next request, since `started`.
    arrivals: Mutex<HashMap<String, Duration>>,
}

/// Subjects kept before those whose time has passed are forgotten.
const KEPT: usize = 50_000;
const WINDOW: Duration = Duration::from_secs(60);

impl Rates {
    /// `per_minute` 0 is no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, started: Instant::now(), arrivals: Mutex::default() }
    }

    /// Counts one request; the error is how long to wait.
    pub(crate) fn admit(&self, subject: &str) -> Result<Option<Standing>, Duration> {
        self.admit_at(subject, self.started.elapsed())
    }

    fn admit_at(&self, subject: &str, now: Duration) -> Result<Option<Standing>, Duration> {
        if self.per_minute == 0 {
            return Ok(None);
        }
        let interval = WINDOW / self.per_minute;
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() >= KEPT {
            arrivals.retain(|_, arrival| *arrival > now);
        }
        let arrival = arrivals.get(subject).copied().unwrap_or_default().max(now) + interval;
        let ahead = arrival - now;
        if ahead > WINDOW {
            return Err(ahead - WINDOW);
        }
        arrivals.insert(subject.to_owned(), arrival);
        let remaining = (WINDOW - ahead).as_nanos() / interval.as_nanos().max(1);
        Ok(Some(Standing {
            limit: self.per_minute,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: ahead,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_a_minute_passes_and_then_the_rate_holds() {
        let rates = Rates::new(60);
        let start = Duration::from_secs(100);
        let admitted = (0..100).filter(|_| rates.admit_at("key", start).is_ok()).count();
        assert_eq!(admitted, 60);
        let wait = rates.admit_at("key", start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        assert!(rates.admit_at("key", start + wait).is_ok(), "the promised wait is true");
        assert!(rates.admit_at("key", start + wait).is_err());
        assert!(rates.admit_at("another", start).is_ok(), "subjects do not share");
    }

    #[test]
    fn no_limit_admits_without_headers() {
        assert_eq!(Rates::new(0).admit("key"), Ok(None));
    }
}
