//! `weir demo`: a server on a store of its own with a seeded tenant, a link in, and a call to try.

use std::path::PathBuf;

use language::Folder;
use serde_json::json;

use super::serve::start_failure;
use crate::arguments::Overrides;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The demo's own data folder, never `./data`.
const FOLDER: &str = "./weir-demo";

/// The shipped flows, inside the program.
#[derive(rust_embed::Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../flows"]
#[include = "*/flow.yaml"]
#[include = "*/prompts/*.j2"]
struct Shipped;

pub(crate) async fn demo(overrides: &Overrides, reset: bool, output: Output) -> Result<Exit, Failure> {
    let mut flags = overrides.by_key();
    flags.entry("data").or_insert_with(|| FOLDER.to_owned());
    // The demo is complete in its folder: a production store in the environment is none of its business.
    let environment = |name: &str| match name {
        "WEIR_ADDR" | "WEIR_LOG" | "WEIR_LOG_FORMAT" | "WEIR_EGRESS_ALLOW" | "WEIR_EGRESS_PROXY" => {
            std::env::var(name).ok()
        }
        _ => None,
    };
    let mut config = server::Config::load(&flags, environment, overrides.config.as_deref())
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    if !flags.contains_key("log") && std::env::var_os("WEIR_LOG").is_none() {
        "warn".clone_into(&mut config.log);
    }
    if !flags.contains_key("addr") && std::env::var_os("WEIR_ADDR").is_none() {
        config.addr = server::free_address(config.addr).map_err(start_failure)?;
    }
    server::telemetry::start(&config).map_err(start_failure)?;
    if reset {
        throw_away(&config.data)?;
    }
    output.note(&format!("Opening the demo in {} ...", config.data.display()));
    let weir = server::open(&config).await.map_err(start_failure)?;
    let seeded = service::demo::open(&weir, shipped()).await?;
    let folder = config.data.clone();
    let ready = |ready: server::Ready| {
        let link = format!("{}{}", ready.url, seeded.sign_in_path);
        if output.is_json() {
            output.object(&json!({
                "url": ready.url, "sign_in_link": link, "api_key": seeded.api_key, "tenant": service::demo::TENANT,
            }));
        } else {
            output.line(&format!("listening on {}", ready.url));
            output.note(&greeting(&ready.url, &link, &seeded.api_key, &folder));
        }
    };
    server::serve(&config, weir, ready).await.map_err(start_failure)?;
    Ok(Exit::Ok)
}

fn greeting(url: &str, link: &str, key: &str, folder: &std::path::Path) -> String {
    format!(
        "\n  Open (signs you in, good once):\n    {link}\n\n  Call a flow:\n    \
         curl -s {url}/api/v1/flows/text_insights/run -H 'authorization: Bearer {key}' \
         -H 'content-type: application/json' -d '{{\"text\": \"The delivery came late, but support was wonderful.\"}}'\n\n  \
         Everything is in {}; delete that folder and nothing is left. `weir demo --reset` starts anew.\n  \
         Language models of the demo are simulated and say so. Ctrl-C ends it.\n",
        folder.display()
    )
}

/// Only a folder that is a demo's is ever deleted.
fn throw_away(folder: &std::path::Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    if !folder.join("weir.db").exists() {
        let why = format!("{} is no demo's folder (it has no weir.db), so it is left alone", folder.display());
        return Err(Failure::new(Exit::Conflict, why));
    }
    std::fs::remove_dir_all(folder)
        .map_err(|error| Failure::new(Exit::Failure, format!("{} cannot be deleted: {error}", folder.display())))
}

fn shipped() -> Vec<(String, Folder)> {
    let mut folders = std::collections::BTreeMap::<String, Folder>::new();
    for path in Shipped::iter() {
        let Some((name, file)) = path.split_once('/') else { continue };
        let Some(content) = Shipped::get(&path) else { continue };
        let text = String::from_utf8_lossy(&content.data).into_owned();
        let folder = folders.entry(name.to_owned()).or_default();
        folder.name = Some(name.to_owned());
        if file == "flow.yaml" {
            folder.yaml = text;
        } else {
            folder.files.insert(PathBuf::from(file).to_string_lossy().into_owned(), text);
        }
    }
    folders.into_iter().collect()
}
