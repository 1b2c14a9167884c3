//! What a new version changes for callers, and what flows that call flows must agree on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use insta::assert_snapshot;

use super::{planned, shown};
use crate::{Plan, check_calls, contract_changes};

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

fn calling(name: &str) -> String {
    format!(
        "inputs: {{note: {{type: string, required: false}}}}\nsteps:\n  - name: a\n    executor: flow_executor\n    config:\n      flow_name: {name}\n      inputs: {{note: x}}\n"
    )
}

#[test]
fn calls_go_somewhere_and_come_to_an_end() {
    let check = |flows: &[(&str, &str)], yaml: &str| shown(&check_calls("own", &planned(yaml), &known(flows)));
    let leaf = "inputs: {nota: {type: string, required: false}}\nsteps:\n  - {name: a, executor: chooser}\n";
    assert_snapshot!(check(&[("leaf", leaf)], &calling("leaf")), @r"
        F067 warning 6:1-6:1 in `a`: `leaf` has no input `note`
             Did you mean `nota`?
        ");
    assert_snapshot!(check(&[("leaf", leaf)], &calling("laef")), @r"
        F066 warning 6:1-6:1 in `a`: there is no flow `laef` to call yet
             Did you mean `leaf`?
        ");
    assert_snapshot!(check(&[], &calling("own")), @r"
        F061 6:1-6:1 in `a`: the flow calls itself: own calls own
        ");
    assert_snapshot!(check(&[("b", &calling("c")), ("c", &calling("own"))], &calling("b")), @r"
        F061 6:1-6:1 in `a`: flows that call each other in a circle: own calls b calls c calls own
        ");
    let names: Vec<(String, String)> = (0..9).map(|n| (format!("f{n}"), calling(&format!("f{}", n + 1)))).collect();
    let flows: Vec<(&str, &str)> = names.iter().map(|(name, yaml)| (name.as_str(), yaml.as_str())).collect();
    assert_snapshot!(check(&flows, &calling("f0")), @r"
        F061 6:1-6:1 in `a`: more than 8 flows call each other in a line: own calls f0 calls f1 calls f2 calls f3 calls f4 calls f5 calls f6 calls f7
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
    let _ = check_calls("own", &flows["f0"], &flows);
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "took {:?}", started.elapsed());
}
