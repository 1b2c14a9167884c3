//! Suite: flows that mean harm by what they are made of: graphs, expressions, patterns, schemas, Python. Each is refused,
//! or fails as the docs say, within its limits, and the program lives on.
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};
use tests::{Answer, Scene, Store, World, on_both_stores, told, within};

/// What a check may take, in the dev build and beside other suites.
const QUICK: Duration = Duration::from_secs(5);
/// What a run may take whose work has a limit of five seconds of its own.
const LIMITED: Duration = Duration::from_secs(30);

/// Publishes it as the flow `subject`.
async fn put(scene: &Scene, what: &str, yaml: &str) -> Answer {
    scene.see(QUICK, what, scene.key.put_flow("subject", yaml)).await
}

/// Publishes what must not be taken.
async fn not_taken(scene: &Scene, what: &str, yaml: &str) {
    let answer = put(scene, what, yaml).await;
    assert!((400..500).contains(&answer.status()), "{what}: {answer}");
    answer.problem();
}

async fn run(scene: &Scene, what: &str, inputs: &Value) -> Answer {
    let answer = scene.run(LIMITED, what, "subject", inputs).await;
    if answer.status() != 200 {
        told(what, &answer);
    }
    answer
}

/// Steps by name with what each waits for.
fn graph(steps: impl Iterator<Item = (String, Vec<String>)>) -> String {
    let step = |(name, needs): (String, Vec<String>)| {
        format!("- {{name: {name}, executor: log, depends_on: [{}], config: {{message: x}}}}\n", needs.join(", "))
    };
    format!("steps:\n{}", steps.map(step).collect::<String>())
}

/// One step, many beside each other, one step.
fn diamond(width: usize) -> String {
    let top = ("top".to_owned(), Vec::new());
    let middle = (0..width).map(|n| (format!("m{n}"), vec!["top".to_owned()]));
    let bottom = ("bottom".to_owned(), (0..width).map(|n| format!("m{n}")).collect());
    graph(std::iter::once(top).chain(middle).chain([bottom]))
}

/// Pairs, each of which waits for both of the pair before: two ways at every level.
fn ladder(levels: usize) -> String {
    let pair = |level: usize| [format!("a{level}"), format!("b{level}")];
    let needs = |level: usize| level.checked_sub(1).map_or_else(Vec::new, |before| pair(before).to_vec());
    graph((0..levels).flat_map(|level| pair(level).map(|name| (name, needs(level)))))
}

fn ring(length: usize) -> String {
    graph((0..length).map(|n| (format!("s{n}"), vec![format!("s{}", (n + 1) % length)])))
}

fn one(template: &str) -> String {
    format!(
        "inputs: {{text: {{type: string, default: x}}}}\nsteps:\n  - {{name: a, executor: data_transformer, config: {{data: {}}}}}\n",
        json!(template)
    )
}

fn conditional(condition: &str) -> String {
    format!(
        "inputs: {{text: {{type: string, default: x}}}}\nsteps:\n  - {{name: a, executor: log, condition: {}, config: {{message: x}}}}\n",
        json!(condition)
    )
}

fn schema(schema: &str) -> String {
    format!("inputs:\n  value:\n    schema: {schema}\nsteps:\n  - {{name: a, executor: log, config: {{message: x}}}}\n")
}

/// Expressions that nest or chain without an end.
fn expressions() -> Vec<(String, String)> {
    let nests = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let mut found = Vec::new();
    for times in [1_000, 20_000] {
        for (what, expression) in [
            ("parentheses", nests("(", "1", ")", times)),
            ("lists", nests("[", "1", "]", times)),
            ("mappings", nests("{'a': ", "1", "}", times)),
            ("negations", nests("not ", "true", "", times)),
            ("signs", nests("-", "1", "", times)),
            ("attributes", nests("inputs", "", ".a", times)),
            ("places", nests("inputs", "", "[0]", times)),
            ("filters", nests("inputs.text", "", "|upper", times)),
            ("tests", nests("1", "", " is defined", times)),
            ("ors", nests("", "true", " or true", times)),
            ("powers", nests("2 ** ", "2", "", times)),
            ("comparisons", nests("1 < ", "2", "", times)),
            ("choices", nests("1 if true else ", "2", "", times)),
            ("calls", nests("range(", "1", ")", times)),
            ("texts", nests("'a' ~ ", "'a'", "", times)),
        ] {
            found.push((format!("{times} {what}"), expression));
        }
    }
    found
}

/// Patterns that take other engines for ever, or that no engine should build.
const PATTERNS: &[&str] = &[
    "^(a+)+$",
    "^(a|aa)+$",
    "^(a|a?)+$",
    "(.*a){25}$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(x+x+)+y",
    "(?=(a+)+$)a",
    "(?<!a)(a*)*$",
    "(a*)*\\1b",
    "(((a{1000}){1000}){1000})",
    "(a{0,65535}){0,65535}",
    "(((((((((((a?){9}){9}){9}){9}){9}){9}){9}){9}){9}){9})",
    "\\p{L}{1000}{1000}",
    "(",
    "[",
    "\\",
    "(?P<a>a)(?P<a>b)",
];

/// Schemas that go round, reach out, or grow.
fn schemas() -> Vec<(&'static str, String)> {
    let wide = (0..12).map(|level| {
        format!(
            "\"l{level}\": {{\"anyOf\": [{}]}}",
            vec![format!("{{\"$ref\": \"#/$defs/l{}\"}}", level + 1); 9].join(", ")
        )
    });
    let wide = format!(
        "{{\"$ref\": \"#/$defs/l0\", \"$defs\": {{{}, \"l12\": {{\"type\": \"string\"}}}}}}",
        wide.collect::<Vec<_>>().join(", ")
    );
    let deep = format!("{}{{}}{}", "{\"items\": ".repeat(500), "}".repeat(500));
    vec![
        ("one that is itself", "{\"$ref\": \"#\"}".to_owned()),
        ("two that are each other", "{\"$ref\": \"#/$defs/a\", \"$defs\": {\"a\": {\"$ref\": \"#/$defs/b\"}, \"b\": {\"$ref\": \"#/$defs/a\"}}}".to_owned()),
        ("all of itself", "{\"allOf\": [{\"$ref\": \"#\"}, {\"$ref\": \"#\"}]}".to_owned()),
        ("not itself", "{\"not\": {\"$ref\": \"#\"}}".to_owned()),
        ("a dynamic circle", "{\"$dynamicAnchor\": \"a\", \"$dynamicRef\": \"#a\"}".to_owned()),
        ("one of the inside", "{\"$ref\": \"http://127.0.0.1:1/schema\"}".to_owned()),
        ("one of the machine", "{\"$ref\": \"file:///etc/passwd\"}".to_owned()),
        ("one by its name", "{\"$id\": \"http://127.0.0.1:1/a\", \"$ref\": \"b\"}".to_owned()),
        ("a dialect of the inside", "{\"$schema\": \"http://127.0.0.1:1/dialect\"}".to_owned()),
        ("many ways", wide),
        ("a deep one", deep),
        ("a place that is not there", "{\"$ref\": \"#/$defs/nothing\"}".to_owned()),
    ]
}

fn python() -> BTreeMap<String, (String, String)> {
    let folder = tests::room().join("fixtures/hostile/python");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (first, code) = text.split_once('\n').unwrap_or_else(|| panic!("{} has one line", path.display()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, (first.trim_start_matches("# ").to_owned(), code.to_owned()))
    };
    let files: BTreeMap<_, _> = files.flatten().map(|entry| read(entry.path())).collect();
    assert!(files.len() > 50, "the corpus has more than {} files", files.len());
    files
}

fn indented(code: &str, by: usize) -> String {
    code.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

on_both_stores! {
    async fn graphs_that_are_too_large_or_go_round_are_refused_and_the_largest_runs(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        for (what, yaml) in [
            ("a diamond of 10,000 steps", diamond(10_000)),
            ("a diamond of 501 steps", diamond(499)),
            ("a ladder of 10,000 steps", ladder(5_000)),
            ("a chain of 10,000 steps", graph((0..10_000).map(|n: usize| (format!("s{n}"), n.checked_sub(1).map(|n| format!("s{n}")).into_iter().collect())))),
            ("a ring of one", ring(1)),
            ("a ring of 500", ring(500)),
            ("a step that waits for everybody", graph((0..500).map(|n| (format!("s{n}"), (0..500).map(|n| format!("s{n}")).collect())))),
            ("a group that waits for itself", "steps:\n  - {name: a, executor: log, parallel_group: g, depends_on: [g], config: {message: x}}\n".to_owned()),
            ("a list of 10,001 items", format!("steps:\n  - {{name: a, executor: log, for_each: [{}], config: {{message: x}}}}\n", "1,".repeat(10_001))),
            ("a flow that extends itself", "extends: subject\nsteps:\n  - {name: a, executor: log, config: {message: x}}\n".to_owned()),
            ("a flow that calls itself", "steps:\n  - {name: a, executor: flow_executor, config: {flow_name: subject}}\n".to_owned()),
            ("a flow that hands on to itself", "steps:\n  - {name: a, executor: flow_pipeline, config: {flows: [subject]}}\n".to_owned()),
            ("a flow that routes to itself", "steps:\n  - {name: a, executor: flow_router, config: {routes: [{condition: true, flow_name: subject}]}}\n".to_owned()),
            ("1,000 imports", format!("imports: [{}]\nsteps:\n  - {{name: a, executor: log, config: {{message: x}}}}\n", (0..1000).map(|n| format!("f{n}, ")).collect::<String>())),
        ] {
            not_taken(&scene, what, &yaml).await;
        }
        assert_eq!(scene.key.get("/api/v1/flows").await.json()["data"], json!([]), "nothing of it was kept");
        for (what, yaml) in [("a diamond of 500 steps", diamond(498)), ("a ladder of 500 steps", ladder(250))] {
            put(&scene, what, &yaml).await.expect_success();
            let answer = within(Duration::from_secs(60), what, scene.key.run("subject", &json!({}))).await.expect_success();
            let run = scene.key.finished(&answer.run_id()).await;
            assert_eq!(run["status"], "succeeded", "{what}: {run:#}");
        }
    }

    async fn circles_across_flows_are_refused_whichever_way_they_call(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        let ways = [
            "executor: flow_executor, config: {flow_name: NEXT}",
            "executor: flow_pipeline, config: {flows: [NEXT]}",
            "executor: flow_router, config: {routes: [{condition: true, flow_name: NEXT}]}",
        ];
        for (number, way) in ways.iter().enumerate() {
            let step = way.replace("NEXT", &format!("f{}", (number + 1) % 3));
            let answer = scene.key.put_flow(&format!("f{number}"), &format!("steps:\n  - {{name: a, {step}}}\n")).await;
            if number < 2 {
                answer.expect_success();
            } else {
                assert_eq!(answer.expect_status(422).json()["problems"][0]["code"], "F061");
            }
        }
        // Names that only the run knows go round until they are too deep.
        let yaml = "inputs: {next: {type: array}}\nsteps:\n  - {name: a, executor: flow_executor, for_each: inputs.next, max_parallel: 8, config: {flow_name: \"{{ item }}\", inputs: \"{{ inputs }}\"}}\n";
        scene.key.put_flow("wide", yaml).await.expect_success();
        let answer = within(LIMITED, "a tree of itself", scene.key.run("wide", &json!({"next": ["wide"]}))).await;
        let problem = answer.problem();
        assert!(problem.status == 500 && problem.code != "internal", "{answer}");
        scene.lives("a tree of itself").await;
    }
}

// What follows never comes near the store: on one of them is enough.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_that_nest_without_an_end_are_refused_or_fail_as_faults_of_the_flow() {
    let world = World::start(Store::Sqlite).await;
    let scene = Scene::of(&world, QUICK).await;
    for (what, expression) in expressions() {
        for (place, yaml) in
            [("data", one(&format!("{{{{ {expression} }}}}"))), ("condition", conditional(&expression))]
        {
            let what = format!("{what} in a {place}");
            let saved = put(&scene, &what, &yaml).await;
            if saved.status() < 300 {
                run(&scene, &what, &json!({})).await;
            } else {
                assert!((400..500).contains(&saved.status()), "{what}: {saved}");
                saved.problem();
            }
        }
    }
    for (what, yaml) in [
        (
            "1,000 levels of YAML",
            format!(
                "steps:\n  - {{name: a, executor: log, config: {{message: {}x{}}}}}\n",
                "[".repeat(1000),
                "]".repeat(1000)
            ),
        ),
        (
            "1,000 levels of blocks",
            format!(
                "steps:\n  - name: a\n    executor: log\n    config:\n{}",
                (0..1000).map(|level| format!("{}m:\n", " ".repeat(6 + level))).collect::<String>()
            ),
        ),
        ("1,000 ifs", one(&format!("{}x{}", "{% if true %}".repeat(1000), "{% endif %}".repeat(1000)))),
        ("1,000 macros", one(&format!("{}x{}", "{% macro m() %}".repeat(1000), "{% endmacro %}".repeat(1000)))),
        ("1,000 calls", one(&format!("{}x{}", "{% call m() %}".repeat(1000), "{% endcall %}".repeat(1000)))),
    ] {
        let saved = put(&scene, what, &yaml).await;
        assert!((400..500).contains(&saved.status()), "{what}: {saved}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_that_explode_are_refused_or_found_not_to_match_in_time() {
    let world = World::start(Store::Sqlite).await;
    let scene = Scene::of(&world, QUICK).await;
    let texts =
        [format!("{}!", "a".repeat(100_000)), "a".repeat(60) + "b", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned()];
    for pattern in PATTERNS {
        let quoted = json!(pattern);
        let find = one(&format!("{{{{ inputs.text | regex_find({quoted}) }}}}"));
        let replace = one(&format!("{{{{ inputs.text | regex_replace({quoted}, 'bb') | length }}}}"));
        let declared = format!(
            "inputs: {{text: {{type: string, pattern: {quoted}}}}}\nsteps:\n  - {{name: a, executor: log, config: {{message: x}}}}\n"
        );
        let raw = format!(
            "inputs: {{text: {{schema: {{type: string, pattern: {quoted}}}}}}}\nsteps:\n  - {{name: a, executor: log, config: {{message: x}}}}\n"
        );
        for (place, yaml) in [("regex_find", find), ("regex_replace", replace), ("pattern", declared), ("schema", raw)]
        {
            let what = format!("{pattern} in {place}");
            let saved = put(&scene, &what, &yaml).await;
            if saved.status() >= 300 {
                assert!((400..500).contains(&saved.status()), "{what}: {saved}");
                continue;
            }
            for text in &texts {
                run(&scene, &what, &json!({"text": text})).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_that_go_round_or_reach_out_are_refused_or_refuse() {
    let world = World::start(Store::Sqlite).await;
    let scene = Scene::of(&world, QUICK).await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let deep: Value = serde_json::from_str(&deep).expect("the suite writes JSON");
    for (what, text) in schemas() {
        let saved = put(&scene, what, &schema(&text)).await;
        if saved.status() >= 300 {
            assert!((400..500).contains(&saved.status()), "{what}: {saved}");
            continue;
        }
        for value in [json!("x"), json!(7), deep.clone(), json!({"items": [1, {"a": []}]})] {
            run(&scene, what, &json!({"value": value})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_that_loops_allocates_recurses_or_reaches_out_ends_in_its_limits() {
    let world = World::start(Store::Sqlite).await;
    let scene = Scene::of(&world, QUICK).await;
    for (name, (expects, code)) in python() {
        let step =
            format!("steps:\n  - name: a\n    executor: python\n    config:\n      code: |\n{}", indented(&code, 8));
        let function = format!(
            "functions:\n  f:\n    implementation: |\n      def f():\n{}steps:\n  - {{name: a, executor: data_transformer, config: {{data: \"{{{{ f() }}}}\"}}}}\n",
            indented(&code, 10)
        );
        for (place, yaml) in [("step", step), ("function", function)] {
            let what = format!("{name} in a {place}");
            let saved = put(&scene, &what, &yaml).await;
            if saved.status() >= 300 {
                assert_eq!((saved.status(), expects == "limit"), (422, false), "{what}: {saved}");
                continue;
            }
            let answer = run(&scene, &what, &json!({})).await;
            if expects == "any" && answer.status() == 200 {
                continue;
            }
            assert_eq!(answer.status(), 500, "{what}: {answer}");
            let problem = answer.problem();
            match (expects.as_str(), problem.code.as_str()) {
                ("limit", "python_limit" | "template_limit" | "output_too_large")
                | ("fault", "flow_fault")
                | ("any", _) => {}
                _ => panic!("{what} was to end in a {expects}: {problem:?}"),
            }
        }
    }
    let fine = "steps:\n  - name: a\n    executor: python\n    config: {code: 'return 1 + 1'}\n";
    put(&scene, "what is fine", fine).await.expect_success();
    assert_eq!(run(&scene, "what is fine", &json!({})).await.expect_status(200).json()["outputs"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_over_data_that_grow_end_in_their_limits() {
    let world = World::start(Store::Sqlite).await;
    let scene = Scene::of(&world, QUICK).await;
    let step = |config: &str| {
        format!(
            "inputs: {{rows: {{type: array, default: []}}}}\nsteps:\n  - {{name: a, executor: data_transformer, config: {{data: \"{{{{ inputs.rows }}}}\", {config}}}}}\n"
        )
    };
    let rows: Vec<Value> = (0..300).map(|n| json!({"n": n, "a": [1, 2, 3]})).collect();
    let nested = |open: &str, inner: &str, close: &str| {
        json!(format!("{}{inner}{}", open.repeat(2000), close.repeat(2000))).to_string()
    };
    for (what, config) in [
        ("nested projections", format!("jmespath: {}", nested("[", "a", "]"))),
        ("nested calls", format!("jmespath: {}", nested("length(", "a", ")"))),
        ("a long pipe", format!("jmespath: {}", nested("@", "", " | @"))),
        (
            "products of itself",
            "jmespath: \"[].[a, a, a, a][].[@, @, @, @][].[@, @, @, @][].[@, @, @, @][].[@, @, @, @][].[@, @, @, @]\""
                .to_owned(),
        ),
        ("a loop for every item", "map: \"{{ range(100000) | sum }}\"".to_owned()),
        ("a filter that loops", "filter: \"(range(100000) | list | length) > item.n\"".to_owned()),
        ("a sort that loops", "sort: \"range(100000) | sum\"".to_owned()),
        ("a group for every row", "group_by: \"item.n ~ ('x' * 10000)\"".to_owned()),
        ("a text that grows", "map: \"{{ 'x' * 1000000 }}\"".to_owned()),
    ] {
        let saved = put(&scene, what, &step(&config)).await;
        if saved.status() >= 300 {
            assert!((400..500).contains(&saved.status()), "{what}: {saved}");
            continue;
        }
        run(&scene, what, &json!({"rows": rows})).await;
    }
    let many = "inputs: {n: integer}\nsteps:\n  - {name: a, executor: log, for_each: \"{{ range(inputs.n) | list }}\", config: {message: x}}\n";
    put(&scene, "too many items", many).await.expect_success();
    assert_eq!(
        run(&scene, "too many items", &json!({"n": 10_001})).await.expect_status(500).problem().code,
        "too_many_items"
    );
}
