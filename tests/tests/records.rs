//! Suite: what is kept of runs and what their records say. Whoever is told to come back finds the run, attempts say which way of
//! doing the step they were, items are resolved one by one, and a wait is told only where somebody waits.
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Receiver, World, on_both_stores};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn getting(save: &str, receiver: &Receiver) -> String {
    format!(
        "save: {save}\nsteps:\n  - {{name: get, executor: api_request, config: {{url: \"{}/{save}\"}}}}\noutputs: {{got: \"{{{{ steps.get.http_status }}}}\"}}\n",
        receiver.url()
    )
}

/// The values at a pointer of each attempt of a step.
fn attempts(step: &Value, pointer: &str) -> Vec<Value> {
    let list = step["attempt_list"].as_array().cloned().unwrap_or_default();
    list.iter().map(|attempt| attempt.pointer(pointer).cloned().unwrap_or_default()).collect()
}

on_both_stores! {
    async fn whoever_is_told_to_come_back_finds_the_run_whatever_it_saves(world: World) {
        let receiver = Receiver::holding().await;
        let key = world.tenant("acme").await.key(&[]).await;
        for (number, save) in ["none", "failed", "all"].into_iter().enumerate() {
            key.put_flow(save, &getting(save, &receiver)).await.expect_success();
            for (again, preference) in ["wait=1", "wait=0", "respond-async"].into_iter().enumerate() {
                let later = key.run_with(save, &json!({}), &[("prefer", preference)]).await.expect_status(202);
                let place = later.header("location").unwrap_or_default().to_owned();
                let found = key.get(&place).await.expect_status(200).json();
                assert_eq!(found["status"], "running", "{save}, {preference}: {found:#}");
                receiver.reached(number * 3 + again + 1).await;
                receiver.answer(1);
                let ended = key.finished(&later.run_id()).await;
                let outcome = (&ended["status"], &ended["outputs"]["got"]);
                assert_eq!(outcome, (&json!("succeeded"), &json!(200)), "{save}, {preference}: {ended:#}");
                let steps = key.steps(&later.run_id()).await;
                assert_eq!(attempts(&steps[0], "/status"), [json!("succeeded")], "{save}, {preference}");
            }
        }
        assert_eq!(receiver.calls().len(), 9, "nothing was done twice");
    }

    async fn who_has_the_answer_leaves_nothing_where_nothing_is_saved(world: World) {
        let receiver = Receiver::start().await;
        let key = world.tenant("acme").await.key(&[]).await;
        for (save, kept) in [("none", 404), ("failed", 404), ("all", 200)] {
            key.put_flow(save, &getting(save, &receiver)).await.expect_success();
            let answer = key.run(save, &json!({})).await.expect_status(200);
            key.get(&format!("/api/v1/runs/{}", answer.run_id())).await.expect_status(kept);
        }
        for (save, kept) in [("none", 404), ("failed", 200)] {
            receiver.script(&format!("/{save}"), &[404]);
            let failed = key.run(save, &json!({})).await.expect_status(502);
            let id = failed.problem().run_id.unwrap_or_default();
            key.get(&format!("/api/v1/runs/{id}")).await.expect_status(kept);
        }
    }

    async fn attempts_say_which_way_of_doing_the_step_they_were(world: World) {
        let receiver = Receiver::start().await;
        let key = world.tenant("acme").await.key(&[]).await;
        let url = receiver.url();
        let yaml = format!(
            "steps:
  - name: way
    executor: api_request
    config: {{url: \"{url}/down\"}}
    retry: {{max_attempts: 2, initial_delay: 5ms}}
    on_error:
      fallback:
        - {{executor: api_request, config: {{url: \"{url}/worse\"}}}}
        - {{executor: api_request, config: {{url: \"{url}/up\"}}}}
  - name: again
    executor: api_request
    config: {{url: \"{url}/poll\"}}
    repeat: {{until: \"iteration >= 3\", interval: 5ms, max_iterations: 5}}
  - name: each
    executor: api_request
    for_each: [1, 2]
    config: {{url: \"{url}/each\"}}
    on_error: {{fallback: [{{executor: api_request, config: {{url: \"{url}/up\"}}}}]}}
  - name: charge
    executor: log
    config: {{message: done}}
    compensate: {{executor: log, config: {{message: undone}}}}
  - {{name: end, executor: fail, config: {{message: over}}}}
"
        );
        key.put_flow("ways", &yaml).await.expect_success();
        receiver.script("/down", &[503, 503]);
        receiver.script("/worse", &[404]);
        receiver.script("/each", &[404, 404]);
        let failed = key.run("ways", &json!({})).await;
        let id = failed.problem().run_id.unwrap_or_default();
        let records = key.records(&id).await;
        assert_eq!(attempts(&records["way"], "/entry"), ["main", "main", "fallback_1", "fallback_2"], "{:#}", records["way"]);
        assert_eq!(attempts(&records["way"], "/iteration"), vec![Value::Null; 4]);
        assert_eq!(attempts(&records["again"], "/iteration"), [1, 2, 3], "{:#}", records["again"]);
        assert_eq!(attempts(&records["again"], "/entry"), ["main", "main", "main"]);
        let each = records["each"]["attempt_list"].as_array().cloned().unwrap_or_default();
        let mut of_items: Vec<(Value, Value)> = each.iter().map(|one| (one["item"].clone(), one["entry"].clone())).collect();
        of_items.sort_by_key(|(item, _)| item.as_u64());
        let wanted = [(0, "main"), (0, "fallback_1"), (1, "main"), (1, "fallback_1")];
        assert_eq!(of_items, wanted.map(|(item, entry)| (json!(item), json!(entry))), "{each:#?}");
        let undone = records.values().find(|step| step["phase"] == "compensation").cloned().unwrap_or_default();
        assert_eq!(attempts(&undone, "/entry"), ["compensation"], "{undone:#}");
    }

    async fn of_many_attempts_those_are_listed_that_went_wrong_and_the_newest(world: World) {
        let receiver = Receiver::start().await;
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!(
            "steps:\n  - name: post\n    executor: api_request\n    for_each: \"{{{{ range(260) | list }}}}\"\n    max_parallel: 4\n    config: {{url: \"{}/{{{{ item }}}}\", method: POST}}\n    on_item_error: collect\n",
            receiver.url()
        );
        key.put_flow("posts", &yaml).await.expect_success();
        // Long before the last ones begin.
        receiver.script("/3", &[500]);
        receiver.script("/4", &[422]);
        let id = key.run_with("posts", &json!({}), &[("prefer", "wait=60")]).await.expect_status(202).run_id();
        let record = key.records(&id).await["post"].clone();
        assert_eq!(record["items_needing_attention"], json!([3]), "{:#}", record["items"]);
        let listed: Vec<u64> =
            record["attempt_list"].as_array().into_iter().flatten().filter_map(|attempt| attempt["item"].as_u64()).collect();
        assert_eq!((listed.len(), record["attempts_omitted"].as_u64()), (200, Some(60)));
        assert!(listed.contains(&3) && listed.contains(&4) && listed.contains(&259) && !listed.contains(&0), "{listed:?}");
    }

    async fn items_that_need_a_decision_are_named_and_decided_one_by_one(world: World) {
        let receiver = Receiver::start().await;
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let yaml = format!(
            "steps:\n  - name: post\n    executor: api_request\n    for_each: [a, b, c]\n    config: {{url: \"{}/{{{{ item }}}}\", method: POST}}\n    on_item_error: collect\n",
            receiver.url()
        );
        key.put_flow("posts", &yaml).await.expect_success();
        receiver.script("/a", &[500]);
        receiver.script("/c", &[500]);
        let later = key.run_with("posts", &json!({}), &[("prefer", "wait=20")]).await.expect_status(202);
        let id = later.run_id();
        let record = key.records(&id).await["post"].clone();
        assert_eq!(record["items_needing_attention"], json!([0, 2]), "{record:#}");
        let resolve = |body: Value| key.send(key.request(Method::POST, &format!("/api/v1/runs/{id}/steps/post/resolve")).json(&body));
        let unsaid = resolve(json!({"action": "fail"})).await.expect_status(422).problem();
        assert!(unsaid.detail.contains("Items that need a decision: 0, 2."));
        assert_eq!(unsaid.errors[0].pointer, "/item");
        let absent = resolve(json!({"action": "fail", "item": 7})).await.expect_status(422).problem();
        assert!(absent.detail.contains("0, 2"));
        let done = resolve(json!({"action": "fail", "item": 1})).await.expect_status(409).problem();
        let detail = done.detail;
        assert!(detail.contains("Item 1") && detail.contains("`succeeded`") && detail.contains("0, 2"), "{detail}");
        resolve(json!({"action": "complete", "item": 0, "output": {"id": 7}})).await.expect_status(202);
        // The other one by the console's form.
        let owner = tenant.owner().await;
        let page = format!("/t/acme/runs/{id}");
        let mut form = loop {
            let page = owner.open(&page).await;
            let offered = page.all("select[name=item] option");
            if offered.len() == 1 {
                assert!(offered[0].contains('2'), "{offered:?}");
                assert!(page.text().contains("needs a person. Item 2: "), "what is in doubt is said: {}", page.text());
                break page.form("form[action$='/steps/post/resolve']");
            }
        };
        form.press("action", "fail");
        owner.submit(form).await;
        let ended = key.finished(&id).await;
        assert_eq!(ended["status"], "succeeded", "{ended:#}");
        let over = resolve(json!({"action": "fail"})).await;
        over.expect_status(409);
    }

    async fn a_wait_is_told_only_where_somebody_waits(world: World) {
        let server = MockServer::start().await;
        let busy = ResponseTemplate::new(429).insert_header("retry-after", "0.2");
        Mock::given(path("/busy")).respond_with(busy).mount(&server).await;
        let key = world.tenant("acme").await.key(&[]).await;
        let yaml = format!(
            "steps:\n  - name: get\n    executor: api_request\n    config: {{url: \"{}/busy\"}}\n    retry: {{max_attempts: 2, initial_delay: 5ms}}\n",
            server.uri()
        );
        key.put_flow("busy", &yaml).await.expect_success();
        let failed = key.run("busy", &json!({})).await.expect_status(503);
        assert_eq!(failed.header("retry-after"), Some("1"), "the caller is told what the server said");
        let id = failed.problem().run_id.unwrap_or_default();
        let record = key.records(&id).await["get"].clone();
        assert_eq!(attempts(&record, "/error/retry_after_ms"), [json!(200), Value::Null], "{record:#}");
        assert_eq!(attempts(&record, "/error/server_retry_after_ms"), [200, 200]);
        let run = key.get(&format!("/api/v1/runs/{id}")).await.json();
        for error in [&record["error"], &run["error"]] {
            assert_eq!((&error["retry_after_ms"], &error["server_retry_after_ms"]), (&Value::Null, &json!(200)), "{error:#}");
        }
        let waits = |event: &str| {
            let key = key.clone();
            let (id, event) = (id.clone(), event.to_owned());
            async move {
                let events = key.follow(&id).await;
                let found = events.into_iter().find(|one| one.name == event).map(|one| one.data);
                found.map(|data| data.to_string().contains("\"retry_after_ms\""))
            }
        };
        assert_eq!(waits("attempt_failed").await, Some(true));
        assert_eq!(waits("step_settled").await, Some(false));
        assert_eq!(waits("run_settled").await, Some(false));
    }
}

/// A drain answers who waits, and what it answers is true: the run is found and comes to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_no_call_that_saves_nothing() {
    let mut world = World::start(tests::Store::Sqlite).await;
    let receiver = Receiver::holding().await;
    let key = world.tenant("acme").await.key(&[]).await;
    key.put_flow("none", &getting("none", &receiver)).await.expect_success();
    let calling = tokio::spawn({
        let key = key.clone();
        async move { key.run("none", &json!({})).await }
    });
    receiver.reached(1).await;
    world.stop().await;
    let answer = calling.await.unwrap().expect_status(202);
    world.serve().await;
    receiver.answer(5);
    let ended = key.at(&world.url()).finished(&answer.run_id()).await;
    assert_eq!(ended["status"], "succeeded", "{ended:#}");
}
