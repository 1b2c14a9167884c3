//! Suite: what was acknowledged survives `kill -9` of the server, and nothing that was recorded is done again.
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tests::{ApiKey, Receiver, on_both_stores};

/// Two calls to the outside with a retry and a parallel group between them.
fn delivery(receiver: &Receiver) -> String {
    let url = receiver.url();
    format!(
        r#"
inputs:
  number: {{type: integer, required: true}}
steps:
  - name: first
    executor: api_request
    config: {{url: "{url}/first", method: PUT, json: {{number: "{{{{ inputs.number }}}}"}}}}
    retry: {{max_attempts: 5, initial_delay: 50ms}}
  - name: left
    executor: api_request
    parallel_group: both
    config: {{url: "{url}/left", method: PUT, json: {{number: "{{{{ inputs.number }}}}"}}}}
    retry: {{max_attempts: 5, initial_delay: 50ms}}
  - name: right
    executor: data_transformer
    parallel_group: both
    config: {{data: "{{{{ inputs.number * 2 }}}}"}}
  - name: last
    executor: data_combiner
    depends_on: [both]
    config: {{sources: [{{"doubled": "{{{{ steps.right.output }}}}"}}]}}
"#
    )
}

/// What the journal says of a run, checked for the rules that hold of every run.
async fn check_journal(key: &ApiKey, run: &str, kills: usize) {
    let events = key.follow(run).await;
    let journaled: Vec<&tests::Event> = events.iter().filter(|event| event.id.is_some()).collect();
    let count = |name: &str| journaled.iter().filter(|event| event.name == name).count();
    assert_eq!(count("run_settled"), 1, "{run} settled once: {events:#?}");
    let mut settled: BTreeMap<String, usize> = BTreeMap::new();
    let mut started: BTreeMap<String, usize> = BTreeMap::new();
    for event in &journaled {
        let step = event.data["step"].as_str().unwrap_or_default().to_owned();
        match event.name.as_str() {
            "step_settled" => *settled.entry(step).or_default() += 1,
            "attempt_started" => {
                assert!(!settled.contains_key(&step), "{run}: {step} ran again after it was settled: {events:#?}");
                *started.entry(step).or_default() += 1;
            }
            _ => {}
        }
    }
    assert_eq!(settled.len(), 4, "{run}: every step settled: {settled:?}");
    assert!(settled.values().all(|times| *times == 1), "{run}: each step settled once: {settled:?}");
    assert!(started.values().all(|times| *times <= kills + 1), "{run}: no more attempts than crashes: {started:?}");
    let positions: Vec<u64> = journaled.iter().filter_map(|event| event.id.as_ref()?.parse().ok()).collect();
    let expected: Vec<u64> = (1..=positions.len() as u64).collect();
    assert_eq!(positions, expected, "{run}: positions count from 1 without gaps");
}

on_both_stores! {
    async fn every_acknowledged_run_finishes_after_kills_and_no_recorded_step_runs_twice(world: World) {
        const RUNS: usize = 40;
        const KILLS: usize = 2;
        let mut world = world;
        let receiver = Receiver::holding().await;
        let mut key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("delivery", &delivery(&receiver)).await.expect_success();
        let mut runs = Vec::new();
        for number in 0..RUNS {
            runs.push(key.start("delivery", &json!({"number": number})).await);
        }
        // A run that three workers died with is kept for a person, so two kills it is. Each round lets some calls go through and kills the server while others are in the air.
        let mut expected = 0;
        for round in 0..KILLS {
            receiver.reached(expected + 5).await;
            receiver.answer(7 + 5 * round);
            receiver.reached(expected + 9 + round).await;
            world.kill().await;
            expected = receiver.calls().len();
            world.serve().await;
            key = key.at(&world.url());
        }
        receiver.answer(10 * RUNS);
        for (number, run) in runs.iter().enumerate() {
            let finished = key.finished(run).await;
            assert_eq!(finished["status"], "succeeded", "{finished:#}");
            assert_eq!(finished["outputs"], json!({"doubled": number * 2}), "{finished:#}");
            check_journal(&key, run, KILLS).await;
        }
        let by_key = receiver.by_key();
        assert!(!by_key.contains_key(""), "every call carries a key");
        assert_eq!(by_key.len(), 2 * RUNS, "one key a step and run, the same for all its attempts");
    }

    async fn an_answered_run_is_there_after_a_kill_with_the_same_answer(world: World) {
        let mut world = world;
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("echo", ECHO).await.expect_success();
        let answer = key.run("echo", &json!({"text": "kept"})).await.expect_success().json();
        world.kill().await;
        world.serve().await;
        let key = key.at(&world.url());
        let run = answer["run_id"].as_str().expect("an answer names its run");
        let found = key.get(&format!("/api/v1/runs/{run}")).await.expect_success().json();
        assert_eq!(found["status"], "succeeded");
        assert_eq!(found["outputs"], answer["outputs"]);
    }

    async fn a_repeated_call_with_one_idempotency_key_is_one_run_across_a_kill(world: World) {
        let mut world = world;
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("echo", ECHO).await.expect_success();
        let first = keyed(&key, "order-17", &json!({"text": "once"})).await.expect_success();
        world.kill().await;
        world.serve().await;
        let key = key.at(&world.url());
        let again = keyed(&key, "order-17", &json!({"text": "once"})).await.expect_success();
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again}");
        assert_eq!(again.json(), first.json());
        let other = keyed(&key, "order-17", &json!({"text": "twice"})).await.expect_status(422);
        assert_eq!(other.problem().code, "idempotency_mismatch");
        let runs = key.get("/api/v1/runs").await.expect_success().json();
        assert_eq!(runs["data"].as_array().map(Vec::len), Some(1), "{runs:#}");
    }

    async fn a_stopped_server_lets_runs_end_and_gives_the_others_back(world: World) {
        let mut world = world;
        let (soon, later) = (Receiver::holding().await, Receiver::holding().await);
        let key = world.tenant("acme").await.key(&[]).await;
        // A run under a limit comes out of the queue; the others execute where they were called.
        for (flow, receiver, more) in [("soon", &soon, ""), ("later", &later, ""), ("queued", &soon, "concurrency: {limit: 5}\n"), ("parked", &later, "concurrency: {limit: 5}\n")] {
            key.put_flow(flow, &format!("{more}{}", delivery(receiver))).await.expect_success();
        }
        let mut runs = BTreeMap::new();
        for flow in ["soon", "later", "queued", "parked"] {
            runs.insert(flow, key.start(flow, &json!({"number": 4})).await);
        }
        soon.reached(2).await;
        later.reached(2).await;
        let (while_it_drains, ready) = (key.clone(), world.stranger());
        let answered = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Whoever still comes is served: a call is kept, and a probe is told.
            assert_eq!(ready.get("/health/ready").await.status(), 503);
            let late = while_it_drains.run("soon", &json!({"number": 4})).await.expect_status(202).run_id();
            soon.answer(100);
            late
        };
        let (status, late) = tokio::join!(world.stop(), answered);
        runs.insert("late", late);
        assert!(status.success(), "SIGTERM ends in order: {status}");
        assert_eq!(soon.calls().len(), 4, "those that could end have ended");
        world.serve().await;
        let key = key.at(&world.url());
        for flow in ["soon", "queued"] {
            let run = key.get(&format!("/api/v1/runs/{}", runs[flow])).await.expect_success().json();
            assert_eq!(run["status"], "succeeded", "{flow}: {run:#}");
            check_journal(&key, &runs[flow], 0).await;
        }
        // What was given back is not waited for until a lease of 15 seconds runs out.
        let taken_up = tokio::time::timeout(Duration::from_secs(8), later.reached(4)).await;
        assert!(taken_up.is_ok(), "{:?}", later.calls());
        later.answer(100);
        for flow in ["later", "parked", "late"] {
            assert_eq!(key.finished(&runs[flow]).await["status"], "succeeded", "{flow}");
            check_journal(&key, &runs[flow], usize::from(flow != "late")).await;
        }
    }
}

const ECHO: &str = r#"
inputs:
  text: {type: string, required: true}
steps:
  - name: echo
    executor: data_transformer
    config: {data: "{{ inputs.text }}"}
"#;

async fn keyed(key: &ApiKey, idempotency: &str, inputs: &Value) -> tests::Answer {
    let request = key.request(reqwest::Method::POST, "/api/v1/flows/echo/run");
    key.send(request.header("idempotency-key", idempotency).json(inputs)).await
}
