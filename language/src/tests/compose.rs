//! Flows that build on others.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::catalogue::catalogue;
use super::{order, shown};
use crate::{Compiled, Folder, compile, limits};

/// A flow's name, its YAML, and further files by path.
type Beside<'t> = (&'t str, &'t str, &'t [(&'t str, &'t str)]);

/// A flow with others beside it: name and YAML, further files by path.
fn folder(yaml: &str, beside: &[Beside<'_>]) -> Folder {
    let mut folder = Folder { name: Some("own".to_owned()), yaml: yaml.to_owned(), files: BTreeMap::new() };
    for (name, yaml, files) in beside {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        folder.take_in(Folder { name: Some((*name).to_owned()), yaml: (*yaml).to_owned(), files }, name);
    }
    folder
}

fn problems(folder: &Folder) -> String {
    shown(&compile(folder, &catalogue()).problems)
}

fn planned(folder: &Folder) -> crate::Plan {
    let Compiled { plan, problems } = compile(folder, &catalogue());
    plan.unwrap_or_else(|| panic!("{}", shown(&problems)))
}

const BASE: &str = r#"
name: base
description: The one below.
labels: {team: ops, tier: gold}
inputs: {file: file, note: {type: string, required: false}}
steps:
  - {name: read, executor: document_extractor, timeout: 20s}
  - name: ask
    executor: llm_analyzer
    config: {prompt_file: prompts/ask.j2, tone: kind, temperature: 0}
  - {name: last, executor: log, config: {message: done}}
outputs: {answer: "{{ steps.ask.text }}"}
"#;
const PROMPTS: &[(&str, &str)] =
    &[("prompts/ask.j2", "{% include 'prompts/rules.j2' %} {{ tone }} {{ text }}"), ("prompts/rules.j2", "Be brief.")];

#[test]
fn mappings_merge_and_steps_match_by_name() {
    let own = r#"
extends: base
labels: {tier: silver}
remove: [last, inputs.note]
steps:
  - {name: ask, config: {tone: stern}, retry: {max_attempts: 2}}
  - {name: check, executor: file_analyzer, before: read}
  - {name: more, executor: log, after: read, config: {message: "read {{ steps.read.text }}"}}
  - {name: end, executor: log, config: {message: end}}
"#;
    let mut folder = folder(own, &[("base", BASE, PROMPTS)]);
    folder.files.insert("prompts/rules.j2".to_owned(), "Be long.".to_owned());
    let plan = planned(&folder);
    assert_snapshot!(order(&plan), @r"
        check
          file from inputs.file
        read
          after check (order)
          file from inputs.file
        more
          after read (order, output)
        ask
          after read (main input)
          after more (order)
          text from read.text
        end
          after ask (order)
        ");
    assert_eq!(plan.name.as_deref(), Some("own"));
    assert_eq!((plan.labels["team"].as_str(), plan.labels["tier"].as_str()), ("ops", "silver"));
    let ask = plan.steps.iter().find(|step| step.name == "ask").unwrap();
    assert_eq!(
        serde_json::Value::Object(ask.config.clone()),
        serde_json::json!({ "prompt_file": "prompts/ask.j2", "tone": "stern", "temperature": 0 })
    );
    assert_eq!(ask.retry.max_attempts, 2);
    assert_eq!(plan.inputs.as_ref().map(Vec::len), Some(1));
    assert_eq!(plan.files["prompts/rules.j2"], "Be long.");
    assert_eq!(plan.files["base/prompts/rules.j2"], "Be brief.");
}

#[test]
fn problems_stand_in_the_file_where_they_were_written() {
    let broken = BASE.replace("temperature: 0", "temperture: 0").replace("steps.ask.text", "steps.ask.txt");
    let prompts: &[(&str, &str)] = &[("prompts/ask.j2", "{{ tnoe }} {{ text }}")];
    let own = "extends: base\nremove: [nothing]\nsteps:\n  - {name: read, timeout: soon}\n  - {name: new, executor: log, after: raed}\n";
    assert_snapshot!(problems(&folder(own, &[("base", &broken, prompts)])), @r"
        F062 2:10-2:17 the extended flow has no `nothing` to remove
             Known here: `read`, `ask`, `last`.
        F013 4:27-4:31 `timeout` is not a time between 1 ms and 30 days
             Write `30s`, `1h30m`, `500ms`, or a number of seconds.
        F031 5:39-5:43 there is no step `raed` to stand after
             Did you mean `read`?
        F022 ../base/flow.yaml 10:55-10:65 `temperture` is nearly the config key `temperature`
             Did you mean `temperature`? A variable of the prompt needs a name that cannot be taken for it.
        F049 warning ../base/flow.yaml 12:23-12:36 the output of `ask` (llm_analyzer) has no field `txt`
             Did you mean `text`?
        F045 ../base/prompts/ask.j2 1:4-1:8 there is no `tnoe` here
             Did you mean `tone`?
        ");
}

#[test]
fn circles_long_lines_and_missing_flows_are_refused() {
    let step = "steps:\n  - {name: a, executor: file_analyzer}\n";
    let extends = |name: &str| format!("extends: {name}\n{step}");
    assert_snapshot!(problems(&folder(&extends("bsae"), &[("base", step, &[])])), @r"
        F060 1:10-1:14 there is no flow `bsae` beside this one
             Did you mean `base`?
        ");
    assert_snapshot!(problems(&folder(&extends("a"), &[("a", &extends("b"), &[]), ("b", &extends("a"), &[])])), @r"
        F061 ../b/flow.yaml 1:10-1:11 flows that extend each other in a circle: own extends a extends b extends a
        ");
    assert_snapshot!(problems(&folder(&extends("own"), &[])), @r"
        F061 1:10-1:13 flows that extend each other in a circle: own extends own
        ");
    let names: Vec<String> = (0..30).map(|n| format!("f{n}")).collect();
    let texts: Vec<String> = (1..31).map(|n| extends(&format!("f{n}"))).collect();
    let beside: Vec<Beside<'_>> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str(), &[] as &[(&str, &str)])).collect();
    assert_snapshot!(problems(&folder(&extends("f0"), &beside)), @r"
        F001 ../f6/flow.yaml 1:10-1:12 more than 8 flows extend each other in a line
        ");
    assert!(
        compile(&folder(&extends("f24"), &[beside[24..].to_vec(), vec![("f30", step, &[])]].concat()), &catalogue())
            .plan
            .is_some()
    );
}

#[test]
fn a_library_brings_functions_macros_and_prompts_under_its_name() {
    let library = r#"
functions:
  short: {implementation: "def short(text, most=10):\n    return text[:most]\n"}
macros:
  bullet: "{% macro bullet(x) %}- {{ short(x) }}{% endmacro %}"
"#;
    let prompts: &[(&str, &str)] = &[
        ("prompts/ask.j2", "{% include 'prompts/rules.j2' %} {{ short(text) }} {{ bullet(text) }}"),
        ("prompts/rules.j2", "Be brief."),
    ];
    let own = r#"
imports: [tools]
steps:
  - {name: a, executor: llm_analyzer, config: {text: "{{ tools.short(inputs.text, 3) }}", prompt_file: tools/prompts/ask.j2}}
"#;
    let plan = planned(&folder(own, &[("tools", library, prompts)]));
    assert_eq!(plan.functions.keys().collect::<Vec<_>>(), ["tools.short"]);
    // A macro is loaded together with what stands beside it: under the library's name it would load itself.
    assert_eq!(plan.macros["tools.bullet"], "{% macro bullet(x) %}- {{ short(x) }}{% endmacro %}");
    assert_eq!(
        plan.files["tools/prompts/ask.j2"],
        "{% include \"tools/prompts/rules.j2\" %} {{ tools.short(text) }} {{ tools.bullet(text) }}"
    );
    let wrong = r#"
imports: [tools, none, bad-name, idle]
steps:
  - {name: a, executor: llm_analyzer, config: {text: "{{ tools.shrot('x') }} {{ tools.short(1, 2, 3) }} {{ short('x') }}"}}
"#;
    let step = "steps:\n  - {name: a, executor: file_analyzer}\n";
    assert_snapshot!(problems(&folder(wrong, &[("tools", library, prompts), ("bad-name", library, &[]), ("idle", step, &[])])), @r"
        F060 2:18-2:22 there is no flow `none` beside this one
             Known here: `bad-name`, `idle`, `tools`.
        F014 2:24-2:32 a flow named `bad-name` cannot be imported
             Templates call its functions by its name: small letters, digits and `_`, a letter first.
        F027 warning 2:34-2:38 `idle` has no functions and no macros
        F046 4:63-4:74 `tools` has no function `shrot`
             Did you mean `short`?
        F065 4:86-4:101 `tools.short` is called with 3 arguments
             It takes `text`, `most` (may be left out).
        F046 4:108-4:118 there is no function `short`
        ");
}

#[test]
fn circles_of_macros_are_found_in_libraries_and_in_prompt_files_too() {
    let library = r#"
macros:
  a: "{% macro a() %}{{ b() }}{% endmacro %}"
  b: "{% macro b() %}{{ a() }}{% endmacro %}"
  fine: "{% macro fine(n) %}{% if n %}{{ fine(n - 1) }}{% endif %}{% endmacro %}"
"#;
    let by_file = "macros:\n  show: \"{% import 'prompts/show.j2' as show_file %}{% macro show() %}{{ show_file.it() }}{% endmacro %}\"\n";
    let prompts: &[(&str, &str)] = &[("prompts/show.j2", "{% macro it() %}x{% endmacro %}{{ show() }}")];
    let own = r#"
imports: [tools, shows]
macros:
  own: "{% macro own() %}{{ tools.fine(1) }}{% endmacro %}"
steps:
  - {name: a, executor: llm_analyzer, config: {text: "{{ tools.fine(2) }}{{ shows.show() }}", prompt_file: one.j2}}
"#;
    let mut folder = folder(own, &[("tools", library, &[]), ("shows", by_file, prompts)]);
    for (path, text) in [
        (
            "one.j2",
            "{% from 'two.j2' import x %}{% include 'again.j2' %}{% include 'shows/prompts/show.j2' %}{{ text }}",
        ),
        ("two.j2", "{% extends 'three.j2' %}"),
        ("three.j2", "{% import 'one.j2' as one %}"),
        (
            "again.j2",
            "{% if text %}{% include 'again.j2' %}{% endif %}{% for x in [] %}{% import 'again.j2' as a %}{% endfor %}",
        ),
        ("unused.j2", "{% import 'unused.j2' as unused %}"),
    ] {
        folder.files.insert(path.to_owned(), text.to_owned());
    }
    assert_snapshot!(problems(&folder), @r"
        F069 ../shows/flow.yaml 2:9-2:106 the macro `shows.show` loads the file `shows/prompts/show.j2`, which loads the library `shows`, which loads the macro `shows.show`: a circle without an end
             A macro may call itself: write those that call each other as one, with a parameter that says which.
        F069 ../tools/flow.yaml 3:6-3:46 the macro `tools.a` loads the macro `tools.b`, which loads the macro `tools.a`: a circle without an end
             A macro may call itself: write those that call each other as one, with a parameter that says which.
        F069 one.j2 1:1-1:1 the file `one.j2` loads the file `two.j2`, which loads the file `three.j2`, which loads the file `one.j2`: a circle without an end
             Move what both need into a file of its own.
        ");
}

#[test]
fn a_folder_says_what_it_still_needs() {
    let mut own = folder("extends: base\nimports: [tools, own]\nsteps: []\n", &[]);
    assert_eq!(own.missing_neighbours().into_iter().collect::<Vec<_>>(), ["base", "tools"]);
    own.take_in(Folder { yaml: "extends: deeper\n".to_owned(), ..Folder::default() }, "base");
    own.take_in(Folder::default(), "tools");
    assert_eq!(own.missing_neighbours().into_iter().collect::<Vec<_>>(), ["deeper"]);
    own.files.insert("prompts/a.j2".to_owned(), String::new());
    assert_eq!(own.own_files().keys().collect::<Vec<_>>(), ["prompts/a.j2"]);
}

#[test]
fn hostile_neighbours_stay_within_the_bounds() {
    let many: String = (0..400)
        .map(|n| format!("  - {{name: s{n}, executor: chooser, config: {{among: [{}]}}}}\n", "1,".repeat(30)))
        .collect();
    let base = format!("steps:\n{many}");
    let own = format!(
        "extends: base\nvars: {{x: [{}]}}\nsteps:\n  - {{name: a, executor: chooser}}\n",
        "1,".repeat(limits::YAML_NODES / 2)
    );
    let started = std::time::Instant::now();
    let found = problems(&folder(&own, &[("base", &base, &[])]));
    assert!(found.contains("F001") && found.contains("together"), "{found}");
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "took {:?}", started.elapsed());
}
