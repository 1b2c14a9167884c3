//! Suite: documents and bodies that mean harm. Whatever comes in, it is read or refused in time, and the program lives on.
use reqwest::Method;
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use tests::{Scene, World, on_both_stores, refused, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a body may take to be refused, in the dev build and beside other suites.
const QUICK: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(30);

/// Multipart bodies that are none: what, content type, body. The boundary is `B` where it is right.
fn broken_multiparts() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const TYPE: &str = "multipart/form-data; boundary=B";
    let part = |head: &str, body: &str| format!("--B\r\n{head}\r\n\r\n{body}\r\n");
    let file = "content-disposition: form-data; name=\"document\"; filename=\"a.txt\"\r\ncontent-type: text/plain";
    let field = |name: &str| format!("content-disposition: form-data; name=\"{name}\"");
    let good = part(file, "hello");
    let crowd: String = (0..1000).map(|number| part(&field(&format!("f{number}")), "x")).collect();
    let long = format!("content-disposition: form-data; name=\"{}\"", "n".repeat(1_000_000));
    let mut not_text = part(&field("note"), "").into_bytes();
    not_text.extend_from_slice(b"--B\r\ncontent-disposition: form-data; name=\"other\"\r\n\r\n\xff\xfe\r\n--B--\r\n");
    let within = "content-disposition: form-data; name=\"document\"\r\ncontent-type: multipart/mixed; boundary=C";
    let inputs = |json: &str| part(&field("inputs"), json);
    let many = format!("{}{file}", "x-a: b\r\n".repeat(1000));
    let no_name = "content-disposition: form-data; filename=\"a\"";
    let ended = [
        ("no boundary", "multipart/form-data", good.clone()),
        ("an empty boundary", "multipart/form-data; boundary=", good.clone()),
        ("another boundary", "multipart/form-data; boundary=C", good.clone()),
        ("an open quote", "multipart/form-data; boundary=\"B", good.clone()),
        ("an end alone", TYPE, String::new()),
        ("no disposition", TYPE, part("content-type: text/plain", "x")),
        ("no name", TYPE, part(no_name, "x")),
        ("an empty name", TYPE, part(&field(""), "x")),
        ("the part twice", TYPE, good.repeat(2)),
        ("a thousand parts", TYPE, crowd),
        ("a name of a megabyte", TYPE, part(&long, "x")),
        ("a thousand headers", TYPE, part(&many, "x")),
        ("a multipart within", TYPE, part(within, "--C\r\n\r\nx\r\n--C--")),
        ("inputs and a field", TYPE, format!("{}{}{good}", inputs("{}"), part(&field("note"), "x"))),
        ("inputs that are no JSON", TYPE, format!("{}{good}", inputs("{"))),
        ("inputs nested deeply", TYPE, format!("{}{good}", inputs(&"[".repeat(100_000)))),
        ("a file that nobody asked for", TYPE, format!("{good}{}", part(&file.replace("document", "extra"), "x"))),
        ("a path in the file's place", TYPE, part(&field("document"), "../../etc/passwd")),
        ("a path as a file's id", TYPE, inputs("{\"document\": {\"file_id\": \"../../x\"}}")),
    ];
    let ended = ended.map(|(what, media_type, body)| (what, media_type, format!("{body}--B--\r\n")));
    let open = [
        ("no end", TYPE, good.clone()),
        ("an end within the head", TYPE, "--B\r\ncontent-dispos".to_owned()),
        ("an end within the file", TYPE, good[..good.len() - 6].to_owned()),
        ("nothing", TYPE, String::new()),
    ];
    let texts = ended.into_iter().chain(open).map(|(what, media_type, body)| (what, media_type, body.into_bytes()));
    texts.chain([("a field that is no text", TYPE, not_text)]).collect()
}

fn reader(executor: &str) -> String {
    format!(
        "inputs:\n  document: {{type: file, required: true}}\n  note: {{type: string, default: none}}\nsteps:\n  - name: read\n    executor: {executor}\n    config: {{file: \"{{{{ inputs.document }}}}\"}}\n"
    )
}

fn documents() -> Vec<PathBuf> {
    let folder = tests::room().join("fixtures/hostile/documents");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() > 20, "tests/fixtures/hostile/make_documents.py makes more than {}", files.len());
    files
}

/// What a sender would say that it is.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some("html") => "text/html",
        Some("csv") => "text/csv",
        Some("eml") => "message/rfc822",
        _ => "application/octet-stream",
    }
}

async fn documents_are_read_or_refused(world: &World, executor: &str) {
    let scene = Scene::of(world, QUICK).await;
    scene.key.put_flow("read", &reader(executor)).await.expect_success();
    for path in documents() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let what = format!("{name} by {executor}");
        let file = (name.as_str(), media_type(&name), content);
        let answer = within(READ, &what, scene.key.run_with_file("read", "document", file, &[])).await;
        scene.lives(&what).await;
        if answer.status() == 200 {
            assert!(!answer.text().contains("root:"), "{what}: {answer}");
        } else {
            assert_eq!(refused(&what, &answer).step.as_deref(), Some("read"), "{what}: {answer}");
        }
    }
}

on_both_stores! {
    async fn hostile_documents_are_read_or_refused(world: World) {
        documents_are_read_or_refused(&world, "document_extractor").await;
    }

    async fn hostile_documents_are_seen_or_refused(world: World) {
        documents_are_read_or_refused(&world, "ocr_processor").await;
    }

    async fn broken_multipart_bodies_are_refused_and_no_run_begins(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        scene.key.put_flow("read", &reader("document_extractor")).await.expect_success();
        for (what, media_type, body) in broken_multiparts() {
            let run = scene.body(Method::POST, "/api/v1/flows/read/run", media_type, &body);
            refused(what, &scene.send(QUICK, what, run).await);
            let upload = scene.body(Method::POST, "/api/v1/files", media_type, &body);
            let answer = scene.send(QUICK, what, upload).await;
            // What is broken for a run can be a whole upload only where a part named `document` is all there is.
            assert!(answer.status() < 500, "{what}: {answer}");
            if answer.status() >= 300 {
                refused(what, &answer);
            }
        }
        assert_eq!(scene.key.get("/api/v1/runs").await.expect_success().json()["data"], json!([]));
    }

    async fn file_names_are_names_and_no_paths(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        scene.key.put_flow("read", &reader("document_extractor")).await.expect_success();
        let long = "n".repeat(5000);
        for name in ["../../../etc/passwd", "/etc/passwd", "C:\\windows\\system32", "a\u{202e}txt.exe", ".", "..", " ", "<script>", &long] {
            let file = (name, "text/plain", b"harmless words".to_vec());
            let answer = within(QUICK, name, scene.key.run_with_file("read", "document", file, &[])).await;
            scene.lives(name).await;
            if answer.status() == 200 {
                assert!(answer.text().contains("harmless words") && !answer.text().contains("root:"), "{answer}");
            } else {
                refused(name, &answer);
            }
        }
    }

    async fn bodies_that_break_off_leave_the_program_alone(world: World) {
        let scene = Scene::of(&world, QUICK).await;
        scene.key.put_flow("read", &reader("document_extractor")).await.expect_success();
        let address = world.url().trim_start_matches("http://").to_owned();
        let secret = scene.key.secret().expect("a made key has a secret").to_owned();
        let head = format!("POST /api/v1/flows/read/run HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-type: multipart/form-data; boundary=B\r\n");
        for (what, rest) in [
            ("a body that ends early", "content-length: 100000\r\n\r\n--B\r\ncontent-disposition: form-data; name=\"document\"; filename=\"a\"\r\n\r\nhal".to_owned()),
            ("a length that is none", "content-length: 99999999999999999999999\r\n\r\n".to_owned()),
            ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!".to_owned()),
            ("a length below nothing", "content-length: -1\r\n\r\n".to_owned()),
            ("chunks that are none", "transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n".to_owned()),
            ("a chunk without end", "transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nhello".to_owned()),
            ("a head without end", format!("x-long: {}", "a".repeat(1_000_000))),
        ] {
            let mut stream = tokio::net::TcpStream::connect(&address).await.expect("the program listens");
            let mut said = Vec::new();
            let talk = async {
                // The program may hang up at any point of this.
                let _ = stream.write_all(format!("{head}{rest}").as_bytes()).await;
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut said).await;
            };
            within(QUICK, what, talk).await;
            let said = String::from_utf8_lossy(&said);
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{what}: {said}");
            scene.lives(what).await;
        }
        assert_eq!(scene.key.get("/api/v1/runs").await.expect_success().json()["data"], json!([]));
    }
}
