//! Main inputs: where they come from, and when that cannot be said.

use insta::assert_snapshot;

use super::{order, planned, problems};

#[test]
fn the_nearest_step_with_the_kind_comes_first_then_the_only_input() {
    let plan = planned(
        r#"
inputs: {document: file, note: string, count: integer}
steps:
  - {name: check, executor: file_analyzer}
  - {name: pdf, executor: document_extractor, condition: "steps.check.file_type == 'pdf'"}
  - {name: image, executor: ocr_processor, condition: "steps.check.file_type == 'image'"}
  - {name: ask, executor: llm_analyzer}
  - {name: aside, executor: llm_analyzer, depends_on: []}
  - {name: written, executor: llm_analyzer, config: {text: "{{ inputs.note }}"}}
"#,
    );
    assert_snapshot!(order(&plan), @r"
        check
          file from inputs.document
        pdf
          after check (order, output)
          if steps.check.file_type == 'pdf'
          file from inputs.document
        image
          after check (output)
          after pdf (order)
          if steps.check.file_type == 'image'
          file from inputs.document
        ask
          after pdf (main input)
          after image (order, main input)
          text from image.text | pdf.text | inputs.note
        aside
          text from inputs.note
        written
          after aside (order)
        ");
}

#[test]
fn without_declared_inputs_the_call_gives_its_only_file_or_text() {
    let plan = planned(
        "steps:\n  - {name: a, executor: document_extractor}\n  - {name: b, executor: llm_analyzer, depends_on: []}\n",
    );
    assert_snapshot!(order(&plan), @r"
        a
          file from the only file
        b
          text from the only text
        ");
}

#[test]
fn a_list_takes_all_direct_dependencies_and_groups_as_members_but_not_what_is_only_watched() {
    let plan = planned(
        r#"
steps:
  - {name: a, executor: file_analyzer}
  - {name: b, executor: file_analyzer}
  - {name: c, executor: file_analyzer, parallel_group: g}
  - {name: d, executor: file_analyzer, parallel_group: g}
  - {name: e, executor: data_combiner, depends_on: [g, b], condition: steps.a.success}
  - {name: f, executor: data_transformer}
  - {name: g2, executor: data_combiner, config: {sources: ["{{ steps.a }}"]}}
"#,
    );
    assert_snapshot!(order(&plan), @r"
        a
          file from the only file
        b
          after a (order)
          file from the only file
        c in g
          after b (order)
          file from the only file
        d in g
          after b (order)
          file from the only file
        e
          after a (record)
          after b (declared, main input)
          after group g (declared, main input)
          watches a
          if steps.a.success
          sources from b | c | d
        f
          after e (order, main input)
          data from e
        g2
          after a (output)
          after f (order)
        ");
}

#[test]
fn a_prompt_that_does_not_show_the_text_does_not_wait_for_it() {
    let mut catalogue = crate::Catalogue::default();
    for spec in super::catalogue::catalogue().iter() {
        let mut spec = spec.clone();
        if spec.name == "llm_analyzer" {
            spec.main_input.as_mut().unwrap().required = false;
        }
        catalogue = crate::Catalogue::new(catalogue.iter().cloned().chain([spec]));
    }
    let yaml = r#"
steps:
  - {name: read, executor: document_extractor, condition: inputs.wanted}
  - {name: own, executor: llm_analyzer, config: {prompt: "Say {{ inputs.word }}"}}
  - {name: shown, executor: llm_analyzer, config: {prompt: "Say {{ text }}"}}
  - {name: default, executor: llm_analyzer}
"#;
    let folder = crate::Folder { yaml: yaml.to_owned(), ..crate::Folder::default() };
    let plan = crate::compile(&folder, &catalogue).plan.unwrap();
    assert_snapshot!(order(&plan), @r"
        read
          if inputs.wanted
          file from the only file
        own
          after read (order)
        shown
          after read (main input)
          after own (order, main input)
          text from own.text | read.text | the only text
        default
          after read (main input)
          after own (main input)
          after shown (order, main input)
          text from shown.text | own.text | read.text | the only text
        ");
}

#[test]
fn what_can_never_fit_is_an_error() {
    assert_snapshot!(problems("inputs: {text: string}\nsteps:\n  - {name: a, executor: file_analyzer}\n"), @r"
        F050 3:12-3:13 `file_analyzer` needs `file`, but no step before `a` and no input gives a file
             Declare an input of the type `file`, or write it under `config`.
        ");
    assert_snapshot!(problems("inputs: {a: file, b: file}\nsteps:\n  - {name: x, executor: file_analyzer}\n"), @r#"
        F051 3:12-3:13 `x` needs `file`, and several inputs could be it: a, b
             Write `file: "{{ inputs.a }}"` under its `config`.
        "#);
    assert_snapshot!(problems("inputs: {a: file}\nsteps:\n  - {name: x, executor: file_analyzer}\n  - {name: y, executor: llm_analyzer}\n"), @r"
        F050 4:12-4:13 `llm_analyzer` needs `text`, but no step before `y` and no input gives text
             Declare an input of the type `string`, or write it under `config`.
        ");
    assert_snapshot!(problems("steps:\n  - {name: x, executor: data_transformer}\n  - {name: y, executor: data_combiner, depends_on: []}\n"), @r#"
        F050 2:12-2:13 `data_transformer` needs `data`, but no step before `x` and no input gives data
             Write `data: "{{ inputs }}"` or what else is meant under `config`.
        F050 3:12-3:13 `data_combiner` needs `sources`, but no step before `y` and no input gives data
             Write `sources: "{{ inputs }}"` or what else is meant under `config`.
        "#);
}

#[test]
fn several_members_of_a_group_cannot_be_one_value() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: document_extractor, parallel_group: g}
  - {name: b, executor: ocr_processor, parallel_group: g}
  - {name: c, executor: llm_analyzer}
"#), @r#"
        F051 5:12-5:13 `c` takes one `text`, and several members of a group could be it: a, b
             Write `text: "{{ steps.a.output }}"` or what else is meant under its `config`.
        "#);
}

#[test]
fn a_schema_of_its_own_replaces_the_text_of_an_llm_step() {
    let plan = planned(
        r#"
steps:
  - {name: a, executor: document_extractor}
  - name: b
    executor: llm_analyzer
    config: {schema: {type: object, properties: {total: {type: number}}, additionalProperties: false}}
  - {name: c, executor: llm_analyzer}
"#,
    );
    assert_snapshot!(order(&plan), @r"
        a
          file from the only file
        b
          after a (order, main input)
          text from a.text | the only text
        c
          after a (main input)
          after b (order)
          text from a.text | the only text
        ");
}
