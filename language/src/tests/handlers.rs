//! What happens after a failure: fallbacks, compensations, and the steps of `on_error` and `finally`.

use insta::assert_snapshot;
use serde_json::json;

use super::{order, planned, problems};
use crate::Effect;
use crate::plan::{FailureClass, OnError, Phase};

#[test]
fn fallbacks_keep_their_order_and_bring_their_own_retries_main_inputs_and_reads() {
    let plan = planned(
        r#"
steps:
  - {name: other, executor: file_analyzer, depends_on: []}
  - {name: read, executor: document_extractor, depends_on: []}
  - name: ask
    executor: llm_analyzer
    depends_on: []
    config: {text: x}
    on_error:
      fallback:
        - {for: context_window, executor: llm_analyzer, config: {model: big}}
        - {executor: api_request, config: {url: "https://example.com", json: "{{ steps.other }}"}, retry: {max_attempts: 5}, effect: idempotent}
      value: {text: none}
"#,
    );
    let ask = &plan.steps[2];
    let [first, second] = ask.fallbacks.as_slice() else { panic!() };
    assert_eq!((first.class, first.retry.max_attempts, first.line), (Some(FailureClass::ContextWindow), 3, 11));
    assert_eq!(first.main_input.as_ref().map(|main| main.field.as_str()), Some("text"));
    assert_eq!((second.class, second.retry.max_attempts, second.effect), (None, 5, Some(Effect::Idempotent)));
    assert_eq!(second.config_lines["/json"], 12);
    assert_eq!(ask.on_error, OnError::Value(json!({ "text": "none" })));
    assert_snapshot!(order(&plan), @r"
        other
          file from the only file
        read
          file from the only file
        ask
          after other (output)
        ");
}

#[test]
fn fallbacks_are_checked_like_steps() {
    assert_snapshot!(problems(r#"
steps:
  - name: a
    executor: llm_analyzer
    config: {text: x}
    on_error: {fallback: [{executor: llm_analyser}, {for: rate_limit, executor: ocr_processor, config: {langages: [x]}}, {config: {}}, {executor: wait, config: {for: 1s}}]}
  - {name: b, executor: llm_analyzer, config: {text: x}, on_error: {fallback: []}}
  - {name: c, executor: llm_analyzer, config: {text: x}, on_error: {}}
"#), @r"
        F020 6:38-6:50 there is no executor `llm_analyser`
             Did you mean `llm_analyzer`?
        F013 6:59-6:69 `for` cannot be `rate_limit`
             Did you mean `rate_limited`?
        F022 6:105-6:113 `ocr_processor` has no config key `langages` here
             Did you mean `languages`?
        F012 6:122-6:122 a fallback needs `executor`
        F026 6:147-6:151 `wait` can be neither a fallback nor repeated
        F013 7:79-7:81 `fallback` needs at least one other way
        F012 8:68-8:70 `on_error` needs `value: ...` or `fallback: [...]`
        ");
}

#[test]
fn a_compensation_is_a_step_that_reads_what_came_before_what_it_undoes() {
    let plan = planned(
        r#"
inputs: {rows: {type: array}, file: file}
steps:
  - {name: before, executor: file_analyzer}
  - name: charge
    executor: api_request
    config: {url: "https://example.com", method: POST, json: "{{ steps.before.size_bytes }}"}
    compensate: {executor: api_request, config: {url: "https://example.com/{{ steps.charge.body }}/{{ steps.before.file_type }}", method: DELETE}}
  - name: each
    executor: api_request
    for_each: inputs.rows
    as: row
    config: {url: "https://example.com", method: PUT, json: "{{ row.value }}"}
    compensate: {executor: api_request, config: {url: "https://example.com/{{ item.value.id }}/{{ item.output.http_status }}", method: DELETE}}
  - {name: last, executor: file_analyzer}
"#,
    );
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["before", "charge", "each", "last", "charge:compensate", "each:compensate"]);
    assert_eq!((plan.steps[1].compensation, plan.steps[2].compensation), (Some(4), Some(5)));
    assert_eq!(plan.steps[4].phase, Phase::Compensation { of: 1 });
    assert_eq!((plan.steps[4].effect, plan.steps[4].needs.len(), plan.steps[4].line), (Some(Effect::Idempotent), 0, 8));
    let undo = plan.steps[5].for_each.as_ref().unwrap();
    assert_eq!(undo.name, None);
    assert_eq!(
        undo.list,
        json!("{{ (inputs.rows) | zip(steps.each.output) | list | jmespath('[*].{value: [0], output: [1]}') }}")
    );
    assert_snapshot!(problems(r#"
steps:
  - name: charge
    executor: api_request
    config: {url: "https://example.com", method: POST}
    compensate: {executor: api_request, config: {url: "https://example.com/{{ steps.later.file_type }}/{{ error.message }}/{{ item }}"}}
  - {name: later, executor: file_analyzer}
"#), @r"
        F037 6:79-6:100 `later` need not have run when `charge` is undone
             A compensation reads `charge` and the steps before it.
        F045 6:107-6:120 there is no `error` here
             It is there for the steps of `on_error` and `finally`.
        F045 6:127-6:131 there is no `item` here
             It is there in the config of a step with `for_each`, and in its `repeat.until`.
        ");
}

#[test]
fn handlers_run_in_their_own_order_after_everything_else() {
    let plan = planned(
        r#"
steps:
  - {name: a, executor: document_extractor}
  - {name: b, executor: file_analyzer}
on_error:
  - {name: tell, executor: api_request, config: {url: "https://example.com", json: {why: "{{ error.message }}", step: "{{ failed_step }}", had: "{{ steps.a.text | default('') }}"}}}
  - {name: again, executor: api_request, condition: steps.tell.success and steps.a.success, config: {url: "https://example.com"}}
finally:
  - {name: clean, executor: llm_analyzer}
  - {name: both, executor: api_request, parallel_group: end, config: {url: "https://example.com/{{ steps.tell.status }}"}}
  - {name: sides, executor: api_request, parallel_group: end, config: {url: "https://example.com"}}
"#,
    );
    let phases: Vec<Phase> = plan.steps.iter().map(|step| step.phase).collect();
    use Phase::{Finally, Main, OnError};
    assert_eq!(phases, [Main, Main, OnError, OnError, Finally, Finally, Finally]);
    assert_snapshot!(order(&plan), @r"
        a
          file from the only file
        b
          after a (order)
          file from the only file
        tell
        again
          after tell (order, record)
          watches tell
          if steps.tell.success and steps.a.success
        clean
          text from a.text | the only text
        both in end
          after clean (order)
        sides in end
          after clean (order)
        ");
}

#[test]
fn the_flows_own_steps_know_nothing_of_handlers() {
    assert_snapshot!(problems(r#"
outputs: {told: "{{ steps.tell.http_status }}"}
steps:
  - {name: a, executor: file_analyzer, depends_on: [tell], condition: "error is none"}
  - {name: b, executor: file_analyzer, condition: steps.clean.success}
on_error:
  - {name: tell, executor: api_request, depends_on: [a], config: {url: "https://example.com/{{ steps.clean.file_type }}"}}
  - {name: ask, executor: approval, config: {roles: [x]}}
  - {name: undo, executor: api_request, config: {url: "x"}, compensate: {executor: api_request, config: {url: "x"}}, on_error: attention}
finally:
  - {name: clean, executor: file_analyzer}
  - {name: a, executor: file_analyzer}
"#), @r"
        F037 2:21-2:43 `tell` has its turn after this
             What `on_error` and `finally` hold runs after all other steps; only steps there can read it.
        F037 4:53-4:57 `tell` does not run beside this step
             What `on_error` and `finally` hold runs after all other steps.
        F045 4:72-4:77 there is no `error` here
             It is there for the steps of `on_error` and `finally`.
        F037 5:51-5:70 `clean` has its turn after this
             What `on_error` and `finally` hold runs after all other steps; only steps there can read it.
        F037 7:54-7:55 `a` does not run beside this step
             A handler runs after the flow's own steps, whatever became of them: nothing needs to be named.
        F037 7:96-7:117 `clean` has its turn after this
             What `on_error` and `finally` hold runs after all other steps; only steps there can read it.
        F026 8:27-8:35 `approval` cannot wait here
             Handlers and compensations have a minute in all; they cannot wait for anybody.
        F026 9:5-9:5 a handler's step cannot wait for a person: `on_error: attention` is for the flow's own steps
        F026 9:73-9:116 a handler's step cannot be compensated
        F030 12:12-12:13 there are two steps named `a`; the first is on line 4
        ");
}
