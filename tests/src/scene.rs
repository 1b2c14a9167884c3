//! A scene of an attack: who attacks, and somebody who looks whether the program still lives.
use crate::{Answer, ApiKey, World, limits::within};
use domain::problem::Problem;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug)]
pub struct Scene {
    pub key: ApiKey,
    stranger: ApiKey,
    quick: Duration,
}

impl Scene {
    /// `quick`: how soon the program must answer somebody else.
    pub async fn of(world: &World, quick: Duration) -> Self {
        Self { key: world.tenant("acme").await.key(&[]).await, stranger: world.stranger(), quick }
    }

    /// Waits for it within the limit, and sees that the program answers others right behind it.
    pub async fn see(&self, limit: Duration, what: &str, answer: impl Future<Output = Answer>) -> Answer {
        let answer = within(limit, what, answer).await;
        self.lives(what).await;
        answer
    }

    pub async fn send(&self, limit: Duration, what: &str, request: RequestBuilder) -> Answer {
        self.see(limit, what, self.key.send(request)).await
    }

    /// # Panics
    /// Where the program does not answer in time.
    pub async fn lives(&self, after: &str) {
        let answer = within(self.quick, "/health/live", self.stranger.get("/health/live")).await;
        assert_eq!(answer.status(), 200, "after {after}: {answer}");
    }

    pub fn body(&self, method: Method, path: &str, media_type: &str, body: &[u8]) -> RequestBuilder {
        self.key.request(method, path).header("content-type", media_type).body(body.to_vec())
    }

    pub async fn run(&self, limit: Duration, what: &str, flow: &str, inputs: &Value) -> Answer {
        self.see(limit, what, self.key.run(flow, inputs)).await
    }
}

/// A refusal: the caller's fault or the other side's, in a problem document, and nothing of the inside in it.
///
/// # Panics
/// Where it is none.
#[track_caller]
pub fn refused(what: &str, answer: &Answer) -> Problem {
    assert!((400..500).contains(&answer.status()) || answer.status() == 502, "{what}: {answer}");
    told(what, answer)
}

/// A problem whose text is for people, with nothing of the inside in it.
///
/// # Panics
/// Where it is none.
#[track_caller]
pub fn told(what: &str, answer: &Answer) -> Problem {
    let problem = answer.problem();
    assert!(!problem.detail.is_empty() && problem.code != "internal" && !problem.retryable, "{what}: {answer}");
    assert!(!answer.text().contains("panicked") && !answer.text().contains("root:"), "{what}: {answer}");
    problem
}
