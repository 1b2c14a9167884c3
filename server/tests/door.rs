//! The assembled server on a port of its own: keys, flows, runs, and two tenants that see nothing of each other.
#![expect(clippy::unwrap_used, reason = "a suite fails loudly")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use server::{Config, Ready};

struct World {
    url: String,
    weir: service::Weir,
    client: reqwest::Client,
    _data: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        server::install_cryptography();
        let data = tempfile::tempdir().unwrap();
        let flags = BTreeMap::from([
            ("addr", "127.0.0.1:0".to_owned()),
            ("data", data.path().join("data").display().to_string()),
        ]);
        let config = Config::load(&flags, |_| None, None).unwrap();
        let weir = server::open(&config).await.unwrap();
        let (ready, listening) = tokio::sync::oneshot::channel::<Ready>();
        let serving = weir.clone();
        tokio::spawn(async move {
            server::serve(&config, serving, |up| {
                ready.send(up).unwrap();
            })
            .await
            .unwrap();
        });
        let url = listening.await.unwrap().url;
        Self { url, weir, client: reqwest::Client::new(), _data: data }
    }

    async fn key(&self, tenant: &str, scopes: &[&str]) -> String {
        if service::tenants::find(&self.weir, tenant).await.is_err() {
            service::tenants::create(&self.weir, tenant, "owner@example.com").await.unwrap();
        }
        let row = service::tenants::find(&self.weir, tenant).await.unwrap();
        let actor = service::Actor::system(domain::TenantId::from_uuid(row.id), "test");
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let input = domain::wire::KeyInput { name: "k".to_owned(), scopes, ..Default::default() };
        service::keys::create(&self.weir, &actor, input).await.unwrap().key
    }

    async fn send(&self, method: &str, path: &str, key: &str, body: Option<(&str, String)>) -> (u16, Value) {
        let mut request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        if let Some((media_type, body)) = body {
            request = request.header("content-type", media_type).body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        if status >= 400 {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
        }
        assert!(response.headers().contains_key("x-request-id"));
        (status, response.json().await.unwrap_or_default())
    }
}

const ECHO: &str = "
inputs:
  number: {type: integer, required: true}
outputs:
  echo: \"{{ steps.echo.output }}\"
steps:
  - name: echo
    executor: data_transformer
    config: {data: \"{{ inputs.number }}\"}
";

fn yaml(text: &str) -> Option<(&'static str, String)> {
    Some(("application/yaml", text.to_owned()))
}

fn body(value: &Value) -> Option<(&'static str, String)> {
    Some(("application/json", value.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_published_and_answers_only_its_own_tenant() {
    let world = World::start().await;
    let (acme, globex) = (world.key("acme", &[]).await, world.key("globex", &[]).await);
    let (status, saved) = world.send("PUT", "/api/v1/flows/echo", &acme, yaml(ECHO)).await;
    assert_eq!((status, &saved["version"]), (201, &json!(1)), "{saved}");
    let (status, again) = world.send("PUT", "/api/v1/flows/echo", &acme, yaml(ECHO)).await;
    assert_eq!((status, &again["version"]), (200, &json!(1)), "the same content is the same version");

    let run = |key: &str| {
        let (key, inputs) = (key.to_owned(), body(&json!({"number": 21})));
        let world = &world;
        async move { world.send("POST", "/api/v1/flows/echo/run", &key, inputs).await }
    };
    let (status, answer) = run(&acme).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["outputs"], json!({"echo": 21}));
    let path = format!("/api/v1/runs/{}", answer["run_id"].as_str().unwrap());
    assert_eq!(world.send("GET", &path, &acme, None).await.0, 200);
    let (status, steps) = world.send("GET", &format!("{path}/steps"), &acme, None).await;
    assert_eq!((status, &steps["data"][0]["status"]), (200, &json!("succeeded")));

    for path in ["/api/v1/flows/echo", &path, &format!("{path}/steps"), &format!("{path}/events")] {
        assert_eq!(world.send("GET", path, &globex, None).await.0, 404, "{path}");
    }
    assert_eq!(run(&globex).await.0, 404);
    assert_eq!(world.send("GET", "/api/v1/runs", &globex, None).await.1["data"], json!([]));
    let (_, document) = world.send("GET", "/api/v1/openapi.json", &globex, None).await;
    assert!(document["paths"]["/api/v1/flows/echo/run"].is_null());
    let (_, document) = world.send("GET", "/api/v1/openapi.json", &acme, None).await;
    assert!(document["paths"]["/api/v1/flows/echo/run"]["post"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_with_its_own_code() {
    let world = World::start().await;
    let key = world.key("acme", &[]).await;
    let reader = world.key("acme", &["flows:read"]).await;
    let code = |answer: (u16, Value)| (answer.0, answer.1["code"].as_str().unwrap_or_default().to_owned());
    let expect = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(code(world.send("GET", "/api/v1/flows", "", None).await), expect(401, "unauthenticated"));
    assert_eq!(code(world.send("GET", "/api/v1/flows", "weir_live_x", None).await), expect(401, "unauthenticated"));
    assert_eq!(code(world.send("GET", "/api/v1/nothing", &key, None).await), expect(404, "not_found"));
    assert_eq!(code(world.send("PATCH", "/api/v1/flows", &key, None).await), expect(405, "method_not_allowed"));
    assert_eq!(code(world.send("GET", "/api/v1/runs?statsu=x", &key, None).await), expect(400, "unknown_parameter"));
    let flow = "/api/v1/flows/echo";
    assert_eq!(code(world.send("PUT", flow, &reader, yaml(ECHO)).await), expect(403, "forbidden"));
    assert_eq!(
        code(world.send("PUT", flow, &key, Some(("image/png", "x".to_owned()))).await),
        expect(415, "unsupported_media_type")
    );
    let broken = ECHO.replace("data_transformer", "data_transfomer");
    assert_eq!(code(world.send("PUT", flow, &key, yaml(&broken)).await), expect(422, "invalid_flow"));
    world.send("PUT", flow, &key, yaml(ECHO)).await;
    let run = |inputs: Value| world.send("POST", "/api/v1/flows/echo/run", &key, body(&inputs));
    assert_eq!(code(run(json!({})).await), expect(422, "invalid_input"));
    let (status, answer) =
        world.send("POST", "/api/v1/keys", &key, body(&json!({"name": "k", "tenant_id": "x"}))).await;
    assert_eq!((status, answer["errors"][0]["pointer"].as_str()), (400, Some("/tenant_id")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_starts_one_run() {
    let world = World::start().await;
    let key = world.key("acme", &[]).await;
    world.send("PUT", "/api/v1/flows/echo", &key, yaml(ECHO)).await;
    let call = |number: u32| {
        world
            .client
            .post(format!("{}/api/v1/flows/echo/run", world.url))
            .bearer_auth(&key)
            .header("idempotency-key", "one")
            .json(&json!({"number": number}))
            .send()
    };
    let first: Value = call(1).await.unwrap().json().await.unwrap();
    let second = call(1).await.unwrap();
    assert_eq!(second.headers()["idempotency-replayed"], "true");
    let second: Value = second.json().await.unwrap();
    assert_eq!(first["run_id"], second["run_id"]);
    assert_eq!(call(2).await.unwrap().status(), 422);
}
