//! Suite: versions, channels, experiments and feedback. What a call runs is decided at its start and stays.
#![expect(clippy::expect_used, reason = "a suite fails by panicking")]
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::{Answer, ApiKey, Receiver, World, on_both_stores};

fn saying(word: &str) -> String {
    format!("steps:\n  - name: say\n    executor: data_transformer\n    config: {{data: \"{word}\"}}\n")
}

const FAILING: &str =
    "steps:\n  - name: say\n    executor: fail\n    config: {message: \"This version is no good.\", code: no_good}\n";

/// What earlier programs called the version that says `one`: SHA-256 over the length and the text, without its last line end.
const TEXT_HASH: &str = "4815eb84a0b38df340b17440d88577b2a48c5ef7b671678f23b748b38e4c9482";

/// Gives the first version the name that an earlier program would have given it. Nothing serves meanwhile.
async fn hashed_as_before(world: &World) {
    let connection = match world.database() {
        Some(database) => database.inspect().await,
        None => {
            let path = world.folder().join("data/weir.db");
            sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.expect("the store opens")
        }
    };
    let statement = format!("UPDATE versions SET hash = '{TEXT_HASH}' WHERE number = 1");
    sea_orm::ConnectionTrait::execute_unprepared(&connection, &statement).await.expect("a version is renamed");
    connection.close().await.expect("the store closes");
}

/// Publishes without moving `stable`; gives the version's number.
async fn publish(key: &ApiKey, flow: &str, channel: &str, yaml: &str) -> u64 {
    let request = key.request(reqwest::Method::PUT, &format!("/api/v1/flows/{flow}?channel={channel}"));
    let answer = key.send(request.header("content-type", "application/yaml").body(yaml.to_owned())).await;
    answer.expect_success().json()["version"].as_u64().expect("a published flow has a version")
}

async fn run_as(key: &ApiKey, flow: &str, subject: &str, query: &str) -> Answer {
    let request = key.request(reqwest::Method::POST, &format!("/api/v1/flows/{flow}/run{query}"));
    key.send(request.header("x-experiment-subject", subject).json(&json!({}))).await
}

/// The run's row, whatever became of it.
async fn row_of(key: &ApiKey, answer: &Answer) -> Value {
    let run = answer.json()["run_id"].as_str().expect("an answer names its run").to_owned();
    key.get(&format!("/api/v1/runs/{run}")).await.expect_success().json()
}

on_both_stores! {
    async fn publishing_over_a_stale_base_is_refused_with_a_diff_of_what_changed(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("greet", &saying("one")).await.expect_success();
        let read = key.get("/api/v1/flows/greet").await.expect_success();
        let base = read.header("etag").expect("a published flow has an ETag").to_owned();
        key.put_flow("greet", &saying("two")).await.expect_success();
        let put = |etag: String, yaml: String| {
            let request = key.request(reqwest::Method::PUT, "/api/v1/flows/greet").header("if-match", etag);
            key.send(request.header("content-type", "application/yaml").body(yaml))
        };
        let refused = put(base, saying("three")).await.expect_status(412);
        assert_eq!(refused.problem().code, "precondition_failed");
        let diff = refused.json()["diff"].as_str().expect("a 412 has a diff").to_owned();
        assert!(diff.contains("-    config: {data: \"one\"}") && diff.contains("+    config: {data: \"two\"}"), "{diff}");
        let now = key.get("/api/v1/flows/greet").await.expect_success().header("etag").expect("an ETag").to_owned();
        put(now, saying("three")).await.expect_success();
        assert_eq!(key.run("greet", &json!({})).await.expect_success().json()["outputs"], "three");
    }

    async fn a_flow_is_read_in_the_form_that_is_asked_for_and_put_again_as_it_was_read(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!("# As I wrote it.\n{}", saying("one"));
        key.put_folder("greet", &[("flow.yaml", &yaml), ("prompts/a.j2", "hi")]).await.expect_success();
        let read = async |path: &str, accept: &str| {
            key.send(key.request(reqwest::Method::GET, path).header("accept", accept)).await.expect_success()
        };
        let tag = key.get("/api/v1/flows/greet").await.expect_success().header("etag").map(ToOwned::to_owned);
        for path in ["/api/v1/flows/greet", "/api/v1/flows/greet/versions/1"] {
            for accept in ["application/yaml", "text/yaml", "application/x-yaml"] {
                let answer = read(path, accept).await;
                assert_eq!((answer.text(), answer.header("content-type")), (yaml.clone(), Some("application/yaml")), "{accept}");
                assert_eq!(answer.header("etag").map(ToOwned::to_owned), tag);
            }
            let zip = read(path, "application/zip").await;
            let put = key.request(reqwest::Method::PUT, "/api/v1/flows/greet").header("content-type", "application/zip");
            let put = key.send(put.body(zip.bytes().to_vec())).await.expect_success();
            assert_eq!(put.json()["version"], 1, "the same folder is the same version");
            assert!(read(path, "application/json, */*").await.json()["yaml"].is_string());
        }
    }

    async fn the_same_content_is_the_same_version_however_it_is_written(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let first = "# As I wrote it.\nlabels: {team: desk, area: money}\nvars: {one: 1, two: 2}\nsteps:\n  - {name: say, executor: data_transformer, config: {data: \"one\"}}\n";
        let saved = key.put_flow("greet", first).await.expect_success();
        let tag = key.get("/api/v1/flows/greet").await.expect_success().header("etag").map(ToOwned::to_owned);
        let again = "vars: {one: 1, two: 2}\nlabels: {area: 'money', team: desk}   # Another comment.\nsteps:\n- executor: data_transformer\n  name: say\n  config:\n    data: one\n";
        let same = key.put_flow("greet", again).await.expect_success();
        assert_eq!((&saved.json()["version"], &same.json()["version"]), (&json!(1), &json!(1)), "{same}");
        assert_eq!(saved.json()["hash"], same.json()["hash"]);
        let now = key.get("/api/v1/flows/greet").await.expect_success();
        assert_eq!(now.header("etag").map(ToOwned::to_owned), tag);
        assert_eq!(now.json()["yaml"], first, "a version's text stays the one that it was made of");
        // Under `If-Match` too: the tag is that of the content.
        let put = key.request(reqwest::Method::PUT, "/api/v1/flows/greet").header("if-match", tag.expect("an ETag"));
        let put = key.send(put.header("content-type", "application/yaml").body(again)).await.expect_success();
        assert_eq!(put.json()["version"], 1);
        // The order of variables is that of their evaluation, and a number is no text.
        for (other, version) in [(first.replace("{one: 1, two: 2}", "{two: 2, one: 1}"), 2), (first.replace("one: 1", "one: '1'"), 3), (first.to_owned(), 1)] {
            assert_eq!(key.put_flow("greet", &other).await.expect_success().json()["version"], version, "{other}");
        }
        assert_eq!(key.get("/api/v1/flows/greet/versions").await.expect_success().json()["data"].as_array().map(Vec::len), Some(3));
        // A draft that says the same is kept beside it, and gone when that is published.
        let draft = key.request(reqwest::Method::PUT, "/api/v1/flows/greet?draft=true");
        key.send(draft.header("content-type", "application/yaml").body(again)).await.expect_success();
        assert_eq!(key.put_flow("greet", again).await.expect_success().json()["version"], 1);
    }

    async fn versions_of_earlier_programs_are_found_by_their_text_and_by_what_they_say(world: World) {
        let mut world = world;
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("greet", &saying("one")).await.expect_success();
        publish(&key, "greet", "beta", &saying("two")).await;
        world.stop().await;
        hashed_as_before(&world).await;
        world.serve().await;
        let key = key.at(&world.url());
        let put = async |yaml: &str| key.put_flow("greet", yaml).await.expect_success().json()["version"].clone();
        let tag = key.get("/api/v1/flows/greet").await.expect_success().header("etag").map(ToOwned::to_owned);
        assert_eq!(tag.as_deref(), Some(format!("\"{TEXT_HASH}\"").as_str()));
        // What is published now: by its text and by its values.
        assert_eq!(put(&saying("one")).await, 1);
        assert_eq!(put(&format!("# Why.\n{}", saying("one"))).await, 1);
        assert_eq!(put(&saying("three")).await, 3);
        // What was: by its text.
        assert_eq!(put(&saying("one")).await, 1);
        assert_eq!(put(&saying("two")).await, 2);
        let base = key.request(reqwest::Method::PUT, "/api/v1/flows/greet").header("if-match", tag.expect("an ETag"));
        let stale = key.send(base.header("content-type", "application/yaml").body(saying("four"))).await.expect_status(412);
        assert!(stale.text().contains("since version 1"), "{stale}");
    }

    async fn a_channel_moves_between_versions_and_pins_are_checked(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("greet", &saying("one")).await.expect_success();
        let beta = publish(&key, "greet", "beta", &saying("two")).await;
        assert_eq!(beta, 2);
        // The same content again is the same version.
        assert_eq!(publish(&key, "greet", "beta", &saying("two")).await, 2);
        let said = |answer: Answer| answer.expect_success().json()["outputs"].clone();
        assert_eq!(said(run_as(&key, "greet", "s", "").await), "one");
        assert_eq!(said(run_as(&key, "greet", "s", "?channel=beta").await), "two");
        assert_eq!(said(run_as(&key, "greet", "s", "?version=1").await), "one");
        run_as(&key, "greet", "s", "?version=9").await.expect_status(404);
        run_as(&key, "greet", "s", "?channel=gamma").await.expect_status(404);
        run_as(&key, "greet", "s", "?version=1&channel=beta").await.expect_status(400);
        key.put("/api/v1/flows/greet/channels/stable", &json!({"version": 9})).await.expect_status(422);
        key.put("/api/v1/flows/greet/channels/stable", &json!({"version": 2})).await.expect_status(200);
        assert_eq!(said(run_as(&key, "greet", "s", "").await), "two");
        key.put("/api/v1/flows/greet/channels/stable", &json!({"version": 1})).await.expect_status(200);
        assert_eq!(said(run_as(&key, "greet", "s", "").await), "one");
        key.delete("/api/v1/flows/greet/channels/stable").await.expect_status(409);
        key.delete("/api/v1/flows/greet/channels/beta").await.expect_status(204);
        run_as(&key, "greet", "s", "?channel=beta").await.expect_status(404);
        let version = key.get("/api/v1/flows/greet/versions/2").await.expect_success().json();
        assert_eq!(version["yaml"], saying("two"));
        assert_eq!(version["channels"], json!([]));
    }

    async fn a_publish_in_mid_run_changes_nothing_for_the_flows_that_the_run_calls(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::holding().await;
        key.put_flow("callee", &saying("old")).await.expect_success();
        let caller = format!(
            "steps:\n  - name: hold\n    executor: api_request\n    config: {{url: \"{}/hold\", method: GET}}\n  - name: call\n    \
             executor: flow_executor\n    config: {{flow_name: callee, inputs: {{}}}}\noutputs: {{said: \"{{{{ steps.call.output }}}}\"}}\n",
            receiver.url()
        );
        key.put_flow("caller", &caller).await.expect_success();
        let run = key.start("caller", &json!({})).await;
        receiver.reached(1).await;
        key.put_flow("callee", &saying("new")).await.expect_success();
        receiver.answer(10);
        let finished = key.finished(&run).await;
        assert_eq!(finished["outputs"], json!({"said": "old"}), "{finished:#}");
        let again = key.start("caller", &json!({})).await;
        assert_eq!(key.finished(&again).await["outputs"], json!({"said": "new"}));
    }

    async fn subjects_keep_their_variant_over_a_restart_and_pinned_runs_take_no_part(world: World) {
        let mut world = world;
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("greet", &saying("one")).await.expect_success();
        publish(&key, "greet", "beta", &saying("two")).await;
        let split = json!({"variants": [{"name": "control", "version": 1}, {"name": "new", "version": 2}]});
        key.put("/api/v1/flows/greet/experiments/words", &split).await.expect_status(201);
        let mut seen: BTreeMap<String, Value> = BTreeMap::new();
        for number in 0..60 {
            let subject = format!("customer-{number}");
            let answer = run_as(&key, "greet", &subject, "").await.expect_success();
            let row = row_of(&key, &answer).await;
            let expected = if row["variant"] == "new" { "two" } else { "one" };
            assert_eq!(answer.json()["outputs"], expected, "{row:#}");
            assert_eq!(row["experiment"], "words", "{row:#}");
            seen.insert(subject, row["variant"].clone());
        }
        let new = seen.values().filter(|variant| **variant == "new").count();
        assert!((10..=50).contains(&new), "{new} of 60");
        world.stop().await;
        world.serve().await;
        let key = key.at(&world.url());
        for (subject, variant) in &seen {
            let answer = run_as(&key, "greet", subject, "").await.expect_success();
            assert_eq!(row_of(&key, &answer).await["variant"], *variant, "{subject}");
        }
        let pinned = run_as(&key, "greet", "customer-1", "?version=2").await.expect_success();
        assert_eq!(row_of(&key, &pinned).await["variant"], Value::Null);
        let view = key.get("/api/v1/flows/greet/experiments/words").await.expect_success().json();
        let runs: u64 = view["readout"]["variants"].as_array().expect("variants").iter().filter_map(|variant| variant["runs"].as_u64()).sum();
        assert_eq!(runs, 120, "{view:#}");
        assert_eq!(view["readout"]["variants"][1]["success_rate"]["value"], 1.0, "{view:#}");
        assert_eq!(view["readout"]["sample_ratio"]["suspicious"], false, "{view:#}");
        for variant in view["readout"]["variants"].as_array().expect("variants") {
            let (settled, within) = (variant["settled"].as_u64(), |figure: &str, interval: &str| {
                let [low, value, high] = [&variant[interval]["low"], &variant[figure], &variant[interval]["high"]].map(Value::as_u64);
                low.is_some() && low <= value && value <= high
            });
            assert!(within("p50_ms", "p50_interval_ms"), "{view:#}");
            let has_tail = settled >= Some(72);
            assert_eq!(within("p95_ms", "p95_interval_ms"), has_tail, "{view:#}");
            assert!(has_tail || variant["p95_interval_ms"].is_null(), "{view:#}");
            let cost = &variant["mean_cost_nano_usd"];
            assert!(cost["low"].as_f64() <= cost["value"].as_f64() && cost["value"].as_f64() <= cost["high"].as_f64(), "{view:#}");
        }
        // A second experiment, or other variants, would change sides under way.
        key.put("/api/v1/flows/greet/experiments/others", &split).await.expect_status(409);
        let changed = json!({"variants": [{"name": "control", "version": 1}, {"name": "new", "version": 1}]});
        key.put("/api/v1/flows/greet/experiments/words", &changed).await.expect_status(409);
        key.delete("/api/v1/flows/greet/experiments/words").await.expect_status(204);
        let after = run_as(&key, "greet", "customer-1", "").await.expect_success();
        assert_eq!(after.json()["outputs"], "one");
    }

    async fn a_variant_that_fails_is_rolled_back_but_not_before_a_hundred_runs(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("greet", &saying("one")).await.expect_success();
        publish(&key, "greet", "beta", FAILING).await;
        let split = json!({
            "variants": [{"name": "control", "version": 1}, {"name": "new", "version": 2}],
            "guards": {"max_error_rate_increase": 0.05},
        });
        key.put("/api/v1/flows/greet/experiments/words", &split).await.expect_status(201);
        let mut failed = 0;
        let mut rolled_back = false;
        // A guard looks at most once a second, so some runs come too late; the last of them see `stable` alone.
        for number in 0..6_000 {
            let answer = run_as(&key, "greet", &format!("customer-{number}"), "").await;
            failed += u32::from(answer.status() == 422);
            if number >= 180 && number % 20 == 0 {
                let view = key.get("/api/v1/flows/greet/experiments/words").await.expect_success().json();
                if view["state"] == "rolled_back" {
                    assert!(view["note"].as_str().is_some_and(|note| note.contains("failed")), "{view:#}");
                    rolled_back = true;
                    break;
                }
            }
        }
        assert!(rolled_back, "the guard ended it");
        assert!(failed >= 100, "no roll-back below 100 exposures: {failed}");
        for number in 0..40 {
            run_as(&key, "greet", &format!("customer-{number}"), "").await.expect_success();
        }
    }

    async fn feedback_is_counted_with_the_runs_variant(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("greet", &saying("one")).await.expect_success();
        publish(&key, "greet", "beta", &saying("two")).await;
        let split = json!({"variants": [{"name": "control", "version": 1}, {"name": "new", "version": 2}]});
        key.put("/api/v1/flows/greet/experiments/words", &split).await.expect_status(201);
        let mut given = 0.0;
        for number in 0..20 {
            let answer = run_as(&key, "greet", &format!("customer-{number}"), "").await.expect_success();
            let row = row_of(&key, &answer).await;
            let score = if row["variant"] == "new" { 1.0 } else { 0.25 };
            given += f64::from(u8::from(row["variant"] == "new"));
            let path = format!("/api/v1/runs/{}/feedback", row["id"].as_str().expect("a run has an id"));
            key.post(&path, &json!({"score": score, "comment": "as expected"})).await.expect_status(201);
            key.post(&path, &json!({"score": 1.5})).await.expect_status(422);
            assert_eq!(key.get(&path).await.expect_success().json()["data"][0]["score"], score);
        }
        let view = key.get("/api/v1/flows/greet/experiments/words").await.expect_success().json();
        let new = &view["readout"]["variants"][1];
        assert_eq!(new["feedback"].as_f64(), Some(given), "{view:#}");
        assert_eq!(new["mean_score"]["value"], 1.0, "{view:#}");
        assert_eq!(view["readout"]["variants"][0]["mean_score"]["value"], 0.25, "{view:#}");
        for variant in view["readout"]["variants"].as_array().expect("variants") {
            let [low, high] = ["low", "high"].map(|end| variant["mean_score"][end].as_f64().expect("an interval"));
            assert!((0.0..1.0).contains(&low) && low < high && high <= 1.0, "{view:#}");
        }
    }
}
