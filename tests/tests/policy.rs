//! Suite: nobody where they do not belong. The routes come from the running program; a route without a row here fails.
mod policy {
    pub(crate) mod matrix;
    pub(crate) mod rows;
}

use policy::matrix::{Route, Targets, routes};
use policy::rows::{Need, row};
use serde_json::json;
use std::collections::BTreeSet;
use tests::{ApiKey, on_both_stores};

/// Planted in everything that a tenant owns; must never be seen by another.
const CANARY: &str = "zebrafinch";

on_both_stores! {
    async fn every_route_has_a_row_and_every_row_a_route(world: World) {
        let served: BTreeSet<String> = routes(&world.stranger()).await.iter().map(Route::name).collect();
        let unknown: Vec<&String> = served.iter().filter(|name| row(name).is_none()).collect();
        assert!(unknown.is_empty(), "routes without a row in tests/tests/policy/rows.rs: {unknown:#?}");
        let gone: Vec<&str> = policy::rows::names().filter(|name| !served.contains(*name)).collect();
        assert!(gone.is_empty(), "rows without a route: {gone:#?}");
    }

    async fn strangers_and_bad_keys_get_401_everywhere(world: World) {
        let tenant = world.tenant("acme").await;
        let good = tenant.key(&[]).await;
        let targets = Targets::fill(&good).await;
        let secret = good.secret().expect("a made key has a secret");
        let mut forged = secret.to_owned();
        let last = forged.pop();
        forged.push(if last == Some('0') { '1' } else { '0' });
        let revoked = tenant.key(&[]).await;
        targets.revoke(&good, &revoked).await;
        let bad = [world.stranger(), ApiKey::new(&world.url(), &forged), ApiKey::new(&world.url(), "nonsense"), revoked];
        for route in routes(&world.stranger()).await {
            if matches!(row(&route.name()).map(|row| row.need), Some(Need::Nothing)) {
                continue;
            }
            for key in &bad {
                let answer = key.send(targets.request(key, &route)).await;
                assert_eq!(answer.status(), 401, "{answer}");
                assert_eq!(answer.problem().code, "unauthenticated", "{answer}");
                assert!(answer.header("www-authenticate").is_some(), "{answer}");
            }
        }
    }

    async fn anothers_things_look_exactly_like_absent_ones(world: World) {
        let own = world.tenant("acme").await.key(&[]).await;
        let targets = Targets::fill(&own).await;
        let absent = targets.absent();
        let foreign = world.tenant("globex").await.key(&[]).await;
        for route in routes(&world.stranger()).await {
            let Some(row) = row(&route.name()) else { continue };
            if !route.has_target() || row.creates {
                continue;
            }
            let at_another = foreign.send(targets.request(&foreign, &route)).await;
            let at_nothing = foreign.send(absent.request(&foreign, &route)).await;
            assert_eq!(at_another.status(), 404, "{at_another}");
            assert_eq!(at_nothing.status(), 404, "{at_nothing}");
            assert_eq!(at_another.problem().code, at_nothing.problem().code, "{}", route.name());
            assert!(!at_another.text().contains(CANARY) || route.path_names_target(&at_another), "{at_another}");
        }
        // And they are all still there for whom they belong to.
        for path in targets.paths() {
            own.get(&path).await.expect_status(200);
        }
    }

    async fn no_list_shows_anything_of_another_tenant(world: World) {
        let own = world.tenant("acme").await.key(&[]).await;
        let targets = Targets::fill(&own).await;
        let foreign = world.tenant("globex").await.key(&[]).await;
        for route in routes(&world.stranger()).await {
            if route.method != "get" || route.has_target() {
                continue;
            }
            let answer = foreign.send(targets.request(&foreign, &route)).await;
            assert!(!answer.text().contains(CANARY), "{answer}");
            // A cursor or a filter of the other tenant opens nothing either.
            for probe in ["?flow=zebrafinch_flow", "?cursor=zebrafinch"] {
                let answer = foreign.get(&format!("{}{probe}", route.path)).await;
                assert!(answer.status() < 500 && !answer.text().contains("zebrafinch_secret"), "{answer}");
            }
        }
    }

    async fn a_foreign_id_in_a_body_or_a_template_opens_nothing(world: World) {
        let own = world.tenant("acme").await.key(&[]).await;
        let targets = Targets::fill(&own).await;
        let foreign = world.tenant("globex").await.key(&[]).await;
        foreign.put_flow("take", "inputs:\n  document: {type: file, required: true}\nsteps:\n  - name: read\n    executor: document_extractor\n    config: {file: \"{{ inputs.document }}\"}\n").await.expect_success();
        let taken = foreign.run("take", &json!({"document": {"file_id": targets.file}})).await;
        assert!((400..500).contains(&taken.status()), "{taken}");
        assert!(!taken.text().contains(CANARY), "{taken}");
        foreign.put_flow("call", "steps:\n  - name: other\n    executor: flow_executor\n    config: {flow_name: zebrafinch_flow, inputs: {}}\n").await.expect_success();
        let called = foreign.run("call", &json!({})).await;
        assert!(called.status() >= 400, "{called}");
        foreign.put_flow("steal", "steps:\n  - name: leak\n    executor: webhook\n    config: {url: \"http://127.0.0.1:9/\", event: leak, data: \"{{ secrets.ZEBRAFINCH }}\"}\n").await.expect_success();
        let stolen = foreign.run("steal", &json!({})).await;
        assert!(stolen.status() >= 400 && !stolen.text().contains("zebrafinch_secret"), "{stolen}");
    }

    async fn a_key_may_what_its_scopes_say_and_nothing_else(world: World) {
        let tenant = world.tenant("acme").await;
        let own = tenant.key(&[]).await;
        let targets = Targets::fill(&own).await;
        let absent = targets.absent();
        for route in routes(&world.stranger()).await {
            let Some(row) = row(&route.name()) else { continue };
            let Need::Permission(needed) = row.need else { continue };
            let others: Vec<&str> = policy::rows::PERMISSIONS.iter().copied().filter(|scope| *scope != needed).collect();
            let without = tenant.key(&others).await;
            let refused = without.send(targets.request(&without, &route)).await;
            assert_eq!(refused.status(), 403, "without {needed}: {refused}");
            assert_eq!(refused.problem().code, "forbidden", "{refused}");
            let with = tenant.key(&[needed]).await;
            // Absent targets, so that nothing is deleted that the next route needs.
            let allowed = with.send(absent.request(&with, &route)).await;
            assert!(allowed.status() != 401 && allowed.status() != 403, "with {needed}: {allowed}");
        }
    }

    async fn owner_fields_and_unknown_fields_cannot_be_set(world: World) {
        let own = world.tenant("acme").await.key(&[]).await;
        for field in ["tenant_id", "id", "created_by", "key_hash", "user_id", "nmae"] {
            let answer = own.post("/api/v1/keys", &json!({"name": "k", field: "x"})).await;
            assert!((400..500).contains(&answer.status()), "{field}: {answer}");
            let problem = answer.problem();
            assert!(problem.detail.contains(field) || problem.errors.iter().any(|error| error.pointer.contains(field)), "{answer}");
        }
        let answer = own.get("/api/v1/runs?statsu=failed").await.expect_status(400);
        let problem = answer.problem();
        assert!(format!("{problem:?}").contains("status"), "{problem:?}");
    }

    async fn secrets_never_come_back(world: World) {
        let own = world.tenant("acme").await.key(&[]).await;
        let receiver = tests::Receiver::start().await;
        own.put("/api/v1/secrets/TOKEN", &json!({"value": "zebrafinch_secret_value"})).await.expect_success();
        let yaml = format!("steps:\n  - name: call\n    executor: api_request\n    config:\n      url: \"{}/x\"\n      method: PUT\n      headers: {{authorization: \"Bearer {{{{ secrets.TOKEN }}}}\"}}\n      json: {{token: \"{{{{ secrets.TOKEN }}}}\"}}\n", receiver.url());
        own.put_flow("secretive", &yaml).await.expect_success();
        let answer = own.run("secretive", &json!({})).await.expect_success();
        let run = answer.json()["run_id"].as_str().expect("an answer names its run").to_owned();
        assert!(receiver.calls()[0].body.contains("zebrafinch_secret_value"), "the receiver got it in clear");
        let mut seen = vec![answer.text()];
        for path in [format!("/api/v1/runs/{run}"), format!("/api/v1/runs/{run}/steps"), "/api/v1/secrets".to_owned()] {
            seen.push(own.get(&path).await.expect_success().text());
        }
        seen.push(format!("{:?}", own.follow(&run).await));
        seen.push(world.running().log());
        for text in seen {
            assert!(!text.contains("zebrafinch_secret_value"), "{text}");
        }
        for file in files_below(world.folder()) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            let found = bytes.windows(b"zebrafinch_secret_value".len()).any(|part| part == b"zebrafinch_secret_value");
            assert!(!found, "in clear in {}", file.display());
        }
    }
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
