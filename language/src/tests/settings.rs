//! Caches, places, pools, money, and what is stored.

use insta::assert_snapshot;

use super::{planned, problems};
use crate::plan::{CacheMode, CacheScope, OnExceeded, OnLimit, Save};

#[test]
fn every_setting_comes_into_the_plan() {
    let plan = planned(
        r#"
max_cost: 0.50
concurrency: {limit: 2, key: "{{ inputs.customer }}", on_limit: replace_oldest, max_wait: 1m}
save: failed
defaults: {cache: {ttl: 1h, tags: [daily]}}
groups: {g: {max_cost: {amount: 0.000000001, on_exceeded: approve}}}
steps:
  - {name: a, executor: file_analyzer, resources: {pool: gpu, units: 2}, concurrency: {limit: 1}}
  - {name: b, executor: file_analyzer, cache: off, resources: {pool: gpu}}
  - {name: c, executor: file_analyzer, cache: {mode: read_only, scope: tenant, force: true}, parallel_group: g}
  - {name: d, executor: api_request, config: {url: "https://example.com", method: POST}}
"#,
    );
    let cap = plan.max_cost.unwrap();
    assert_eq!((cap.nano_usd, cap.on_exceeded), (500_000_000, OnExceeded::Fail));
    let cap = plan.groups[0].max_cost.unwrap();
    assert_eq!((cap.nano_usd, cap.on_exceeded), (1, OnExceeded::Approve));
    let places = plan.concurrency.as_ref().unwrap();
    assert_eq!((places.limit, places.key.as_deref()), (2, Some("{{ inputs.customer }}")));
    assert_eq!((places.on_limit, places.max_wait_ms), (OnLimit::ReplaceOldest, Some(60_000)));
    assert_eq!(plan.save, Save::Failed);
    let [a, b, c, d] = plan.steps.as_slice() else { panic!() };
    let cache = a.cache.as_ref().unwrap();
    assert_eq!((cache.mode, cache.ttl_ms, cache.scope), (CacheMode::On, Some(3_600_000), CacheScope::Flow));
    assert_eq!((cache.tags.as_slice(), cache.force), (["daily".to_owned()].as_slice(), false));
    assert_eq!(a.resources.as_ref().map(|taken| (taken.pool.as_str(), taken.units)), Some(("gpu", 2)));
    assert_eq!(a.concurrency.as_ref().map(|places| places.on_limit), Some(OnLimit::Queue));
    assert_eq!((b.cache.is_none(), b.resources.as_ref().map(|taken| taken.units)), (true, Some(1)));
    let cache = c.cache.as_ref().unwrap();
    assert_eq!((cache.mode, cache.ttl_ms, cache.scope), (CacheMode::ReadOnly, Some(3_600_000), CacheScope::Tenant));
    assert!(d.cache.is_none(), "what acts on the outside world is never taken from a cache");
}

#[test]
fn settings_with_other_values_are_refused() {
    assert_snapshot!(problems(r#"
max_cost: {amonut: 3}
concurrency: {key: "{{ steps.a.file_type }}"}
save: some
defaults: {cache: true}
steps:
  - {name: a, executor: file_analyzer, resources: {units: 0}, cache: {mode: sometimes, ttl: never}}
  - {name: b, executor: file_analyzer, max_cost: 1, concurrency: 5}
groups: {}
"#), @r"
        F012 2:11-2:11 `max_cost` needs `amount: <US dollars>`
        F010 2:12-2:18 `max_cost` has no key `amonut`
             Did you mean `amount`?
        F012 3:14-3:14 `concurrency` needs `limit: <number>`
        F013 4:7-4:11 `save` cannot be `some`
             Known here: `all`, `failed`, `none`.
        F011 5:19-5:23 `cache` must be text, not a boolean
             Quote it.
        F012 7:51-7:51 `resources` needs `pool`
        F013 7:59-7:60 `units` must be a whole number, 1 to 100000, not 0
        F013 7:77-7:86 `mode` cannot be `sometimes`
             Known here: `on`, `off`, `read_only`, `write_only`.
        F013 7:93-7:98 `ttl` is not a time between 1 ms and 30 days
             Write `30s`, `1h30m`, `500ms`, or a number of seconds.
        F010 8:40-8:48 a step has no key `max_cost`
        F011 8:66-8:67 `concurrency` must be a mapping, not a number
        ");
    assert_snapshot!(problems("max_cost: -1\nsteps:\n  - {name: a, executor: file_analyzer}\n"), @r"
        F013 1:11-1:13 `max_cost` must be 0 to 1000000, not -1
        ");
    assert_snapshot!(problems("max_cost: cheap\nsteps:\n  - {name: a, executor: file_analyzer}\n"), @r"
        F011 1:11-1:16 `max_cost` must be a number of US dollars, not text
        ");
}

#[test]
fn what_must_be_found_again_is_stored() {
    assert_snapshot!(problems(r#"
save: none
max_cost: {amount: 1, on_exceeded: approve}
steps:
  - {name: a, executor: approval, config: {roles: [x]}}
  - {name: b, executor: api_request, config: {url: x, method: POST}}
  - {name: c, executor: flow_executor, config: {flow_name: x}}
  - {name: d, executor: api_request, config: {url: x, method: PUT}, compensate: {executor: api_request, config: {url: x}}}
  - {name: e, executor: file_analyzer, on_error: attention}
  - {name: f, executor: api_request, config: {url: x, method: POST}, effect: idempotent}
"#), @r"
        F026 2:7-2:11 `save: none` cannot go with `a`: it waits
             Such a run must be found again after a crash; write `save: all`.
        F026 2:7-2:11 `save: none` cannot go with `b`: it acts on the outside world, or nobody can tell
             Such a run must be found again after a crash; write `save: all`.
        F026 2:7-2:11 `save: none` cannot go with `c`: it acts on the outside world, or nobody can tell
             Such a run must be found again after a crash; write `save: all`.
        F026 2:7-2:11 `save: none` cannot go with `e`: a person may have to repair it
             Such a run must be found again after a crash; write `save: all`.
        F026 2:7-2:11 `save: none` cannot go with `d:compensate`: it undoes another step
             Such a run must be found again after a crash; write `save: all`.
        F026 2:7-2:11 `save: none` cannot go with `on_exceeded: approve`: the run may have to wait
        ");
    assert_eq!(planned("save: none\nsteps:\n  - {name: a, executor: file_analyzer}\n").save, Save::None);
}

#[test]
fn a_cache_that_does_nothing_is_named() {
    assert_snapshot!(problems(r#"
max_cost: {amount: 1, on_exceeded: fallback}
steps:
  - {name: a, executor: api_request, cache: on, config: {url: x, method: POST}}
  - {name: b, executor: llm_analyzer, cache: on, config: {text: x, temperature: 0.7}}
  - {name: c, executor: llm_analyzer, cache: {force: true}, config: {text: x, temperature: 0.7}}
  - {name: d, executor: approval, cache: on, config: {roles: [x]}}
"#), @r"
        F027 warning 2:1-2:1 `on_exceeded: fallback`, but no step has a fallback
             Give the expensive steps a cheaper way: `on_error: {fallback: [...]}`.
        F027 warning 4:45-4:47 the step acts on the outside world, so it is never taken from a cache
             Where running it twice does no harm, say so: `effect: idempotent` or `effect: pure`.
        F027 warning 5:46-5:48 a step with a temperature above 0 is not taken from a cache
             Write `cache: {force: true}` if one answer will do.
        F026 7:42-7:44 `approval` waits; there is nothing to keep
        ");
}
