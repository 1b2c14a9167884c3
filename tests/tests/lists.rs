//! Suite: lists. Every one is read a page at a time: its limit holds, its cursor walks over everything once, and what is no
//! cursor, or another tenant's, gives nothing away. A new list gets its row here, or the suite fails.
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tests::{ApiKey, Tenant, on_both_stores};

/// Lists that do not grow: the program's own.
const WHOLE: &[&str] = &["/api/v1/executors"];

const EXPERIMENT: &str =
    r#"{"variants": [{"name": "control", "version": 1}, {"name": "other", "version": 1}], "state": "paused"}"#;

/// Every list there is, as the API's own description has it, with at least three rows in each, and its address.
struct Lists(Vec<(&'static str, String)>);

/// Fills a tenant.
async fn fill(tenant: &Tenant, key: &ApiKey) -> Lists {
    let flow = |words: &str| {
        format!(
            "description: {words}\nsteps:\n  - {{name: a, executor: log, config: {{message: x}}}}\n  - {{name: b, executor: log, config: {{message: x}}}}\n  - {{name: c, executor: log, config: {{message: x}}}}\n"
        )
    };
    for name in ["one", "two", "three"] {
        for words in ["first", "second", "third"] {
            key.put_flow(name, &flow(words)).await.expect_success();
        }
        key.put(&format!("/api/v1/flows/one/channels/{name}"), &json!({"version": 1})).await.expect_success();
        let experiment: Value = serde_json::from_str(EXPERIMENT).unwrap_or_default();
        key.put(&format!("/api/v1/flows/one/experiments/{name}"), &experiment).await.expect_success();
        key.put(&format!("/api/v1/secrets/{name}"), &json!({"value": "x"})).await.expect_success();
        let connection = json!({"kind": "http", "base_url": "https://api.example.com"});
        key.put(&format!("/api/v1/connections/{name}"), &connection).await.expect_success();
        key.post("/api/v1/keys", &json!({"name": name})).await.expect_success();
        tenant.member(&format!("{name}@{}.test", tenant.name), "viewer").await;
    }
    key.put_flow("ask", "steps:\n  - {name: ask, executor: approval, config: {message: Now?}}\n")
        .await
        .expect_success();
    for _ in 0..3 {
        key.run("ask", &json!({})).await.expect_status(202);
    }
    let run =
        key.run("one", &json!({})).await.expect_status(200).json()["run_id"].as_str().unwrap_or_default().to_owned();
    for score in [0.1, 0.2, 0.3] {
        key.post(&format!("/api/v1/runs/{run}/feedback"), &json!({"score": score})).await.expect_success();
    }
    let whole = |path: &'static str| (path, path.replace("{flow}", "one").replace("{run}", &run));
    Lists(
        [
            "/api/v1/flows",
            "/api/v1/flows/{flow}/versions",
            "/api/v1/flows/{flow}/channels",
            "/api/v1/flows/{flow}/experiments",
            "/api/v1/runs",
            "/api/v1/runs/{run}/steps",
            "/api/v1/runs/{run}/feedback",
            "/api/v1/approvals",
            "/api/v1/keys",
            "/api/v1/members",
            "/api/v1/secrets",
            "/api/v1/connections",
            "/api/v1/audit",
        ]
        .map(whole)
        .to_vec(),
    )
}

/// What a row is known by.
#[track_caller]
fn known_by(row: &Value) -> String {
    let key = ["id", "name", "number"].into_iter().find(|key| !row[*key].is_null());
    row[key.unwrap_or_else(|| panic!("a row without a name: {row:#}"))].to_string()
}

#[track_caller]
fn rows(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap_or_else(|| panic!("no list: {page:#}")).iter().map(known_by).collect()
}

/// Everything, in pages of one row.
async fn walk(key: &ApiKey, address: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = key.get(&format!("{address}?limit=1{cursor}")).await.expect_status(200).json();
        let found = rows(&page);
        assert!(found.len() <= 1, "{address}: the limit holds: {page:#}");
        all.extend(found);
        assert_eq!(page["has_more"].as_bool(), Some(!page["next_cursor"].is_null()), "{address}: {page:#}");
        let Some(next) = page["next_cursor"].as_str() else { return all };
        cursor = format!("&cursor={}", url::form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>());
        assert!(all.len() < 1_000, "{address} never ends");
    }
}

on_both_stores! {
    async fn every_list_is_read_a_page_at_a_time(world: World) {
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let lists = fill(&tenant, &key).await;
        let described = key.get("/api/v1/openapi.json").await.expect_status(200).json();
        for (path, operations) in described["paths"].as_object().cloned().unwrap_or_default() {
            let answer = operations.pointer("/get/responses/200/content/application~1json/schema/$ref");
            let is_list = answer.and_then(Value::as_str).is_some_and(|name| name.starts_with("#/components/schemas/Page"));
            let has_row = lists.0.iter().any(|(list, _)| *list == path) || WHOLE.contains(&path.as_str());
            assert!(!is_list || has_row, "{path} is a list without a row here");
        }
        for (path, address) in &lists.0 {
            let whole = rows(&key.get(&format!("{address}?limit=200")).await.expect_status(200).json());
            assert!(whole.len() >= 3, "{path}: {whole:?}");
            assert_eq!(rows(&key.get(address).await.expect_status(200).json()), whole, "{path}: 50 rows unless said");
            let walked = walk(&key, address).await;
            assert_eq!(walked, whole, "{path}: each row once, in the same order");
            assert_eq!(walked.iter().collect::<BTreeSet<_>>().len(), walked.len(), "{path}");
            let two = key.get(&format!("{address}?limit=2")).await.expect_status(200).json();
            assert_eq!((rows(&two), &two["has_more"]), (whole[..2].to_vec(), &json!(true)), "{path}");
            for (query, code) in [
                ("limt=1", "unknown_parameter"),
                ("limit=0", "bad_request"),
                ("limit=many", "bad_request"),
                ("limit=-1", "bad_request"),
                ("cursor=not%20a%20cursor", "bad_request"),
                ("cursor=", "bad_request"),
                ("cursor=1&cursor=2", "bad_request"),
            ] {
                let refused = key.get(&format!("{address}?{query}")).await.expect_status(400).problem();
                assert_eq!(refused.code, code, "{path}?{query}");
            }
        }
    }

    async fn another_tenants_cursor_gives_nothing_away(world: World) {
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let lists = fill(&tenant, &key).await;
        let other = world.tenant("other").await;
        let stranger = other.key(&[]).await;
        fill(&other, &stranger).await;
        for (path, address) in lists.0.iter().filter(|(path, _)| !path.contains('{')) {
            let theirs = rows(&key.get(&format!("{address}?limit=200")).await.expect_status(200).json());
            let own = rows(&stranger.get(&format!("{address}?limit=200")).await.expect_status(200).json());
            let cursor = key.get(&format!("{address}?limit=1")).await.json()["next_cursor"].as_str().unwrap_or_default().to_owned();
            let behind = rows(&stranger.get(&format!("{address}?limit=200&cursor={cursor}")).await.expect_status(200).json());
            assert!(behind.iter().all(|row| own.contains(row)), "{path}: {behind:?}");
            let is_named = matches!(*path, "/api/v1/flows" | "/api/v1/secrets" | "/api/v1/connections");
            assert!(is_named || !behind.iter().any(|row| theirs.contains(row)), "{path}: {behind:?}");
        }
        for (path, address) in lists.0.iter().filter(|(path, _)| path.contains("{run}")) {
            assert_eq!(stranger.get(&format!("{address}?limit=1")).await.status(), 404, "{path}");
        }
    }

    async fn the_console_shows_all_flows_page_by_page(world: World) {
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let names: Vec<String> = (0..60).map(|number| format!("flow_{number:02}")).collect();
        for name in &names {
            key.put_flow(name, "steps:\n  - {name: a, executor: log, config: {message: x}}\n").await.expect_success();
        }
        let owner = tenant.owner().await;
        let first = owner.open("/t/acme/flows").await;
        let shown = first.all("td.main a");
        assert_eq!(shown, names[..50], "the first page");
        let second = owner.open("/t/acme/flows?cursor=flow_49").await;
        assert_eq!(second.all("td.main a"), names[50..], "the rest");
        assert!(first.text().contains("More flows") && !second.text().contains("More flows"));
        assert!(second.text().contains("First") && !first.text().contains("First"));
    }
}
