//! All problems of a file at once, and none that is not there: what one slip must not hide, and what must not be warned of.

use super::codes;

/// Problems of every kind that a step may have besides.
const REST: &str =
    "depends_on: [ghost], condition: \"3\", config: {message: \"{{ steps.nope.x }} {{ inputs.zz }}\", nokey: 1}";

#[test]
fn a_slip_in_a_step_hides_nothing_else_of_it() {
    let rest = ["F022 3", "F031 3", "F042 3", "F043 3", "F052 3"];
    for (slip, own) in [
        ("name: a, executr: log", ["F010 3", "F012 3"].as_slice()),
        ("name: a", &["F012 3"]),
        ("executor: log", &["F012 3"]),
        ("name: A b, executor: log", &["F014 3"]),
        ("name: 7up, executor: log", &["F014 3"]),
        ("name: a, executor: log, parallel_group: b", &["F030 3"]),
        ("name: a, executor: log, parallel_group: B-x", &["F014 3"]),
        ("name: b, executor: log", &["F030 3"]),
        ("name: a, executor: log, timeout: soon, effect: none", &["F013 3"]),
    ] {
        let yaml = format!(
            "inputs: {{x: string}}\nsteps:\n  - {{{slip}, {REST}}}\n  - {{name: b, executor: log, config: {{message: x}}}}\n"
        );
        let found = codes(&yaml);
        // Two of a name: the second is the one that is told of.
        let own = own.iter().filter(|code| !code.starts_with("F030"));
        let has_executor = slip.contains("executor:");
        // What the config takes is not known without an executor.
        let rest = rest.iter().filter(|code| has_executor || **code != "F022 3");
        for code in own.chain(rest) {
            assert!(found.contains(&(*code).to_owned()), "{slip}: no {code} among {found:?}");
        }
        // The other step has no problem but its name.
        let others: Vec<&String> =
            found.iter().filter(|code| code.ends_with(" 4") && !code.starts_with("F030")).collect();
        assert!(others.is_empty(), "{slip}: {others:?}");
    }
    // Who reads the step by its name is not told that it is not there.
    let yaml =
        "steps:\n  - {name: a, executr: log}\n  - {name: b, executor: log, config: {message: \"{{ steps.a }}\"}}\n";
    assert_eq!(codes(yaml), ["F012 2", "F010 2"].map(str::to_owned));
}

#[test]
fn only_what_can_never_run_is_said_to_never_run() {
    let group = |join: &str, members: &str| {
        format!(
            "groups: {{g: {{join: {join}}}}}\nsteps:\n{members}  - {{name: after, executor: log, depends_on: [g], config: {{message: x}}}}\n"
        )
    };
    let fail =
        |name: &str| format!("  - {{name: {name}, executor: fail, parallel_group: g, config: {{message: no}}}}\n");
    let log =
        |name: &str| format!("  - {{name: {name}, executor: log, parallel_group: g, config: {{message: yes}}}}\n");
    for (join, members, is_dead) in [
        ("any", fail("m1") + &log("m2"), false),
        ("any", fail("m1") + &fail("m2"), true),
        ("all", fail("m1") + &log("m2"), true),
        ("all_settled", fail("m1") + &fail("m2"), false),
        ("{at_least: 1}", fail("m1") + &log("m2"), false),
        ("{at_least: 2}", fail("m1") + &log("m2"), true),
    ] {
        let found = codes(&group(join, &members));
        assert_eq!(found.iter().any(|code| code == "F038 5"), is_dead, "{join} {members}: {found:?}");
    }
    let steps = |rest: &str| format!("steps:\n  - {{name: no, executor: fail, config: {{message: no}}}}\n{rest}");
    for (rest, is_dead) in [
        ("  - {name: a, executor: log, config: {message: x}}\n", true),
        // It takes the failure on, for itself and for what comes after it.
        (
            "  - {name: a, executor: log, condition: steps.no.success == false, config: {message: x}}\n  - {name: b, executor: log, config: {message: x}}\n",
            false,
        ),
        (
            "  - {name: a, executor: log, condition: steps.no.success == false, config: {message: x}}\n  - {name: b, executor: log, depends_on: [a, no], config: {message: x}}\n",
            false,
        ),
        (
            "  - {name: a, executor: log, run_if: any_failed, config: {message: x}}\n  - {name: b, executor: log, depends_on: [a, no], config: {message: x}}\n",
            false,
        ),
        (
            "  - {name: a, executor: log, condition: steps.no.success == false, config: {message: x}}\n  - {name: b, executor: log, depends_on: [no], config: {message: x}}\n",
            true,
        ),
    ] {
        let found = codes(&steps(rest));
        assert_eq!(found.iter().any(|code| code.starts_with("F038")), is_dead, "{rest}: {found:?}");
    }
}

#[test]
fn a_model_is_not_asked_about_nothing() {
    for (inputs, config, code) in [
        ("inputs: {a: string, b: string}\n", "", Some("F051 3")),
        ("inputs: {doc: file}\n", "", Some("F050 3")),
        ("inputs: {doc: file}\n", ", config: {temperature: 0.3}", Some("F050 3")),
        ("inputs: {a: string}\n", "", None),
        ("inputs: {a: string, b: string}\n", ", config: {text: \"{{ inputs.a }}\"}", None),
        ("inputs: {a: string, b: string}\n", ", config: {prompt: Say something.}", None),
        ("inputs: {doc: file}\n", ", config: {prompt: \"About {{ text }}\"}", None),
        // Its variables are shown with the instruction.
        ("inputs: {a: string, b: string}\n", ", config: {first_letter: \"{{ inputs.a }}\"}", None),
    ] {
        let yaml = format!("{inputs}steps:\n  - {{name: summarize, executor: llm_analyzer{config}}}\n");
        assert_eq!(codes(&yaml).first().map(String::as_str), code, "{yaml}");
    }
    let plan = super::planned("steps: [{name: ask, executor: llm_analyzer}]");
    assert!(plan.steps[0].main_input.as_ref().is_some_and(|main| main.required), "the run refuses a call without text");
    let plan = super::planned("steps: [{name: ask, executor: llm_analyzer, config: {prompt: \"About {{ text }}\"}}]");
    assert!(plan.steps[0].main_input.as_ref().is_some_and(|main| !main.required));
}

#[test]
fn writes_to_one_address_want_an_order() {
    let two = |url: &str, first: &str, second: &str, keys: &str| {
        format!(
            "steps:\n  - {{name: one, executor: api_request, depends_on: [], config: {{url: \"https://a.example/1\", method: {first}}}}}\n  - {{name: two, executor: api_request, {keys}, config: {{url: \"{url}\", method: {second}}}}}\n"
        )
    };
    let same = "https://a.example/1";
    for (url, first, second, keys, is_found) in [
        (same, "PUT", "DELETE", "depends_on: []", true),
        (same, "PUT", "PUT", "depends_on: []", true),
        (same, "PUT", "GET", "depends_on: []", false),
        (same, "PUT", "DELETE", "depends_on: [one]", false),
        ("https://a.example/2", "PUT", "DELETE", "depends_on: []", false),
    ] {
        let found = codes(&two(url, first, second, keys));
        assert_eq!(found.contains(&"F039 3".to_owned()), is_found, "{url} {first} {second} {keys}: {found:?}");
    }
}

#[test]
fn the_names_below_run_and_flow_are_fixed() {
    let flow =
        |text: &str| format!("steps:\n  - {{name: a, executor: log, config: {{message: \"{{{{ {text} }}}}\"}}}}\n");
    for known in [
        "run.id",
        "run.created_at",
        "run.trigger",
        "run.labels.any",
        "run.test",
        "run.depth",
        "run.epoch",
        "flow.name",
        "flow.version",
        "run",
    ] {
        assert_eq!(codes(&flow(known)), Vec::<String>::new(), "{known}");
    }
    for unknown in ["run.nope", "run['idd']", "flow.nope", "flow.id", "run.status | default('x')"] {
        assert_eq!(codes(&flow(unknown)), ["F045 2"], "{unknown}");
    }
}

#[test]
fn words_without_an_effect_are_told_of() {
    for (step, code) in [
        ("executor: log, first_token_timeout: 3s", Some("F027 2")),
        ("executor: llm_analyzer, first_token_timeout: 3s", None),
        ("executor: log, on_unknown: retry", Some("F027 2")),
        ("executor: log, effect: unsafe, on_unknown: retry", None),
        ("executor: api_request, on_unknown: fail, config: {url: \"https://a.example\"}", Some("F027 2")),
        ("executor: api_request, on_unknown: fail, config: {url: \"https://a.example\", method: POST}", None),
        ("executor: flow_executor, on_unknown: fail, config: {flow_name: other}", None),
        ("executor: log, retry: {retry_on: [timout]}", Some("F027 2")),
        ("executor: log, retry: {no_retry_on: [Timeout]}", Some("F027 2")),
        ("executor: log, retry: {retry_on: [\"rate limited\"]}", Some("F027 2")),
        ("executor: log, retry: {retry_on: [timeout, rate_limited, no_text_layer, not_today]}", None),
    ] {
        let found = codes(&format!("steps:\n  - {{name: a, {step}}}\n"));
        assert_eq!(found.first().map(String::as_str), code, "{step}: {found:?}");
    }
}
