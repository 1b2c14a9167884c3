//! Shapes: keys, types, bounds and names, all problems at once.

use insta::assert_snapshot;

use super::{compiled, planned, problems};
use crate::plan::{Backoff, Jitter, Join, OnError, OnSkip, OnUnknown, RunIf};
use crate::{Effect, Folder};

#[test]
fn all_problems_of_a_file_come_at_once_with_places_and_hints() {
    assert_snapshot!(problems(r#"
nmae: wrong
labels: [a]
timeout: soon
steps:
  - name: First
    exectuor: file_analyzer
  - name: second
    executor: file_analyser
    depends_on: [first, "thrid"]
    condition: 3
    run_if: allways
    timeout: 0s
    retry: {max_attempts: 0, backoff_strategy: exponentially, initial_delay: 5 parsecs, atempts: 3}
    on_error: ignore
    effect: dangerous
    config: text
  - name: third
    executor: ocr_processor
    config:
      min_confidence: 3
      langages: [eng]
  - just a text
"#), @r"
        F010 2:1-2:5 a flow has no key `nmae`
             Did you mean `name`?
        F011 3:9-3:12 `labels` must be a mapping, not a list
        F013 4:10-4:14 `timeout` is not a time between 1 ms and 30 days
             Write `30s`, `1h30m`, `500ms`, or a number of seconds.
        F012 6:5-6:5 a step needs `executor`
        F014 6:11-6:16 `First` is no name for a step
             Small letters, digits and `_`, a letter first, at most 64 characters.
        F010 7:5-7:13 a step has no key `exectuor`
             Did you mean `executor`?
        F020 9:15-9:28 there is no executor `file_analyser`
             Did you mean `file_analyzer`?
        F031 10:18-10:23 there is no step or group `first` to depend on
             Did you mean `First`?
        F031 10:25-10:32 there is no step or group `thrid` to depend on
             Did you mean `third`?
        F011 11:16-11:17 `condition` must be an expression, not a number
        F013 12:13-12:20 `run_if` cannot be `allways`
             Did you mean `always`?
        F013 13:14-13:16 `timeout` is not a time between 1 ms and 30 days
             Write `30s`, `1h30m`, `500ms`, or a number of seconds.
        F013 14:27-14:28 `max_attempts` must be a whole number, 1 to 100, not 0
        F013 14:48-14:61 `backoff_strategy` cannot be `exponentially`
             Did you mean `exponential`?
        F013 14:78-14:87 `initial_delay` is not a time between 0 and 30 days
             Write `30s`, `1h30m`, `500ms`, or a number of seconds.
        F010 14:89-14:96 `retry` has no key `atempts`
             Known here: `max_attempts`, `backoff_strategy`, `initial_delay`, `factor`, `max_delay`, `jitter`, `max_elapsed`, `retry_on`, `no_retry_on`.
        F013 15:15-15:21 `on_error` cannot be `ignore`
             Known here: `fail`, `continue`, `attention`.
        F013 16:13-16:22 `effect` cannot be `dangerous`
             Known here: `pure`, `idempotent`, `unsafe`.
        F011 17:13-17:17 `config` must be a mapping, not text
        F021 21:23-21:24 `min_confidence` does not fit `ocr_processor`: 3 is greater than the maximum of 1
        F022 22:7-22:15 `ocr_processor` has no config key `langages` here
             Did you mean `languages`?
        F011 23:5-23:16 a step must be a mapping, not text
        ");
}

#[test]
fn what_comes_later_is_refused_by_name() {
    assert_snapshot!(problems(r#"
triggers: []
endpoint: {early_answer: true}
steps:
  - name: a
    executor: file_analyzer
    on_error: {fallback: [{executor: "plugin:acme/reader@1"}]}
  - name: b
    executor: plugin:acme/reader@1
"#), @r"
        F090 2:1-2:9 `triggers` is not available yet in this version
             It is part of the language and comes with a later version; take it out for now.
        F090 3:12-3:24 `early_answer` is not available yet in this version
             It is part of the language and comes with a later version; take it out for now.
        F090 7:38-7:60 `plugin:acme/reader@1` is not available yet in this version
             Plugins come with a later version.
        F090 9:15-9:35 `plugin:acme/reader@1` is not available yet in this version
             Plugins come with a later version.
        ");
}

#[test]
fn a_name_must_agree_with_the_folder() {
    let yaml = "name: other\nsteps:\n  - {name: a, executor: file_analyzer}\n".to_owned();
    let folder = Folder { name: Some("this".to_owned()), yaml, ..Folder::default() };
    assert_snapshot!(super::shown(&crate::compile(&folder, &super::catalogue::catalogue()).problems), @r"
        F015 1:7-1:12 the flow calls itself `other`, but it is `this` here
             `name` is optional: leave it out, or make both the same.
        ");
    assert_snapshot!(problems("name: Not OK\nsteps:\n  - {name: a, executor: file_analyzer}\n"), @r"
        F014 1:7-1:13 `Not OK` is no name for a flow
             Small letters, digits, `_` and `-`, a letter or digit first, at most 64 characters.
        ");
}

#[test]
fn the_plan_has_every_setting_and_every_default() {
    let plan = planned(
        r#"
description: All of it.
labels: {team: ops}
search: [inputs.id]
inputs: {id: string, file: {type: file}}
defaults: {retry: {max_attempts: 2, max_delay: 10s}, timeout: 20s, model: main/small}
fail_fast: true
timeout: 1h
save: all
endpoint: {max_wait: 5s, on_disconnect: cancel}
steps:
  - name: a
    executor: api_request
    config: {url: "https://example.com", method: PUT}
    retry: {backoff_strategy: linear, jitter: none, retry_on: [rejected]}
    run_if: all_settled
    total_timeout: 1m
    on_error: continue
    on_skip: cascade
    on_unknown: retry
  - name: b
    executor: api_request
    config: {url: "https://example.com", method: POST}
    timeout: 0.5
    on_error: {value: {text: ""}}
    parallel_group: g
  - name: c
    executor: api_request
    config: {url: "https://example.com", method: "{{ inputs.id }}"}
    parallel_group: g
    effect: idempotent
  - name: d
    executor: api_request
    config: {url: "https://example.com", method: "{{ inputs.id }}"}
groups:
  g: {join: {at_least: 1}, on_error: cancel_rest, max_parallel: 1, timeout: 30s}
"#,
    );
    assert_eq!((plan.timeout_ms, plan.max_wait_ms, plan.cancel_on_disconnect), (Some(3_600_000), 5_000, true));
    assert_eq!((plan.model.as_deref(), plan.fail_fast, plan.search.len()), (Some("main/small"), true, 1));
    let [a, b, c, d] = plan.steps.as_slice() else { panic!() };
    assert_eq!((a.retry.max_attempts, a.retry.backoff, a.retry.jitter), (2, Backoff::Linear, Jitter::None));
    assert_eq!((a.retry.max_delay_ms, a.retry.initial_delay_ms, a.retry.retry_on.len()), (10_000, 1_000, 1));
    assert_eq!((a.timeout_ms, a.total_timeout_ms, a.effect), (Some(20_000), Some(60_000), Some(Effect::Idempotent)));
    assert_eq!((a.run_if, a.on_skip, a.on_unknown), (RunIf::AllSettled, OnSkip::Cascade, OnUnknown::Retry));
    assert_eq!(a.on_error, OnError::Continue);
    assert_eq!((b.effect, b.timeout_ms), (Some(Effect::Unsafe), Some(500)));
    assert!(matches!(&b.on_error, OnError::Value(value) if value["text"] == ""));
    assert_eq!((c.effect, d.effect), (Some(Effect::Idempotent), None));
    let group = &plan.groups[0];
    assert_eq!((group.join, group.cancel_rest_on_error, group.max_parallel), (Join::AtLeast(1), true, Some(1)));
    assert_eq!((&group.members, group.timeout_ms), (&vec![1, 2], Some(30_000)));
    assert_eq!(plan.steps[0].config_lines["/url"], 14);
}

#[test]
fn a_retry_without_a_number_tries_three_times_and_none_at_all_once() {
    let plan = planned(
        "steps:\n  - {name: a, executor: file_analyzer}\n  - {name: b, executor: file_analyzer, retry: {jitter: none}}\n",
    );
    assert_eq!(plan.steps.iter().map(|step| step.retry.max_attempts).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_flow_has_at_most_500_steps() {
    let step = |n: usize| format!("  - {{name: s{n}, executor: file_analyzer, depends_on: []}}\n");
    let flow = |count: usize| format!("steps:\n{}", (0..count).map(step).collect::<String>());
    assert_eq!(planned(&flow(500)).steps.len(), 500);
    let problems = compiled(&flow(501)).problems;
    assert_eq!((problems.len(), problems[0].code.as_str(), problems[0].line), (1, "F001", 502));
}

#[test]
fn declared_inputs_are_checked_against_themselves() {
    assert_snapshot!(problems(r#"
inputs:
  a: strng
  b: {type: integer, default: three, minimum: 1}
  c: {type: string, pattern: "("}
  d: {type: enum}
  e: {type: enum, values: [x, y], default: z}
  f: {type: file, default: x, accept: [.pdf]}
  g: {schema: {type: nonsense}}
  h: {type: string, minimum: 3, accept: [x]}
  i: {required: true}
  j: {type: string, schema: {}}
  k: {type: string, required: true, default: x}
  BadName: string
search: [inputs.zz, a, outputs.any]
steps:
  - {name: s, executor: llm_analyzer, config: {text: x}}
"#), @r#"
        F013 3:6-3:11 `type` cannot be `strng`
             Did you mean `string`?
        F017 4:31-4:36 the default of `b` does not fit: "three" is not of type "integer"
        F013 5:30-5:33 `pattern` cannot be used: unclosed group
        F012 6:6-6:18 an `enum` needs its `values`
        F017 7:44-7:45 the default of `e` does not fit: "z" is not one of "x" or "y"
        F017 8:28-8:29 `f` is a file; it has no default and no examples
        F016 9:15-9:31 this is no JSON Schema: "nonsense" is not valid under any of the schemas listed in t…
        F013 10:21-10:28 `minimum` does not belong to this type
        F013 10:33-10:39 `accept` belongs to the type `file`
        F012 11:3-11:4 the input `i` needs a `type`
             One of string, integer, number, boolean, object, array, file, enum.
        F013 12:21-12:27 an input has a `type` or a `schema`, not both
        F017 13:46-13:47 `k` is required and has a default; it cannot be both
        F014 14:3-14:10 `BadName` is no name for an input
             Small letters, digits and `_`, a letter first, at most 64 characters.
        F018 15:10-15:19 there is no input or output `zz` to search by
             Known here: `b`, `c`, `d`, `e`, `f`, `g`, `h`, `k`.
        "#);
}
