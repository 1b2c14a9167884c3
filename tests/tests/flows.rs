//! Suite: what a flow file says is what happens, over REST, on the built program.
use serde_json::{Value, json};
use tests::{ApiKey, Receiver, on_both_stores};

/// Publishes and runs a flow; gives the answer and the steps by name.
async fn run(key: &ApiKey, yaml: &str, inputs: &Value) -> (tests::Answer, std::collections::BTreeMap<String, Value>) {
    key.put_flow("subject", yaml).await.expect_success();
    let answer = key.run("subject", inputs).await;
    let found = if answer.status() < 300 { answer.json()["run_id"].clone() } else { json!(answer.problem().run_id) };
    let id = found.as_str().unwrap_or_else(|| panic!("no run in {answer}"));
    let steps = key.steps(id).await.into_iter().map(|step| (text(&step["name"]), step)).collect();
    (answer, steps)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

on_both_stores! {
    async fn steps_run_in_their_order_and_values_keep_their_types(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let (answer, steps) = run(&key, r#"
inputs:
  amount: {type: number, required: true}
  tags: {type: array, default: [a, b]}
outputs:
  total: "{{ steps.double.output }}"
  tags: "{{ inputs.tags }}"
  line: "{{ inputs.tags | join('-') }}: {{ steps.double.output }}"
steps:
  - name: double
    executor: data_transformer
    config: {data: "{{ inputs.amount * 2 }}"}
  - name: after
    executor: data_transformer
    config: {data: {previous: "{{ steps.double.output }}", started: "{{ steps.double.attempts }}"}}
"#, &json!({"amount": 20.5})).await;
        let answer = answer.expect_status(200).json();
        assert_eq!(answer["outputs"], json!({"total": 41.0, "tags": ["a", "b"], "line": "a-b: 41.0"}));
        assert_eq!(steps["after"]["output"], json!({"previous": 41.0, "started": 1}));
    }

    async fn a_flow_keeps_what_it_extends_and_imports_as_it_was_when_it_was_published(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let other = world.tenant("globex").await.key(&[]).await;
        let base = |word: &str| format!("steps:\n  - {{name: say, executor: data_transformer, config: {{data: {word}}}}}\n  - {{name: drop, executor: log, config: {{message: x}}}}\n");
        let own = "extends: base\nimports: [words]\nremove: [drop]\nsteps:\n  - {name: more, executor: data_transformer, config: {data: \"{{ words.loud(steps.say.output) }}\"}}\n";
        let library = "macros:\n  loud: \"{% macro loud(x) %}{{ x | upper }}!{% endmacro %}\"\n";
        let missing = key.put_flow("own", own).await.expect_status(422).json();
        assert_eq!(missing["problems"][0]["code"], "F060", "{missing}");
        key.put_flow("base", &base("hello")).await.expect_success();
        key.put_flow("words", library).await.expect_success();
        key.put_flow("own", own).await.expect_success();
        assert_eq!(key.run("own", &json!({})).await.expect_status(200).json()["outputs"], "HELLO!");
        key.put_flow("base", &base("goodbye")).await.expect_success();
        assert_eq!(key.run("own", &json!({})).await.expect_status(200).json()["outputs"], "HELLO!");
        let again = key.put_flow("own", own).await.expect_success().json();
        assert_eq!(again["version"], 2, "what it builds on is part of its content");
        assert_eq!(key.run("own", &json!({})).await.expect_status(200).json()["outputs"], "GOODBYE!");
        key.run("words", &json!({})).await.expect_status(400);
        other.put_flow("own", own).await.expect_status(422);
    }

    async fn what_is_saved_of_a_run_is_what_its_flow_says(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let flow = |save: &str| format!("save: {save}\ninputs: {{n: number}}\nsteps:\n  - {{name: a, executor: data_transformer, config: {{data: \"{{{{ 10 / inputs.n }}}}\"}}}}\n");
        for (save, good, bad) in [("all", 200, 200), ("failed", 404, 200), ("none", 404, 404)] {
            key.put_flow("saving", &flow(save)).await.expect_success();
            let answer = key.run("saving", &json!({"n": 2})).await.expect_status(200).json();
            assert_eq!(answer["outputs"], json!(5.0), "{save}");
            key.get(&format!("/api/v1/runs/{}", text(&answer["run_id"]))).await.expect_status(good);
            let problem = key.run("saving", &json!({"n": 0})).await.expect_status(500).problem();
            let run = problem.run_id.unwrap_or_else(|| panic!("{save}: a failed run has an id"));
            let kept = key.get(&format!("/api/v1/runs/{run}")).await.expect_status(bad);
            if bad == 200 {
                assert_eq!(kept.json()["status"], "failed", "{save}");
                assert_eq!(key.steps(&run).await[0]["status"], "failed", "{save}");
            }
        }
        // Whoever does not wait for the answer has to find the run later.
        let accepted = key.start("saving", &json!({"n": 2})).await;
        assert_eq!(key.finished(&accepted).await["status"], "succeeded");
    }

    async fn what_a_publish_changes_for_callers_is_said(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let flow = |inputs: &str| format!("inputs: {{{inputs}}}\nsteps:\n  - {{name: a, executor: data_transformer, config: {{data: 1}}}}\n");
        let first = key.put_flow("changing", &flow("a: string")).await.expect_success().json();
        assert_eq!(first["changes"], json!([]));
        let second = key.put_flow("changing", &flow("a: string, b: string")).await.expect_success().json();
        assert_eq!(second["changes"], json!([{"breaking": true, "pointer": "/inputs/b", "message": "The input `b` is new and required."}]));
    }

    async fn flows_that_call_each_other_in_a_circle_are_refused(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let calling = |name: &str| format!("steps:\n  - {{name: a, executor: flow_executor, config: {{flow_name: {name}}}}}\n");
        let early = key.put_flow("first", &calling("second")).await.expect_success().json();
        assert_eq!(early["problems"][0]["code"], "F066");
        let round = key.put_flow("second", &calling("first")).await.expect_status(422).json();
        assert_eq!(round["problems"][0]["code"], "F061", "{round}");
    }

    async fn the_reference_and_the_schema_of_flow_files_are_served(world: World) {
        let stranger = world.stranger();
        for page in ["language", "language/flow", "language/main-input", "language/executors", "configuration"] {
            stranger.get(&format!("/docs/{page}")).await.expect_status(200);
        }
        stranger.get("/docs/language/nothing").await.expect_status(404);
        let schema = stranger.get("/docs/flow.schema.json").await.expect_status(200).json();
        assert!(schema["$defs"]["Step"]["properties"]["for_each"].is_object());
    }

    async fn inputs_that_do_not_fit_are_refused_before_a_run_exists(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("typed", "inputs:\n  amount: {type: number, required: true}\nsteps:\n  - name: a\n    executor: data_transformer\n    config: {data: '{{ inputs.amount }}'}\n").await.expect_success();
        let missing = key.run("typed", &json!({})).await.expect_status(422).problem();
        assert_eq!(missing.code, "invalid_input");
        assert_eq!(missing.errors[0].pointer, "/amount");
        let unknown = key.run("typed", &json!({"amount": 1, "amuont": 2})).await.expect_status(422).problem();
        assert!(unknown.errors[0].hint.as_deref().is_some_and(|hint| hint.contains("amount")), "{unknown:?}");
        let wrong = key.run("typed", &json!({"amount": "much"})).await.expect_status(422).problem();
        assert_eq!(wrong.errors[0].pointer, "/amount");
        assert_eq!(key.get("/api/v1/runs").await.json()["data"], json!([]));
    }

    async fn a_failed_step_is_retried_and_its_attempts_are_recorded(world: World) {
        let receiver = Receiver::start().await;
        receiver.script("/flaky", &[503, 500]);
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!(r#"
steps:
  - name: call
    executor: api_request
    config: {{url: "{}/flaky"}}
    retry: {{max_attempts: 4, initial_delay: 10ms, jitter: none}}
"#, receiver.url());
        let (answer, steps) = run(&key, &yaml, &json!({})).await;
        answer.expect_status(200);
        assert_eq!(steps["call"]["attempts"], 3);
        let statuses: Vec<String> = steps["call"]["attempt_list"].as_array().expect("attempts are listed").iter()
            .map(|attempt| text(&attempt["status"])).collect();
        assert_eq!(statuses, ["failed", "failed", "succeeded"]);
        assert_eq!(receiver.calls().len(), 3);
    }

    async fn a_terminal_error_is_not_retried_and_names_its_step(world: World) {
        let receiver = Receiver::start().await;
        receiver.script("/gone", &[404, 404, 404]);
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!(r#"
steps:
  - name: call
    executor: api_request
    config: {{url: "{}/gone"}}
    retry: {{max_attempts: 3, initial_delay: 10ms}}
  - name: never
    executor: data_transformer
    config: {{data: "{{{{ steps.call.body }}}}"}}
"#, receiver.url());
        let (answer, steps) = run(&key, &yaml, &json!({})).await;
        let problem = answer.expect_status(502).problem();
        assert_eq!(problem.step.as_deref(), Some("call"));
        assert_eq!(problem.attempt, Some(1));
        assert!(problem.run_url.is_some() && !problem.retryable, "{problem:?}");
        assert_eq!(receiver.calls().len(), 1);
        assert_eq!(steps["never"]["status"], "skipped");
        assert_eq!(steps["never"]["skip_reason"], "upstream_failed");
    }

    async fn an_unsafe_call_whose_outcome_is_unknown_waits_for_a_person(world: World) {
        let receiver = Receiver::start().await;
        receiver.script("/charge", &[500]);
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!(r#"
steps:
  - name: charge
    executor: api_request
    config: {{url: "{}/charge", method: POST, json: {{amount: 5}}}}
    retry: {{max_attempts: 3, initial_delay: 10ms}}
"#, receiver.url());
        key.put_flow("subject", &yaml).await.expect_success();
        let answer = key.run("subject", &json!({})).await.expect_status(202).json();
        assert_eq!(answer["status"], "needs_attention");
        assert_eq!(receiver.calls().len(), 1, "an unsafe call is not repeated on its own");
    }

    async fn a_condition_that_watches_a_failure_takes_it_on(world: World) {
        let receiver = Receiver::start().await;
        receiver.script("/first", &[400, 400]);
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!(r#"
steps:
  - name: first
    executor: api_request
    config: {{url: "{}/first"}}
  - name: rescue
    executor: data_transformer
    condition: "{{{{ steps.first.success == false }}}}"
    config: {{data: "rescued"}}
"#, receiver.url());
        let (answer, steps) = run(&key, &yaml, &json!({})).await;
        assert_eq!(answer.expect_status(200).json()["outputs"], "rescued");
        assert_eq!(steps["first"]["status"], "failed");
        // A false condition hands the failure on instead of hiding it.
        let (answer, _) = run(&key, &yaml.replace("== false", "== true"), &json!({})).await;
        assert_eq!(answer.expect_status(502).problem().step.as_deref(), Some("first"));
    }

    async fn a_condition_must_be_a_boolean_and_undefined_names_are_errors(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let (answer, _) = run(&key, "steps:\n  - name: a\n    executor: data_transformer\n    condition: \"{{ inputs.number }}\"\n    config: {data: 1}\n", &json!({"number": 2})).await;
        assert!(answer.text().contains("condition_type"), "{answer}");
        assert_eq!(answer.expect_status(500).problem().code, "flow_fault");
        let (answer, _) = run(&key, "steps:\n  - name: a\n    executor: data_transformer\n    config: {data: \"{{ inputs.nowhere }}\"}\n", &json!({})).await;
        let problem = answer.expect_status(500).problem();
        assert_eq!(problem.line, Some(4), "a fault of the flow names its line: {problem:?}");
    }

    async fn a_timeout_ends_an_attempt(world: World) {
        let receiver = Receiver::holding().await;
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!("steps:\n  - name: slow\n    executor: api_request\n    timeout: 200ms\n    config: {{url: \"{}/slow\"}}\n", receiver.url());
        let (answer, steps) = run(&key, &yaml, &json!({})).await;
        answer.expect_status(504);
        assert_eq!(steps["slow"]["status"], "timed_out");
    }

    async fn a_flow_calls_another_and_the_childs_outputs_come_back(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("child", "inputs:\n  number: {type: integer, required: true}\noutputs:\n  square: \"{{ inputs.number * inputs.number }}\"\nsteps:\n  - name: only\n    executor: data_transformer\n    config: {data: 1}\n").await.expect_success();
        let (answer, steps) = run(&key, r#"
steps:
  - name: squared
    executor: flow_executor
    config: {flow_name: child, inputs: {number: "{{ inputs.number }}"}}
outputs:
  answer: "{{ steps.squared.square }}"
"#, &json!({"number": 12})).await;
        assert_eq!(answer.expect_status(200).json()["outputs"], json!({"answer": 144}));
        let child = text(&steps["squared"]["child_run_id"]);
        let child = key.get(&format!("/api/v1/runs/{child}")).await.expect_status(200).json();
        assert_eq!(child["flow"], "child");
    }

    async fn a_cancelled_run_stops_and_says_so(world: World) {
        let receiver = Receiver::holding().await;
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!("steps:\n  - name: slow\n    executor: api_request\n    config: {{url: \"{}/slow\"}}\n  - name: next\n    executor: data_transformer\n    config: {{data: 1}}\n", receiver.url());
        key.put_flow("subject", &yaml).await.expect_success();
        let run = key.start("subject", &json!({})).await;
        receiver.reached(1).await;
        key.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).await.expect_success();
        assert_eq!(key.finished(&run).await["status"], "cancelled");
        let again = key.post(&format!("/api/v1/runs/{run}/cancel"), &json!({})).await;
        assert!(again.status() == 409 || again.status() < 300, "{again}");
    }

    async fn a_stream_of_a_run_carries_every_event_once_and_resumes(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("subject", "steps:\n  - name: a\n    executor: data_transformer\n    config: {data: 1}\n  - name: b\n    executor: data_transformer\n    config: {data: 2}\n").await.expect_success();
        let answer = key.run("subject", &json!({})).await.expect_status(200).json();
        let run = text(&answer["run_id"]);
        let all = key.follow(&run).await;
        let names: Vec<&str> = all.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names.first(), Some(&"run_started"), "{names:?}");
        assert_eq!(names.last(), Some(&"run_settled"), "{names:?}");
        let request = key.request(reqwest::Method::GET, &format!("/api/v1/runs/{run}/events")).header("last-event-id", "2");
        let rest = tests::events(request.header("accept", "text/event-stream")).await;
        assert_eq!(rest, all[2..], "a resumed stream goes on right behind the last event seen");
    }

    async fn a_broken_flow_is_refused_with_every_problem_at_its_place(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let broken = "steps:\n  - name: a\n    executor: data_transfomer\n    config: {data: 1}\n  - name: b\n    executor: data_transformer\n    conditon: true\n    config: {data: \"{{ steps.aa.output }}\"}\n";
        let refused = key.put_flow("subject", broken).await.expect_status(422);
        assert_eq!(refused.problem().code, "invalid_flow");
        let request = key.request(reqwest::Method::POST, "/api/v1/flows/check").header("content-type", "application/yaml");
        let report = key.send(request.body(broken)).await.expect_status(200).json();
        let places: Vec<(u64, String)> = report["problems"].as_array().expect("problems are listed").iter()
            .map(|problem| (problem["line"].as_u64().unwrap_or(0), text(&problem["hint"]))).collect();
        for (line, word) in [(3, "data_transformer"), (7, "condition"), (8, "a")] {
            assert!(places.iter().any(|(at, hint)| *at == line && hint.contains(word)), "line {line}, {word}: {report:#}");
        }
        key.get("/api/v1/flows/subject").await.expect_status(404);
    }
}
