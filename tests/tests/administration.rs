//! Suite: who is here and what they did. Members and their roles, sessions, the audit log, connections tried out.
use serde_json::{Value, json};
use tests::{ApiKey, ModelServer, Owner, Page, Receiver, on_both_stores};

async fn members(key: &ApiKey) -> Vec<Value> {
    let page = key.get("/api/v1/members").await.expect_status(200).json();
    page["data"].as_array().cloned().unwrap_or_default()
}

async fn path_of(key: &ApiKey, email: &str) -> String {
    let members = members(key).await;
    let found = members.iter().find(|member| member["email"] == email).and_then(|member| member["id"].as_str());
    format!("/api/v1/members/{}", found.unwrap_or_else(|| panic!("{email} is no member: {members:?}")))
}

async fn patch(key: &ApiKey, path: &str, role: &str) -> tests::Answer {
    key.patch(path, &json!({"role": role})).await
}

/// A key that somebody makes in the console, for everything that they may.
async fn key_of(person: &Owner, url: &str) -> ApiKey {
    let mut form = person.open("/t/acme/keys/new").await.form("form[action$='/keys/new']");
    form.fill("name", "their own");
    form.fill("access", "all");
    let page = person.submit(form).await;
    let shown = page.all(".copy-line code");
    ApiKey::new(url, shown.first().unwrap_or_else(|| panic!("no key is shown: {}", page.answer)))
}

/// What a page says was just done, or refused.
fn notice(page: &Page) -> String {
    page.all(".notice").join(" ")
}

on_both_stores! {
    async fn a_role_and_its_end_count_from_the_next_request_on(world: World) {
        let acme = world.tenant("acme").await;
        let own = acme.key(&[]).await;
        let maria = acme.member("maria@acme.test", "developer").await;
        let her_key = key_of(&maria, &world.url()).await;
        let flow = "steps:\n  - name: a\n    executor: data_transformer\n    config: {data: 1}\n";
        her_key.put_flow("hers", flow).await.expect_success();
        let path = path_of(&own, "maria@acme.test").await;
        assert_eq!(own.get(&path).await.expect_status(200).json()["active_keys"], 1);

        assert_eq!(patch(&own, &path, "viewer").await.expect_status(200).json()["role"], "viewer");
        assert_eq!(her_key.put_flow("hers", flow).await.status(), 403);
        assert_eq!(maria.open("/t/acme/keys").await.answer.status(), 403);
        assert_eq!(maria.open("/t/acme/runs").await.answer.status(), 200);

        own.delete(&path).await.expect_status(204);
        assert_eq!(own.get(&path).await.status(), 404);
        assert_eq!(her_key.get("/api/v1/flows").await.status(), 401);
        assert_eq!(maria.open("/t/acme/runs").await.answer.status(), 404);
        // Nothing of theirs keeps a tenant from being read.
        assert_eq!(own.get("/api/v1/keys").await.expect_status(200).json()["data"].as_array().map(Vec::len), Some(1));
        let audit = own.get("/api/v1/audit?action=member").await.expect_status(200).json();
        let actions: Vec<&str> = audit["data"].as_array().into_iter().flatten().filter_map(|entry| entry["action"].as_str()).collect();
        assert_eq!(actions, ["member.removed", "member.role_changed", "member.added"]);
        assert_eq!(audit["data"][0]["data"]["keys"], json!(["their own"]));
    }

    async fn the_last_owner_stays_and_only_owners_say_who_is_one(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let own = acme.key(&[]).await;
        let path = path_of(&own, &owner.email).await;
        assert_eq!(patch(&own, &path, "viewer").await.expect_status(409).problem().code, "conflict");
        assert_eq!(own.delete(&path).await.expect_status(409).problem().code, "conflict");
        assert_eq!(own.get(&path).await.json()["role"], "owner");

        let admin = acme.member("admin@acme.test", "admin").await;
        let admins_key = key_of(&admin, &world.url()).await;
        let mine = path_of(&own, "admin@acme.test").await;
        assert_eq!(patch(&admins_key, &mine, "owner").await.status(), 403, "nobody raises themselves");
        assert_eq!(patch(&admins_key, &path, "viewer").await.status(), 403);
        assert_eq!(admins_key.delete(&path).await.status(), 403);
        // Nor is it offered to them.
        let page = admin.open("/t/acme/members").await;
        assert!(!page.answer.text().contains("value=\"owner\""), "{}", page.answer);

        patch(&own, &mine, "owner").await.expect_status(200);
        patch(&own, &path, "developer").await.expect_status(200);
        assert_eq!(patch(&admins_key, &mine, "viewer").await.status(), 409, "now they are the last one");
        assert!((400..500).contains(&patch(&admins_key, &mine, "emperor").await.status()));
    }

    async fn two_owners_who_end_each_other_at_once_leave_one(world: World) {
        let acme = world.tenant("acme").await;
        let first = acme.owner().await;
        let second = acme.member("second@acme.test", "owner").await;
        let keys = [key_of(&first, &world.url()).await, key_of(&second, &world.url()).await];
        let paths = [path_of(&keys[0], &first.email).await, path_of(&keys[0], &second.email).await];
        for _ in 0..6 {
            let (one, other) =
                tokio::join!(patch(&keys[0], &paths[1], "admin"), patch(&keys[1], &paths[0], "admin"));
            let done = [&one, &other].into_iter().filter(|answer| answer.status() == 200).count();
            assert_eq!(done, 1, "{one}\n{other}");
            let left = if one.status() == 200 { 0 } else { 1 };
            patch(&keys[left], &paths[1 - left], "owner").await.expect_status(200);
        }
    }

    async fn members_are_changed_and_removed_by_forms(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let maria = acme.member("maria@acme.test", "developer").await;
        let page = owner.open("/t/acme/members").await;
        assert!(page.text().contains("The last owner stays one."), "{}", page.text());
        let mut form = page.form("form[action$='/role']");
        form.fill("role", "operator");
        let page = owner.submit(form).await;
        assert_eq!(notice(&page), "maria@acme.test is operator now.");
        // A viewer is offered nothing, and a form that they made up does nothing.
        let viewer = acme.member("viewer@acme.test", "viewer").await;
        let theirs = viewer.open("/t/acme/members").await;
        assert_eq!(theirs.all("form[action$='/remove']").len(), 0);
        let refused = viewer.submit(page.form("form[action$='/remove']").with_token_of(&theirs)).await;
        assert!(notice(&refused).contains("does not include"), "{}", refused.answer);
        let page = owner.submit(owner.open("/t/acme/members").await.form("form[action$='/remove']")).await;
        assert!(notice(&page).contains("removed"), "{}", page.answer);
        assert_eq!(maria.open("/t/acme").await.answer.status(), 404);
    }

    async fn a_person_sees_and_ends_their_own_sessions_and_nobody_elses(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let away = Owner::visitor(&world.url());
        away.sign_in(&owner.email, &owner.password).await;
        let other = acme.member("other@acme.test", "admin").await;

        let page = owner.open("/t/acme/account").await;
        assert_eq!(page.all("form[action$='/end']").len(), 3, "two sessions, and all others: {}", page.text());
        // Another person's session cannot be ended, by whatever address.
        let theirs = other.open("/t/acme/account").await;
        let refused = owner.submit(theirs.form("td form[action$='/end']").with_token_of(&page)).await;
        assert!(notice(&refused).contains("There is no session"), "{}", refused.answer);
        assert_eq!(other.open("/t/acme").await.path, "/t/acme");

        let page = owner.submit(page.form("form[action$='/others/end']")).await;
        assert_eq!(notice(&page), "One other session is ended.");
        assert!(away.open("/t/acme").await.path.starts_with("/sign-in"));
        let page = owner.submit(owner.open("/t/acme/account").await.form("td form[action$='/end']")).await;
        assert!(page.path.starts_with("/sign-in"), "{}", page.path);
    }

    async fn the_audit_log_is_filtered_and_paged(world: World) {
        let acme = world.tenant("acme").await;
        let own = acme.key(&[]).await;
        for number in 0..5 {
            own.put(&format!("/api/v1/secrets/S{number}"), &json!({"value": "v"})).await.expect_success();
        }
        let read = async |query: &str| own.get(&format!("/api/v1/audit?{query}")).await.expect_status(200).json();
        let first = read("action=secret.set&limit=2").await;
        let names = |page: &Value| -> Vec<String> {
            page["data"].as_array().into_iter().flatten().map(|entry| entry["target"].as_str().unwrap_or("?").to_owned()).collect()
        };
        assert_eq!((names(&first), &first["has_more"]), (vec!["S4".to_owned(), "S3".to_owned()], &json!(true)));
        let cursor = first["next_cursor"].as_str().expect("there is more");
        assert_eq!(names(&read(&format!("action=secret.set&limit=2&cursor={cursor}")).await), ["S2", "S1"]);
        assert_eq!(names(&read("target=S3").await), ["S3"]);
        assert_eq!(names(&read("actor=nobody").await).len(), 0);
        assert_eq!(names(&read("action=secret%25").await).len(), 0, "a filter is no pattern");
        assert_eq!(own.get("/api/v1/audit?cursor=nonsense").await.status(), 400);

        let owner = acme.owner().await;
        let page = owner.open("/t/acme/audit?action=secret&target=S3").await;
        assert_eq!(page.all(".table.audit tbody tr").len(), 1, "{}", page.text());
        let developer = acme.member("dev@acme.test", "developer").await;
        assert_eq!(developer.open("/t/acme/audit").await.answer.status(), 403);
    }

    async fn a_connection_is_tried_with_its_own_key_at_its_own_host(world: World) {
        let acme = world.tenant("acme").await;
        let own = acme.key(&[]).await;
        let answers = json!([{"match": {}, "response": {"content": "hello"}}]);
        let model = ModelServer::start("sk-zebrafinch", &answers).await;
        let elsewhere = Receiver::start().await;
        elsewhere.script("/moved/models", &[302]);
        let good = json!({"kind": "openai", "base_url": model.base_url(), "api_key": "sk-zebrafinch"});
        own.put("/api/v1/connections/good", &good).await.expect_success();
        let bad = json!({"kind": "openai", "base_url": model.base_url(), "api_key": "sk-wrong-zebrafinch"});
        own.put("/api/v1/connections/bad", &bad).await.expect_success();
        let moved = json!({"kind": "openai", "base_url": format!("{}/moved", elsewhere.url()), "api_key": "k-zebrafinch"});
        own.put("/api/v1/connections/moved", &moved).await.expect_success();
        own.put("/api/v1/connections/api", &json!({"kind": "http", "base_url": elsewhere.url()})).await.expect_success();
        own.put("/api/v1/connections/dead", &json!({"kind": "openai", "base_url": "http://127.0.0.1:9/v1"})).await.expect_success();
        let tried = async |name: &str| {
            let answer = own.post(&format!("/api/v1/connections/{name}/test"), &Value::Null).await.expect_status(200);
            assert!(!answer.text().contains("zebrafinch"), "{answer}");
            answer.json()
        };
        for (name, ok, code) in [
            ("good", true, Value::Null),
            ("bad", false, json!("provider_auth")),
            ("moved", false, json!("redirect")),
            ("api", true, Value::Null),
            ("dead", false, json!("connect")),
        ] {
            let test = tried(name).await;
            assert_eq!((&test["ok"], &test["code"]), (&json!(ok), &code), "{name}: {test}");
        }
        assert_eq!(own.post("/api/v1/connections/nobodys/test", &Value::Null).await.status(), 404);

        let owner = acme.owner().await;
        let page = owner.submit(owner.open("/t/acme/connections/api").await.form("form[action$='/test']")).await;
        assert_eq!(page.path, "/t/acme/connections/api");
        assert!(notice(&page).starts_with("api: It can be reached"), "{}", notice(&page));

        let mut last = own.post("/api/v1/connections/dead/test", &Value::Null).await;
        for _ in 0..10 {
            last = own.post("/api/v1/connections/dead/test", &Value::Null).await;
        }
        assert_eq!(last.status(), 429, "{last}");
        let wait = last.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        assert!(wait.is_some_and(|seconds| (1..=60).contains(&seconds)), "{last}");
        let page = owner.submit(owner.open("/t/acme/connections").await.form("form[action$='/test']")).await;
        assert!(notice(&page).contains("times a minute"), "{}", page.answer);
    }
}
