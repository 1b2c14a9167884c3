//! Types followed through the steps that only hand on what they are given, and what is done with them.

use insta::assert_snapshot;

use super::{codes, problems};

fn through(middle: &str, read: &str) -> String {
    format!(
        "inputs: {{z: array, s: string, n: integer}}\nsteps:\n  - {{name: d, {middle}}}\n  - {{name: out, executor: llm_analyzer, config: {{text: \"{{{{ {read} }}}}\"}}}}\n"
    )
}

#[test]
fn a_type_goes_through_every_step_that_hands_values_on() {
    for (middle, read) in [
        ("executor: data_transformer, config: {data: {k: \"{{ inputs.z }}\"}}", "steps.d.k"),
        ("executor: data_transformer, config: {data: \"{{ inputs.z }}\"}", "steps.d"),
        ("executor: data_transformer, config: {data: {a: {b: [1, 2]}}}", "steps.d.output.a.b"),
        ("executor: data_combiner, config: {sources: {k: \"{{ inputs.n }}\"}}", "steps.d.k"),
        (
            "executor: conditional, config: {cases: [{condition: inputs.n > 1, value: \"{{ inputs.z }}\"}], default: 1}",
            "steps.d",
        ),
    ] {
        assert_eq!(codes(&through(middle, read)), ["F070 4"], "{middle}");
        // What fits, or is not known, is no problem.
        let fits = middle.replace("inputs.z", "inputs.s").replace("inputs.n }", "inputs.s }").replace("[1, 2]", "text");
        let fits = fits.replace("default: 1", "default: none");
        assert_eq!(codes(&through(&fits, read)), Vec::<String>::new(), "{fits}");
    }
    for unknown in [
        "executor: data_transformer, config: {data: {k: \"{{ inputs.z }}\"}, jmespath: a.b}",
        "executor: data_combiner, config: {mode: merge, sources: {k: \"{{ inputs.z }}\"}}",
        "executor: data_transformer, config: {data: \"{{ inputs.z | first }}\"}",
        "executor: data_transformer, config: {data: {k: 1}}, on_error: {value: {k: a}}",
        "executor: conditional, config: {cases: [{condition: inputs.n > 1, value: \"{{ inputs.z | first }}\"}], default: 1}",
        "executor: data_transformer, config: {data: {k: 1}}, for_each: inputs.z, as: it, on_item_error: collect",
    ] {
        let found = codes(&through(unknown, "steps.d.k"));
        assert!(!found.contains(&"F070 4".to_owned()), "{unknown}: {found:?}");
    }
}

#[test]
fn a_field_that_nobody_made_is_found_through_a_line_of_steps() {
    assert_snapshot!(problems("steps:\n  - {name: d, executor: data_transformer, config: {data: {k: 1}}}\n  - {name: e, executor: data_transformer, config: {data: {l: \"{{ steps.d }}\"}}}\n  - {name: f, executor: log, config: {message: \"{{ steps.e.l.q }} {{ steps.d.k }} {{ steps.d.q }} {{ steps.d.output.p }}\"}}\n"), @r"
        F049 warning 4:52-4:63 the output of `e` (data_transformer) has no field `q`
             It has `k`.
        F049 warning 4:86-4:95 the output of `d` (data_transformer) has no field `q`
             It has `k`.
        F049 warning 4:102-4:118 the output of `d` (data_transformer) has no field `p`
             It has `k`.
        ");
    // Also where a step is written before what it reads.
    let backwards = "steps:\n  - {name: f, executor: log, depends_on: [], config: {message: \"{{ steps.e.l.q }}\"}}\n  - {name: e, executor: data_transformer, depends_on: [], config: {data: {l: \"{{ steps.d }}\"}}}\n  - {name: d, executor: data_transformer, depends_on: [], config: {data: {k: 1}}}\n";
    assert_eq!(codes(backwards), ["F049 2"]);
}

#[test]
fn conditions_lists_and_operations_want_values_of_their_kind() {
    let flow = |keys: &str, message: &str| {
        format!(
            "inputs: {{z: string, n: integer, l: array, b: boolean, o: {{type: string, required: false}}, any: {{schema: {{}}}}}}\nsteps:\n  - {{name: a, executor: log, {keys} config: {{message: \"{message}\"}}}}\n"
        )
    };
    for (keys, message, code) in [
        ("condition: inputs.z,", "x", Some("F052 3")),
        ("condition: \"{{ inputs.l }}\",", "x", Some("F052 3")),
        ("condition: inputs.b,", "x", None),
        ("condition: inputs.any,", "x", None),
        ("for_each: inputs.z,", "{{ item }}", Some("F070 3")),
        ("for_each: \"{{ inputs.n }}\",", "{{ item }}", Some("F070 3")),
        ("for_each: inputs.l,", "{{ item }}", None),
        ("for_each: inputs.any,", "{{ item }}", None),
        ("for_each: inputs.z | list,", "{{ item }}", None),
        ("", "{{ inputs.z + 1 }}", Some("F070 3")),
        ("", "{{ 1 - inputs.z }}", Some("F070 3")),
        ("", "{{ inputs.n + 'a' }}", Some("F070 3")),
        (
            "",
            "{{ inputs.z + 'a' }} {{ inputs.n + 1 }} {{ inputs.any + 1 }} {{ inputs.z * 2 }} {{ inputs.n ~ 'a' }}",
            None,
        ),
        ("", "{{ inputs.z > 5 }}", Some("F071 3")),
        ("condition: inputs.o >= 5,", "x", Some("F071 3")),
        ("condition: inputs.n < 'a',", "x", Some("F071 3")),
        ("condition: inputs.n < 5 and inputs.z < 'a' and inputs.any > 1,", "x", None),
    ] {
        let found = codes(&flow(keys, message));
        assert_eq!(found.first().map(String::as_str), code, "{keys} {message}: {found:?}");
    }
}

#[test]
fn schemas_do_not_grow_along_a_line_of_steps() {
    let mut yaml = "steps:\n  - {name: s0, executor: data_transformer, config: {data: {a: 1, b: 2}}}\n".to_owned();
    for step in 1..200 {
        let before = step - 1;
        yaml.push_str(&format!("  - {{name: s{step}, executor: data_transformer, config: {{data: {{a: \"{{{{ steps.s{before} }}}}\", b: \"{{{{ steps.s{before} }}}}\"}}}}}}\n"));
    }
    let start = std::time::Instant::now();
    assert_eq!(codes(&yaml), Vec::<String>::new());
    let own = "steps:\n  - {name: x, executor: data_transformer, config: {data: {a: \"{{ steps.y }}\", b: \"{{ steps.y }}\"}}}\n  - {name: y, executor: data_transformer, config: {data: {a: \"{{ steps.x }}\"}}}\n";
    assert!(codes(own).contains(&"F032 2".to_owned()), "{:?}", codes(own));
    assert!(start.elapsed() < std::time::Duration::from_secs(4), "took {:?}", start.elapsed());
}
