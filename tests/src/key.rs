//! The actor that scripts are: an API key and the REST verbs.
use crate::{
    answer::Answer,
    limits,
    stream::{self, Event, Watch},
};
use reqwest::{Method, RequestBuilder, multipart};
use serde_json::Value;
use std::{collections::BTreeMap, io::Write as _};
use zip::write::SimpleFileOptions;

/// A client with one key (or none: a stranger). Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiKey {
    client: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl ApiKey {
    pub fn new(url: &str, key: &str) -> Self {
        Self { client: client(), url: url.trim_end_matches('/').to_owned(), key: Some(key.to_owned()) }
    }

    /// Somebody without credentials.
    pub fn stranger(url: &str) -> Self {
        Self { client: client(), url: url.trim_end_matches('/').to_owned(), key: None }
    }

    /// The same key at another address: after a restart, or another node on the same store.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    pub fn secret(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// A request with the credentials set, for what the verbs below do not cover. `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().expect("the harness builds valid requests");
        let asked = format!("{} {}", request.method(), request.url());
        match self.client.execute(request).await {
            Ok(response) => Answer::read(asked, response).await,
            Err(error) => panic!("no answer to {asked}: {error:?}"),
        }
    }

    /// As `send`, but no connection is an answer too: for tests that kill the server.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let request = request.build()?;
        let asked = format!("{} {}", request.method(), request.url());
        let response = self.client.execute(request).await?;
        Ok(Answer::read(asked, response).await)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// Publishes a flow from its YAML.
    pub async fn put_flow(&self, flow: &str, yaml: &str) -> Answer {
        let request = self.request(Method::PUT, &format!("/api/v1/flows/{flow}"));
        self.send(request.header("content-type", "application/yaml").body(yaml.to_owned())).await
    }

    /// Publishes a flow from its folder: the content of each file by its path.
    pub async fn put_folder(&self, flow: &str, files: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::PUT, &format!("/api/v1/flows/{flow}"));
        self.send(request.header("content-type", "application/zip").body(zipped(files))).await
    }

    /// Runs a flow and waits for its outputs.
    pub async fn run(&self, flow: &str, inputs: &Value) -> Answer {
        self.post(&format!("/api/v1/flows/{flow}/run"), inputs).await
    }

    /// Runs a flow with headers of the caller's.
    pub async fn run_with(&self, flow: &str, inputs: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::POST, &format!("/api/v1/flows/{flow}/run")).json(inputs);
        let with = |request: RequestBuilder, (name, value): &(&str, &str)| request.header(*name, *value);
        self.send(headers.iter().fold(request, with)).await
    }

    /// Runs a flow with one file, the other inputs as fields of their own.
    pub async fn run_with_file(
        &self,
        flow: &str,
        input: &str,
        file: (&str, &str, Vec<u8>),
        fields: &[(&str, &str)],
    ) -> Answer {
        let (name, media_type, content) = file;
        let part = multipart::Part::bytes(content).file_name(name.to_owned());
        let part = part.mime_str(media_type).expect("the suite gives a valid media type");
        let mut form = multipart::Form::new().part(input.to_owned(), part);
        for (name, value) in fields {
            form = form.text((*name).to_owned(), (*value).to_owned());
        }
        self.send(self.request(Method::POST, &format!("/api/v1/flows/{flow}/run")).multipart(form)).await
    }

    /// Starts a run and returns its id as soon as it was acknowledged.
    pub async fn start(&self, flow: &str, inputs: &Value) -> String {
        let request = self.request(Method::POST, &format!("/api/v1/flows/{flow}/run"));
        let answer = self.send(request.header("prefer", "respond-async").json(inputs)).await.expect_status(202);
        answer.json()["run_id"].as_str().expect("a 202 names its run").to_owned()
    }

    /// Follows a run's events until the server closes the stream, which it does after the terminal one.
    pub async fn follow(&self, run: &str) -> Vec<Event> {
        let request = self.request(Method::GET, &format!("/api/v1/runs/{run}/events"));
        stream::events(request.header("accept", "text/event-stream")).await
    }

    /// Watches a run's events while it goes on.
    pub async fn watch(&self, run: &str) -> Watch {
        let request = self.request(Method::GET, &format!("/api/v1/runs/{run}/events"));
        Watch::begin(request.header("accept", "text/event-stream")).await
    }

    /// The run once it has ended.
    pub async fn finished(&self, run: &str) -> Value {
        self.follow(run).await;
        self.get(&format!("/api/v1/runs/{run}")).await.expect_success().json()
    }

    /// The run's step records, in order.
    pub async fn steps(&self, run: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/runs/{run}/steps")).await.expect_success();
        answer.json()["data"].as_array().expect("a list has `data`").clone()
    }

    /// The run's step records by name.
    pub async fn records(&self, run: &str) -> BTreeMap<String, Value> {
        let named = |step: Value| (step["name"].as_str().expect("a record has a name").to_owned(), step);
        self.steps(run).await.into_iter().map(named).collect()
    }
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        writer.start_file(*path, SimpleFileOptions::default()).expect("the suite gives a valid path");
        writer.write_all(content.as_bytes()).expect("memory takes bytes");
    }
    writer.finish().expect("memory takes bytes").into_inner()
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(limits::REQUEST)
        .build()
        .expect("a plain client can be built")
}
