//! Suite: flows that build on flows: extended, imported, called, by version and by channel, and what a publish says of it.
use serde_json::{Value, json};
use tests::{Answer, ApiKey, ModelServer, Receiver, on_both_stores};

fn saying(word: &str) -> String {
    format!("steps:\n  - name: say\n    executor: data_transformer\n    config: {{data: \"{word}\"}}\n")
}

/// Calls the flow whose name it is given, with what else stands there.
fn calling(name: &str, more: &str) -> String {
    format!(
        "inputs: {{next: {{type: string, default: none}}}}\nsteps:\n  - name: call\n    executor: flow_executor\n    config: {{flow_name: \"{name}\"{more}}}\noutputs: {{said: \"{{{{ steps.call.output }}}}\"}}\n"
    )
}

/// Publishes to a channel without moving `stable`.
async fn publish(key: &ApiKey, flow: &str, channel: &str, yaml: &str) {
    let request = key.request(reqwest::Method::PUT, &format!("/api/v1/flows/{flow}?channel={channel}"));
    key.send(request.header("content-type", "application/yaml").body(yaml.to_owned())).await.expect_success();
}

async fn said(key: &ApiKey, flow: &str) -> Value {
    key.run(flow, &json!({})).await.expect_status(200).json()["outputs"]["said"].clone()
}

fn codes(answer: &Answer) -> Vec<String> {
    let problems = answer.json()["problems"].as_array().cloned().unwrap_or_default();
    problems.iter().map(|problem| problem["code"].as_str().unwrap_or_default().to_owned()).collect()
}

const BASE: &str = "inputs: {text: string}\nsteps:\n  - {name: ask, executor: llm_analyzer, config: {model: house/m, text: \"{{ inputs.text }}\", tone: kind, prompt_file: prompts/ask.j2}}\n  - {name: drop, executor: log, config: {message: x}}\n";
const RULES: &str = "Be brief.";
const ASK: &str =
    "{% include \"prompts/rules.j2\" %} In a {{ tone }} tone: {% block what %}what is this?{% endblock %} {{ text }}";
const OWN: &str = "extends: base\nimports: [words]\nremove: [drop]\nsteps:\n  - {name: ask, config: {tone: \"{{ words.loud('stern') }}\"}}\n  - {name: sign, executor: data_transformer, config: {data: \"{{ words.bullet(steps.ask.text) }}\"}}\n";
const OWN_ASK: &str = "{% extends \"base/prompts/ask.j2\" %}{% block what %}who wrote this?{% endblock %}";
const WORDS: &str = "functions:\n  loud: {implementation: \"def loud(text): return text.upper()\"}\nmacros:\n  bullet: \"{% macro bullet(text) %}- {{ text }} -{% endmacro %}\"\n";

on_both_stores! {
    async fn a_folder_extends_another_with_its_prompts_and_imports_functions_and_macros(world: World) {
        let server = ModelServer::start("sk-words", &json!([{"match": {}, "response": {"content": "Ada."}}])).await;
        let key = world.tenant("acme").await.key(&[]).await;
        let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": "sk-words"});
        key.put("/api/v1/connections/house", &connection).await.expect_success();
        let base = |rules: &'static str| [("flow.yaml", BASE), ("prompts/ask.j2", ASK), ("prompts/rules.j2", rules)];
        let own = [("flow.yaml", OWN), ("prompts/ask.j2", OWN_ASK)];
        let missing = key.put_folder("own", &own).await.expect_status(422);
        assert_eq!(codes(&missing), ["F060"], "{missing}");
        key.put_folder("base", &base(RULES)).await.expect_success();
        key.put_folder("words", &[("flow.yaml", WORDS)]).await.expect_success();
        key.put_folder("own", &own).await.expect_success();
        let ask = async || {
            let answer = key.run("own", &json!({"text": "Dear reader ..."})).await.expect_status(200);
            assert_eq!(answer.json()["outputs"], "- Ada. -");
            let asked = server.asked().await;
            asked.last().unwrap().0["messages"][0]["content"].as_str().unwrap().to_owned()
        };
        let expected = "Be brief. In a STERN tone: who wrote this? Dear reader ...";
        assert_eq!(ask().await, expected);
        // What it builds on is part of the version: a publish of the base changes nothing under it, and of itself something.
        key.put_folder("base", &base("Be long.")).await.expect_success();
        key.put_folder("words", &[("flow.yaml", &WORDS.replace("upper", "title"))]).await.expect_success();
        assert_eq!(ask().await, expected);
        let again = key.put_folder("own", &own).await.expect_success().json();
        assert_eq!(again["version"], 2);
        assert_eq!(ask().await, "Be long. In a Stern tone: who wrote this? Dear reader ...");
        // What is sent in the place of a neighbour is not believed.
        let forged = [("flow.yaml", OWN), ("prompts/ask.j2", OWN_ASK), ("../words/flow.yaml", WORDS), ("words/flow.yaml", WORDS)];
        let answer = key.put_folder("own", &forged).await;
        assert!(answer.status() == 200 || (400..500).contains(&answer.status()), "{answer}");
        assert_eq!(ask().await, "Be long. In a Stern tone: who wrote this? Dear reader ...");
    }

    async fn flows_that_extend_each_other_in_a_circle_are_refused(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("one", &saying("one")).await.expect_success();
        key.put_flow("two", "extends: one\nsteps:\n  - {name: more, executor: log, config: {message: x}}\n").await.expect_success();
        let round = key.put_flow("one", "extends: two\nsteps:\n  - {name: less, executor: log, config: {message: x}}\n").await.expect_status(422);
        assert_eq!(codes(&round), ["F061"], "{round}");
        let own = key.put_flow("three", "extends: three\nsteps:\n  - {name: less, executor: log, config: {message: x}}\n").await.expect_status(422);
        assert!(codes(&own).contains(&"F061".to_owned()) || codes(&own).contains(&"F060".to_owned()), "{own}");
        assert_eq!(key.run("one", &json!({})).await.expect_status(200).json()["outputs"], "one");
    }

    async fn a_call_names_a_version_or_a_channel_or_means_what_is_stable(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("callee", &saying("one")).await.expect_success();
        publish(&key, "callee", "beta", &saying("two")).await;
        for (flow, more, word) in [("plain", "", "one"), ("beta", ", channel: beta", "two"), ("first", ", version: 1", "one"), ("second", ", version: 2", "two")] {
            key.put_flow(flow, &calling("callee", more)).await.expect_success();
            assert_eq!(said(&key, flow).await, word, "{flow}");
        }
        key.put("/api/v1/flows/callee/channels/beta", &json!({"version": 1})).await.expect_success();
        key.put("/api/v1/flows/callee/channels/stable", &json!({"version": 2})).await.expect_success();
        for (flow, word) in [("plain", "two"), ("beta", "one"), ("first", "one"), ("second", "two")] {
            assert_eq!(said(&key, flow).await, word, "{flow} after the channels moved");
        }
        for (more, cause) in [(", version: 9", "unknown_flow"), (", channel: gamma", "unknown_flow"), (", version: 1, channel: beta", "config_invalid")] {
            let saved = key.put_flow("wrong", &calling("callee", more)).await;
            if saved.status() < 300 {
                let answer = key.run("wrong", &json!({})).await.expect_status(500);
                assert_eq!(answer.json()["cause"], cause, "{more}: {answer}");
                assert_eq!(answer.problem().step.as_deref(), Some("call"), "{answer}");
            }
        }
    }

    async fn a_whole_tree_runs_as_channels_stood_when_its_root_started(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::holding().await;
        key.put_flow("leaf", &saying("old")).await.expect_success();
        publish(&key, "leaf", "beta", &saying("old beta")).await;
        // The name and the channel are computed, a level below the root.
        let branch = "inputs: {next: string, channel: string}\nsteps:\n  - {name: call, executor: flow_executor, config: {flow_name: \"{{ inputs.next }}\", channel: \"{{ inputs.channel }}\"}}\n";
        key.put_flow("branch", branch).await.expect_success();
        let root = format!("steps:\n  - {{name: hold, executor: api_request, config: {{url: \"{}/hold\"}}}}\n  - {{name: stable, executor: flow_executor, config: {{flow_name: branch, inputs: {{next: leaf, channel: stable}}}}}}\n  - {{name: beta, executor: flow_executor, config: {{flow_name: branch, inputs: {{next: leaf, channel: beta}}}}}}\noutputs: {{said: [\"{{{{ steps.stable.output }}}}\", \"{{{{ steps.beta.output }}}}\"]}}\n", receiver.url());
        key.put_flow("root", &root).await.expect_success();
        let run = key.start("root", &json!({})).await;
        receiver.reached(1).await;
        key.put_flow("leaf", &saying("new")).await.expect_success();
        publish(&key, "leaf", "beta", &saying("new beta")).await;
        key.put_flow("branch", &saying("another branch")).await.expect_success();
        receiver.answer(10);
        assert_eq!(key.finished(&run).await["outputs"]["said"], json!(["old", "old beta"]));
        let again = key.start("root", &json!({})).await;
        assert_eq!(key.finished(&again).await["outputs"]["said"], json!(["another branch", "another branch"]));
    }

    async fn a_callee_that_is_not_there_is_a_warning_at_save_and_an_error_before_anything_runs(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::start().await;
        let yaml = format!("steps:\n  - {{name: charge, executor: api_request, config: {{url: \"{}/charge\", method: POST}}}}\n  - name: call\n    executor: flow_executor\n    config: {{flow_name: reciept}}\n", receiver.url());
        let saved = key.put_flow("caller", &yaml).await.expect_success();
        assert_eq!(codes(&saved), ["F066"]);
        let answer = key.run("caller", &json!({})).await.expect_status(500);
        let problem = answer.problem();
        assert_eq!((problem.code.as_str(), problem.line, problem.retryable), ("flow_fault", Some(5), false), "{answer}");
        assert_eq!(answer.json()["cause"], "unknown_flow");
        assert!(problem.detail.contains("`reciept`") && problem.step.as_deref() == Some("call"), "{answer}");
        assert!(receiver.calls().is_empty(), "nothing is charged for a flow that cannot end");
        // Another tenant's flow of that name does not help; one's own does.
        world.tenant("other").await.key(&[]).await.put_flow("reciept", &saying("theirs")).await.expect_success();
        key.run("caller", &json!({})).await.expect_status(500);
        key.put_flow("reciept", &saying("ours")).await.expect_success();
        assert_eq!(key.run("caller", &json!({})).await.expect_status(200).json()["outputs"], "ours");
        key.delete("/api/v1/flows/reciept").await.expect_success();
        key.run("caller", &json!({})).await.expect_status(500);
    }

    async fn a_run_whose_callee_is_not_there_settles_its_steps_and_runs_its_handlers(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::start().await;
        let url = receiver.url();
        let yaml = format!("vars: {{who: ada}}\nsteps:\n  - {{name: charge, executor: api_request, config: {{url: \"{url}/charge\", method: POST}}, compensate: {{executor: api_request, config: {{url: \"{url}/undo\", method: POST}}}}}}\n  - {{name: call, executor: flow_executor, config: {{flow_name: receipt}}}}\non_error:\n  - {{name: tell, executor: api_request, config: {{url: \"{url}/tell/{{{{ error.code }}}}/{{{{ failed_step }}}}/{{{{ vars.who }}}}\"}}}}\nfinally:\n  - {{name: tidy, executor: api_request, config: {{url: \"{url}/tidy\"}}}}\n");
        key.put_flow("caller", &yaml).await.expect_success();
        key.put_flow("plain", &calling("receipt", "")).await.expect_success();
        let parent = "steps:\n  - {name: run, executor: flow_executor, config: {flow_name: caller}}\n";
        key.put_flow("receipt", &saying("paid")).await.expect_success();
        key.put_flow("parent", parent).await.expect_success();
        key.delete("/api/v1/flows/receipt").await.expect_success();
        let told = |calls: usize| {
            let (paths, wanted) = (receiver.calls(), ["/tell/unknown_flow/call/ada", "/tidy"]);
            let paths: Vec<&str> = paths.iter().map(|call| call.path.as_str()).collect();
            assert_eq!(paths, wanted.repeat(calls), "nothing is charged, and nothing undone");
        };
        let settled = async |run: &str| {
            let steps = key.get(&format!("/api/v1/runs/{run}/steps")).await.expect_success().json();
            let steps = steps["data"].as_array().cloned().unwrap_or_default();
            steps.iter().map(|step| (step["name"].as_str().unwrap_or("").to_owned(), step["status"].as_str().unwrap_or("").to_owned())).collect::<Vec<_>>()
        };
        let expected = [("charge", "skipped"), ("call", "skipped"), ("charge:compensate", "skipped"), ("tell", "succeeded"), ("tidy", "succeeded")]
            .map(|(name, status)| (name.to_owned(), status.to_owned()));
        // A caller who waits, one who does not, one with a key, and a parent.
        let waited = key.run("caller", &json!({})).await.expect_status(500);
        assert_eq!((&waited.json()["cause"], waited.problem().step.as_deref()), (&json!("unknown_flow"), Some("call")), "{waited}");
        assert_eq!(settled(waited.json()["run_id"].as_str().unwrap()).await, expected, "{waited}");
        told(1);
        let started = key.start("caller", &json!({})).await;
        let run = key.finished(&started).await;
        assert_eq!((&run["status"], &run["error"]["code"], &run["failed_step"]), (&json!("failed"), &json!("unknown_flow"), &json!("call")), "{run:#}");
        assert_eq!(settled(&started).await, expected);
        told(2);
        let once = key.request(reqwest::Method::POST, "/api/v1/flows/caller/run").header("idempotency-key", "once").json(&json!({}));
        let once = key.send(once).await.expect_status(500);
        assert_eq!(once.json()["cause"], "unknown_flow", "{once}");
        told(3);
        let child = key.run("parent", &json!({})).await.expect_status(500);
        assert!(child.text().contains("receipt"), "{child}");
        told(4);
        // Without handlers it is over at once, and its step is settled all the same.
        let plain = key.run("plain", &json!({})).await.expect_status(500);
        assert_eq!(settled(plain.json()["run_id"].as_str().unwrap()).await, [("call".to_owned(), "skipped".to_owned())]);
        // A run is pinned to how channels stood when it started; a new one finds the flow.
        key.put_flow("receipt", &saying("paid")).await.expect_success();
        assert_eq!(key.run("caller", &json!({})).await.expect_status(200).json()["outputs"], "paid");
    }

    async fn lines_of_calls_end_at_the_eighth_by_written_and_by_computed_names(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("f0", &saying("the end")).await.expect_success();
        let mut deepest = 0;
        for depth in 1..=12 {
            let answer = key.put_flow(&format!("f{depth}"), &calling(&format!("f{}", depth - 1), "")).await;
            if answer.status() >= 300 {
                assert_eq!(codes(&answer.expect_status(422)), ["F061"]);
                break;
            }
            deepest = depth;
        }
        assert_eq!(deepest, 7, "eight flows in a line, and no more");
        assert!(said(&key, "f7").await.to_string().contains("the end"));
        // A flow that finds out at run time that it calls itself.
        key.put_flow("self", &calling("{{ inputs.next }}", ", inputs: {next: \"{{ inputs.next }}\"}")).await.expect_success();
        let answer = key.run("self", &json!({"next": "self"})).await.expect_status(500).problem();
        assert_eq!(answer.code, "child_depth", "{answer:?}");
        let runs = key.get("/api/v1/runs?flow=self").await.expect_status(200).json()["data"].clone();
        assert_eq!(runs.as_array().map(Vec::len), Some(8), "{runs:#}");
        assert!(runs.as_array().unwrap().iter().all(|run| run["status"] == "failed"), "{runs:#}");
    }

    async fn inputs_are_narrowed_to_what_the_callee_declares_and_written_ones_are_checked(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("callee", "inputs: {a: integer}\nsteps:\n  - {name: one, executor: data_transformer, config: {data: \"{{ inputs }}\"}}\n").await.expect_success();
        let caller = |inputs: &str| format!("inputs: {{a: {{type: string}}, b: {{type: string, default: b}}}}\nsteps:\n  - {{name: call, executor: flow_executor, config: {{flow_name: callee, inputs: {inputs}}}}}\n");
        key.put_flow("whole", "inputs: {a: integer, b: {type: string, default: b}}\nsteps:\n  - {name: call, executor: flow_executor, config: {flow_name: callee, inputs: \"{{ inputs }}\"}}\n").await.expect_success();
        assert_eq!(key.run("whole", &json!({"a": 1})).await.expect_status(200).json()["outputs"], json!({"a": 1}));
        let written = key.put_flow("written", &caller("{a: 1, c: 2}")).await.expect_success();
        assert_eq!(codes(&written)[0], "F067", "{written}");
        key.put_flow("wrong", &caller("{a: \"{{ inputs.a }}\"}")).await.expect_success();
        let answer = key.run("wrong", &json!({"a": "many"})).await.expect_status(500);
        assert_eq!(answer.json()["cause"], "child_inputs", "{answer}");
        assert!(answer.problem().detail.contains("/a") || answer.problem().detail.contains("`a`"), "{answer}");
    }

    async fn what_breaks_callers_is_named_when_it_is_published(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let flow = |inputs: &str, outputs: &str| format!("inputs: {{{inputs}}}\noutputs: {{{outputs}}}\nsteps:\n  - {{name: say, executor: data_transformer, config: {{data: 1}}}}\n");
        key.put_flow("desk", &flow("a: {type: string, max_length: 9}, gone: {type: string, required: false}, n: integer", "x: \"{{ inputs.a }}\", y: 1")).await.expect_success();
        let next = flow("a: {type: string, max_length: 5}, n: string, new: string, more: {type: string, required: false}", "x: 2, z: 3");
        let changes = key.put_flow("desk", &next).await.expect_success().json()["changes"].clone();
        let found: Vec<(bool, &str)> = changes.as_array().unwrap().iter()
            .map(|change| (change["breaking"] == true, change["pointer"].as_str().unwrap_or(""))).collect();
        for breaking in ["/inputs/a", "/inputs/gone", "/inputs/n", "/inputs/new", "/outputs/y"] {
            assert!(found.contains(&(true, breaking)), "{breaking}: {changes:#}");
        }
        for harmless in ["/inputs/more", "/outputs/z"] {
            assert!(found.contains(&(false, harmless)), "{harmless}: {changes:#}");
        }
        let first_harmless = found.iter().position(|(breaking, _)| !breaking);
        assert!(found.iter().skip(first_harmless.unwrap_or(0)).all(|(breaking, _)| !breaking), "breaking ones come first: {changes:#}");
        assert_eq!(key.put_flow("desk", &next).await.expect_success().json()["changes"], json!([]), "the same again changes nothing");
    }

    async fn a_stale_publish_of_a_folder_is_refused_with_what_changed_in_every_file(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let flow = "inputs: {text: string}\nsteps:\n  - {name: ask, executor: llm_analyzer, config: {prompt_file: prompts/ask.j2, text: \"{{ inputs.text }}\"}}\n";
        let folder = |prompt: &'static str| [("flow.yaml", flow), ("prompts/ask.j2", prompt)];
        key.put_folder("ask", &folder("First: {{ text }}")).await.expect_success();
        let base = key.get("/api/v1/flows/ask").await.expect_success().header("etag").expect("an ETag").to_owned();
        key.put_folder("ask", &folder("Second: {{ text }}")).await.expect_success();
        let put = |etag: &str| {
            let request = key.request(reqwest::Method::PUT, "/api/v1/flows/ask").header("if-match", etag.to_owned());
            key.send(request.header("content-type", "application/yaml").body(saying("third")))
        };
        for stale in [base.as_str(), "\"0000\""] {
            let refused = put(stale).await.expect_status(412);
            assert_eq!(refused.problem().code, "precondition_failed");
            let diff = refused.json()["diff"].as_str().expect("a 412 has a diff").to_owned();
            assert!(diff.contains("prompts/ask.j2"), "{stale}: {diff}");
            assert!(diff.contains("Second: {{ text }}"), "{stale}: {diff}");
        }
        assert_eq!(key.get("/api/v1/flows/ask/versions").await.json()["data"].as_array().map(Vec::len), Some(2));
        let request = key.request(reqwest::Method::PUT, "/api/v1/flows/absent").header("if-match", "*");
        key.send(request.header("content-type", "application/yaml").body(saying("x"))).await.expect_status(412);
        key.get("/api/v1/flows/absent").await.expect_status(404);
        put("*").await.expect_success();
        assert_eq!(key.run("ask", &json!({})).await.expect_status(200).json()["outputs"], "third");
    }
}
