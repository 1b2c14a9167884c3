//! Configs against their executors' schemas.

use insta::assert_snapshot;

use super::problems;

#[test]
fn unknown_executors_and_keys_are_errors_with_hints() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: document_extracter}
  - {name: b, executor: document_extractor, config: {allow_emty: true, pages: 3, tables: "yes"}}
  - {name: c, executor: ocr_processor, config: {min_confidence: 2, languages: [eng, 3]}}
  - {name: d, executor: api_request}
  - {name: e, executor: api_request, config: {url: "x", method: PSOT, headers: {a: 1}}}
  - {name: f, executor: wait, config: {message: x}}
  - {name: g, executor: wait, config: {signal: x}}
"#), @r#"
        F020 3:25-3:43 there is no executor `document_extracter`
             Did you mean `document_extractor`?
        F022 4:54-4:64 `document_extractor` has no config key `allow_emty` here
             Did you mean `allow_empty`?
        F021 4:79-4:80 `pages` does not fit `document_extractor`: 3 is not of type "string"
        F021 4:90-4:95 `tables` does not fit `document_extractor`: "yes" is not of type "boolean"
        F021 5:65-5:66 `min_confidence` does not fit `ocr_processor`: 2 is greater than the maximum of 1
        F021 5:79-5:87 `languages` does not fit `ocr_processor`: 3 is not of type "string"
        F023 6:25-6:25 `api_request` needs the config key `url`
             Where to.
        F021 7:65-7:69 `method` does not fit `api_request`: "PSOT" is not one of "GET", "POST" or 2 other candidates
             Did you mean `POST`?
        F021 7:80-7:86 `headers` does not fit `api_request`: 1 is not of type "string"
        F023 8:39-8:39 `wait` needs one of the config keys `for`, `until`, `signal`
        "#);
}

#[test]
fn a_template_fits_everywhere_and_literals_beside_it_are_still_checked() {
    assert_snapshot!(problems(r#"
steps:
  - {name: a, executor: ocr_processor, config: {min_confidence: "{{ inputs.x }}", languages: ["{{ inputs.y }}", 3]}}
  - {name: b, executor: api_request, config: {url: "{{ inputs.x }}", method: "{{ inputs.m }}", json: {deep: ["{{ inputs.z }}", 1]}}}
"#), @r#"
        F021 3:113-3:114 `languages` does not fit `ocr_processor`: 3 is not of type "string"
        "#);
}

#[test]
fn an_open_config_takes_variables_but_no_slips() {
    assert_snapshot!(problems(r#"
steps:
  - name: a
    executor: llm_analyzer
    config: {text: x, key_phrases: [a], temperture: 0.1, temperature: hot, promt: "x"}
"#), @r#"
        F022 5:41-5:51 `temperture` is nearly the config key `temperature`
             Did you mean `temperature`? A variable of the prompt needs a name that cannot be taken for it.
        F021 5:71-5:74 `temperature` does not fit `llm_analyzer`: "hot" is not of type "number"
        F022 5:76-5:81 `promt` is nearly the config key `prompt`
             Did you mean `prompt`? A variable of the prompt needs a name that cannot be taken for it.
        "#);
}
