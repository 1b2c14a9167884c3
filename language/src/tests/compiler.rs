//! What the compiler knows of values: types, skips, secrets and effects.

use insta::assert_snapshot;

use super::{planned, problems};

#[test]
fn types_are_followed_through_inputs_variables_steps_and_items() {
    assert_snapshot!(problems(r#"
inputs: {name: string, count: integer, rows: {type: array, items: {type: object}}, free: {schema: true}}
vars: {copy: "{{ inputs.count }}", mixed: "{{ inputs.count }} of them", fixed: 3}
steps:
  - {name: pick, executor: chooser, config: {most: "{{ inputs.name }}", among: "{{ inputs.count }}"}}
  - {name: fine, executor: chooser, config: {most: "{{ inputs.count }}", among: ["{{ inputs.name }}", "{{ inputs.free }}", "{{ vars.mixed }}"]}}
  - {name: mix, executor: chooser, config: {most: "{{ inputs.count }} or so", among: ["{{ vars.copy }}", "{{ vars.fixed }}"]}}
  - {name: step, executor: chooser, config: {most: "{{ steps.pick.chosen }}", among: ["{{ steps.pick.count }}", "{{ steps.pick.output.list }}"]}}
  - {name: item, executor: chooser, for_each: inputs.rows, config: {most: "{{ item }}"}}
  - {name: many, executor: chooser, for_each: [1, 2], config: {most: "{{ item }}"}}
  - {name: all, executor: chooser, config: {most: "{{ steps.many }}"}}
"#), @r"
        F070 5:52-5:71 `most` of `chooser` takes a whole number, and this gives text
        F070 5:80-5:100 `among` of `chooser` takes a list, and this gives a whole number
        F070 7:51-7:77 `most` of `chooser` takes a whole number, and this gives text
        F070 7:87-7:104 `among` of `chooser` takes text, and this gives a whole number
        F070 7:106-7:124 `among` of `chooser` takes text, and this gives a whole number
        F070 8:52-8:77 `most` of `chooser` takes a whole number, and this gives text
        F070 8:87-8:111 `among` of `chooser` takes text, and this gives a whole number
        F070 8:113-8:143 `among` of `chooser` takes text, and this gives a list
        F070 9:75-9:87 `most` of `chooser` takes a whole number, and this gives an object
        F070 11:51-11:69 `most` of `chooser` takes a whole number, and this gives a list
        ");
}

#[test]
fn comparisons_that_can_never_hold_are_named() {
    assert_snapshot!(problems(r#"
inputs: {name: string, kind: {type: enum, values: [a, b]}}
steps:
  - {name: pick, executor: chooser}
  - {name: one, executor: chooser, condition: steps.pick.chosen == 'gren'}
  - {name: two, executor: chooser, condition: steps.pick.count == 'three'}
  - {name: three, executor: chooser, condition: inputs.name == 3}
  - {name: four, executor: chooser, condition: "inputs.kind in ['a', 'c']"}
  - {name: five, executor: chooser, condition: "steps.pick.success == 'true'"}
  - {name: fine, executor: chooser, condition: "steps.pick.count == 3.0 and inputs.name == none and steps.pick.chosen == 'green' and 'x' in inputs.name"}
"#), @r"
        F071 warning 5:68-5:74 `steps.pick.chosen` is never `gren`
             Did you mean `green`?
        F071 warning 6:67-6:74 `steps.pick.count` is a whole number and never equals `three`
        F071 warning 7:64-7:65 `inputs.name` is text and never equals `3`
        F071 warning 8:64-8:74 `inputs.kind` is never `c`
             Known here: `a`, `b`.
        F071 warning 9:71-9:77 `steps.pick.success` is a boolean and never equals `true`
        ");
}

#[test]
fn outputs_of_steps_that_may_be_skipped_want_a_guard() {
    assert_snapshot!(problems(r#"
steps:
  - {name: check, executor: file_analyzer}
  - {name: pdf, executor: document_extractor, condition: steps.check.file_type == 'pdf'}
  - {name: image, executor: ocr_processor, condition: steps.check.file_type == 'image'}
  - {name: bare, executor: chooser, config: {among: ["{{ steps.pdf.text }}", "{{ steps.check.file_type }}"]}}
  - {name: output, executor: chooser, config: {among: ["{{ steps.pdf.output.text }}", "{{ steps.image.text }}"]}}
  - {name: alone, executor: llm_analyzer, depends_on: [], config: {text: "{{ steps.pdf.text }}"}}
  - {name: follows, executor: chooser, depends_on: [], config: {among: ["{{ steps.alone.text }}", "{{ steps.check.file_type }}"]}}
  - {name: default, executor: chooser, config: {among: ["{{ steps.pdf.text | default('') }}", "{{ steps.check.file_type }}"]}}
  - {name: asks, executor: chooser, condition: steps.pdf.success, config: {among: ["{{ steps.pdf.text }}", "{{ steps.check.file_type }}"]}}
  - {name: inside, executor: chooser, config: {among: ["{{ steps.pdf.text if steps.pdf.success else 'none' }}", "{% if steps.pdf.success and steps.pdf.text %}{{ steps.pdf.text }}{% endif %}", "{{ steps.check.file_type }}"]}}
  - {name: same, executor: chooser, condition: steps.check.file_type == 'pdf', config: {among: ["{{ steps.pdf.text }}"]}}
  - {name: whole, executor: data_combiner, config: {sources: ["{{ steps.pdf }}", "{{ steps.check }}"]}}
outputs:
  text: "{{ steps.pdf.text }}"
  safe: "{{ steps.pdf.text or steps.image.text | default('') }}"
  record: "{{ steps.pdf.success }}"
"#), @r"
        F072 warning 6:58-6:72 `pdf` may have been skipped; then there is nothing to read
             Say what stands in for it (`| default('')`), or let the condition ask `steps.pdf.success`.
        F072 warning 7:60-7:81 `pdf` may have been skipped; then there is nothing to read
             Say what stands in for it (`| default('')`), or let the condition ask `steps.pdf.success`.
        F072 warning 7:91-7:107 `image` may have been skipped; then there is nothing to read
             Say what stands in for it (`| default('')`), or let the condition ask `steps.image.success`.
        F072 warning 9:77-9:93 `alone` may have been skipped; then there is nothing to read
             Say what stands in for it (`| default('')`), or let the condition ask `steps.alone.success`.
        F072 warning 16:13-16:27 `pdf` may have been skipped; then there is nothing to read
             Say what stands in for it (`| default('')`), or let the condition ask `steps.pdf.success`.
        F072 warning 17:13-17:27 `pdf` may have been skipped; then there is nothing to read
             Say what stands in for it (`| default('')`), or let the condition ask `steps.pdf.success`.
        ");
}

#[test]
fn steps_that_never_run_are_named() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer, condition: false}
  - {name: b, executor: chooser, depends_on: [a]}
  - {name: c, executor: chooser}
  - {name: stop, executor: fail, config: {message: "no"}}
  - {name: d, executor: chooser}
  - {name: e, executor: chooser, run_if: always}
  - {name: f, executor: chooser, condition: steps.stop.success == false}
"#), @r"
        F038 warning 3:12-3:13 `a` never runs: its condition is false
        F038 warning 4:12-4:13 `b` never runs: nothing that it waits for does
        F038 warning 7:12-7:13 `d` never runs: it comes after `stop`, which always fails
        ");
}

#[test]
fn secrets_do_not_leave_by_logs_prompts_or_hosts_that_others_choose() {
    let mut files = std::collections::BTreeMap::new();
    files.insert("prompts/ask.j2".to_owned(), "{{ text }} {{ secrets.KEY }}".to_owned());
    let yaml = r#"
inputs: {host: string}
vars: {fixed: "https://example.com", free: "https://{{ inputs.host }}"}
steps:
  - {name: a, executor: log, config: {message: "{{ secrets.KEY }}"}}
  - {name: b, executor: llm_analyzer, config: {text: "{{ secrets.KEY }}"}}
  - {name: c, executor: llm_analyzer, config: {text: x, prompt_file: prompts/ask.j2}}
  - {name: d, executor: api_request, config: {url: "https://example.com/?key={{ secrets.KEY }}"}}
  - {name: e, executor: api_request, config: {url: "{{ inputs.host }}/x", headers: {k: "{{ secrets.KEY }}"}}}
  - {name: f, executor: api_request, config: {url: "https://{{ steps.a.host }}:443/x", headers: {k: "{{ secrets.KEY }}"}}}
  - {name: g, executor: api_request, config: {url: "{{ vars.free }}/x", headers: {k: "{{ secrets.KEY }}"}}}
  - {name: h, executor: api_request, for_each: [x], config: {url: "https://{{ item }}", headers: {k: "{{ secrets.KEY }}"}}}
  - {name: fine, executor: api_request, config: {url: "{{ vars.fixed }}/{{ inputs.host }}", headers: {k: "{{ secrets.KEY }}"}}}
  - {name: hook, executor: api_request, config: {url: "{{ secrets.HOOK }}"}}
  - {name: child, executor: flow_executor, config: {flow_name: other, inputs: {a: ["{{ secrets.KEY }}"]}}}
  - {name: shape, executor: data_transformer, config: {data: {a: "{{ secrets.KEY }}"}}}
  - {name: method, executor: api_request, config: {url: "https://example.com/", method: "{{ secrets.KEY }}"}}
  - {name: path, executor: api_request, config: {url: "https://example.com/{{ inputs.host }}?q={{ inputs.host }}", headers: {k: "{{ secrets.KEY }}"}}}
"#;
    let folder = crate::Folder { name: None, yaml: yaml.to_owned(), files };
    assert_snapshot!(super::shown(&crate::compile(&folder, &super::catalogue::catalogue()).problems), @r"
        F073 5:52-5:63 a secret cannot be used here: it would stand in the log
             Secrets are for requests, in a header or in `auth`.
        F073 6:58-6:69 a secret cannot be used here: a model's provider would read it
             Secrets are for requests, in a header or in `auth`.
        F074 warning 8:52-8:96 a secret stands in an address; others write addresses into their logs
             Send it in a header or in `auth` where the other side takes it there.
        F073 9:52-9:73 a secret would go to a host that the call or another step chooses
             Write the host down, or take it from a variable with a fixed value.
        F073 10:52-10:86 a secret would go to a host that the call or another step chooses
             Write the host down, or take it from a variable with a fixed value.
        F073 11:52-11:71 a secret would go to a host that the call or another step chooses
             Write the host down, or take it from a variable with a fixed value.
        F073 12:67-12:87 a secret would go to a host that the call or another step chooses
             Write the host down, or take it from a variable with a fixed value.
        F073 15:88-15:99 a secret cannot be used here: it would stand in the other run's inputs
             The flow that is called reads `secrets.NAME` itself.
        F073 16:70-16:81 a secret cannot be used here: this executor could give it away, changed
             Secrets are for requests, in a header or in `auth`.
        F073 17:93-17:104 a secret cannot be used here: this field of the config is not for secrets
             Secrets are for requests, in a header or in `auth`.
        F073 prompts/ask.j2 1:15-1:26 a secret cannot be used here: a model's provider would read it
             Secrets are for requests, in a header or in `auth`.
        ");
}

#[test]
fn unsafe_steps_without_an_order_are_named() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: api_request, config: {url: x, method: POST}}
  - {name: b, executor: api_request, depends_on: [], config: {url: x, method: POST}}
  - {name: c, executor: api_request, depends_on: [a], config: {url: x, method: POST}}
  - {name: d, executor: api_request, depends_on: [], effect: idempotent, config: {url: x, method: POST}}
  - {name: e, executor: api_request, depends_on: [], config: {url: x, method: PUT}}
"#), @r"
        F039 warning 4:12-4:13 `a` and `b` both act on the outside world, in no order
             If the order matters, write `depends_on: [a]`; if running one twice does no harm, say so with `effect`.
        F039 warning 5:12-5:13 `b` and `c` both act on the outside world, in no order
             If the order matters, write `depends_on: [b]`; if running one twice does no harm, say so with `effect`.
        ");
}

#[test]
fn guards_do_not_change_what_a_step_waits_for() {
    let plan = planned(
        "steps:\n  - {name: a, executor: file_analyzer, condition: inputs.x}\n  - {name: b, executor: api_request, depends_on: [], config: {url: \"{{ steps.a.file_type | default('x') }}\"}}\n",
    );
    assert_eq!(plan.steps[1].needs.len(), 1);
}
