//! Which accounts an attempt is paid from: the run's, its group's, or the allowance of the handlers.
//!
//! Invariant: pure; memory and store count the same, because both ask here.

use domain::NanoUsd;
use language::Plan;
use language::plan::{MaxCost, OnExceeded, Phase, StepPlan};

/// What handlers may spend beside their flow, as a part of its cap.
const HANDLERS_PART: i64 = 10;

/// Where in its flow an attempt spends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purse {
    pub group: Option<String>,
    pub handler: bool,
}

/// Whose cap it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    Run,
    Group(String),
    Handlers,
}

/// An account of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Empty for the run's own.
    pub name: String,
    pub whose: Whose,
    pub cap: NanoUsd,
}

impl Purse {
    /// The purse of a step.
    #[must_use]
    pub fn of(plan: &Plan, step: &StepPlan) -> Self {
        let group = step.group.and_then(|group| plan.groups.get(group)).map(|group| group.name.clone());
        Self { group, handler: step.phase != Phase::Main }
    }

    /// The purse of a step by its name; the run's own where there is no such step.
    #[must_use]
    pub fn named(plan: &Plan, step: &str) -> Self {
        plan.steps.iter().find(|known| known.name == step).map(|step| Self::of(plan, step)).unwrap_or_default()
    }

    /// The accounts that this purse pays from. Handlers have an allowance of their own, so that a flow that has spent
    /// everything can still clean up.
    #[must_use]
    pub fn accounts(&self, plan: &Plan) -> Vec<Account> {
        if self.handler {
            let part = |cap: MaxCost| Account {
                name: "handlers".to_owned(),
                whose: Whose::Handlers,
                cap: NanoUsd(cap.nano_usd / HANDLERS_PART),
            };
            return plan.max_cost.map(part).into_iter().collect();
        }
        let run =
            plan.max_cost.map(|cap| Account { name: String::new(), whose: Whose::Run, cap: NanoUsd(cap.nano_usd) });
        let group = self.group.as_ref().and_then(|name| {
            let cap = plan.groups.iter().find(|group| group.name == *name)?.max_cost?;
            let account = format!("group:{name}");
            Some(Account { name: account, whose: Whose::Group(name.clone()), cap: NanoUsd(cap.nano_usd) })
        });
        run.into_iter().chain(group).collect()
    }
}

/// Whether anything of this flow has a cap.
#[must_use]
pub fn has_caps(plan: &Plan) -> bool {
    plan.max_cost.is_some() || plan.groups.iter().any(|group| group.max_cost.is_some())
}

impl Whose {
    /// The code of a failure at this cap.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Run => "max_cost",
            Self::Group(_) => "group_max_cost",
            Self::Handlers => "handlers_max_cost",
        }
    }
}

/// What a flow says about a failure with this code; `None` for any other failure.
pub(crate) fn on_exceeded(plan: &Plan, step: &StepPlan, code: &str) -> Option<OnExceeded> {
    let cap = match code {
        "max_cost" | "handlers_max_cost" => plan.max_cost,
        "group_max_cost" => step.group.and_then(|group| plan.groups.get(group)).and_then(|group| group.max_cost),
        _ => return None,
    };
    Some(cap.map(|cap| cap.on_exceeded).unwrap_or_default())
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run => f.write_str("the run's cap"),
            Self::Group(name) => write!(f, "the cap of group `{name}`"),
            Self::Handlers => f.write_str("the handlers' allowance (a tenth of `max_cost`)"),
        }
    }
}
