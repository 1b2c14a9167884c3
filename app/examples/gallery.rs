//! The console's pages with made-up data, to look at while styling:
//! `cargo run -p app --example gallery --features ssr`, then <http://127.0.0.1:8099/t/acme>.
//! `?role=viewer` and `?theme=dark` change who looks and how.

#[path = "gallery/data.rs"]
mod data;
#[path = "gallery/flows.rs"]
mod flows;
#[path = "gallery/runs.rs"]
mod runs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use app::data::{AssetNames, ConsoleData, FormState, Notice, PageState, Theme};
use leptos::prelude::*;
use leptos_router::Method;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Inlines the imports of `style/main.css`, as the build does.
fn css() -> std::io::Result<String> {
    let style = root().join("style");
    let mut out = String::new();
    for line in std::fs::read_to_string(style.join("main.css"))?.lines() {
        match line.strip_prefix("@import \"./").and_then(|rest| rest.split_once('"')) {
            Some((file, rest)) => {
                let layer = rest.trim().trim_start_matches("layer(").trim_end_matches(");");
                out.push_str(&format!("@layer {layer} {{\n{}\n}}\n", std::fs::read_to_string(style.join(file))?));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    Ok(out)
}

async fn asset(request: HttpRequest) -> HttpResponse {
    let name = request.match_info().query("name").to_owned();
    if name == "console.css" {
        return css().map_or_else(
            |error| HttpResponse::InternalServerError().body(error.to_string()),
            |text| HttpResponse::Ok().content_type("text/css").body(text),
        );
    }
    let kind = match Path::new(&name).extension().and_then(|end| end.to_str()) {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        _ => "font/woff2",
    };
    let built = std::env::var_os("GALLERY_CLIENT").map(PathBuf::from).unwrap_or_default();
    std::fs::read(root().join("public").join(&name))
        .or_else(|_| std::fs::read(built.join(&name)))
        .map_or_else(|_| HttpResponse::NotFound().finish(), |bytes| HttpResponse::Ok().content_type(kind).body(bytes))
}

/// A stream as the server's: a few events, then the end.
async fn events() -> HttpResponse {
    let parts = ["data: {}\n\n", "data: {}\n\n", "event: end\ndata: {}\n\n"];
    let stream = futures_util::stream::unfold(0, move |sent| async move {
        let part = *parts.get(sent)?;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        Some((Ok::<_, actix_web::Error>(web::Bytes::from_static(part.as_bytes())), sent + 1))
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(stream)
}

fn provide() {
    let request = expect_context::<leptos_actix::Request>();
    let query = request.query_string().to_owned();
    let asked = |word: &str| query.split('&').any(|part| part == word);
    let client = std::env::var_os("GALLERY_CLIENT").is_some();
    provide_context(AssetNames {
        css: "/assets/console.css".into(),
        js: if client { "/assets/console.js".into() } else { String::new() },
        wasm: if client { "/assets/console_bg.wasm".into() } else { String::new() },
        favicon: "/assets/favicon.svg".into(),
        font: "/assets/fonts/geist.woff2".into(),
    });
    let role = if asked("role=viewer") { domain::Role::Viewer } else { domain::Role::Owner };
    let created = asked("created=1").then(|| domain::wire::CreatedKey {
        id: data::id(77),
        name: "Invoice importer".into(),
        key: "weir_live_8kQ2mZtB4vXc7Ns1RfWq9LhYp3JdTa0Ge5UoKi".into(),
    });
    let form = asked("wrong=1").then(|| FormState {
        values: [("email".to_owned(), "maria@acme.example".to_owned())].into(),
        errors: vec![domain::FieldProblem {
            pointer: "name".into(),
            message: "Another key has this name.".into(),
            hint: None,
        }],
        message: (request.path() == "/sign-in").then(|| "E-mail and password do not belong together.".to_owned()),
    });
    provide_context(PageState {
        session: Some(data::session(role)),
        csrf: "token".into(),
        theme: if asked("theme=dark") {
            Theme::Dark
        } else if asked("theme=light") {
            Theme::Light
        } else {
            Theme::System
        },
        single_keys: Default::default(),
        notice: asked("notice=1").then(|| Notice { good: true, text: "The default model is saved.".into() }),
        form,
        created_key: created,
        request_id: "req_01k9x2m4z6".into(),
        base_url: "http://127.0.0.1:8080".into(),
        version: "0.1.0".into(),
    });
    provide_context::<Arc<dyn ConsoleData>>(Arc::new(data::Gallery { empty: asked("empty=1") }));
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    app::start();
    HttpServer::new(|| {
        App::new()
            .route("/assets/{name:.*}", web::get().to(asset))
            .route("/t/{tenant}/runs/live", web::get().to(events))
            .route("/t/{tenant}/runs/{run}/events", web::get().to(events))
            .default_service(leptos_actix::render_app_async_with_context(provide, app::shell, Method::Get))
    })
    .workers(1)
    .bind(("127.0.0.1", 8099))?
    .run()
    .await
}
