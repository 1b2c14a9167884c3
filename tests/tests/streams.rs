//! Suite: what a watcher of a run sees: every event once and in order, text within its attempt, and nothing of others.
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tests::{ApiKey, Event, ModelServer, Watch, World, on_both_stores};

const KEY: &str = "sk-of-the-streams";

/// Three who are asked at the same time, then what they said together.
const PANEL: &str = r#"
inputs: {text: string}
steps:
  - {name: calm, executor: llm_analyzer, parallel_group: panel, retry: &retry {max_attempts: 3, initial_delay: 5ms}}
  - {name: fast, executor: llm_analyzer, parallel_group: panel, retry: *retry}
  - {name: late, executor: llm_analyzer, parallel_group: panel, retry: *retry}
  - {name: all, executor: data_combiner, depends_on: [panel]}
"#;
const ASK: &str = "inputs: {text: string}\nsteps:\n  - {name: ask, executor: llm_analyzer}\n";
const SIGNAL: &str = "steps:\n  - {name: sleep, executor: wait, config: {signal: morning}}\n";
/// Long enough to be watched while it is told: some fifty pieces.
const STORY: &str = "The harbour office measured the water at four stations, wrote down what it found, compared it with the year \
    before, asked the lock keeper why the gates open only twice a day, and sent a letter about it to the council, which \
    answered that it would think about the matter in spring. Nobody was surprised, and the gates stayed as they were.";

async fn connected(world: &World, tenant: &str, server: &ModelServer, flow: &str, yaml: &str) -> ApiKey {
    let key = world.tenant(tenant).await.key(&[]).await;
    let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": KEY});
    key.put("/api/v1/connections/house", &connection).await.expect_success();
    key.patch("/api/v1/tenant", &json!({"default_model": "house/m"})).await.expect_success();
    key.put_flow(flow, yaml).await.expect_success();
    key
}

fn telling(text: &str, content: &str, latency: u64) -> Value {
    json!({"match": {"userMessage": text}, "latency": latency, "response": {"content": content}})
}

/// Starts a run by a call that streams.
async fn streamed(key: &ApiKey, flow: &str, inputs: &Value) -> Vec<Event> {
    let request = key.request(reqwest::Method::POST, &format!("/api/v1/flows/{flow}/run"));
    tests::events(request.header("accept", "text/event-stream").json(inputs)).await
}

fn from(key: &ApiKey, run: &str, last: &str) -> reqwest::RequestBuilder {
    let request = key.request(reqwest::Method::GET, &format!("/api/v1/runs/{run}/events"));
    request.header("accept", "text/event-stream").header("last-event-id", last)
}

/// Step and attempt of an event that is about one.
fn attempt(event: &Event) -> Option<(String, u64)> {
    let data = if event.id.is_some() { &event.data["data"] } else { &event.data };
    Some((event.data["step"].as_str()?.to_owned(), data["attempt"].as_u64()?))
}

/// What each attempt said, in the order of the pieces; sees that each piece lies between its attempt's start and end.
#[track_caller]
fn told(events: &[Event]) -> BTreeMap<(String, u64), String> {
    let mut running = Vec::new();
    let mut texts = BTreeMap::new();
    for event in events {
        match event.name.as_str() {
            "attempt_started" => running.push(attempt(event).unwrap_or_else(|| panic!("no attempt: {event:#?}"))),
            "attempt_failed" | "step_settled" => running.retain(|(step, _)| event.data["step"] != step.as_str()),
            "delta" => {
                let at = attempt(event).unwrap_or_else(|| panic!("no attempt: {event:#?}"));
                assert!(running.contains(&at), "{at:?} says something outside of its time: {events:#?}");
                texts.entry(at).or_insert_with(String::new).push_str(event.data["text"].as_str().unwrap_or_default());
            }
            _ => {}
        }
    }
    texts
}

fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|event| event.id.as_ref()?.parse().ok()).collect()
}

on_both_stores! {
    async fn text_comes_behind_the_start_of_the_attempt_that_says_it_and_before_its_end(world: World) {
        let oops = json!({"error": {"message": "Oops", "type": "server_error"}, "status": 500});
        let server = ModelServer::start(KEY, &json!([
            {"match": {"userMessage": "Fast", "sequenceIndex": 0}, "response": oops},
            {"match": {"userMessage": "Late", "sequenceIndex": 0}, "latency": 2, "truncateAfterChunks": 4, "response": {"content": STORY}},
            telling("Calm", "Nothing moved me.", 5),
            telling("Fast", "Quickly read.", 0),
            telling("Late", STORY, 1),
        ])).await;
        let key = connected(&world, "acme", &server, "panel", PANEL).await;
        for round in 0..10 {
            let events = streamed(&key, "panel", &json!({"text": "A letter."})).await;
            let last = events.last().expect("a stream has events");
            assert_eq!((last.name.as_str(), &last.data["data"]["status"]), ("run_settled", &json!("succeeded")), "{events:#?}");
            let all: Vec<u64> = (1..=positions(&events).len() as u64).collect();
            assert_eq!(positions(&events), all, "journal events come once each and in order");
            let texts = told(&events);
            // The server counts its calls: only the first round has a refusal and a cut answer.
            let (fast, late) = if round == 0 { (2, 2) } else { (1, 1) };
            for (step, number, text) in [("calm", 1, "Nothing moved me."), ("fast", fast, "Quickly read."), ("late", late, STORY)] {
                assert_eq!(texts.get(&(step.to_owned(), number)).map(String::as_str), Some(text), "{events:#?}");
            }
            assert_eq!(last.data["data"]["outputs"]["late"]["text"], STORY);
        }
    }

    async fn whoever_comes_in_the_middle_gets_the_text_so_far_and_no_piece_twice(world: World) {
        let server = ModelServer::start(KEY, &json!([telling("Ask", STORY, 60)])).await;
        let key = connected(&world, "acme", &server, "ask", ASK).await;
        let run = key.start("ask", &json!({"text": "A letter."})).await;
        let mut early = key.watch(&run).await;
        let started = early.until("the attempt's start", |event| event.name == "attempt_started").await;
        for round in 0..3 {
            let sentence = STORY.split(',').nth(round).expect("the story has parts").to_owned();
            while !early.told().contains(&sentence) {
                let before = early.seen.len();
                early.until_seen("a part of the story", |seen| seen.len() > before).await;
            }
            // One who never saw anything, and one who lost the connection behind the attempt's start.
            let mut late = key.watch(&run).await;
            let mut back = Watch::begin(from(&key, &run, started.id.as_deref().expect("a journal event has an id"))).await;
            let first = back.until("anything", |_| true).await;
            assert_eq!(first.name, "delta", "the running step's text so far comes first");
            let so_far = first.data["text"].as_str().unwrap_or_default();
            assert!(STORY.starts_with(so_far) && so_far.contains(&sentence), "{so_far}");
            late.until("a piece", |event| event.name == "delta").await;
            let so_far = told(&late.seen).into_values().next().unwrap_or_default();
            assert!(STORY.starts_with(&so_far) && so_far.contains(&sentence), "{:#?}", late.seen);
            if round == 2 {
                for watch in [&mut late, &mut back, &mut early] {
                    watch.until("the end", |event| event.name == "run_settled").await;
                    assert_eq!(watch.told(), STORY, "{:#?}", watch.seen);
                }
                assert_eq!(positions(&late.seen), positions(&early.seen));
            }
        }
    }

    async fn a_stream_goes_on_behind_any_event_and_ends_behind_the_last(world: World) {
        let server = ModelServer::start(KEY, &json!([telling("Calm", "a", 0), telling("Fast", "b", 0), telling("Late", "c", 0)])).await;
        let key = connected(&world, "acme", &server, "panel", PANEL).await;
        let run = key.run("panel", &json!({"text": "A letter."})).await.expect_status(200).run_id();
        let all = key.follow(&run).await;
        assert!(all.len() > 10 && all.iter().all(|event| event.id.is_some()), "text is not kept: {all:#?}");
        for last in 0..=all.len() {
            assert_eq!(tests::events(from(&key, &run, &last.to_string())).await, all[last..], "behind {last}");
        }
        assert_eq!(tests::events(from(&key, &run, "99999")).await, []);
        for senseless in ["x", "-1", "1.5", "18446744073709551616"] {
            let refused = key.send(from(&key, &run, senseless)).await.expect_status(400);
            assert!(refused.problem().detail.contains("Last-Event-ID"), "{refused}");
        }
    }

    async fn two_tenants_who_watch_at_the_same_time_hear_only_their_own(world: World) {
        let server = ModelServer::start(KEY, &json!([telling("from acme", "To acme alone. Nobody else.", 10), telling("from globex", "To globex alone. Nobody else.", 10)])).await;
        let acme = connected(&world, "acme", &server, "ask", ASK).await;
        let globex = connected(&world, "globex", &server, "ask", ASK).await;
        let (text, other) = (json!({"text": "A letter from acme."}), json!({"text": "A letter from globex."}));
        for _ in 0..3 {
            let (mine, yours) = tokio::join!(streamed(&acme, "ask", &text), streamed(&globex, "ask", &other));
            for (events, own, foreign) in [(&mine, "acme", "globex"), (&yours, "globex", "acme")] {
                assert_eq!(told(events).into_values().next(), Some(format!("To {own} alone. Nobody else.")));
                assert!(!format!("{events:?}").contains(foreign), "{events:#?}");
            }
        }
        let run = acme.start("ask", &text).await;
        let absent = "run_00000000000000000000000000";
        for last in ["0", "3"] {
            let foreign = globex.send(from(&globex, &run, last)).await.expect_status(404).problem();
            let nothing = globex.send(from(&globex, absent, last)).await.expect_status(404).problem();
            assert_eq!((foreign.code, foreign.detail.replace(&run, absent)), (nothing.code, nothing.detail));
        }
        acme.put_flow("own", ASK).await.expect_success();
        let request = globex.request(reqwest::Method::POST, "/api/v1/flows/own/run").header("accept", "text/event-stream");
        globex.send(request.json(&text)).await.expect_status(404).problem();
        assert_eq!(acme.finished(&run).await["status"], "succeeded");
    }

    async fn a_stream_that_cannot_begin_is_a_problem_and_one_of_a_failed_run_says_so_at_its_end(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("typed", "inputs: {n: integer}\nsteps:\n  - {name: no, executor: fail, config: {code: not_today, message: Not today.}}\n").await.expect_success();
        let begin = |inputs: Value| {
            let request = key.request(reqwest::Method::POST, "/api/v1/flows/typed/run").header("accept", "text/event-stream");
            key.send(request.json(&inputs))
        };
        assert_eq!(begin(json!({"n": "many"})).await.expect_status(422).problem().code, "invalid_input");
        assert_eq!(key.get("/api/v1/runs").await.json()["data"], json!([]));
        let events = streamed(&key, "typed", &json!({"n": 1})).await;
        let last = events.last().expect("a stream has events");
        assert_eq!((last.name.as_str(), &last.data["data"]["status"]), ("run_settled", &json!("failed")));
        assert_eq!(last.data["data"]["error"]["code"], "not_today", "{last:#?}");
    }

    async fn a_stream_ends_soon_after_its_key_is_revoked(world: World) {
        let tenant = world.tenant("acme").await;
        let (key, watcher) = (tenant.key(&[]).await, tenant.key(&["runs:read"]).await);
        key.put_flow("sleep", SIGNAL).await.expect_success();
        let run = key.start("sleep", &json!({})).await;
        let mut watch = watcher.watch(&run).await;
        watch.until("the wait", |event| event.name == "step_waiting").await;
        let keys = key.get("/api/v1/keys").await.expect_status(200).json();
        let own = keys["data"].as_array().unwrap().iter().find(|row| row["scopes"] == json!(["runs:read"]));
        let id = own.unwrap_or_else(|| panic!("the watcher's key is listed: {keys:#}"))["id"].as_str().unwrap().to_owned();
        key.delete(&format!("/api/v1/keys/{id}")).await.expect_success();
        let ended = tokio::time::timeout(Duration::from_secs(10), watch.ended()).await;
        assert!(ended.is_ok(), "a revoked key still watches after ten seconds");
        watcher.get(&format!("/api/v1/runs/{run}")).await.expect_status(401);
    }
}
