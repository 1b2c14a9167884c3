//! Suite: callers that go away before they are answered, and what becomes of their runs.
#![cfg(test)]
use reqwest::{Method, RequestBuilder, multipart};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{ApiKey, Receiver, on_both_stores};

/// Reads a slow service; nothing of it is in the store before its end.
fn flow(url: &str, endpoint: &str) -> String {
    format!(
        "inputs: {{text: string}}\nendpoint: {endpoint}\nsteps:\n  - {{name: read, executor: api_request, config: {{url: \"{url}/slow\"}}}}\n"
    )
}

fn call(key: &ApiKey, flow: &str) -> RequestBuilder {
    key.request(Method::POST, &format!("/api/v1/flows/{flow}/run"))
}

/// Calls, and closes the connection once the run is under way. A stream is read until then.
async fn call_and_leave(request: RequestBuilder, receiver: &Receiver, calls: usize) {
    let calling = tokio::spawn(async move {
        if let Ok(mut response) = request.send().await {
            while let Ok(Some(_)) = response.chunk().await {}
        }
    });
    receiver.reached(calls).await;
    calling.abort();
    let _ = calling.await;
}

/// The runs of a flow once so many of them are over.
async fn ended(key: &ApiKey, flow: &str, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let list = key.get(&format!("/api/v1/runs?flow={flow}")).await.expect_success().json();
        let runs = list["data"].as_array().cloned().unwrap_or_default();
        let over = runs.iter().filter(|run| !matches!(run["status"].as_str(), Some("queued" | "running"))).count();
        if over >= count {
            return runs;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{count} runs of `{flow}` were to end");
}

on_both_stores! {
    async fn a_run_is_cancelled_when_its_caller_goes_away_if_the_flow_says_so(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::holding().await;
        key.put_flow("bound", &flow(receiver.url(), "{on_disconnect: cancel}")).await.expect_success();
        let inputs = json!({"text": "x"});
        call_and_leave(call(&key, "bound").json(&inputs), &receiver, 1).await;
        let form = multipart::Form::new().text("text", "x");
        call_and_leave(call(&key, "bound").multipart(form), &receiver, 2).await;
        let streamed = call(&key, "bound").header("accept", "text/event-stream").json(&inputs);
        call_and_leave(streamed, &receiver, 3).await;
        call_and_leave(call(&key, "bound").header("idempotency-key", "once").json(&inputs), &receiver, 4).await;
        let runs = ended(&key, "bound", 4).await;
        for run in &runs {
            assert_eq!(run["status"], "cancelled", "{run}");
            let run = key.get(&format!("/api/v1/runs/{}", run["id"].as_str().unwrap_or_default())).await.expect_success();
            assert!(run.text().contains("the caller went away"), "{run}");
        }
    }

    async fn a_run_goes_on_without_its_caller_unless_the_flow_says_otherwise(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::holding().await;
        key.put_flow("free", &flow(receiver.url(), "{max_wait: 30s}")).await.expect_success();
        let inputs = json!({"text": "x"});
        call_and_leave(call(&key, "free").json(&inputs), &receiver, 1).await;
        let streamed = call(&key, "free").header("accept", "text/event-stream").json(&inputs);
        call_and_leave(streamed, &receiver, 2).await;
        receiver.answer(2);
        let runs = ended(&key, "free", 2).await;
        assert!(runs.iter().all(|run| run["status"] == "succeeded"), "{runs:?}");
        // Who stays is answered, also where leaving would cancel.
        key.put_flow("bound", &flow(receiver.url(), "{on_disconnect: cancel}")).await.expect_success();
        receiver.answer(2);
        key.run("bound", &inputs).await.expect_success();
        let events = tests::events(call(&key, "bound").header("accept", "text/event-stream").json(&inputs)).await;
        assert!(events.iter().any(|event| event.name == "run_settled"), "{events:?}");
        assert!(ended(&key, "bound", 2).await.iter().all(|run| run["status"] == "succeeded"));
    }
}
