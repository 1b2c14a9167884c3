//! One HTTP answer, read whole, with the assertions that every suite needs.
use domain::problem::Problem;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::fmt;

#[derive(Debug, Clone)]
pub struct Answer {
    asked: String,
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(asked: String, response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = match response.bytes().await {
            Ok(body) => body.to_vec(),
            Err(error) => panic!("the answer to {asked} broke off: {error}"),
        };
        Self { asked, status, headers, body }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// The problem document. Also asserts what holds of every one: its media type, and that its status is the answer's.
    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem: Problem =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no problem document ({error}): {self}"));
        assert_eq!(problem.status, self.status, "{self}");
        problem
    }

    /// The run that the answer is about: of a result, an acknowledgement, or the problem of a failed run.
    #[track_caller]
    pub fn run_id(&self) -> String {
        let body = self.json();
        body["run_id"].as_str().unwrap_or_else(|| panic!("no run in {self}")).to_owned()
    }

    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!((200..300).contains(&self.status), "{self}");
        self
    }

    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let shown: String = text.chars().take(2000).collect();
        write!(formatter, "{} -> {}\n{shown}", self.asked, self.status)
    }
}
