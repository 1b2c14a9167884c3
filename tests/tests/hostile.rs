//! Suite: flow files, templates and URLs that mean harm. Whatever comes in, a problem document comes back in time and the
//! program lives on.
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tests::{Receiver, Scene, on_both_stores, refused, within};

/// What a body, a URL or a flow file may take to be refused, in the dev build and beside other suites.
const QUICK: Duration = Duration::from_secs(2);
/// Templates have a limit of five seconds of their own.
const RENDERED: Duration = Duration::from_secs(10);

const ONE_STEP: &str = "steps:\n  - name: a\n    executor: data_transformer\n    config: {data: 1}\n";

/// `ONE_STEP` with something else in the place of its last line.
fn step_with(lines: &str) -> String {
    ONE_STEP.replace("    config: {data: 1}\n", lines)
}

fn data(template: &str) -> String {
    step_with(&format!("    config:\n      data: {}\n", json!(template)))
}

fn flow_files() -> Vec<(&'static str, Vec<u8>)> {
    let laugh = |level: usize| format!("x{level}: &x{level} [{}]\n", format!("*x{}, ", level - 1).repeat(9));
    let laughs = format!("x0: &x0 [lol, lol]\n{}", (1..12).map(laugh).collect::<String>());
    let stairs = (0..600).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let steps =
        (0..2000).map(|step| format!("  - {{name: s{step}, executor: data_transformer, config: {{data: 1}}}}\n"));
    let crowd = format!("steps:\n{}", steps.collect::<String>());
    let circle = "steps:\n  - {name: a, executor: data_transformer, depends_on: [b], config: {data: 1}}\n  - {name: b, executor: data_transformer, depends_on: [a], config: {data: 1}}\n";
    let prompt =
        |file: &str| format!("steps:\n  - {{name: a, executor: llm_analyzer, config: {{prompt_file: {file}}}}}\n");
    let utf16: Vec<u8> = ONE_STEP.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let pattern = |pattern: &str| format!("inputs:\n  a: {{type: string, pattern: \"{pattern}\"}}\n{ONE_STEP}");
    let texts = [
        ("a billion laughs", laughs),
        ("open brackets", "[".repeat(100_000)),
        ("open braces", "{a: ".repeat(60_000)),
        ("stairs", stairs),
        ("dashes", "- ".repeat(100_000)),
        ("a large file", format!("description: \"{}\"\n{ONE_STEP}", "x".repeat(300_000))),
        ("two thousand steps", crowd),
        ("a long key", format!("? {}\n: 1\n", "k".repeat(200_000))),
        ("many aliases", format!("a: &a x\nb: [{}]\n", "*a, ".repeat(20_000))),
        ("an alias to itself", "steps: &a [*a]\n".to_owned()),
        ("an alias to nothing", "steps: *nowhere\n".to_owned()),
        ("a merge key", format!("<<: &m {{<<: *m}}\n{ONE_STEP}")),
        ("a key that is a list", "? [a, {b: c}]\n: d\n".to_owned()),
        ("keys twice", ONE_STEP.repeat(2)),
        ("two documents", format!("{ONE_STEP}---\n{ONE_STEP}")),
        ("a tag that makes objects", "steps: !!python/object/apply:os.system [\"true\"]\n".to_owned()),
        ("tabs", "steps:\n\t- name: a\n".to_owned()),
        ("half a surrogate", "steps: \"\\ud800\"\n".to_owned()),
        ("an open quote", format!("steps: \"{}", "\\u0000".repeat(1000))),
        ("a NUL", "steps: \0\n".to_owned()),
        ("nothing", String::new()),
        ("a comment", "# nothing\n".to_owned()),
        ("a number", "42".to_owned()),
        ("a list", "[]".to_owned()),
        ("a circle", circle.to_owned()),
        ("an endless timeout", step_with("    timeout: 99999999999999999999999999s\n    config: {data: 1}\n")),
        ("endless attempts", step_with("    retry: {max_attempts: 1e309}\n    config: {data: 1}\n")),
        ("a name that is a path", ONE_STEP.replace("name: a", "name: \"../../etc/passwd\"")),
        ("a prompt outside", prompt("../../../../etc/passwd")),
        ("a prompt of the machine", prompt("/etc/passwd")),
        ("a template of the machine", data("{% include '/etc/passwd' %}")),
        ("a library of the machine", data("{% import '../../etc/passwd' as p %}{{ p }}")),
        ("the environment", data("{{ env.PATH }}")),
        ("deep parentheses", data(&format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)))),
        ("a long sum", data(&format!("{{{{ 1{} }}}}", " + 1".repeat(20_000)))),
        ("open blocks", data(&"{% if ".repeat(1000))),
        ("loops in loops", data(&format!("{}{}", "{% for a in [1] %}".repeat(2000), "{% endfor %}".repeat(2000)))),
        ("an expensive pattern", pattern("(((a{1000}){1000}){1000})")),
        ("a deep pattern", pattern(&"(".repeat(5000))),
    ];
    let bytes = [
        ("no UTF-8", b"steps: \xff\xfe\xfd\n".to_vec()),
        ("UTF-16", utf16),
        ("a gzip", [31, 139, 8, 0].repeat(100)),
        ("noise", (0..=255).collect::<Vec<u8>>().repeat(100)),
    ];
    texts.into_iter().map(|(what, text)| (what, text.into_bytes())).chain(bytes).collect()
}

/// Files beside a flow, by path.
type Files<'f> = &'f [(&'f str, &'f str)];

/// Templates that check as well as any other, and do harm when they are rendered.
const TEMPLATES: &[&str] = &[
    "{{ range(1000000000) | list | length }}",
    "{{ range(-9223372036854775808, 9223372036854775807) | list }}",
    "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
    "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x | length }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% for x in range(5) recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ 'a' * 1000000000 }}",
    "{{ 'x' | indent(1000000000) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ inputs.text | replace('', inputs.text) | replace('', inputs.text) | length }}",
    "{{ inputs.text | regex_replace('', inputs.text) | regex_replace('', inputs.text) }}",
    "{{ inputs.text | regex_find('(a{1000}){1000}') }}",
    "{{ inputs.text | regex_find('(') }}",
    "{{ inputs.deep | fromjson }}",
    "{{ inputs.text | b64decode }}",
    "{{ inputs.text[::0] }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ self }}",
    "{{ secrets.NOPE }}",
    "{{ 1 // 0 }}",
    "{{ 10 ** 100000 }}",
    "{{ 9223372036854775807 * 9223372036854775807 * 9223372036854775807 }}",
    "{{ [1] | chunk(99999999999999999999) }}",
    "{{ 1e308 | format_datetime('%Y') }}",
    "{{ 0 | format_datetime('%Q') }}",
];

/// Inside addresses in every spelling, but for the loopback range that the harness opens.
const FORBIDDEN: &[&str] = &[
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://10.0.0.1/",
    "https://10.0.0.1/",
    "http://0x0a000001/",
    "http://167772161/",
    "http://012.0.0.1/",
    "http://10.1/",
    "http://10.0.0.1.:80/",
    "http://１０.0.0.1/",
    "http://10。0。0。1/",
    "http:10.0.0.1",
    "http:///10.0.0.1/",
    "http://10.0.0.1/\r\nx-evil: 1",
    "http://0.0.0.0/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[2002:a00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
];

const NO_URLS: &[&str] = &[
    "",
    "http://",
    "//10.0.0.1/",
    "/etc/passwd",
    "http://a b/",
    "http://[::1",
    "http://\0/",
    "http://10.0.0.1:99999/",
    "http://[fe80::1%25eth0]/",
    "http://user:pass@example.test/",
    "file:///etc/passwd",
    "unix:///var/run/docker.sock",
    "gopher://10.0.0.1/",
    "ftp://10.0.0.1/",
    "jar:http://10.0.0.1!/",
    "javascript:alert(1)",
    "data:text/plain,hi",
];

on_both_stores! {
    async fn hostile_flow_files_are_refused_and_nothing_is_kept(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        for (what, file) in flow_files() {
            let put = scene.body(Method::PUT, "/api/v1/flows/subject", "application/yaml", &file);
            refused(what, &scene.send(QUICK, what, put).await);
            let check = scene.body(Method::POST, "/api/v1/flows/check", "application/yaml", &file);
            let report = scene.send(QUICK, what, check).await;
            if report.status() == 200 {
                let report = report.json();
                let problems = report["problems"].as_array().expect("problems are listed");
                assert!(problems.iter().any(|problem| problem["severity"] == "error"), "{what}: {report:#}");
            } else {
                refused(what, &report);
            }
        }
        for (media_type, body) in [
            ("application/json", "[".repeat(100_000)),
            ("application/json", "{\"steps\":".repeat(1000)),
            ("application/json", "{\"steps\": [], \"steps\": []}".to_owned()),
            ("application/zip", "PK\u{3}\u{4}garbage".to_owned()),
            ("application/zip", String::new()),
            ("text/html", ONE_STEP.to_owned()),
            ("a/b; charset=\"", ONE_STEP.to_owned()),
        ] {
            let put = scene.body(Method::PUT, "/api/v1/flows/subject", media_type, body.as_bytes());
            refused(media_type, &scene.send(QUICK, media_type, put).await);
        }
        scene.key.get("/api/v1/flows/subject").await.expect_status(404);
    }

    async fn hostile_templates_end_as_faults_of_their_flow(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        let inputs = json!({"text": "a".repeat(5000), "deep": "[".repeat(100_000)});
        for template in TEMPLATES {
            let yaml = format!("inputs:\n  text: {{type: string}}\n  deep: {{type: string}}\n{}", data(template));
            let saved = scene.key.put_flow("subject", &yaml).await;
            if template.contains("secrets.") {
                // Said before it could run.
                assert!(saved.expect_status(422).text().contains("F073"), "{template}");
                continue;
            }
            saved.expect_success();
            let answer = scene.run(RENDERED, template, "subject", &inputs).await;
            // The table of docs/errors.md: kinds `flow` and `limit`, both 500 and never `internal`.
            let problem = answer.expect_status(500).problem();
            assert!(["flow_fault", "template_limit"].contains(&problem.code.as_str()), "{template}: {problem:?}");
            assert_eq!((problem.step.as_deref(), problem.retryable), (Some("a"), false), "{template}: {problem:?}");
            assert!(!problem.detail.is_empty() && !format!("{problem:?}").contains("panicked"), "{template}: {problem:?}");
        }
    }

    async fn macros_and_files_that_call_each_other_without_an_end_are_refused_or_end_in_their_limits(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        let step = |template: &str| format!("steps:\n  - name: a\n    executor: data_transformer\n    config: {{data: \"{template}\"}}\n");
        let calling = |name: &str, other: &str| format!("  {name}: \"{{% macro {name}(n) %}}{{% if n %}}{{{{ {other}(n - 1) }}}}{{% endif %}}{{% endmacro %}}\"\n");
        let two = format!("macros:\n{}{}", calling("ping", "pong"), calling("pong", "ping"));
        let three = format!("macros:\n{}{}{}", calling("one", "two"), calling("two", "three"), calling("three", "one"));
        scene.key.put_folder("tools", &[("flow.yaml", &format!("macros:\n{}", calling("down", "down")))]).await.expect_success();
        // What is sure to go round is said where it is saved, also in a library, which nothing runs.
        let refused: &[(&str, &str, Files)] = &[
            ("two macros", &format!("{two}{}", step("{{ ping(0) }}")), &[]),
            ("three macros that nothing calls", &format!("{three}{}", step("x")), &[]),
            ("a library of two macros", &two, &[]),
            ("files that import each other", &step("{% include 'one.j2' %}"), &[("one.j2", "{% import 'two.j2' as two %}"), ("two.j2", "{% from 'one.j2' import x %}")]),
            ("a macro and its file", &format!("macros:\n  m: \"{{% import 'm.j2' as file %}}{{% macro m() %}}{{{{ file }}}}{{% endmacro %}}\"\n{}", step("{% include 'm.j2' %}")), &[("m.j2", "{{ m() }}")]),
        ];
        for (what, yaml, files) in refused {
            let folder: Vec<(&str, &str)> = [("flow.yaml", *yaml)].into_iter().chain(files.iter().copied()).collect();
            let answer = within(QUICK, what, scene.key.put_folder("subject", &folder)).await.expect_status(422);
            assert!(answer.text().contains("F069"), "{what}: {answer}");
            scene.lives(what).await;
        }
        // What only the run can tell ends there, and says where.
        let own = "macros:\n  m: \"{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}\"\n  ping: \"{% macro ping(other) %}{{ other(ping) }}{% endmacro %}\"\n  pong: \"{% macro pong(other) %}{{ other(pong) }}{% endmacro %}\"\n";
        let ends: &[(&str, &str, Files, &str)] = &[
            ("a macro that calls itself", &format!("{own}{}", step("{{ m(1) }}")), &[], "the macro `m`"),
            ("macros handed to each other", &format!("{own}{}", step("{{ ping(pong) }}")), &[], "the macro `p"),
            ("a library's macro", &format!("imports: [tools]\n{}", step("{{ tools.down(1000) }}")), &[], "the macro `tools.down`"),
            ("a file that includes itself", &step("{% include 'one.j2' %}"), &[("one.j2", "{% if true %}{% include 'one.j2' %}{% endif %}")], "the file `one.j2`"),
            ("files in a ring", &step("{% include 'one.j2' %}"), &[("one.j2", "{% for x in [1] %}{% include 'two.j2' %}{% endfor %}"), ("two.j2", "{% if true %}{% include 'one.j2' %}{% endif %}")], ".j2`"),
        ];
        for (what, yaml, files, last) in ends {
            let folder: Vec<(&str, &str)> = [("flow.yaml", *yaml)].into_iter().chain(files.iter().copied()).collect();
            scene.key.put_folder("subject", &folder).await.expect_success();
            let problem = scene.run(RENDERED, what, "subject", &json!({})).await.expect_status(500).problem();
            assert_eq!((problem.code.as_str(), problem.step.as_deref()), ("template_limit", Some("a")), "{what}: {problem:?}");
            assert!(problem.detail.contains(last), "{what}: {problem:?}");
        }
        // A macro that ends is no circle.
        scene.key.put_folder("subject", &[("flow.yaml", &format!("imports: [tools]\n{}", step("{{ tools.down(5) }}")))]).await.expect_success();
        scene.key.run("subject", &json!({})).await.expect_status(200);
    }

    async fn data_that_looks_like_a_template_stays_data(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        scene.key.put("/api/v1/secrets/TOKEN", &json!({"value": "zebrafinch_value"})).await.expect_success();
        let yaml = format!("inputs:\n  text: {{type: string}}\n{}", data("{{ inputs.text }}"));
        scene.key.put_flow("subject", &yaml).await.expect_success();
        for text in ["{{ 7 * 7 }}", "{% include '/etc/passwd' %}", "{{ secrets.TOKEN }}", "${TOKEN}", "{{", "\u{f8ff}0\u{f8ff}", "\u{202e}\u{0}x"] {
            let answer = scene.run(QUICK, text, "subject", &json!({"text": text})).await;
            assert!(!answer.text().contains("zebrafinch"), "{text}: {answer}");
            if answer.status() == 200 {
                assert_eq!(answer.json()["outputs"], text, "{answer}");
            } else {
                refused(text, &answer);
            }
        }
    }

    async fn urls_of_the_inside_are_not_called(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        let yaml = "inputs:\n  url: {type: string, required: true}\nsteps:\n  - name: call\n    executor: api_request\n    config: {url: \"{{ inputs.url }}\", redirects: 3}\n";
        scene.key.put_flow("call", yaml).await.expect_success();
        let long = format!("http://10.0.0.1/{}", "a".repeat(100_000));
        let forbidden = FORBIDDEN.iter().copied().chain([long.as_str()]).map(|url| (url, "address_forbidden"));
        for (url, code) in forbidden.chain(NO_URLS.iter().map(|url| (*url, "url_invalid"))) {
            let answer = scene.run(QUICK, url, "call", &json!({"url": url})).await.expect_status(422);
            let problem = refused(url, &answer);
            assert_eq!((problem.code.as_str(), problem.attempt), (code, Some(1)), "{url}: {answer}");
        }
        // The range that the operator opened is open, so the guard was what refused the others.
        let receiver = Receiver::start().await;
        scene.run(QUICK, "loopback", "call", &json!({"url": receiver.url()})).await.expect_status(200);
        for target in ["http://169.254.169.254/", "http://10.0.0.1/", "file:///etc/passwd", "http://[::1]/"] {
            let server = wiremock::MockServer::start().await;
            let away = wiremock::ResponseTemplate::new(302).insert_header("location", target);
            wiremock::Mock::given(wiremock::matchers::any()).respond_with(away).mount(&server).await;
            let answer = scene.run(QUICK, target, "call", &json!({"url": server.uri()})).await;
            refused(&format!("a redirect to {target}"), &answer);
        }
    }

    async fn connections_cannot_lead_inside(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        let yaml = "steps:\n  - name: ask\n    executor: llm_analyzer\n    config: {prompt: hello, model: house/m}\n";
        scene.key.put_flow("ask", yaml).await.expect_success();
        for url in FORBIDDEN.iter().chain(NO_URLS) {
            let body = json!({"kind": "openai", "base_url": url, "api_key": "sk-zebrafinch"});
            let request = scene.key.request(Method::PUT, "/api/v1/connections/house").json(&body);
            let answer = scene.send(QUICK, url, request).await;
            if answer.status() >= 300 {
                refused(url, &answer);
                continue;
            }
            assert!(FORBIDDEN.contains(url), "{url}: {answer}");
            // What the operator allows may change, so an inside address can be kept; the run is where it is refused.
            let answer = scene.run(QUICK, url, "ask", &json!({})).await.expect_status(500);
            let problem = answer.problem();
            assert!(problem.code == "flow_fault" && !problem.retryable, "{url}: {answer}");
            assert!(problem.errors.iter().any(|error| error.message.starts_with("connection_url: ")), "{url}: {answer}");
            assert!(!answer.text().contains("zebrafinch"), "{url}: {answer}");
        }
    }
}
