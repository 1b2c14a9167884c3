//! Suite: the console as a person without scripts uses it.
mod console {
    pub(crate) mod matrix;
}

use console::matrix::{Address, Things};
use reqwest::Method;
use serde_json::json;
use std::{collections::BTreeMap, net::IpAddr};
use tests::{Owner, on_both_stores};

/// Another address of this machine.
fn address(number: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, number])
}

/// So many wrong passwords for an account at once from one address: how often each status came. Whoever is told to wait
/// is told for how long.
async fn guess(origin: &str, from: IpAddr, email: &str, times: usize) -> BTreeMap<u16, usize> {
    let guesses = (0..times).map(|number| {
        let (visitor, email) = (Owner::visitor_from(origin, from), email.to_owned());
        tokio::spawn(async move { visitor.sign_in(&email, &format!("wrong {number}")).await })
    });
    let mut statuses = BTreeMap::new();
    for guess in guesses.collect::<Vec<_>>() {
        let Ok(page) = guess.await else { panic!("a guess got no answer") };
        let status = page.answer.status();
        let waits = page.answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
        assert_eq!(waits.is_some_and(|wait| wait > 0), status == 429, "{}", page.answer);
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

/// Planted in everything that a tenant owns; must never be seen by another.
const CANARY: &str = "zebrafinch";

/// Sends the fields of a form, with the token of a page of the sender's own.
async fn post(person: &Owner, address: &Address, token: &str) -> tests::Page {
    let mut fields = address.fields.clone();
    fields.push(("csrf".to_owned(), token.to_owned()));
    let request = person.request(Method::POST, &address.path).header("sec-fetch-site", "same-origin");
    let request = if address.path.contains("/flows/") {
        let form = fields
            .into_iter()
            .rev()
            .fold(reqwest::multipart::Form::new(), |form, (name, value)| form.text(name, value));
        request.multipart(form)
    } else {
        request.form(&fields)
    };
    person.follow(request, address.path.clone()).await
}

on_both_stores! {
    async fn every_address_is_kept_from_visitors_and_from_members_of_other_tenants(world: World) {
        let acme = world.tenant("acme").await;
        let key = acme.key(&[]).await;
        let things = Things::make(&key, CANARY).await;
        let stranger = world.tenant("globex").await.owner().await;
        let visitor = Owner::visitor(&world.url());
        let token = stranger.open("/t/globex").await.form("form[method=post]").value("csrf");
        for address in things.read("acme") {
            let page = visitor.open(&address.path).await;
            assert!(page.path.starts_with("/sign-in") || page.answer.status() == 401, "{}: {}", address.path, page.answer);
            let page = stranger.open(&address.path).await;
            assert_eq!(page.answer.status(), 404, "{}: {}", address.path, page.answer);
            assert!(!page.answer.text().contains("zebrafinch text"), "{}", page.answer);
        }
        let before = key.get("/api/v1/audit").await.expect_success().text();
        for address in things.written("acme") {
            let page = post(&visitor, &address, "guessed").await;
            assert!(page.path.starts_with("/sign-in") || page.answer.status() >= 400, "{}: {}", address.path, page.answer);
            let page = post(&stranger, &address, &token).await;
            assert_eq!(page.answer.status(), 404, "{}: {}", address.path, page.answer);
        }
        assert_eq!(key.get("/api/v1/audit").await.expect_success().text(), before, "something was done");
    }

    async fn every_address_gives_each_role_what_the_policy_says(world: World) {
        let acme = world.tenant("acme").await;
        let key = acme.key(&[]).await;
        let things = Things::make(&key, CANARY).await;
        for role in [domain::Role::Admin, domain::Role::Developer, domain::Role::Operator, domain::Role::Viewer] {
            let person = acme.member(&format!("{}@acme.test", role.as_str()), role.as_str()).await;
            let token = person.open("/t/acme").await.form("form[method=post]").value("csrf");
            for address in things.read("acme") {
                if address.path.ends_with("/live") || address.path.ends_with("/events") {
                    continue; // Streams do not end; whether they begin is the same question as for their run.
                }
                let status = person.open(&address.path).await.answer.status();
                let may = address.need.is_none_or(|permission| role.grants(permission));
                assert_eq!(status, if may { 200 } else { 403 }, "{} for {}", address.path, role.as_str());
            }
            let refusals = things.written("acme").into_iter().filter(|address| {
                address.need.is_some_and(|permission| !role.grants(permission))
            });
            let before = key.get("/api/v1/audit").await.expect_success().text();
            for address in refusals {
                let page = post(&person, &address, &token).await;
                let refused = page.answer.status() == 403 || page.text().contains("does not include");
                assert!(refused, "{} by {}: {}", address.path, role.as_str(), page.answer);
            }
            assert_eq!(key.get("/api/v1/audit").await.expect_success().text(), before, "something was done");
        }
    }

    async fn an_export_holds_what_the_list_shows_and_no_formula(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let own = acme.key(&[]).await;
        let made = own.post("/api/v1/keys", &json!({"name": "=HYPERLINK(\"http://evil.test\",\"x\")"})).await.expect_success();
        let odd = tests::ApiKey::new(&world.url(), made.json()["key"].as_str().expect("a key is shown once"));
        odd.put_flow("child", "steps:\n  - name: a\n    executor: data_transformer\n    config: {data: 1}\n").await.expect_success();
        // More than a page of the store's, made by one run.
        odd.put_flow("parent", "steps:\n  - name: all\n    executor: flow_executor\n    for_each: \"{{ range(210) | list }}\"\n    max_parallel: 32\n    config: {flow_name: child, inputs: {}}\n").await.expect_success();
        odd.put_flow("bad", "steps:\n  - name: a\n    executor: fail\n    config: {message: \"no, \\\"never\\\"\", code: never}\n").await.expect_success();
        let parent = odd.start("parent", &json!({})).await;
        odd.finished(&parent).await;
        let bad = odd.start("bad", &json!({})).await;
        odd.finished(&bad).await;

        let page = owner.open("/t/acme/runs.csv").await;
        assert_eq!(page.answer.header("content-type"), Some("text/csv; charset=utf-8"), "{}", page.answer);
        assert!(page.answer.header("content-disposition").is_some_and(|how| how.starts_with("attachment")), "{}", page.answer);
        let text = page.answer.text();
        let lines: Vec<&str> = text.trim_start_matches('\u{feff}').split("\r\n").filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 1 + 212, "a head and every run");
        assert!(lines[0].starts_with("id,flow,version,status,"), "{}", lines[0]);
        let ids: std::collections::BTreeSet<&str> = lines[1..].iter().filter_map(|line| line.split(',').next()).collect();
        assert_eq!(ids.len(), 212, "no run twice");
        let row = lines.iter().find(|line| line.starts_with(bad.as_str())).expect("the failed run is in the file");
        assert!(row.contains("\"'=HYPERLINK(\"\"http://evil.test\"\""), "{row}");
        assert!(row.contains("never,\"no, \"\"never\"\"\""), "{row}");

        let failed = owner.open("/t/acme/runs.json?status=failed&since=1h").await.answer.json();
        let failed: Vec<&str> = failed.as_array().into_iter().flatten().filter_map(|run| run["id"].as_str()).collect();
        assert_eq!(failed, [bad.as_str()]);
        let none = owner.open("/t/acme/runs.json?flow=nothing").await.answer.json();
        assert_eq!(none, json!([]));
        // The list leads to the file of its own filter.
        let list = owner.open("/t/acme/runs?status=failed&flow=bad").await.answer.text();
        assert!(list.contains("/t/acme/runs.csv?status=failed&amp;flow=bad"), "{list}");
    }

    async fn a_search_finds_runs_in_the_list_in_its_files_and_by_the_api(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let own = acme.key(&[]).await;
        own.put_flow("orders", "search: [customer, outputs.order]\ninputs: {customer: string}\nsteps:\n  - name: one\n    executor: data_transformer\n    config: {data: \"Order of {{ inputs.customer }}\"}\noutputs: {order: \"{{ steps.one }}\"}\n").await.expect_success();
        let mut runs = Vec::new();
        for customer in ["Ada Lovelace <ada@example.com>", "Grace Hopper"] {
            let answer = own.run("orders", &json!({"customer": customer})).await.expect_status(200).json();
            runs.push(answer["run_id"].as_str().unwrap_or_default().to_owned());
        }
        let found = own.get("/api/v1/runs?search=ADA%20order").await.expect_status(200).json();
        let ids: Vec<&str> = found["data"].as_array().into_iter().flatten().filter_map(|run| run["id"].as_str()).collect();
        assert_eq!(ids, [runs[0].as_str()]);
        let page = owner.open("/t/acme/runs?search=hopper").await.answer.text();
        assert!(page.contains(&runs[1]) && !page.contains(&runs[0]), "{page}");
        assert!(page.contains("/t/acme/runs.csv?search=hopper") && page.contains("value=\"hopper\""), "{page}");
        let file = owner.open("/t/acme/runs.json?search=example+ada").await.answer.json();
        assert_eq!(file.as_array().map(Vec::len), Some(1), "{file}");
        let nobody = owner.open("/t/acme/runs?search=nobody").await.answer.text();
        assert!(nobody.contains("No runs match"), "{nobody}");
    }

    async fn a_run_shows_its_events_and_itself_raw(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let own = acme.key(&[]).await;
        own.put_flow("each", "steps:\n  - name: all\n    executor: log\n    for_each: \"{{ range(120) | list }}\"\n    config: {message: \"{{ item }}\"}\n").await.expect_success();
        let run = own.start("each", &json!({})).await;
        own.finished(&run).await;
        let (mut path, mut positions, mut pages) = (format!("/t/acme/runs/{run}/journal"), Vec::new(), 0);
        let last = loop {
            let page = owner.open(&path).await;
            positions.extend(page.all(".table tbody td[data-label=Position]"));
            pages += 1;
            let text = page.answer.text();
            let Some((_, rest)) = text.split_once("/journal?after=") else { break page };
            let after = rest.split('"').next().unwrap_or_default();
            path = format!("/t/acme/runs/{run}/journal?after={after}");
        };
        assert!(pages > 1 && last.text().contains("run_settled"), "{pages} pages: {}", last.text());
        let wanted: Vec<String> = (1..=positions.len()).map(|position| position.to_string()).collect();
        assert_eq!(positions, wanted, "every event once and in order");
        let raw = owner.open(&format!("/t/acme/runs/{run}/raw")).await;
        assert!(raw.text().contains(&format!("\"id\" : \"{run}\"")), "{}", raw.text());
        // A step with items says so in the API too.
        let steps = own.steps(&run).await;
        assert_eq!(steps[0]["items"], json!({"succeeded": 120}));
    }

    async fn single_keys_can_be_turned_off_for_good(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        let page = owner.open("/t/acme/account").await;
        assert!(page.answer.text().contains("data-single-keys=\"on\""), "{}", page.answer);
        let mut form = page.form("main form.single-keys");
        form.press("single_keys", "off");
        let page = owner.submit(form).await;
        assert_eq!(page.path, "/t/acme/account");
        assert!(page.answer.text().contains("data-single-keys=\"off\""), "{}", page.answer);
        // Nothing else was chosen with it.
        assert!(!page.answer.text().contains("data-theme"), "{}", page.answer);
    }

    async fn an_owner_signs_in_by_link_and_later_by_password(world: World) {
        let acme = world.tenant("acme").await;
        let owner = acme.owner().await;
        let page = owner.open("/t/acme").await;
        assert_eq!(page.answer.status(), 200, "{}", page.answer);
        let visitor = tests::Owner::visitor(&world.url());
        let page = visitor.sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.path, "/t/acme", "{}", page.answer);
    }

    async fn a_visitor_is_led_to_the_sign_in_page(world: World) {
        world.tenant("acme").await;
        let page = tests::Owner::visitor(&world.url()).open("/t/acme/runs").await;
        assert!(page.path.starts_with("/sign-in"), "{}", page.path);
    }

    async fn a_burst_of_guesses_gets_no_more_looks_than_single_ones_and_keeps_nobody_else_out(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        let statuses = guess(&world.url(), address(2), &owner.email, 30).await;
        assert_eq!(statuses, BTreeMap::from([(401, 5), (429, 25)]));
        // The owner waits where the guesses came from, and nowhere else.
        let page = Owner::visitor_from(&world.url(), address(2)).sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.answer.status(), 429, "{}", page.answer);
        let page = Owner::visitor_from(&world.url(), address(3)).sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.path, "/t/acme", "{}", page.answer);
    }

    async fn guesses_from_many_addresses_are_slowed_and_the_owner_still_gets_in_from_home(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        let mut looks = 0;
        for number in 10..30 {
            let statuses = guess(&world.url(), address(number), &owner.email, 4).await;
            looks += statuses.get(&401).copied().unwrap_or_default();
        }
        assert!((45..=60).contains(&looks), "{looks} passwords were looked at");
        // At home is where a session of the account is: the link was followed from there.
        let page = Owner::visitor(&world.url()).sign_in(&owner.email, &owner.password).await;
        assert_eq!(page.path, "/t/acme", "{}", page.answer);
    }

    async fn one_password_tried_on_many_accounts_is_slowed_by_its_address(world: World) {
        let mut looks = 0;
        for number in 0..30 {
            let statuses = guess(&world.url(), address(2), &format!("person{number}@example.com"), 3).await;
            looks += statuses.get(&401).copied().unwrap_or_default();
        }
        assert_eq!(looks, 50);
    }

    async fn what_is_not_there_is_not_found_and_a_wrong_method_is_told_the_right_ones(world: World) {
        let owner = world.tenant("acme").await.owner().await;
        for (method, path, status, allow) in [
            (Method::POST, "/nothing", 404, None),
            (Method::POST, "/t/acme/nothing/at/all", 404, None),
            (Method::PUT, "/t/acme/nothing", 404, None),
            (Method::GET, "/t/acme/nothing", 404, None),
            (Method::POST, "/t/acme/runs", 405, Some("GET, HEAD, OPTIONS")),
            (Method::DELETE, "/t/acme/settings", 405, Some("GET, HEAD, POST, OPTIONS")),
            (Method::GET, "/sign-out", 405, Some("POST, OPTIONS")),
            (Method::GET, "/t/acme", 200, None),
        ] {
            let answer = owner.send(owner.request(method.clone(), path)).await;
            assert_eq!(answer.status(), status, "{method} {path}: {answer}");
            assert_eq!(answer.header("allow"), allow, "{method} {path}: {answer}");
            if status != 200 && method != Method::GET {
                answer.problem();
            }
        }
    }
}
