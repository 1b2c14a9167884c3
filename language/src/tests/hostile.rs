//! Hostile texts end within their budgets, quickly and without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::compiled;
use crate::limits;

/// Compiles within two seconds and gives the codes, at most one of each.
fn codes(yaml: &str) -> Vec<String> {
    let started = Instant::now();
    let mut codes: Vec<String> = compiled(yaml).problems.into_iter().map(|problem| problem.code).collect();
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    codes.dedup();
    codes
}

fn with_template(template: &str) -> String {
    let quoted = serde_json::to_string(template).unwrap();
    format!("steps:\n  - name: a\n    executor: api_request\n    config: {{url: {quoted}}}\n")
}

#[test]
fn bytes_nodes_depth_and_aliases_have_budgets() {
    assert_eq!(codes(&format!("# {}", "x".repeat(300 * 1024))), ["F001"]);
    assert_eq!(codes(&format!("a: [{}]", "1,".repeat(limits::YAML_NODES))), ["F001"]);
    for open in ["[", "{a: ", "- ", "? "] {
        assert!(
            matches!(codes(&open.repeat(50_000)).first().map(String::as_str), Some("F001" | "F002" | "F004")),
            "{open}"
        );
    }
    assert_eq!(codes("a:"), ["F010", "F012"]);
}

#[test]
fn alias_bombs_are_counted_before_they_are_copied() {
    let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for level in 1..30 {
        let before = vec![format!("*a{}", level - 1); 9].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert_eq!(codes(&bomb), ["F001"]);
    let many = format!("a: &a [1]\nb: [{}]\n", vec!["*a"; 200].join(","));
    assert_eq!(codes(&many), ["F001"]);
}

#[test]
fn aliases_may_not_multiply_text() {
    let text = "x".repeat(20_000);
    let yaml = format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 90].join(","));
    assert_eq!(codes(&yaml), ["F001"]);
}

#[test]
fn many_warnings_hide_no_error() {
    let reads: String = (0..300).map(|n| format!("  o{n}: \"{{{{ steps.a.f{n} }}}}\"\n")).collect();
    let yaml =
        format!("outputs:\n{reads}  bad: \"{{{{ steps.b }}}}\"\nsteps:\n  - {{name: a, executor: file_analyzer}}\n");
    let found = compiled(&yaml);
    assert!(found.plan.is_none());
    assert!(found.problems.iter().any(|problem| problem.code == "F001" || problem.code == "F042"));
    let yaml = format!(
        "steps:\n  - name: a\n    executor: file_analyzer\n  - name: c\n    executor: api_request\n    config:\n      url: x\n      json:\n{}",
        reads.replace("  o", "        o")
    );
    let found = compiled(&yaml);
    assert_eq!((found.plan.is_some(), found.problems.len()), (true, limits::PROBLEMS));
    let found = compiled(&format!("{yaml}        bad: \"{{{{ steps.b }}}}\"\n"));
    assert!(found.plan.is_none() && found.problems.iter().any(|problem| problem.code == "F042"));
}

#[test]
fn a_file_that_every_step_uses_is_read_once() {
    let step = |n: usize| {
        format!("  - {{name: s{n}, executor: llm_analyzer, depends_on: [], config: {{text: x, prompt_file: p.j2}}}}\n")
    };
    let yaml = format!("steps:\n{}", (0..500).map(step).collect::<String>());
    let files = [("p.j2".to_owned(), "{{ inputs.a }} and some text ".repeat(8_000))].into();
    let started = Instant::now();
    let folder = crate::Folder { name: None, yaml, files };
    let problems = crate::compile(&folder, &super::catalogue::catalogue()).problems;
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
    assert_eq!(problems[0].code, "F053");
}

#[test]
fn every_step_may_wait_for_every_step() {
    let step = |n: usize| {
        let names: Vec<String> = (0..n).map(|n| format!("s{n}")).collect();
        format!("  - {{name: s{n}, executor: document_extractor, depends_on: [{}]}}\n", names.join(","))
    };
    let yaml = format!("steps:\n{}", (0..190).map(step).collect::<String>());
    assert!(codes(&yaml).is_empty());
}

#[test]
fn deep_and_long_templates_are_refused_before_they_become_trees() {
    let long = "+a".repeat(40_000);
    for template in [
        format!("{{{{ {} }}}}", "(".repeat(50_000)),
        format!("{{{{ a{long} }}}}"),
        format!("{{{{ a{} }}}}", "|upper".repeat(20_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(40_000)),
        format!("{{{{ a{} }}}}", "[0]".repeat(30_000)),
        format!("{{{{ {}a }}}}", "not ".repeat(30_000)),
        format!("{{{{ {}a }}}}", "-".repeat(60_000)),
        format!("{{{{ {}a{} }}}}", "f(1,".repeat(20_000), ")".repeat(20_000)),
        format!("{{{{ a{} }}}}", " if a else a".repeat(10_000)),
        "{% if a %}".repeat(20_000),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(15_000)),
        "{% for a in b %}".repeat(10_000),
        format!("{{{{ {} }}}}", "{'a':".repeat(30_000)),
        format!("{{{{ a{} }}}}", " ~ a(1,2)".repeat(20_000)),
    ] {
        let found = codes(&with_template(&template));
        assert!(found.iter().any(|code| code == "F053" || code == "F040"), "{found:?}: {}", &template[..40]);
    }
    let branches: String = (0..50).map(|n| format!("{{% elif inputs.a == {n} %}}x")).collect();
    assert!(codes(&with_template(&format!("{{% if inputs.a %}}{branches}{{% endif %}}"))).is_empty());
    let list = vec!["inputs.a + 1"; 2_000].join(", ");
    assert!(codes(&with_template(&format!("{{{{ [{list}] }}}}"))).is_empty());
}

#[test]
fn files_that_nothing_uses_are_held_to_the_same_bounds() {
    let text = format!("{{{{ a{} }}}}", "+a".repeat(40_000));
    let files = [("notes.txt".to_owned(), text)].into();
    let yaml = "steps:\n  - {name: a, executor: file_analyzer}\n".to_owned();
    let folder = crate::Folder { name: None, yaml, files };
    let problems = crate::compile(&folder, &super::catalogue::catalogue()).problems;
    assert_eq!(
        problems.iter().map(|problem| (problem.code.as_str(), problem.file.as_str())).collect::<Vec<_>>(),
        [("F053", "notes.txt")]
    );
}

#[test]
fn conditions_have_the_same_bounds() {
    let yaml = format!("steps:\n  - {{name: a, executor: file_analyzer, condition: \"a{}\"}}\n", "+a".repeat(50_000));
    assert_eq!(codes(&yaml), ["F053"]);
}

#[test]
fn many_problems_are_cut_off() {
    let yaml: String = (0..5_000).map(|n| format!("k{n}: 1\n")).collect();
    assert_eq!(compiled(&yaml).problems.len(), limits::PROBLEMS);
}

#[test]
fn hostile_schemas_and_patterns_stay_cheap() {
    let nested = format!("{}string{}", "{\"not\":".repeat(50), "}".repeat(50));
    let yaml = format!(
        "inputs:\n  a: {{schema: {nested}}}\n  b: {{type: string, pattern: '(((a{{1,100}}){{1,100}}){{1,100}}){{1,100}}'}}\n  c: {{schema: {{$ref: 'https://example.com/x'}}}}\n  d: {{schema: {{$ref: '#'}}}}\n  e: {{schema: {{$ref: 'file:///etc/passwd'}}}}\nsteps:\n  - {{name: a, executor: llm_analyzer, config: {{text: x}}}}\n"
    );
    let found = codes(&yaml);
    assert!(found.contains(&"F013".to_owned()) && found.contains(&"F016".to_owned()), "{found:?}");
}

#[test]
fn a_diamond_of_ten_thousand_steps_is_refused_at_500() {
    let step = |n: usize| format!("  - {{name: s{n}, executor: chooser, depends_on: [top]}}\n");
    let wide: String = (0..10_000).map(step).collect();
    let yaml = format!("steps:\n  - {{name: top, executor: chooser}}\n{wide}");
    assert_eq!(codes(&yaml), ["F001"], "more bytes or nodes than a file may have");
    let step = |n: usize| format!("  - {{name: s{n}, executor: chooser, depends_on: [s0]}}\n");
    let wide: String = (1..1_000).map(step).collect();
    let yaml = format!("steps:\n  - {{name: s0, executor: chooser}}\n{wide}");
    let found = compiled(&yaml).problems;
    assert_eq!((found.len(), found[0].code.as_str(), found[0].line), (1, "F001", 502));
    // Handlers count with the others.
    let steps: String = (0..499).map(|n| format!("  - {{name: s{n}, executor: chooser, depends_on: []}}\n")).collect();
    let handlers = "  - {name: a, executor: chooser}\n  - {name: b, executor: chooser}\n";
    assert_eq!(codes(&format!("steps:\n{steps}finally:\n{handlers}")), ["F001"]);
}

#[test]
fn five_hundred_steps_with_everything_about_them_are_checked_in_time() {
    let step = |n: usize| {
        let before = n.saturating_sub(1);
        format!(
            "  - {{name: s{n}, executor: api_request, for_each: inputs.rows, condition: \"steps.s{before}.success or steps.s0.cost > 1\", config: {{url: \"https://example.com/{{{{ item }}}}\", method: POST}}, compensate: {{executor: api_request, config: {{url: \"https://example.com/{{{{ item.output.body }}}}\"}}}}, repeat: {{until: output.http_status == 200}}}}\n"
        )
    };
    let steps: String = (1..300).map(step).collect();
    let yaml = format!("inputs: {{rows: {{type: array}}}}\nsteps:\n  - {{name: s0, executor: chooser}}\n{steps}");
    let started = Instant::now();
    let found = compiled(&yaml);
    assert!(found.plan.is_some(), "{:?}", found.problems.first());
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
}

#[test]
fn huge_lists_of_items_and_long_chains_of_guards_stay_cheap() {
    let list = "1,".repeat(18_000);
    let yaml = format!(
        "steps:\n  - {{name: a, executor: chooser, for_each: [{list}], config: {{most: \"{{{{ item }}}}\"}}}}\n"
    );
    assert_eq!(codes(&yaml), ["F026"], "longer than `max_items`");
    let templates = "\"{{ inputs.a }}\",".repeat(6_000);
    let yaml = format!(
        "steps:\n  - {{name: a, executor: chooser, for_each: [{templates}], config: {{among: [\"{{{{ item }}}}\"]}}}}\n"
    );
    assert!(codes(&yaml).is_empty());
    let names: Vec<String> = (0..190).map(|n| format!("steps.s{n}.success")).collect();
    let inside = "{{ steps.s0.file_type }}".repeat(4_000);
    let template = format!("{{% if {} %}}{inside}{{% endif %}}", names.join(" and "));
    assert!(codes(&with_template(&template)).iter().all(|code| code == "F042" || code == "F053"));
}

#[test]
fn hostile_functions_and_macros_are_read_once_and_never_run() {
    let quote = |text: &str| serde_json::to_string(text).unwrap();
    let steps = "steps:\n  - {name: a, executor: chooser}\n";
    for text in [
        format!("def f({}): return 1", "(".repeat(30_000)),
        format!("def f({}): return 1", "a=[{(".repeat(10_000)),
        format!("def f({}): return 1", "a,".repeat(30_000)),
        format!("def f({}", "\"".repeat(30_001)),
        "def f(".to_owned(),
        "def f(é=\"ü)".to_owned(),
        format!("{}def f(a): return a", "\n".repeat(30_000)),
    ] {
        let yaml = format!("functions:\n  f: {{implementation: {}}}\n{steps}", quote(&text));
        assert!(codes(&yaml).iter().all(|code| matches!(code.as_str(), "F001" | "F063" | "F064")), "{}", &text[..6]);
    }
    let long = format!("def f(a): return a\n{}", "#".repeat(limits::FUNCTION_BYTES));
    assert_eq!(codes(&format!("functions:\n  f: {{implementation: {}}}\n{steps}", quote(&long))), ["F001"]);
    let nested = format!("{{% macro m() %}}{}{{% endmacro %}}", "{% if a %}".repeat(10_000));
    let found = codes(&format!("macros:\n  m: {}\n{steps}", quote(&nested)));
    assert!(found.iter().any(|code| code == "F040" || code == "F053"), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,400}") {
        let _ = compiled(&text);
        let _ = compiled(&with_template(&text));
    }

    #[test]
    fn any_mixture_of_yaml_is_read_without_a_panic(parts in prop::collection::vec(prop::sample::select(YAML), 0..60)) {
        let text = parts.concat();
        let _ = compiled(&text);
        let _ = compiled(&format!("steps:\n  - name: a\n    executor: llm_analyzer\n    config:\n      text: |\n        {text}"));
    }

    #[test]
    fn any_mixture_of_template_is_read_without_a_panic(parts in prop::collection::vec(prop::sample::select(TEMPLATE), 0..60)) {
        let text = parts.concat();
        let _ = compiled(&with_template(&text));
        let quoted = serde_json::to_string(&text).unwrap();
        let _ = compiled(&format!("steps:\n  - {{name: a, executor: file_analyzer, condition: {quoted}}}\n"));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = compiled(&String::from_utf8_lossy(&bytes));
    }
}

const YAML: &[&str] = &[
    "steps",
    "name",
    "executor",
    "config",
    ": ",
    ":\n  ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|",
    ">",
    ">-\n",
    "&a ",
    "*a",
    "!!str ",
    "? ",
    "---\n",
    "...\n",
    "#c\n",
    "a",
    "file_analyzer",
    "llm_analyzer",
    "depends_on",
    "[]",
    "{{ x }}",
    "\t",
    "é",
    "\u{2028}",
    "true",
    "010",
    "~",
    "%",
    "@",
    "`",
    "\\",
    "<<",
    "groups",
    "for_each",
    "on_error",
    "finally",
    "fallback",
    "compensate",
    "repeat",
    "until",
    "extends",
    "imports",
    "functions",
    "macros",
    "implementation",
    "max_cost",
    "cache",
    "inputs",
    "outputs",
    "condition",
];

const TEMPLATE: &[&str] = &[
    "{{", "}}", "{%", "%}", "{#", "#}", " ", "steps", ".", "a", "b", "[", "]", "(", ")", "|", "upper", "if", "else",
    "elif", "endif", "for", "in", "endfor", "set", "=", "==", "'x'", "\"", "1", "-", "+", "~", ",", "not", "is",
    "defined", "include", "extends", "import", "as", "macro", "endmacro", "call", "endcall", "block", "endblock",
    "raw", "endraw", "{", "}", ":", "**", "loop", "self", "inputs", "é", "\n", "with", "endwith", "filter", "do",
];
