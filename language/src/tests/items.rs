//! One step, many times: `for_each` and `repeat`.

use insta::assert_snapshot;
use serde_json::json;

use super::{order, planned, problems};
use crate::plan::OnItemError;

#[test]
fn a_list_may_be_written_out_or_be_an_expression_with_or_without_braces() {
    let plan = planned(
        r#"
inputs: {pages: {type: array, items: {type: string}}}
steps:
  - {name: one, executor: llm_analyzer, for_each: "{{ inputs.pages }}", config: {text: "{{ item }}"}}
  - {name: two, executor: llm_analyzer, for_each: inputs.pages, as: page, max_parallel: 4, max_items: 50, on_item_error: drop, config: {text: "{{ page.value }} {{ page.index }}"}}
  - {name: three, executor: llm_analyzer, for_each: [a, "{{ steps.two.results }}"], on_item_error: collect, config: {text: "{{ item }}"}}
"#,
    );
    let each = |index: usize| plan.steps[index].for_each.as_ref().unwrap();
    assert_eq!((&each(0).list, each(0).line, each(0).max_items), (&json!("{{ inputs.pages }}"), 4, 10_000));
    assert_eq!((each(0).name.as_deref(), each(0).max_parallel, each(0).on_item_error), (None, None, OnItemError::Fail));
    assert_eq!(each(1).list, json!("{{ inputs.pages }}"));
    assert_eq!((each(1).name.as_deref(), each(1).max_parallel, each(1).max_items), (Some("page"), Some(4), 50));
    assert_eq!(
        (&each(2).list, each(2).on_item_error),
        (&json!(["a", "{{ steps.two.results }}"]), OnItemError::Collect)
    );
    assert_snapshot!(order(&plan), @r"
        one
        two
          after one (order)
        three
          after two (order, output)
        ");
}

#[test]
fn the_output_of_many_items_has_the_shape_that_their_failures_give_it() {
    let plan = planned(
        r#"
inputs: {files: {type: array}}
steps:
  - {name: all, executor: document_extractor, for_each: inputs.files, config: {file: "{{ item }}"}}
  - {name: some, executor: document_extractor, for_each: inputs.files, on_item_error: drop, config: {file: "{{ item }}"}}
  - {name: each, executor: document_extractor, for_each: inputs.files, on_item_error: collect, config: {file: "{{ item }}"}}
outputs:
  all: "{{ steps.all }}"
  indexes: "{{ steps.some.indexes }}"
  errors: "{{ steps.each.errors }}"
"#,
    );
    let properties = &plan.output_schema["properties"];
    assert_eq!(properties["all"]["items"]["properties"]["text"]["type"], "string");
    assert_eq!(properties["indexes"]["items"]["type"], "integer");
    assert_eq!(properties["errors"], json!({ "type": "array" }));
    assert_snapshot!(problems(r#"
inputs: {files: {type: array}}
steps:
  - {name: some, executor: document_extractor, for_each: inputs.files, on_item_error: drop, config: {file: "{{ item }}"}}
outputs: {wrong: "{{ steps.some.errors }}"}
"#), @r"
        F049 warning 5:22-5:39 the output of `some` (document_extractor) has no field `errors`
             Did you mean `error`?
        ");
}

#[test]
fn an_item_is_there_for_configs_and_until_and_nowhere_else() {
    assert_snapshot!(problems(r#"
inputs: {rows: {type: array, items: {type: object, properties: {id: {type: string}}, additionalProperties: false}}}
steps:
  - name: a
    executor: chooser
    condition: item.id == 'x'
    for_each: inputs.rows
    config: {among: ["{{ item.id }}", "{{ item.value.id }}", "{{ item.nmae }}"], most: "{{ item.id }}"}
    repeat: {until: "output.count > 3 and iteration < 9 and item.id != 'x' and outptu.count"}
    on_error: {value: "{{ item }}"}
  - name: b
    executor: chooser
    for_each: inputs.rows
    as: row
    config: {among: ["{{ row.value.id }}", "{{ row.id }}", "{{ row.idx }}", "{{ item.id }}"], most: "{{ row.index }}"}
    on_error: {fallback: [{executor: api_request, config: {url: "https://example.com/{{ row.value.id }}"}}]}
  - {name: c, executor: chooser, config: {among: ["{{ item.id }}"]}}
"#), @r"
        F045 6:16-6:23 there is no `item` here
             It is there in the config of a step with `for_each`, and in its `repeat.until`.
        F045 8:66-8:75 `item` has no field `nmae`
             Known here: `id`, `value`, `index`.
        F070 8:88-8:103 `most` of `chooser` takes a whole number, and this gives text
        F045 9:80-9:92 there is no `outptu` here
             Did you mean `output`?
        F045 10:27-10:31 there is no `item` here
             It is there in the config of a step with `for_each`, and in its `repeat.until`.
        F045 15:64-15:71 `row` has no field `idx`
             Did you mean `id`?
        F045 15:81-15:88 there is no `item` here
             The item is called `row` here.
        F045 17:55-17:62 there is no `item` here
             It is there in the config of a step with `for_each`, and in its `repeat.until`.
        ");
}

#[test]
fn words_about_items_need_items_and_lists_must_be_lists() {
    assert_snapshot!(problems(r#"
inputs: {text: string}
steps:
  - {name: a, executor: chooser, max_parallel: 3}
  - {name: b, executor: chooser, for_each: "{{ inputs.text }} and more", config: {among: ["{{ item }}"]}}
  - {name: c, executor: chooser, for_each: [1, 2, 3], max_items: 2, config: {most: "{{ item }}"}}
  - {name: d, executor: chooser, for_each: 3}
  - {name: e, executor: chooser, for_each: [], as: steps, config: {most: "{{ item }}"}}
  - {name: f, executor: chooser, for_each: [1, 2], config: {most: 3}}
  - {name: g, executor: chooser, for_each: inputs.text, max_items: 0, on_item_error: ignore, config: {among: "{{ item }}"}}
  - {name: h, executor: chooser, repeat: {max_iterations: 3}}
  - {name: i, executor: chooser, repeat: {until: "3", intervall: 1s}}
"#), @r#"
        F025 4:34-4:46 `max_parallel` belongs to a step with `for_each`
        F052 5:44-5:72 `for_each` is one expression, not a text with templates in it
             Put all of it into one pair of braces, or leave the braces out.
        F026 6:44-6:53 the list has 3 items; at most 2 are allowed
             Say more with `max_items`.
        F011 7:44-7:45 `for_each` must be a list, or an expression that gives one, not a number
        F056 8:52-8:57 `steps` already means something in templates
             Choose another name for the item.
        F027 warning 9:44-9:50 nothing in the step reads `item`: every item does the same
             Say where the item goes, as in `file: "{{ item }}"`; the main input does not take it by itself.
        F070 10:44-10:55 `for_each` takes a list, and this gives text
        F013 10:68-10:69 `max_items` must be a whole number, 1 to 100000, not 0
        F013 10:86-10:92 `on_item_error` cannot be `ignore`
             Known here: `fail`, `collect`, `drop`.
        F012 11:42-11:42 `repeat` needs `until`, the condition that ends it
        F052 12:50-12:53 this is never true or false
             A condition must be a boolean: compare something, or write `true` or `false`.
        F010 12:55-12:64 `repeat` has no key `intervall`
             Did you mean `interval`?
        "#);
}

#[test]
fn a_repetition_has_its_defaults_and_reads_what_it_waits_for() {
    let plan = planned(
        r#"
inputs: {job: string}
steps:
  - {name: start, executor: chooser, depends_on: []}
  - name: poll
    executor: api_request
    depends_on: []
    config: {url: "https://example.com/{{ inputs.job }}"}
    repeat: {until: "output.body.done or steps.start.count == iteration", interval: 5s}
"#,
    );
    let repeat = plan.steps[1].repeat.as_ref().unwrap();
    assert_eq!(repeat.until.source, "output.body.done or steps.start.count == iteration");
    assert_eq!((repeat.max_iterations, repeat.interval_ms, repeat.max_duration_ms), (10_000, 5_000, 3_600_000));
    assert_snapshot!(order(&plan), @r"
        start
        poll
          after start (output)
        ");
}
