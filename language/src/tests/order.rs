//! Order: what waits for what, and what cannot.

use insta::assert_snapshot;

use super::{order, planned, problems};

#[test]
fn what_is_written_above_comes_before_unless_something_else_is_said() {
    let plan = planned(
        r#"
steps:
  - {name: first, executor: file_analyzer}
  - {name: second, executor: file_analyzer}
  - {name: at_once, executor: file_analyzer, depends_on: []}
  - {name: named, executor: file_analyzer, depends_on: first}
  - {name: reads, executor: api_request, config: {url: "{{ steps.first.file_type }}"}}
"#,
    );
    assert_snapshot!(order(&plan), @r"
        first
          file from the only file
        second
          after first (order)
          file from the only file
        at_once
          file from the only file
        named
          after first (declared)
          file from the only file
        reads
          after first (output)
          after named (order)
        ");
}

#[test]
fn members_start_after_what_stands_above_the_group_and_followers_wait_for_all_of_it() {
    let plan = planned(
        r#"
steps:
  - {name: before, executor: file_analyzer}
  - {name: one, executor: file_analyzer, parallel_group: both}
  - {name: two, executor: file_analyzer, parallel_group: both}
  - {name: three, executor: file_analyzer, parallel_group: both, depends_on: []}
  - {name: after, executor: file_analyzer}
  - {name: reads, executor: api_request, depends_on: [], config: {url: "{{ steps.both.one.file_type }}"}}
  - {name: whole, executor: api_request, depends_on: [], config: {url: x, json: "{{ steps.both }}"}}
  - {name: watches, executor: file_analyzer, depends_on: [], condition: steps.both.two.success}
  - {name: other, executor: file_analyzer, parallel_group: next}
"#,
    );
    assert_snapshot!(order(&plan), @r"
        before
          file from the only file
        one in both
          after before (order)
          file from the only file
        two in both
          after before (order)
          file from the only file
        three in both
          file from the only file
        after
          after group both (order)
          file from the only file
        reads
          after group both (output)
        whole
          after group both (output)
        watches
          after group both (record)
          watches two
          if steps.both.two.success
          file from the only file
        other in next
          after watches (order)
          file from the only file
        ");
}

#[test]
fn reads_in_prompts_includes_and_values_are_dependencies() {
    let yaml = r#"
steps:
  - {name: a, executor: file_analyzer, depends_on: []}
  - {name: b, executor: file_analyzer, depends_on: []}
  - {name: c, executor: file_analyzer, depends_on: []}
  - {name: d, executor: file_analyzer, depends_on: []}
  - name: ask
    executor: llm_analyzer
    depends_on: []
    config: {prompt_file: prompts/ask.j2, data: "{{ steps.c }}"}
    on_error: {value: "{{ steps.d.size_bytes }}"}
"#;
    let files = [
        ("prompts/ask.j2", "{% include 'prompts/part.j2' %}{{ data }} {{ steps.a.status }}"),
        ("prompts/part.j2", "{% set x = steps.b %}{{ x }}"),
    ];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let folder = crate::Folder { name: None, yaml: yaml.to_owned(), files };
    let plan = crate::compile(&folder, &super::catalogue::catalogue()).plan.unwrap();
    assert_snapshot!(order(&plan), @r"
        a
          file from the only file
        b
          file from the only file
        c
          file from the only file
        d
          file from the only file
        ask
          after a (record)
          after b (output)
          after c (output)
          after d (output)
        ");
}

#[test]
fn only_a_condition_that_reads_the_outcome_watches() {
    let plan = planned(
        r#"
steps:
  - {name: a, executor: document_extractor}
  - {name: by_success, executor: file_analyzer, condition: "{{ steps.a.success }}"}
  - {name: by_status, executor: file_analyzer, condition: "steps.a.status == 'failed'"}
  - {name: by_skipped, executor: file_analyzer, condition: not steps.a.skipped}
  - {name: by_error, executor: file_analyzer, condition: steps.a.error is none}
  - {name: by_output, executor: file_analyzer, condition: "steps.a.output.text == ''"}
  - {name: by_cost, executor: file_analyzer, condition: steps.a.cost < 5}
  - {name: in_config, executor: api_request, config: {url: "/{{ steps.a.success }}"}}
  - {name: constant, executor: file_analyzer, condition: false}
"#,
    );
    assert_snapshot!(order(&plan), @r"
        a
          file from the only file
        by_success
          after a (order, record)
          watches a
          if steps.a.success
          file from the only file
        by_status
          after a (record)
          after by_success (order)
          watches a
          if steps.a.status == 'failed'
          file from the only file
        by_skipped
          after a (record)
          after by_status (order)
          watches a
          if not steps.a.skipped
          file from the only file
        by_error
          after a (record)
          after by_skipped (order)
          watches a
          if steps.a.error is none
          file from the only file
        by_output
          after a (output)
          after by_error (order)
          if steps.a.output.text == ''
          file from the only file
        by_cost
          after a (record)
          after by_output (order)
          if steps.a.cost < 5
          file from the only file
        in_config
          after a (record)
          after by_cost (order)
        constant
          after in_config (order)
          if false
          file from the only file
        ");
}

#[test]
fn cycles_are_printed_through_groups_and_reads() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer, depends_on: [c]}
  - {name: b, executor: file_analyzer, depends_on: [a]}
  - {name: c, executor: api_request, depends_on: [], config: {url: "{{ steps.b.file_type }}"}}
"#), @r"
        F032 3:12-3:13 a circle: `a` waits for `c` waits for `b` waits for `a`
             Take one of these dependencies out; reading `steps.x` in a template is one too.
        ");
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer, depends_on: [g]}
  - {name: b, executor: file_analyzer, parallel_group: g, depends_on: [a]}
"#), @r"
        F032 3:12-3:13 a circle: `a` (through the group `g`) waits for `b` waits for `a`
             Take one of these dependencies out; reading `steps.x` in a template is one too.
        ");
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer, depends_on: [a]}
  - {name: b, executor: file_analyzer, condition: steps.b.success}
  - {name: c, executor: file_analyzer, parallel_group: g, depends_on: [g]}
  - {name: d, executor: api_request, parallel_group: g, config: {url: "{{ steps.g.c.file_type }}"}}
"#), @r"
        F032 3:53-3:54 the step waits for itself
        F032 4:51-4:66 the step waits for itself
        F034 5:72-5:73 a member of the group `g` waits for its own group
        F034 6:75-6:94 a member of the group `g` waits for its own group
        ");
}

#[test]
fn names_and_groups_must_be_clear() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: file_analyzer}
  - {name: a, executor: file_analyzer}
  - {name: b, executor: file_analyzer, parallel_group: g}
  - {name: c, executor: file_analyzer}
  - {name: d, executor: file_analyzer, parallel_group: g}
  - {name: e, executor: file_analyzer, parallel_group: c}
  - {name: f, executor: file_analyzer, parallel_group: 2nd}
groups:
  g: {join: {at_least: 3}}
  h: {join: any}
"#), @r"
        F030 4:12-4:13 there are two steps named `a`; the first is on line 3
        F033 7:56-7:57 the members of the group `g` are not written together: `c` stands between them
             Move this step up to line 5, below `b`.
        F030 8:56-8:57 the group `c` has the name of the step on line 6
             Groups and steps share their names; call one of them something else.
        F014 9:56-9:59 `2nd` is no name for a group
             Small letters, digits and `_`, a letter first, at most 64 characters.
        F036 11:13-11:26 the group `g` has 2 members; 3 can never succeed
        F035 12:3-12:4 no step is in the group `h`
             Known here: `g`.
        ");
}
