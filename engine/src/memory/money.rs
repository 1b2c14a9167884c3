//! The accounts of a run tree with caps, in memory.
//!
//! Invariant: what is reserved and what was spent never exceed a cap together, however many reserve at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::NanoUsd;
use language::Plan;

use crate::money::Purse;
use crate::ports::{Money, OverCap, PortError, Reserved};

/// The account of the flow that called this one, and where in that flow the call stands.
pub type Outer = (Arc<dyn Money>, Purse);

pub struct MemoryMoney {
    plan: Arc<Plan>,
    outer: Option<Outer>,
    /// By account.
    taken: Mutex<HashMap<String, i64>>,
}

impl MemoryMoney {
    #[must_use]
    pub fn new(plan: Arc<Plan>, outer: Option<Outer>) -> Self {
        Self { plan, outer, taken: Mutex::default() }
    }

    fn take(&self, purse: &Purse, amount: NanoUsd) -> Result<(), OverCap> {
        let accounts = purse.accounts(&self.plan);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for account in &accounts {
            let before = taken.get(&account.name).copied().unwrap_or_default();
            if before.saturating_add(amount.0) > account.cap.0 {
                let left = NanoUsd(account.cap.0.saturating_sub(before).max(0));
                return Err(OverCap { whose: account.whose.clone(), cap: account.cap, left });
            }
        }
        for account in accounts {
            *taken.entry(account.name).or_default() += amount.0;
        }
        Ok(())
    }

    fn give_back(&self, purse: &Purse, amount: i64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for account in purse.accounts(&self.plan) {
            let sum = taken.entry(account.name).or_default();
            *sum = sum.saturating_sub(amount);
        }
    }
}

#[async_trait]
impl Money for MemoryMoney {
    async fn reserve(&self, purse: &Purse, amount: NanoUsd) -> Result<Result<Reserved, OverCap>, PortError> {
        if let Err(over) = self.take(purse, amount) {
            return Ok(Err(over));
        }
        let reserved = Reserved { amount, purse: purse.clone() };
        let Some((outer, theirs)) = &self.outer else { return Ok(Ok(reserved)) };
        let outside = outer.reserve(theirs, amount).await;
        if !matches!(outside, Ok(Ok(_))) {
            self.give_back(purse, amount.0);
        }
        Ok(outside?.map(|_| reserved))
    }

    async fn settle(&self, reserved: Reserved, cost: Option<NanoUsd>) -> Result<(), PortError> {
        let spent = cost.unwrap_or(reserved.amount);
        self.give_back(&reserved.purse, reserved.amount.0.saturating_sub(spent.0));
        match &self.outer {
            Some((outer, purse)) => {
                outer.settle(Reserved { amount: reserved.amount, purse: purse.clone() }, cost).await
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::Stage;
    use crate::money::Whose;

    fn plan(yaml: &str) -> Arc<Plan> {
        Stage::new(yaml).plan
    }

    fn capped(nano: i64) -> String {
        format!("max_cost: 0.{nano:09}\nsteps:\n  - {{name: one, executor: act}}\n")
    }

    #[tokio::test]
    async fn reservations_never_exceed_the_cap_here_or_outside() {
        let main = Purse::default();
        let outer: Arc<dyn Money> = Arc::new(MemoryMoney::new(plan(&capped(100)), None));
        let inner = MemoryMoney::new(plan(&capped(80)), Some((outer.clone(), main.clone())));
        let over = |cap, left| OverCap { whose: Whose::Run, cap: NanoUsd(cap), left: NanoUsd(left) };
        let first = inner.reserve(&main, NanoUsd(60)).await.unwrap().unwrap();
        assert_eq!(inner.reserve(&main, NanoUsd(30)).await.unwrap(), Err(over(80, 20)));
        let beside = outer.reserve(&main, NanoUsd(30)).await.unwrap().unwrap();
        // The inner account has room, the outer one has not; nothing stays reserved.
        assert_eq!(inner.reserve(&main, NanoUsd(20)).await.unwrap(), Err(over(100, 10)));
        inner.settle(first, Some(NanoUsd(10))).await.unwrap();
        outer.settle(beside, None).await.unwrap();
        assert!(inner.reserve(&main, NanoUsd(60)).await.unwrap().is_ok(), "10 and 30 are spent");
        assert_eq!(inner.reserve(&main, NanoUsd(1)).await.unwrap(), Err(over(100, 0)));
    }

    #[tokio::test]
    async fn a_group_has_a_cap_of_its_own_within_the_runs_and_handlers_have_a_tenth_beside_it() {
        let yaml = "max_cost: 0.0000001\ngroups: {both: {max_cost: 0.00000003}}\nsteps:\n  - {name: one, executor: act, parallel_group: both}\n  - {name: two, executor: act}\nfinally:\n  - {name: tidy, executor: act}\n";
        let plan = plan(yaml);
        let money = MemoryMoney::new(plan.clone(), None);
        let (grouped, main, handler) =
            (Purse::named(&plan, "one"), Purse::named(&plan, "two"), Purse::named(&plan, "tidy"));
        let over = money.reserve(&grouped, NanoUsd(31)).await.unwrap().unwrap_err();
        assert_eq!((over.whose, over.cap), (Whose::Group("both".to_owned()), NanoUsd(30)));
        money.reserve(&grouped, NanoUsd(30)).await.unwrap().unwrap();
        assert!(money.reserve(&main, NanoUsd(71)).await.unwrap().is_err(), "the group's money is the run's too");
        money.reserve(&main, NanoUsd(70)).await.unwrap().unwrap();
        money.reserve(&handler, NanoUsd(10)).await.unwrap().unwrap();
        assert_eq!(money.reserve(&handler, NanoUsd(1)).await.unwrap().unwrap_err().whose, Whose::Handlers);
    }
}
