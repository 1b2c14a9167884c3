//! What a new version changes for callers, and what flows that call flows must agree on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use insta::assert_snapshot;

use super::{planned, shown};
use crate::{Folder, Pinned, Plan, Tenancy, check_calls, check_references, contract_changes};

fn changes(old: &str, new: &str) -> String {
    let mut text = String::new();
    for change in contract_changes(&planned(old), &planned(new)) {
        let word = if change.is_breaking { "breaking" } else { "harmless" };
        let _ = writeln!(text, "{word} {} {}", change.pointer, change.message);
    }
    text
}

const STEPS: &str = "steps:\n  - {name: a, executor: chooser}\n";

#[test]
fn changes_of_inputs_are_named_and_judged() {
    let old = r#"
inputs:
  same: string
  gone: string
  kind: string
  tight: {type: integer, minimum: 1, maximum: 10}
  loose: {type: integer, minimum: 1, maximum: 10}
  choice: {type: enum, values: [a, b]}
  more: {type: enum, values: [a]}
  optional: {type: string, required: false}
  needed: string
  default: {type: integer, default: 1}
  pattern: {type: string, pattern: "^a"}
  file: {type: file, accept: [.pdf, .docx], max_bytes: 10}
"#;
    let new = r#"
inputs:
  same: {type: string, description: Now with words.}
  kind: integer
  tight: {type: integer, minimum: 2, maximum: 10}
  loose: {type: integer, maximum: 20}
  choice: {type: enum, values: [b]}
  more: {type: enum, values: [a, b]}
  optional: string
  needed: {type: string, required: false}
  default: {type: integer, default: 2}
  pattern: {type: string, pattern: "^b"}
  file: {type: file, accept: [.pdf], max_bytes: 20}
  extra: string
  further: {type: string, default: x}
"#;
    assert_snapshot!(changes(&format!("{old}{STEPS}"), &format!("{new}{STEPS}")), @r#"
        breaking /inputs/gone The input `gone` is gone: calls that give it are refused.
        breaking /inputs/kind The input `kind` has another type: integer instead of string.
        breaking /inputs/tight `minimum` of `tight` is 2 now.
        breaking /inputs/choice `choice` no longer takes "a".
        breaking /inputs/optional The input `optional` is required now.
        breaking /inputs/pattern `pattern` of `pattern` differs: calls that fitted may be refused.
        breaking /inputs/file `file` takes fewer kinds of files: .pdf.
        breaking /inputs/extra The input `extra` is new and required.
        harmless /inputs/loose `maximum` of `loose` is 20 now.
        harmless /inputs/loose `loose` is no longer bound by `minimum`.
        harmless /inputs/more `more` takes more values.
        harmless /inputs/needed The input `needed` may be left out now.
        harmless /inputs/default The default of `default` was 1 and is 2.
        harmless /inputs/file `file` takes larger files.
        harmless /inputs/further The input `further` is new and may be left out.
        "#);
    assert_snapshot!(changes(STEPS, &format!("{new}{STEPS}")), @r"
        breaking /inputs Inputs are declared now: calls with other fields are refused.
        ");
    assert_snapshot!(changes(&format!("{new}{STEPS}"), STEPS), @r"
        harmless /inputs Inputs are no longer declared: any object is taken.
        ");
    assert_eq!(changes(&format!("{old}{STEPS}"), &format!("{old}{STEPS}")), "");
}

#[test]
fn changes_of_outputs_are_named_and_judged() {
    let outputs = |outputs: &str| format!("{STEPS}outputs: {{{outputs}}}\n");
    let old = outputs(
        r#"a: "{{ steps.a.count }}", b: "{{ steps.a.list }}", c: "{{ steps.a }}", d: "text {{ inputs.x }}", e: gone"#,
    );
    let new =
        outputs(r#"a: "{{ steps.a.list }}", b: "{{ inputs.x }}", c: {chosen: x}, d: "{{ steps.a.count }}", f: new"#);
    assert_snapshot!(changes(&old, &new), @r"
        breaking /outputs/a The output `a` has another type: array instead of integer.
        breaking /outputs/b The output `b` was array and may be anything now.
        breaking /outputs/c/chosen The output `c` no longer promises the field `chosen`.
        breaking /outputs/c/count The output `c` no longer promises the field `count`.
        breaking /outputs/c/list The output `c` no longer promises the field `list`.
        breaking /outputs/d The output `d` has another type: integer instead of string.
        breaking /outputs/e The output `e` is gone.
        harmless /outputs/f The output `f` is new.
        ");
    assert_snapshot!(changes(&old, "steps:\n  - {name: a, executor: data_combiner, config: {sources: []}}\n"), @r"
        breaking /outputs What the answer holds is no longer known.
        ");
    assert_eq!(changes(&old, &old), "");
}

fn known(flows: &[(&str, &str)]) -> BTreeMap<String, Arc<Plan>> {
    flows.iter().map(|(name, yaml)| ((*name).to_owned(), Arc::new(planned(yaml)))).collect()
}

fn checked_calls(flows: &[(&str, &str)], yaml: &str, absent: &[usize]) -> String {
    let pinned: Vec<(usize, Option<&str>)> = absent.iter().map(|index| (*index, None)).collect();
    checked_pinned(flows, yaml, &pinned)
}

/// With what the calls of a version or channel mean.
fn checked_pinned(flows: &[(&str, &str)], yaml: &str, pinned: &[(usize, Option<&str>)]) -> String {
    let folder = Folder { yaml: yaml.to_owned(), ..Folder::default() };
    let pinned = pinned.iter().map(|(index, yaml)| (*index, yaml.map(|yaml| Arc::new(planned(yaml))))).collect();
    shown(&check_calls(&folder, ("own", &planned(yaml)), &known(flows), &pinned))
}

fn calling(name: &str) -> String {
    format!(
        "inputs: {{note: {{type: string, required: false}}}}\nsteps:\n  - name: a\n    executor: flow_executor\n    config:\n      flow_name: {name}\n      inputs: {{note: x}}\n"
    )
}

#[test]
fn calls_go_somewhere_and_come_to_an_end() {
    let check = |flows: &[(&str, &str)], yaml: &str| checked_calls(flows, yaml, &[]);
    let leaf = "inputs: {nota: {type: string, required: false}}\nsteps:\n  - {name: a, executor: chooser}\n";
    assert_snapshot!(check(&[("leaf", leaf)], &calling("leaf")), @r"
        F067 warning 7:16-7:20 in `a`: `leaf` has no input `note`
             Did you mean `nota`?
        ");
    assert_snapshot!(check(&[("leaf", leaf)], &calling("laef")), @r"
        F066 warning 6:18-6:22 in `a`: there is no flow `laef` to call yet
             Did you mean `leaf`?
        ");
    assert_snapshot!(check(&[], &calling("own")), @r"
        F061 6:18-6:21 in `a`: the flow calls itself: own calls own
        ");
    assert_snapshot!(check(&[("b", &calling("c")), ("c", &calling("own"))], &calling("b")), @r"
        F061 6:18-6:19 in `a`: flows that call each other in a circle: own calls b calls c calls own
        ");
    let names: Vec<(String, String)> = (0..9).map(|n| (format!("f{n}"), calling(&format!("f{}", n + 1)))).collect();
    let flows: Vec<(&str, &str)> = names.iter().map(|(name, yaml)| (name.as_str(), yaml.as_str())).collect();
    assert_snapshot!(check(&flows, &calling("f0")), @r"
        F061 6:18-6:20 in `a`: more than 8 flows call each other in a line: own calls f0 calls f1 calls f2 calls f3 calls f4 calls f5 calls f6 calls f7
        ");
    assert_eq!(check(&flows, &calling("f4")).matches("F061").count(), 0);
    assert_eq!(check(&[], &calling("\"{{ inputs.note }}\"")), "", "a computed name is the run's business");
}

#[test]
fn a_wide_and_deep_net_of_calls_is_followed_once() {
    let step = |n: usize, to: usize| {
        format!("  - {{name: s{n}, executor: flow_executor, depends_on: [], config: {{flow_name: f{to}}}}}\n")
    };
    let flow = |level: usize| format!("steps:\n{}", (0..20).map(|n| step(n, (level + 1) * 20 + n)).collect::<String>());
    let mut flows = BTreeMap::new();
    for level in 0..7 {
        let plan = Arc::new(planned(&flow(level)));
        flows.extend((0..20).map(|n| (format!("f{}", level * 20 + n), Arc::clone(&plan))));
    }
    let started = std::time::Instant::now();
    let _ = check_calls(&Folder::default(), ("own", &flows["f0"]), &flows, &Pinned::new());
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "took {:?}", started.elapsed());
}

const CALLEE: &str = "inputs: {a: string, b: {type: integer, default: 1}, many: {type: array, required: false}}\nsteps:\n  - {name: s, executor: chooser}\noutputs: {text: \"{{ inputs.a }}\"}\n";

#[test]
fn what_a_call_gives_is_held_against_what_the_callee_takes() {
    let call = |inputs: &str| {
        format!("steps:\n  - {{name: c, executor: flow_executor, config: {{flow_name: callee, inputs: {inputs}}}}}\n")
    };
    let check = |yaml: &str| checked_calls(&[("callee", CALLEE)], yaml, &[]);
    assert_snapshot!(check(&call("{a: [1], b: xx, many: 3, cc: 1}")), @r#"
        F067 warning 2:80-2:83 in `c`: the input `a` of `callee` does not take this: [1] is not of type "string"
        F067 warning 2:88-2:90 in `c`: the input `b` of `callee` does not take this: "xx" is not of type "integer"
        F067 warning 2:98-2:99 in `c`: the input `many` of `callee` does not take this: 3 is not of type "array"
        F067 warning 2:101-2:103 in `c`: `callee` has no input `cc`
             Known here: `a`, `b`, `many`.
        "#);
    assert_snapshot!(check(&call("{b: 2}")), @r"
        F067 warning 2:60-2:66 in `c`: `callee` needs `a`
             Write it under `inputs`.
        ");
    for fits in
        ["{a: x}", "{a: x, b: 2, many: [1]}", "{a: \"{{ inputs.x }}\", b: \"{{ inputs.y }}\"}", "\"{{ inputs }}\""]
    {
        assert_eq!(check(&call(fits)), "", "{fits}");
    }
    let missing = "steps:\n  - {name: c, executor: flow_executor, config: {flow_name: callee}}\n";
    assert!(check(missing).contains("F067 warning 2:60-2:66 in `c`: `callee` needs `a`"), "{}", check(missing));
    // A version of its own may take something else; that it is not there can be said.
    let pinned = call("{b: 2}").replace("callee,", "callee, version: 77,");
    assert_eq!(check(&pinned), "");
    assert_snapshot!(checked_calls(&[("callee", CALLEE)], &pinned, &[0]), @"F066 warning 2:77-2:79 in `c`: `callee` has no version 77 yet");
}

#[test]
fn an_output_that_the_callee_does_not_give_is_found_where_it_is_read() {
    let reads = |keys: &str| {
        format!(
            "steps:\n  - {{name: c, executor: flow_executor, config: {{flow_name: callee, inputs: {{a: x}}}}{keys}}}\n  - {{name: t, executor: chooser, condition: steps.c.output.flag == 1, config: {{among: [\"{{{{ steps.c.nope }}}}\", \"{{{{ steps.c.text }}}}\", \"{{{{ steps.c.status }}}}\"]}}}}\n"
        )
    };
    let check = |yaml: &str| checked_calls(&[("callee", CALLEE)], yaml, &[]);
    assert_snapshot!(check(&reads("")), @r"
        F049 warning 3:45-3:64 the output of `c`: `callee` gives no `flag`
             Known here: `text`.
        F049 warning 3:92-3:104 the output of `c`: `callee` gives no `nope`
             Known here: `text`.
        ");
    assert_eq!(check(&reads(", on_error: {value: {nope: 1, flag: 1}}")), "");
    assert_eq!(
        checked_calls(
            &[(
                "callee",
                "steps: [{name: a, executor: chooser, for_each: \"{{ inputs }}\", config: {most: \"{{ item }}\"}}]\n"
            )],
            &reads(""),
            &[]
        ),
        ""
    );
}

#[test]
fn a_call_of_a_version_or_a_channel_is_held_against_that_one() {
    let first =
        "inputs: {old: string}\nsteps:\n  - {name: s, executor: chooser}\noutputs: {before: \"{{ inputs.old }}\"}\n";
    let yaml = |pin: &str, inputs: &str, read: &str| {
        format!(
            "steps:\n  - {{name: c, executor: flow_executor, config: {{flow_name: callee, {pin}, inputs: {inputs}}}}}\n  - {{name: t, executor: log, config: {{message: \"{{{{ steps.c.{read} }}}}\"}}}}\n"
        )
    };
    for pin in ["version: 1", "channel: beta"] {
        let check = |inputs: &str, read: &str| {
            checked_pinned(&[("callee", CALLEE)], &yaml(pin, inputs, read), &[(0, Some(first))])
        };
        assert_eq!(check("{old: x}", "before"), "", "{pin}");
        let found = check("{a: x}", "text");
        for expected in
            ["`callee` has no input `a`", "`callee` needs `old`", "the output of `c`: `callee` gives no `text`"]
        {
            assert!(found.contains(expected), "{pin}: {found}");
        }
        // Also where nothing is on `stable`; and what is not there is said to be so.
        assert_eq!(checked_pinned(&[], &yaml(pin, "{old: x}", "before"), &[(0, Some(first))]), "", "{pin}");
        let absent = checked_pinned(&[], &yaml(pin, "{old: x}", "before"), &[(0, None)]);
        assert!(absent.contains("F066") && absent.contains("yet") && !absent.contains("F067"), "{pin}: {absent}");
        // Nothing is known of what could not be looked up.
        assert_eq!(checked_pinned(&[("callee", CALLEE)], &yaml(pin, "{zz: x}", "zz"), &[]), "", "{pin}");
    }
    // A circle is one of the versions that are meant.
    let round = "inputs: {old: {type: string, required: false}}\nsteps:\n  - {name: s, executor: flow_executor, config: {flow_name: own}}\n";
    let call = "steps:\n  - {name: c, executor: flow_executor, config: {flow_name: callee, version: 1}}\n";
    assert!(checked_pinned(&[("callee", CALLEE)], call, &[(0, Some(round))]).contains("F061"));
    assert_eq!(checked_pinned(&[("callee", round)], call, &[(0, Some("steps: [{name: s, executor: chooser}]\n"))]), "");
}

#[test]
fn what_a_pipeline_hands_on_is_held_against_the_next_flow() {
    let reader = "inputs: {doc: string}\nsteps:\n  - {name: s, executor: chooser}\noutputs: {text: \"{{ inputs.doc }}\", count: \"{{ steps.s.count }}\"}\n";
    let counts = "inputs: {text: integer, count: integer, more: {type: string, required: false}}\nsteps:\n  - {name: s, executor: chooser}\noutputs: {n: \"{{ inputs.count }}\"}\n";
    let needs = "inputs: {title: string}\nsteps:\n  - {name: s, executor: chooser}\n";
    let says = "steps:\n  - {name: s, executor: conditional, config: {cases: [{condition: \"{{ 1 == 1 }}\", value: x}], default: y}}\n";
    let flows = [("reader", reader), ("counts", counts), ("needs", needs), ("says", says)];
    let pipe = |stages: &str| {
        format!(
            "steps:\n  - name: p\n    executor: flow_pipeline\n    config:\n      inputs: {{doc: x}}\n      flows:\n{stages}"
        )
    };
    let check = |stages: &str| checked_calls(&flows, &pipe(stages), &[]);
    assert_snapshot!(check("        - reader\n        - counts\n        - needs\n"), @r"
        F067 warning 8:11-8:17 in `p`: the input `text` of `counts` takes a whole number, and `reader` gives text
        F067 warning 9:11-9:16 in `p`: `needs` needs `title`, which `counts` does not give
             Give it by `inputs` beside the flow's name.
        ");
    let found = check("        - says\n        - needs\n");
    assert!(found.contains("8:11-8:16 in `p`: `needs` takes inputs by name, and `says` gives text"), "{found}");
    let found = check(
        "        - reader\n        - flow_name: counts\n          inputs: {text: \"{{ output.txt }} {{ output.nope | default('') }}\", count: \"{{ output.text }}\", mor: \"{{ output.count }}\"}\n",
    );
    for expected in [
        "in `p`: `counts` has no input `mor`",
        "in `p`: `reader` gives no `txt`",
        "in `p`: the input `count` of `counts` takes a whole number, and `reader` gives text",
    ] {
        assert!(found.contains(expected), "{found}");
    }
    assert_eq!(found.matches(" in `p`").count(), 3, "{found}");
    assert_eq!(
        check(
            "        - reader\n        - flow_name: counts\n          inputs: {text: 1, count: \"{{ output.count }}\", more: \"{{ inputs.doc }} {{ output.text }}\"}\n"
        ),
        ""
    );
    // Of what nobody knows nothing is said.
    assert_eq!(check("        - reader\n        - flow_name: needs\n          inputs: \"{{ output }}\"\n"), "");
    let unknown =
        check("        - gone\n        - flow_name: needs\n          inputs: {title: \"{{ output.anything }}\"}\n");
    assert_eq!(unknown.lines().count(), 1, "{unknown}");
}

#[test]
fn templates_between_the_flows_of_a_pipeline_see_output_and_inputs_alone() {
    assert_snapshot!(super::problems(r#"
inputs: {n: integer}
functions:
  twice: {implementation: "def twice(n): return n * 2"}
macros:
  loud: "{% macro loud(x) %}{{ x }}!{% endmacro %}"
steps:
  - {name: before, executor: chooser}
  - name: p
    executor: flow_pipeline
    config:
      inputs: {doc: "{{ steps.before.chosen }}", n: "{{ inputs.n }}"}
      flows:
        - {flow_name: a, inputs: {x: "{{ output.doc }} {{ output.nope }} {{ inputs.n > 3 }} {{ inputs.n > 'x' }}"}}
        - flow_name: b
          inputs:
            fine: "{{ output.anything | upper }} {{ inputs.doc }} {{ inputs.nope | default('x') }}"
            steps: "{{ steps.before.chosen }} {{ inputs.dok }} {{ outptu }}"
            calls: "{{ twice(1) }} {{ loud('x') }} {{ output | nofilter }}"
            nested: [{deep: "{{ item }} {{ secrets.TOKEN }}"}]
        - "{{ output.name }}"
        - {flow_name: "x{{ output.name }}"}
        - {flow_name: c, inputs: {broken: "{{ output. }}"}}
"#), @r"
        F045 14:59-14:70 `output` has no field `nope`
             Known here: `doc`, `n`.
        F071 warning 14:107-14:110 `inputs.n` is a whole number and is neither less nor more than text
             What is of another kind comes in an order of its own, whatever its value.
        F045 18:24-18:43 there is no `steps` between the flows of a pipeline
             In scope are `output`, what the flow before gave, and `inputs`, what the pipeline was given.
        F045 18:50-18:60 `inputs` has no field `dok`
             Did you mean `doc`?
        F045 18:67-18:73 there is no `outptu` between the flows of a pipeline
             In scope are `output`, what the flow before gave, and `inputs`, what the pipeline was given.
        F046 19:24-19:32 there is no function `twice`
        F046 19:39-19:48 there is no function `loud`
        F046 19:64-19:72 there is no filter `nofilter`
        F045 20:33-20:37 there is no `item` between the flows of a pipeline
             In scope are `output`, what the flow before gave, and `inputs`, what the pipeline was given.
        F045 20:44-20:57 there is no `secrets` between the flows of a pipeline
             In scope are `output`, what the flow before gave, and `inputs`, what the pipeline was given.
        F021 21:11-21:30 the flows of a pipeline are named, not computed
             Choose among flows with `flow_router`, in steps one behind the other.
        F021 22:23-22:43 the flows of a pipeline are named, not computed
             Choose among flows with `flow_router`, in steps one behind the other.
        F040 23:44-23:57 the template cannot be read: unexpected end of variable block, expected identifier or integer
        ");
}

#[test]
fn a_fallback_calls_as_the_step_itself_does() {
    let yaml = "steps:\n  - name: a\n    executor: chooser\n    on_error:\n      fallback:\n        - {executor: flow_executor, config: {flow_name: gone}}\n        - {executor: flow_executor, config: {flow_name: own}}\n        - {executor: flow_executor, config: {flow_name: back, inputs: {nn: 1}}}\n";
    let back = "inputs: {n: {type: integer, required: false}}\nsteps:\n  - {name: a, executor: chooser, on_error: {fallback: [{executor: flow_executor, config: {flow_name: own}}]}}\n";
    assert_snapshot!(checked_calls(&[("back", back)], yaml, &[]), @r"
        F066 warning 6:57-6:61 in `a`: there is no flow `gone` to call yet
        F061 7:57-7:60 in `a`: the flow calls itself: own calls own
        F061 8:57-8:61 in `a`: flows that call each other in a circle: own calls back calls own
        F067 warning 8:72-8:74 in `a`: `back` has no input `nn`
             Known here: `n`.
        ");
}

#[test]
fn calls_that_act_on_the_outside_world_want_an_order() {
    let post = "steps:\n  - {name: p, executor: api_request, config: {url: \"https://a.example\", method: POST}}\n";
    let get = "steps:\n  - {name: p, executor: api_request, config: {url: \"https://a.example\"}}\n";
    let middle = "steps:\n  - {name: m, executor: flow_executor, config: {flow_name: post}}\n";
    let flows = [("post", post), ("get", get), ("middle", middle)];
    let two = |first: &str, second: &str, keys: &str| {
        format!(
            "steps:\n  - {{name: one, executor: flow_executor, depends_on: [], config: {{flow_name: {first}}}}}\n  - {{name: two, executor: flow_executor, {keys}, config: {{flow_name: {second}}}}}\n"
        )
    };
    for (first, second, keys, is_found) in [
        ("post", "post", "depends_on: []", true),
        ("post", "middle", "depends_on: []", true),
        ("post", "get", "depends_on: []", false),
        ("post", "post", "depends_on: [one]", false),
        ("post", "post", "depends_on: [], effect: idempotent", false),
    ] {
        let found = checked_calls(&flows, &two(first, second, keys), &[]);
        assert_eq!(found.contains("F039"), is_found, "{first} {second} {keys}: {found}");
    }
    let beside = "steps:\n  - {name: one, executor: api_request, depends_on: [], config: {url: \"https://a.example\", method: POST}}\n  - {name: two, executor: flow_executor, depends_on: [], config: {flow_name: post}}\n";
    assert!(checked_calls(&flows, beside, &[]).contains("F039"));
}

#[test]
fn names_that_the_tenant_does_not_have_are_told_with_the_nearest() {
    let yaml = "defaults: {model: hosue/m}\nsteps:\n  - {name: a, executor: api_request, resources: {pool: gpus}, config: {url: \"https://a.example\", connection: crn, headers: {x: \"{{ secrets.TOKNE }} {{ secrets.TOKEN }}\"}, json: {connection: any}}}\n  - {name: b, executor: llm_analyzer, config: {prompt: x, model: \"nope/gpt\"}, on_error: {fallback: [{executor: llm_analyzer, config: {prompt: x, model: house/m}}]}}\n  - {name: c, executor: llm_analyzer, config: {prompt: x, model: \"{{ inputs.m }}/x\"}}\n";
    let folder = Folder { yaml: yaml.to_owned(), ..Folder::default() };
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let tenancy = Tenancy { secrets: names(&["TOKEN"]), connections: names(&["house", "crm"]), pools: names(&["gpu"]) };
    let mut found: Vec<String> = check_references(&folder, &tenancy)
        .iter()
        .map(|problem| format!("{} {}", problem.line, problem.message))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "1 there is no connection `hosue` yet",
            "3 there is no connection `crn` yet",
            "3 there is no pool `gpus` yet",
            "3 there is no secret `TOKNE` yet",
            "4 there is no connection `nope` yet",
        ]
    );
    // Who may not see the names learns nothing of them.
    assert_eq!(check_references(&folder, &Tenancy::default()), []);
}
