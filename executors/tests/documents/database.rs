//! Queries against files always, and against a server when `WEIR_TEST_POSTGRES_ADMIN_URL` names one.

use domain::Failure;
use engine::ports::Blobs as _;
use serde_json::{Value, json};

use crate::surroundings::Bench;

async fn run(bench: &Bench, config: Value) -> Result<Value, Failure> {
    bench.run_plain("database", config).await
}

async fn code(bench: &Bench, config: Value) -> String {
    run(bench, config).await.unwrap_err().code
}

/// A file with two customers.
async fn customers(bench: &Bench) -> Value {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let sql = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT UNIQUE, paid REAL, picture BLOB);
               INSERT INTO customers VALUES (1, 'Ada', 12.5, x'00ff'), (2, 'Bo', NULL, NULL);";
    database.execute_batch(sql).unwrap();
    let bytes = bytes::Bytes::copy_from_slice(&database.serialize(rusqlite::MAIN_DB).unwrap());
    json!(bench.files.put_file("customers.db", "application/vnd.sqlite3", bytes).await.unwrap())
}

#[tokio::test]
async fn a_file_is_asked_with_bound_values() {
    let bench = Bench::new();
    let file = customers(&bench).await;
    let config = json!({"sqlite": file, "query": "select name, paid, picture from customers where id = $2 or name = $1", "parameters": ["Bo", 1]});
    let output = run(&bench, config).await.unwrap();
    let rows = json!([{"name": "Ada", "paid": 12.5, "picture": "AP8="}, {"name": "Bo", "paid": null, "picture": null}]);
    assert_eq!((&output["rows"], &output["columns"]), (&rows, &json!(["name", "paid", "picture"])));
    let injected =
        json!({"sqlite": file, "query": "select * from customers where name = $1", "parameters": ["x' or 1=1 --"]});
    assert_eq!(run(&bench, injected).await.unwrap()["rows"], json!([]));
    let cut = json!({"sqlite": file, "query": "select id from customers order by id", "max_rows": 1});
    let output = run(&bench, cut).await.unwrap();
    assert_eq!((&output["rows"], &output["truncated"]), (&json!([{"id": 1}]), &json!(true)));
}

#[tokio::test]
async fn a_file_is_changed_only_where_the_step_says_so_and_only_in_a_copy() {
    let bench = Bench::new();
    let file = customers(&bench).await;
    let insert =
        json!({"sqlite": file, "query": "insert into customers (id, name) values (?1, ?2)", "parameters": [3, "Cy"]});
    assert_eq!(code(&bench, insert.clone()).await, "query_writes");
    let mut allowed = insert;
    allowed["write"] = json!(true);
    let output = run(&bench, allowed.clone()).await.unwrap();
    assert_eq!(output["affected"], 1);
    let count = |file: &Value| json!({"sqlite": file, "query": "select count(*) as n from customers"});
    assert_eq!(run(&bench, count(&output["file"])).await.unwrap()["rows"], json!([{"n": 3}]));
    assert_eq!(run(&bench, count(&file)).await.unwrap()["rows"], json!([{"n": 2}]));
    allowed["parameters"] = json!([4, "Ada"]);
    assert_eq!(code(&bench, allowed).await, "query_refused");
}

#[tokio::test]
async fn hostile_queries_and_files_end_within_their_limits() {
    let bench = Bench::new();
    let file = customers(&bench).await;
    for (query, expected) in [
        ("attach '/etc/passwd' as x", "query_invalid"),
        ("select load_extension('/tmp/x')", "query_invalid"),
        ("select readfile('/etc/passwd')", "query_invalid"),
        ("pragma writable_schema = 1", "query_invalid"),
        ("select 1; drop table customers", "query_invalid"),
        ("select 1 as a, 2 as a", "query_columns"),
        ("select $1", "query_parameters"),
        ("selec", "query_invalid"),
        ("", "query_invalid"),
        ("select hex(zeroblob(2000000000))", "query_invalid"),
    ] {
        let failure = run(&bench, json!({"sqlite": file, "query": query, "write": true})).await.unwrap_err();
        assert!([expected, "query_limit"].contains(&failure.code.as_str()), "{query}: {failure:?}");
    }
    let endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n limit 1";
    let started = std::time::Instant::now();
    assert_eq!(code(&bench, json!({"sqlite": file, "query": endless})).await, "query_limit");
    assert!(started.elapsed() < std::time::Duration::from_secs(45));
    let text =
        bench.files.put_file("a.db", "text/plain", bytes::Bytes::from_static(b"not a database at all")).await.unwrap();
    assert_eq!(code(&bench, json!({"sqlite": text, "query": "select 1"})).await, "document_broken");
    assert_eq!(code(&bench, json!({"query": "select 1"})).await, "config_invalid");
}

fn server() -> Option<String> {
    let admin = std::env::var("WEIR_TEST_POSTGRES_ADMIN_URL").ok()?;
    Some(format!("{admin}?sslmode=disable"))
}

#[tokio::test]
async fn a_server_is_asked_with_bound_values_and_every_common_type_comes_back() {
    let Some(url) = server() else { return };
    let bench = Bench::new();
    let query = "select $1::int as i, $2::numeric as n, $3::text as t, $4::jsonb as j, $5::bool as b, $6::text[] as l,
                        $7::timestamptz as at, $8::date as d, $9::uuid as u, null::text as nothing, 1.5::float8 as f,
                        '\\x00ff'::bytea as bytes, array[1, null, 3] as numbers, 9007199254740993::bigint as big";
    let parameters = json!([7, "12.50", "it's", {"a": [1]}, true, ["x", "y\"z"], "2026-01-31T12:00:00Z", "2026-01-31",
                            "0f0e0d0c-0b0a-0908-0706-050403020100"]);
    let output = run(&bench, json!({"url": url, "query": query, "parameters": parameters})).await.unwrap();
    let expected = json!({
        "i": 7, "n": "12.50", "t": "it's", "j": {"a": [1]}, "b": true, "l": ["x", "y\"z"], "at": "2026-01-31T12:00:00Z",
        "d": "2026-01-31", "u": "0f0e0d0c-0b0a-0908-0706-050403020100", "nothing": null, "f": 1.5, "bytes": "AP8=",
        "numbers": [1, null, 3], "big": 9_007_199_254_740_993_i64,
    });
    assert_eq!(output["rows"], json!([expected]));
}

#[tokio::test]
async fn a_server_is_changed_only_where_the_step_says_so() {
    let Some(url) = server() else { return };
    let bench = Bench::new();
    let create = "create table if not exists weir_executor_test (id int primary key, name text)";
    assert_eq!(code(&bench, json!({"url": url, "query": create})).await, "query_writes");
    run(&bench, json!({"url": url, "query": create, "write": true})).await.unwrap();
    let upsert = "insert into weir_executor_test values ($1, $2) on conflict (id) do update set name = excluded.name returning name";
    for _ in 0..2 {
        let config = json!({"url": url, "query": upsert, "parameters": [1, "Ada"], "write": true});
        let output = run(&bench, config).await.unwrap();
        assert_eq!((&output["rows"], &output["affected"]), (&json!([{"name": "Ada"}]), &json!(1)));
    }
    let taken = json!({"url": url, "query": "insert into weir_executor_test values (1, 'x')", "write": true});
    assert_eq!(code(&bench, taken).await, "query_refused");
    for (query, parameters, expected) in [
        ("select 1; drop table weir_executor_test", json!([]), "query_invalid"),
        ("select $1::int", json!(["not a number"]), "query_refused"),
        ("select $1::int", json!([]), "query_parameters"),
        ("select nothing from nowhere", json!([]), "query_invalid"),
        ("select '1'::point", json!([]), "query_refused"),
        ("select point(1, 2)", json!([]), "query_type"),
    ] {
        let failure = run(&bench, json!({"url": url, "query": query, "parameters": parameters})).await.unwrap_err();
        assert_eq!(failure.code, expected, "{query}: {failure:?}");
    }
    let mut test = bench.call();
    test.test = true;
    let drop = json!({"url": url, "query": "drop table weir_executor_test", "write": true});
    bench.run_as(&test, "database", drop).await.unwrap();
    let kept = run(&bench, json!({"url": url, "query": "select count(*) as n from weir_executor_test"})).await.unwrap();
    assert_eq!(kept["rows"], json!([{"n": 1}]), "a run by a test key changes nothing");
}

#[tokio::test]
async fn a_slow_query_ends_with_its_step_and_trouble_on_the_way_says_what_it_is() {
    let bench = Bench::new();
    if let Some(url) = server() {
        let mut call = bench.call();
        call.deadline = Some(tokio::time::Instant::now() + std::time::Duration::from_millis(300));
        let slow = bench.run_as(&call, "database", json!({"url": url, "query": "select pg_sleep(60)"})).await;
        assert_eq!(slow.unwrap_err().code, "query_timeout");
        let insecure = url.replace("?sslmode=disable", "");
        let failure = run(&bench, json!({"url": insecure, "query": "select 1"})).await.unwrap_err();
        assert!(failure.code == "tls" && failure.message.contains("sslmode=disable"), "{failure:?}");
        let stranger = url.replace("weir_admin:weir", "nobody_of_this_name:zebrafinch");
        let failure = run(&bench, json!({"url": stranger, "query": "select 1"})).await.unwrap_err();
        assert!(failure.code == "database_login" && !failure.message.contains("zebrafinch"), "{failure:?}");
    }
    for (url, expected) in [
        ("postgres://u:p@127.0.0.1:1/d?sslmode=disable", "connect"),
        ("postgres://u:p@169.254.169.254/d", "address_forbidden"),
        ("mysql://u:p@127.0.0.1/d", "url_invalid"),
        ("nonsense", "url_invalid"),
    ] {
        assert_eq!(code(&bench, json!({"url": url, "query": "select 1"})).await, expected, "{url}");
    }
}
