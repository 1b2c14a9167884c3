//! The account of a run tree with a cap, in memory.
//!
//! Invariant: what is reserved and what was spent never exceed the cap together, however many reserve at once.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::NanoUsd;

use crate::ports::{Money, OverCap, PortError, Reserved};

pub struct MemoryMoney {
    cap: NanoUsd,
    /// The account of the flow that called this one: what is reserved here is reserved there too.
    outer: Option<Arc<dyn Money>>,
    taken: Mutex<i64>,
}

impl MemoryMoney {
    #[must_use]
    pub fn new(cap: NanoUsd, outer: Option<Arc<dyn Money>>) -> Self {
        Self { cap, outer, taken: Mutex::new(0) }
    }

    fn give_back(&self, amount: i64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(amount);
    }
}

#[async_trait]
impl Money for MemoryMoney {
    async fn reserve(&self, amount: NanoUsd) -> Result<Result<Reserved, OverCap>, PortError> {
        {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = taken.saturating_add(amount.0);
            if sum > self.cap.0 {
                return Ok(Err(OverCap { cap: self.cap, left: NanoUsd(self.cap.0.saturating_sub(*taken).max(0)) }));
            }
            *taken = sum;
        }
        let Some(outer) = &self.outer else { return Ok(Ok(Reserved { id: String::new(), amount })) };
        let reserved = outer.reserve(amount).await;
        if !matches!(reserved, Ok(Ok(_))) {
            self.give_back(amount.0);
        }
        reserved
    }

    async fn settle(&self, reserved: Reserved, cost: Option<NanoUsd>) -> Result<(), PortError> {
        let spent = cost.unwrap_or(reserved.amount);
        self.give_back(reserved.amount.0.saturating_sub(spent.0));
        match &self.outer {
            Some(outer) => outer.settle(reserved, cost).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reservations_never_exceed_the_cap_here_or_outside() {
        let outer: Arc<dyn Money> = Arc::new(MemoryMoney::new(NanoUsd(100), None));
        let inner = MemoryMoney::new(NanoUsd(80), Some(outer.clone()));
        let first = inner.reserve(NanoUsd(60)).await.unwrap().unwrap();
        assert_eq!(inner.reserve(NanoUsd(30)).await.unwrap(), Err(OverCap { cap: NanoUsd(80), left: NanoUsd(20) }));
        let beside = outer.reserve(NanoUsd(30)).await.unwrap().unwrap();
        // The inner account has room, the outer one has not; nothing stays reserved.
        assert_eq!(inner.reserve(NanoUsd(20)).await.unwrap(), Err(OverCap { cap: NanoUsd(100), left: NanoUsd(10) }));
        inner.settle(first, Some(NanoUsd(10))).await.unwrap();
        outer.settle(beside, None).await.unwrap();
        assert!(inner.reserve(NanoUsd(60)).await.unwrap().is_ok(), "10 and 30 are spent");
        assert_eq!(inner.reserve(NanoUsd(1)).await.unwrap(), Err(OverCap { cap: NanoUsd(100), left: NanoUsd(0) }));
    }
}
