//! Templates: names, places, statuses, files.

use insta::assert_snapshot;

use super::{compiled, planned, problems, shown};
use crate::{Folder, compile};

#[test]
fn unknown_names_are_errors_at_their_place_with_the_nearest_known_one() {
    assert_snapshot!(problems(r#"
inputs: {customer: string}
vars: {greeting: "Hello {{ inputs.custmer }}", late: "{{ vars.later }}", later: x, own: "{{ steps.first.text }}"}
steps:
  - {name: first, executor: document_extractor, config: {file: "{{ inputs.customer }}"}}
  - name: second
    executor: api_request
    config:
      url: "https://example.com/{{ steps.frist.text }}/{{ vars.greting }}"
      headers: {x: "{{ input.customer }}", y: "{{ first.text }}", z: "{{ customer }}"}
      json: "{{ inputs.customer | uper }} {{ rnage(3) }} {{ inputs.customer is defnied }}"
"#), @r"
        F043 3:28-3:42 the flow has no input `custmer`
             Did you mean `customer`?
        F044 3:58-3:68 there is no variable `later` here
             Variables are computed in the order in which they are written; move it up.
        F045 3:93-3:109 steps cannot be read here: none has run yet
             Use `inputs`, or read the step where the value is needed.
        F070 5:64-5:87 `file` of `document_extractor` takes an object, and this gives text
        F042 9:36-9:52 there is no step `frist`
             Did you mean `first`?
        F044 9:59-9:71 there is no variable `greting` here
             Did you mean `greeting`?
        F045 10:24-10:38 there is no `input` here
             Did you mean `inputs`?
        F045 10:51-10:61 there is no `first` here
             Write `steps.first`.
        F045 10:74-10:82 there is no `customer` here
             Write `inputs.customer`.
        F046 11:35-11:39 there is no filter `uper`
             Did you mean `upper`?
        F046 11:46-11:54 there is no function `rnage`
             Did you mean `range`?
        F046 11:80-11:87 there is no test `defnied`
             Did you mean `defined`?
        ");
}

#[test]
fn places_are_right_inside_block_scalars_quotes_and_escapes() {
    assert_snapshot!(problems(r#"
inputs: {}
steps:
  - name: a
    executor: llm_analyzer
    config:
      text: x
      prompt: |
        First line.
          Indented {{ inputs.one }}.

        Last {{ inputs.two }}
      system: >-
        Folded text
        goes on {{ inputs.three }}
      single: 'It''s {{ inputs.four }}'
      double: "Tab\t\"quote\" \u00e9 {{ inputs.five }}"
      plain: Grüße {{ inputs.six }}
"#), @r"
        F043 10:23-10:33 the flow has no input `one`
        F043 12:17-12:27 the flow has no input `two`
        F043 15:20-15:32 the flow has no input `three`
        F043 16:25-16:36 the flow has no input `four`
        F043 17:41-17:52 the flow has no input `five`
        F043 18:23-18:33 the flow has no input `six`
        ");
}

#[test]
fn syntax_errors_carry_their_line() {
    assert_snapshot!(problems(r#"
steps:
  - name: a
    executor: llm_analyzer
    condition: "{{ 1 == }}"
    config:
      text: |
        fine
        {% if inputs.x %}
        never closed
      prompt: "{{ inputs.x | }}"
"#), @r"
        F040 5:17-5:27 the template cannot be read: unexpected end of input, expected expression
        F040 9:9-9:26 the template cannot be read: unexpected end of input, expected end of block
        F040 11:16-11:32 the template cannot be read: unexpected end of variable block, expected identifier
        ");
}

#[test]
fn steps_are_read_by_written_names_only() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer}
  - {name: b, executor: api_request, config: {url: "{{ steps[inputs.which].text }}"}}
  - {name: c, executor: api_request, config: {url: "{{ steps | tojson }}"}}
  - {name: d, executor: api_request, config: {url: "{% for s in steps %}{{ s }}{% endfor %}"}}
  - {name: e, executor: api_request, config: {url: "{% set steps = 1 %}{{ steps }}"}}
  - {name: f, executor: api_request, config: {url: "{{ steps['a'].file_type }} {{ steps.a['file_type'] }}"}}
"#), @r"
        F041 4:56-4:80 a step's name must be written out
             Name the step (`steps.extract`): the run must know beforehand what to wait for.
        F041 5:56-5:61 `steps` cannot be used as a whole
             Name the step (`steps.extract`): the run must know beforehand what to wait for.
        F041 6:65-6:70 `steps` cannot be used as a whole
             Name the step (`steps.extract`): the run must know beforehand what to wait for.
        F056 7:60-7:65 the template gives another meaning to `steps`
             Choose another name.
        ");
}

#[test]
fn names_that_a_template_binds_are_its_own() {
    let plan = planned(
        r#"
steps:
  - name: a
    executor: api_request
    config:
      url: "{% set x = inputs.a %}{{ x }}{% for item in inputs.list %}{{ item }}{{ loop.index }}{% endfor %}{% macro m(y) %}{{ y }}{% endmacro %}{{ m(1) }}{% with z = 1 %}{{ z }}{% endwith %}{{ dict(a=1).items() }}"
"#,
    );
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn a_status_is_compared_with_statuses() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer}
  - {name: b, executor: file_analyzer, condition: "steps.a.status == 'success'"}
  - {name: c, executor: file_analyzer, condition: "steps.a.status in ['failed', 'suceeded']"}
  - {name: d, executor: file_analyzer, condition: "200 == steps.a.status"}
  - {name: e, executor: file_analyzer, condition: "steps.a.status == 'failed' or steps.a.output.status == 'any'"}
"#), @r"
        F047 4:70-4:79 `success` is no status of a step
             Did you mean `succeeded`?
        F047 5:70-5:92 `suceeded` is no status of a step
             Did you mean `succeeded`?
        F047 6:52-6:55 `200` is no status of a step
             For a field of the output with this name write `output.status`.
        F049 warning 7:82-7:103 the output of `a` (file_analyzer) has no field `status`
             It has `file_type`, `size_bytes`.
        ");
}

#[test]
fn a_condition_is_one_expression_that_can_be_true_or_false() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer, condition: "{{ inputs.a }} and {{ inputs.b }}"}
  - {name: b, executor: file_analyzer, condition: "yes"}
  - {name: c, executor: file_analyzer, condition: "1"}
  - {name: d, executor: file_analyzer, condition: " "}
  - {name: e, executor: file_analyzer, condition: "{% if inputs.a %}true{% endif %}"}
  - {name: f, executor: file_analyzer, condition: "{{- inputs.a == '}}' -}}"}
"#), @r"
        F052 3:51-3:86 a condition is one expression, not a text with templates in it
             Put all of it into one pair of braces, or leave the braces out.
        F045 4:52-4:55 there is no `yes` here
             Write `true`.
        F052 5:51-5:54 this is never true or false
             A condition must be a boolean: compare something, or write `true` or `false`.
        F052 6:51-6:54 a condition is empty
        F052 7:51-7:85 a condition is one expression, not a text with templates in it
             Put all of it into one pair of braces, or leave the braces out.
        ");
}

#[test]
fn secrets_are_for_configs_alone() {
    assert_snapshot!(problems(r#"
vars: {v: "{{ secrets.KEY }}"}
outputs: {o: "{{ secrets.KEY }}"}
steps:
  - name: a
    executor: api_request
    condition: secrets.KEY == 'x'
    config: {url: "{{ secrets.KEY }}", headers: {x: "{{ secrets[inputs.name] }}"}}
"#), @r"
        F048 2:15-2:26 secrets can be read only in an executor's config
             Anywhere else it could be shown or stored.
        F048 3:18-3:29 secrets can be read only in an executor's config
             Anywhere else it could be shown or stored.
        F048 7:16-7:27 secrets can be read only in an executor's config
             Anywhere else it could be shown or stored.
        F048 8:57-8:77 a secret's name must be written out
             Write `secrets.NAME`.
        ");
}

#[test]
fn fields_that_an_output_does_not_have_are_warnings() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: document_extractor}
  - name: b
    executor: llm_analyzer
    config: {schema: {type: object, properties: {total: {type: number}, status: {type: string}}, additionalProperties: false}}
outputs:
  one: "{{ steps.a.txt }}"
  two: "{{ steps.a.output.metadata.titel }}"
  three: "{{ steps.b.totl }}"
  four: "{{ steps.a.sucess }}"
  five: "{{ steps.a.text.upper() }} {{ steps.a.pages[0].nmber }}"
"#), @r"
        F055 warning 6:73-6:79 `steps.b.status` is the record's own field and hides this one
             Read it as `steps.b.output.status`, or call it something else.
        F049 warning 8:12-8:23 the output of `a` (document_extractor) has no field `txt`
             Did you mean `text`?
        F049 warning 9:12-9:41 the output of `a` (document_extractor) has no field `titel`
             Did you mean `title`?
        F049 warning 10:14-10:26 the output of `b` (llm_analyzer) has no field `totl`
             Did you mean `total`?
        F049 warning 11:13-11:27 the output of `a` (document_extractor) has no field `sucess`
             Did you mean `success`?
        ");
}

#[test]
fn fields_of_inputs_are_known_as_far_as_their_schema_goes() {
    assert_snapshot!(problems(r#"
inputs:
  closed: {schema: {type: object, properties: {city: {type: string}}, additionalProperties: false}}
  open: {type: object, properties: {city: {type: string}}}
  file: file
steps:
  - {name: a, executor: api_request, config: {url: "{{ inputs.closed.citty }} {{ inputs.open.citty }} {{ inputs.file.name }}"}}
"#), @r"
        F049 warning 7:56-7:75 the input `closed` has no field `citty`
             Did you mean `city`?
        ");
}

#[test]
fn prompt_files_are_checked_under_their_own_name() {
    let yaml = r#"
steps:
  - {name: a, executor: document_extractor}
  - {name: b, executor: llm_analyzer, config: {prompt_file: prompts/ask.j2, tone: kind}}
  - {name: c, executor: llm_analyzer, config: {prompt_file: prompts/aks.j2}}
  - {name: d, executor: llm_analyzer, config: {prompt_file: "prompts/{{ inputs.x }}.j2"}}
"#;
    let prompt = "{{ text }} {{ tone }} {{ instruction }}\nUnknown: {{ tine }} {{ steps.x }}\n{% include 'prompts/none.j2' %}{% include inputs.x %}{% include 'prompts/none.j2' ignore missing %}{% extends 'prompts/base.j2' %}";
    let files = [
        ("prompts/ask.j2", prompt),
        ("prompts/base.j2", "{% include 'prompts/ask.j2' %}\n{{ oops"),
        ("unused.j2", "{{ broken"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let folder = Folder { name: None, yaml: yaml.to_owned(), files };
    assert_snapshot!(shown(&compile(&folder, &super::catalogue::catalogue()).problems), @r"
        F024 5:61-5:75 there is no file `prompts/aks.j2` in the flow's folder
             Did you mean `prompts/ask.j2`?
        F054 6:61-6:88 the name of a prompt file must be written out
             Steps that it reads could not be found otherwise.
        F045 prompts/ask.j2 2:13-2:17 there is no `tine` here
             Did you mean `tone`?
        F042 prompts/ask.j2 2:24-2:31 there is no step `x`
             Known here: `a`, `b`, `c`, `d`.
        F054 prompts/ask.j2 3:12-3:29 there is no file `prompts/none.j2` in the flow's folder
             Did you mean `prompts/base.j2`?
        F054 prompts/ask.j2 3:43-3:51 the name of an included file must be written out
             Steps that it reads could not be found otherwise.
        F040 prompts/base.j2 2:1-2:8 the template cannot be read: unexpected end of input, expected end of variable block
        ");
}

#[test]
fn variables_of_a_prompt_are_in_scope_of_the_prompt_and_not_of_each_other() {
    assert_snapshot!(problems(r#"
steps:
  - name: a
    executor: llm_analyzer
    config: {text: x, tone: kind, prompt: "{{ tone }} {{ text }}", other: "{{ tone }}"}
"#), @r"
        F045 5:79-5:83 there is no `tone` here
             In scope are inputs, steps, vars, run, flow, secrets.
        ");
}

#[test]
fn outputs_know_the_schema_of_what_they_read() {
    let plan = planned(
        r#"
inputs: {file: file}
steps:
  - {name: a, executor: document_extractor}
outputs:
  text: "{{ steps.a.text }}"
  title: "{{ steps.a.output.metadata.title }}"
  line: "Title: {{ steps.a.metadata.title }}"
  first: "{{ steps.a.pages[0] }}"
  done: true
"#,
    );
    assert_snapshot!(plan.output_schema["properties"], @r#"
        {"text":{"type":"string"},"title":{"type":"string"},"line":{"type":"string"},"first":true,"done":{"const":true}}
        "#);
    assert_snapshot!(plan.input_schema, @r#"
        {"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"file":{"type":"object","format":"weir-file","x-weir-type":"file","required":["file_id"],"properties":{"file_id":{"type":"string"}}}},"required":["file"],"additionalProperties":false}
        "#);
}

#[test]
fn the_answer_without_outputs_is_that_of_the_last_step_or_group() {
    let plan = planned("steps:\n  - {name: a, executor: ocr_processor}\n");
    assert_eq!(plan.output_schema["properties"]["confidence"]["type"], "number");
    let plan = planned(
        "steps:\n  - {name: a, executor: ocr_processor, parallel_group: g}\n  - {name: b, executor: ocr_processor, parallel_group: g}\n",
    );
    assert_eq!(plan.output_schema["properties"]["b"]["properties"]["text"]["type"], "string");
    assert!(
        compiled("steps:\n  - {name: a, executor: ocr_processor, condition: inputs.x}\n").plan.unwrap().output_schema
            == true
    );
}
