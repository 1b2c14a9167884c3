//! How fast runs are taken out of the queue while callers come, whose runs do not go through it.
//!
//! Invariant: a queue goes on however many callers come; a run in it that one of them waits for is taken at once, unless it was parked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Where somebody called this short while ago, the next one is likely to call now.
const CALLERS_PAUSE: Duration = Duration::from_millis(5);
/// While callers come, one claim follows another no sooner than this. With claims that followed at once, ten runs took up to
/// 2.9 times as long to begin beside a long queue as without it, and with one every 20 ms up to 2.2 times. A queue still moves
/// by 500 runs a second, and each of these takes a part of the machine that callers would have.
const CLAIM_EVERY: Duration = Duration::from_millis(32);

/// When a caller was given a place, or was answered, last.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    pub(super) fn call(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When it is to be asked again whether the next claim may be made; `None`: now.
    pub(super) fn opens(&self, last_claim: Instant) -> Option<Instant> {
        opens(Instant::now(), last_claim, *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn opens(now: Instant, last_claim: Instant, last_call: Option<Instant>) -> Option<Instant> {
    let open = (last_claim + CLAIM_EVERY).min(last_call? + CALLERS_PAUSE);
    (open > now).then_some(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_waits_for_a_pause_of_the_callers_and_no_longer_than_its_turn() {
        let now = Instant::now() + Duration::from_secs(60);
        let ms = Duration::from_millis;
        assert_eq!(opens(now, now, None), None, "nobody ever called");
        assert_eq!(opens(now, now, Some(now - CALLERS_PAUSE)), None, "nobody calls now");
        assert_eq!(opens(now, now - ms(1), Some(now - ms(2))), Some(now + CALLERS_PAUSE - ms(2)));
        let almost = now - CLAIM_EVERY + ms(1);
        assert_eq!(opens(now, almost, Some(now)), Some(now + ms(1)), "callers come and come");
        assert_eq!(opens(now, now - CLAIM_EVERY, Some(now)), None, "the queue has its turn all the same");
    }
}
