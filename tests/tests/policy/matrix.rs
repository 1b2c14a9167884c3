//! The routes of the running program and the things of one tenant to aim them at.
#![expect(clippy::expect_used, reason = "a suite fails loudly")]
use super::rows;
use crate::CANARY;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::{Answer, ApiKey};

/// One operation of the OpenAPI document, which the program makes from its router.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
}

pub(crate) async fn routes(key: &ApiKey) -> Vec<Route> {
    let document = key.get("/api/v1/openapi.json").await.expect_status(200).json();
    let paths = document["paths"].as_object().expect("an OpenAPI document has paths").clone();
    let mut routes = Vec::new();
    for (path, item) in paths {
        for method in item.as_object().into_iter().flatten().map(|(method, _)| method) {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                routes.push(Route { method: method.clone(), path: path.clone() });
            }
        }
    }
    assert!(routes.len() > 15, "the document has the program's routes: {routes:?}");
    routes
}

impl Route {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }

    pub(crate) fn has_target(&self) -> bool {
        self.path.contains('{')
    }

    /// A refusal may repeat the name that the caller itself wrote into the path.
    pub(crate) fn path_names_target(&self, answer: &Answer) -> bool {
        self.has_target() && !answer.text().contains("zebrafinch_secret") && !answer.text().contains("zebrafinch text")
    }
}

/// One thing of each kind, by the path parameters' names.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    by_name: BTreeMap<&'static str, String>,
    pub(crate) file: String,
}

impl Targets {
    /// Makes one of each kind, all of them with the canary in them.
    pub(crate) async fn fill(key: &ApiKey) -> Self {
        let flow = format!("{CANARY}_flow");
        let yaml = format!(
            "description: {CANARY}\nsteps:\n  - name: a\n    executor: data_transformer\n    config: {{data: \"{CANARY} text\"}}\n"
        );
        key.put_flow(&flow, &yaml).await.expect_success();
        let experiment =
            json!({"variants": [{"name": CANARY, "version": 1}, {"name": "other", "version": 1}], "state": "paused"});
        key.put(&format!("/api/v1/flows/{flow}/experiments/{CANARY}"), &experiment).await.expect_success();
        key.put(&format!("/api/v1/flows/{flow}/channels/{CANARY}"), &json!({"version": 1})).await.expect_success();
        let asking = format!("steps:\n  - name: ask\n    executor: approval\n    config: {{message: \"{CANARY}\"}}\n");
        key.put_flow("asking", &asking).await.expect_success();
        // It suspends at its question, so this answers 202 by itself.
        key.run("asking", &json!({})).await.expect_status(202);
        let asked = key.get("/api/v1/approvals?status=open").await.expect_success().json();
        let run = key.run(&flow, &json!({})).await.expect_success().json()["run_id"].clone();
        let made = key.post("/api/v1/keys", &json!({"name": CANARY})).await.expect_success().json();
        key.put("/api/v1/secrets/ZEBRAFINCH", &json!({"value": "zebrafinch_secret"})).await.expect_success();
        let connection = json!({"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "zebrafinch_secret"});
        key.put(&format!("/api/v1/connections/{CANARY}"), &connection).await.expect_success();
        let form = reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::text(format!("{CANARY} text")).file_name(format!("{CANARY}.txt")));
        let file = key.send(key.request(Method::POST, "/api/v1/files").multipart(form)).await.expect_success().json();
        let members = key.get("/api/v1/members").await.expect_success().json();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
        let file = text(&file["file_id"]);
        let by_name = BTreeMap::from([
            ("flow", flow),
            ("run", text(&run)),
            ("key", text(&made["id"])),
            ("secret", "ZEBRAFINCH".to_owned()),
            ("connection", CANARY.to_owned()),
            ("file", file.clone()),
            ("version", "1".to_owned()),
            ("step", "a".to_owned()),
            ("approval", text(&asked["data"][0]["id"])),
            ("channel", CANARY.to_owned()),
            ("experiment", CANARY.to_owned()),
            ("member", text(&members["data"][0]["id"])),
        ]);
        Self { by_name, file }
    }

    /// Well-formed names of things that nobody has.
    pub(crate) fn absent(&self) -> Self {
        let id = |prefix: &str| format!("{prefix}_01jd0000000000000000000000");
        let by_name = BTreeMap::from([
            ("flow", "nobodys_flow".to_owned()),
            ("run", id("run")),
            ("key", id("key")),
            ("secret", "NOBODYS".to_owned()),
            ("connection", "nobodys".to_owned()),
            ("file", id("file")),
            ("version", "77".to_owned()),
            ("step", "nobodys".to_owned()),
            ("approval", id("approval")),
            ("channel", "nobodys".to_owned()),
            ("experiment", "nobodys".to_owned()),
            ("member", id("member")),
        ]);
        Self { by_name, file: id("file") }
    }

    /// The request of a route, aimed at these targets, with a body that would do.
    pub(crate) fn request(&self, key: &ApiKey, route: &Route) -> RequestBuilder {
        let mut path = route.path.clone();
        while let (Some(open), Some(close)) = (path.find('{'), path.find('}')) {
            let kind = &path[open + 1..close];
            let value = self.by_name.get(kind).unwrap_or_else(|| panic!("no target for {kind} in {}", route.path));
            path.replace_range(open..=close, value);
        }
        let method = Method::from_bytes(route.method.to_uppercase().as_bytes()).expect("a method of the document");
        let request = key.request(method, &path);
        match rows::row(&route.name()).map(|row| row.body) {
            Some(rows::Body::Json(body)) => {
                request.json(&serde_json::from_str::<Value>(body).expect("a row's body is JSON"))
            }
            Some(rows::Body::Yaml(body)) => request.header("content-type", "application/yaml").body(body),
            Some(rows::Body::File) => request.multipart(
                reqwest::multipart::Form::new()
                    .part("file", reqwest::multipart::Part::text("plain").file_name("plain.txt")),
            ),
            Some(rows::Body::Nothing) | None => request,
        }
    }

    /// Where each thing can be read by whom it belongs to.
    pub(crate) fn paths(&self) -> Vec<String> {
        vec![
            format!("/api/v1/flows/{}", self.by_name["flow"]),
            format!("/api/v1/runs/{}", self.by_name["run"]),
            format!("/api/v1/runs/{}/steps", self.by_name["run"]),
        ]
    }

    /// Revokes a key by the id that its own tenant's list shows for it.
    pub(crate) async fn revoke(&self, key: &ApiKey, victim: &ApiKey) {
        let keys = key.get("/api/v1/keys").await.expect_success().json();
        let secret = victim.secret().expect("a made key has a secret");
        let found = keys["data"].as_array().into_iter().flatten().find(|row| {
            let (prefix, last) = (row["prefix"].as_str().unwrap_or("?"), row["last_four"].as_str().unwrap_or("?"));
            secret.starts_with(prefix) && secret.ends_with(last)
        });
        let id = found.and_then(|row| row["id"].as_str()).unwrap_or_else(|| panic!("the key is in {keys:#}"));
        key.delete(&format!("/api/v1/keys/{id}")).await.expect_success();
    }
}
