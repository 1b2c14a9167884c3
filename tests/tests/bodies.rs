//! Suite: how bodies come in and files go out: streamed, in time, in one meaning, under their own names.
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};
use tests::{ApiKey, on_both_stores};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const FLOW: &str = "inputs:\n  data: {type: object}\nsteps:\n  - name: a\n    executor: data_transformer\n    config: {data: \"{{ inputs.data }}\"}\n";
const FILES: &str = "inputs:\n  document: {type: file, required: true}\nsteps:\n  - name: a\n    executor: file_analyzer\n    config: {file: \"{{ inputs.document }}\"}\n";

async fn post(key: &ApiKey, path: &str, body: impl Into<reqwest::Body>) -> tests::Answer {
    let request = key.request(reqwest::Method::POST, path).header("content-type", "application/json");
    key.send(request.body(body)).await
}

/// Paths in a folder that others than the owner may open.
fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push(format!("{} {:o}", entry.path().display(), metadata.permissions().mode()));
        }
        if metadata.is_dir() {
            open_to_others(&entry.path(), found);
        }
    }
}

on_both_stores! {
    async fn a_body_that_says_a_thing_twice_is_refused(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("echo", FLOW).await.expect_success();
        for body in [r#"{"data": {}, "data": {}}"#, r#"{"data": {"x": [{"a": {"b": 1, "b": 1}}]}}"#] {
            let answer = post(&key, "/api/v1/flows/echo/run", body).await.expect_status(400);
            assert!(answer.problem().detail.contains("twice"), "{answer}");
        }
        let form = reqwest::multipart::Form::new().text("inputs", r#"{"data": {}, "data": {}}"#);
        let request = key.request(reqwest::Method::POST, "/api/v1/flows/echo/run").multipart(form);
        key.send(request).await.expect_status(400);
        post(&key, "/api/v1/keys", r#"{"name": "a", "name": "b"}"#).await.expect_status(400);
        assert_eq!(key.get("/api/v1/runs").await.expect_success().json()["data"], json!([]));
    }

    async fn inputs_that_nest_without_end_are_the_callers_fault(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("echo", FLOW).await.expect_success();
        for levels in [10, 50, 63, 64, 65, 99, 100, 101, 126, 127, 128, 129, 500, 100_000] {
            let lists = format!(r#"{{"data": {{"a": {}1{}}}}}"#, "[".repeat(levels), "]".repeat(levels));
            let objects = format!(r#"{{"data": {}1{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
            for body in [lists, objects] {
                let form = reqwest::multipart::Form::new().text("data", body.clone());
                let request = key.request(reqwest::Method::POST, "/api/v1/flows/echo/run").multipart(form);
                for answer in [post(&key, "/api/v1/flows/echo/run", body).await, key.send(request).await] {
                    if levels <= 50 {
                        assert_eq!(answer.status(), 200, "{levels} levels: {answer}");
                    }
                    let refused = (400..500).contains(&answer.status());
                    assert!(refused || (answer.status() == 200 && levels <= 64), "{levels} levels: {answer}");
                }
            }
        }
    }

    async fn a_large_file_goes_through_without_being_held_in_memory(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("look", FILES).await.expect_success();
        let content: Vec<u8> = (0..24_000_000_u32).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect();
        let before = world.running().peak_bytes();
        let upload = key.request(reqwest::Method::POST, "/api/v1/files").header("content-type", "application/octet-stream");
        let upload = upload.header("content-disposition", "attachment; filename=\"large.bin\"").body(content.clone());
        let file = key.send(upload).await.expect_status(201).json();
        let grown = world.running().peak_bytes().saturating_sub(before);
        assert!(grown < 12_000_000, "memory grew by {grown} bytes while a file of {} came in", content.len());
        let back = key.get(&format!("/api/v1/files/{}/content", file["file_id"].as_str().unwrap_or_default())).await;
        assert!(back.expect_success().bytes() == content, "the file comes back as it was");
    }

    async fn a_file_goes_out_under_its_own_name(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let part = reqwest::multipart::Part::bytes(b"words".to_vec()).file_name("Rechnung f\u{fc}r Zo\u{eb}.txt");
        let form = reqwest::multipart::Form::new().part("file", part);
        let file = key.send(key.request(reqwest::Method::POST, "/api/v1/files").multipart(form)).await;
        let file: Value = file.expect_status(201).json();
        let answer = key.get(&format!("/api/v1/files/{}/content", file["file_id"].as_str().unwrap_or_default())).await;
        let name = answer.header("content-disposition").unwrap_or_default();
        assert!(name.contains("filename*=UTF-8''Rechnung%20f%C3%BCr%20Zo%C3%AB.txt"), "{name}");
    }

    async fn nothing_of_the_data_folder_is_open_to_others(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("look", FILES).await.expect_success();
        let file = ("a.txt", "text/plain", vec![b'x'; 200_000]);
        key.run_with_file("look", "document", file, &[]).await.expect_success();
        let data = world.folder().join("data");
        let mut open = Vec::new();
        open_to_others(&data, &mut open);
        assert!(open.is_empty(), "{open:#?}");
        assert_eq!(std::fs::metadata(&data).map(|data| data.permissions().mode() & 0o777).ok(), Some(0o700));
    }

    async fn a_body_that_trickles_is_cut_off(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("echo", FLOW).await.expect_success();
        let address = world.url().trim_start_matches("http://").to_owned();
        let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await else { panic!("the program listens") };
        let secret = key.secret().unwrap_or_default();
        let head = format!("POST /api/v1/flows/echo/run HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n");
        let talk = async {
            let (mut from, mut to) = stream.split();
            let mut said = Vec::new();
            let trickle = async {
                let _ = to.write_all(head.as_bytes()).await;
                while to.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            };
            tokio::select! {
                () = trickle => {}
                _ = from.read_to_end(&mut said) => {}
            }
            String::from_utf8_lossy(&said).into_owned()
        };
        let Ok(said) = tokio::time::timeout(Duration::from_secs(50), talk).await else { panic!("it is never cut off") };
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("\"request_timeout\""), "{said}");
    }
}
