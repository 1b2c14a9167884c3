//! Strict YAML: what is refused, and what scalars become.

use insta::assert_snapshot;
use serde_json::json;

use super::problems;
use crate::yaml_to_json;

#[test]
fn only_true_and_false_are_booleans_and_only_json_numbers_are_numbers() {
    let text = "a: [true, false, yes, No, on, True, 0, 10, -3, 1.5, 1e3, 010, 1_000, +49, 0x1F, .5, 1., .inf, 12:30, ~, null, '']";
    assert_eq!(
        yaml_to_json(text).unwrap(),
        json!({ "a": [true, false, "yes", "No", "on", "True", 0, 10, -3, 1.5, 1e3, "010", "1_000", "+49", "0x1F", ".5",
            "1.", ".inf", "12:30", null, null, ""] })
    );
}

#[test]
fn aliases_are_copies_and_keep_to_the_budget() {
    let text = "a: &x [1, 2]\nb: *x\nc: {d: *x}";
    assert_eq!(yaml_to_json(text).unwrap(), json!({ "a": [1, 2], "b": [1, 2], "c": { "d": [1, 2] } }));
}

#[test]
fn a_boolean_in_other_words_gets_a_hint() {
    assert_snapshot!(problems("fail_fast: yes\nsteps:\n  - {name: a, executor: file_analyzer}\n"), @r"
        F011 1:12-1:15 `fail_fast` must be true or false, not text
             Write `true`.
        ");
}

#[test]
fn duplicate_keys_are_errors_at_the_second() {
    assert_snapshot!(problems("description: one\nsteps:\n  - name: a\n    executor: file_analyzer\n    executor: ocr_processor\ndescription: two\n"), @r"
        F003 5:5-5:13 `executor` is written twice; first on line 4
        F003 6:1-6:12 `description` is written twice; first on line 1
        ");
}

#[test]
fn an_unquoted_template_is_recognised() {
    assert_snapshot!(problems("steps:\n  - name: a\n    executor: llm_analyzer\n    config:\n      text: {{ inputs.text }}\n"), @r#"
        F005 5:13-5:30 a template must be quoted; without quotes YAML reads `{{` as a mapping
             Quote the template: "{{ ... }}".
        "#);
    assert_snapshot!(problems("steps:\n  - name: a\n    executor: llm_analyzer\n    condition: {{ inputs.a == 'b' }} \n"), @r#"
        F005 4:16-4:38 a template must be quoted; without quotes YAML reads `{{` as a mapping
             Quote the template: "{{ ... }}".
        "#);
    assert_snapshot!(problems("steps:\n  - name: a\n    executor: llm_analyzer\n    config:\n      text: {{ inputs.text }} and more\n"), @r#"
        F005 5:13-5:39 a template must be quoted; without quotes YAML reads `{{` as a mapping
             Quote the template: "{{ ... }}".
        "#);
    assert_snapshot!(problems("steps:\n  - name: a\n    executor: llm_analyzer\n    config:\n      text: {% if inputs.text %}x{% endif %}\n"), @r#"
        F005 5:13-5:45 a template must be quoted; without quotes YAML reads `{{` as a mapping
             Quote the template: "{{ ... }}".
        "#);
}

#[test]
fn yaml_that_cannot_be_read_says_where() {
    assert_snapshot!(problems("steps:\n  - name: a\n   executor: b\n"), @r"
        F002 3:4-3:5 this is not YAML: while parsing a block collection, did not find expected '-' indicator
        ");
    assert_snapshot!(problems("steps:\n\t- name: a\n"), @r"
        F002 2:2-2:3 this is not YAML: tabs disallowed within this context (block indentation)
             Indent with spaces; YAML takes no tabs.
        ");
    assert_snapshot!(problems("steps: [a, b\n"), @r"
        F002 2:1-2:1 this is not YAML: while parsing a flow sequence, expected ',' or ']'
        ");
    assert_snapshot!(problems("name: \"open\nsteps: []\n"), @r"
        F002 1:7-1:8 this is not YAML: invalid indentation in quoted scalar
        ");
}

#[test]
fn parts_of_yaml_that_flows_do_not_use_are_refused() {
    assert_snapshot!(problems("steps: !!seq []\n"), @r"
        F004 1:8-1:15 the YAML tag `!!seq`; flows have no tags
        ");
    assert_snapshot!(problems("steps: []\n---\nsteps: []\n"), @r"
        F004 2:1-2:4 a second YAML document; a flow is one
        ");
    assert_snapshot!(problems("base: &b {a: 1}\nsteps:\n  - <<: *b\n    name: x\n"), @r"
        F004 3:5-3:7 a merge key `<<`; write the keys out
        ");
    assert_snapshot!(problems("? [a]\n: b\n"), @r"
        F004 1:3-1:4 a key that is not text
        ");
    assert_snapshot!(problems("a: &x [*x]\n"), @r"
        F004 1:8-1:10 an alias to something that is not finished yet
        ");
    assert_snapshot!(problems("a: 123456789012345678901234567890\n"), @r"
        F010 1:1-1:2 a flow has no key `a`
        F012 1:1-1:1 a flow needs `steps`
             steps:
               - name: first
                 executor: ...
        F006 1:4-1:34 the number 123456789012345678901234567890 does not fit 64 bits
             Quote it if it is an identifier and not a number.
        ");
}

#[test]
fn an_empty_file_says_what_a_flow_needs() {
    assert_snapshot!(problems(""), @r"
        F012 1:1-1:1 the file is empty; a flow needs `steps`
             steps:
               - name: first
                 executor: ...
        ");
    assert_snapshot!(problems("# nothing\n"), @r"
        F012 1:1-1:1 the file is empty; a flow needs `steps`
             steps:
               - name: first
                 executor: ...
        ");
    assert_snapshot!(problems("just text\n"), @r"
        F011 1:1-1:10 a flow must be a mapping, not text
        ");
    assert_snapshot!(problems("description: x\n"), @r"
        F012 1:1-1:1 a flow needs `steps`
             steps:
               - name: first
                 executor: ...
        ");
    assert_snapshot!(problems("steps: []\n"), @r"
        F013 1:8-1:10 a flow needs at least one step
        ");
    assert_snapshot!(problems("steps:\n"), @r"
        F011 1:6-1:6 `steps` has no value; it takes a list
        ");
}
