//! The operator's commands straight on the store, whether or not a server runs on it.
//!
//! Invariant: they act as the program itself, so whoever may read the data folder and the master key may do all of this.

use std::collections::BTreeMap;
use std::path::Path;

use domain::wire::{ConnectionInput, KeyInput, TenantPatch};
use serde::Deserialize;
use serde_json::json;
use service::{Actor, Weir};

use super::serve::start_failure;
use crate::arguments::{ConnectionCommand, FlowCommand, KeyCommand, MemberCommand, Overrides, TenantCommand};
use crate::exit::{Exit, Failure};
use crate::output::Output;

const OPERATOR: &str = "operator";

/// Opens the store as the server does; what it logs is for the server's eyes, so only warnings are shown.
async fn open(overrides: &Overrides) -> Result<(server::Config, Weir), Failure> {
    let config = super::configuration(overrides)?;
    let weir = server::open(&config).await.map_err(start_failure)?;
    Ok((config, weir))
}

async fn actor(weir: &Weir, tenant: &str) -> Result<Actor, Failure> {
    let row = service::tenants::find(weir, tenant).await?;
    Ok(Actor::system(domain::TenantId::from_uuid(row.id), OPERATOR))
}

pub(crate) async fn migrate(overrides: &Overrides, check: bool, output: Output) -> Result<Exit, Failure> {
    let config = super::configuration(overrides)?;
    let missing = server::pending_migrations(&config).await.map_err(start_failure)?;
    if check {
        let text = if missing.is_empty() {
            "nothing to migrate".to_owned()
        } else {
            format!("to migrate: {}", missing.join(", "))
        };
        output.answer(&json!({"pending": missing}), &text);
        return Ok(if missing.is_empty() { Exit::Ok } else { Exit::Failure });
    }
    server::migrate(&config).await.map_err(start_failure)?;
    let text =
        if missing.is_empty() { "nothing to migrate".to_owned() } else { format!("migrated: {}", missing.join(", ")) };
    output.answer(&json!({"migrated": missing}), &text);
    Ok(Exit::Ok)
}

pub(crate) async fn tenant(overrides: &Overrides, command: TenantCommand, output: Output) -> Result<Exit, Failure> {
    let (config, weir) = open(overrides).await?;
    match command {
        TenantCommand::Create { name, owner } => {
            let created = service::tenants::create(&weir, &name, &owner).await?;
            let link = config.known_url().map(|base| format!("{base}{}", created.owner_path));
            let shown = match &link {
                Some(link) => link.clone(),
                None => format!("{}   (behind the address that `weir serve` says)", created.owner_path),
            };
            output.answer(
                &json!({
                    "tenant": {"id": created.id, "name": created.name},
                    "owner_link": link, "owner_path": created.owner_path,
                }),
                &format!(
                    "tenant {} ({})\n{owner} becomes its owner by this link (good once, for a week):\n  {shown}",
                    created.name, created.id
                ),
            );
        }
        TenantCommand::Set { name, default_model, queue_weight } => {
            let actor = actor(&weir, &name).await?;
            if let Some(weight) = queue_weight {
                service::tenants::set_queue_weight(&weir, &name, weight).await?;
            }
            let default_model = default_model.map(|model| Some(model).filter(|model| !model.is_empty()));
            let patch = TenantPatch { default_model, ..TenantPatch::default() };
            let view = service::tenants::patch(&weir, &actor, patch).await?;
            let model = view.default_model.as_deref().unwrap_or("(none)");
            output.answer(&view, &format!("default model of {}: {model}", view.name));
        }
    }
    Ok(Exit::Ok)
}

pub(crate) async fn member(overrides: &Overrides, command: MemberCommand, output: Output) -> Result<Exit, Failure> {
    let (config, weir) = open(overrides).await?;
    let MemberCommand::Add { email, tenant, role } = command;
    let added = service::members::add(&weir, &tenant, &email, role).await?;
    let link = config.known_url().map(|base| format!("{base}{}", added.path));
    let shown = link.clone().unwrap_or_else(|| format!("{}   (behind the address that `weir serve` says)", added.path));
    output.answer(
        &json!({"member": {"id": added.id, "email": email, "role": role}, "link": link, "path": added.path}),
        &format!(
            "{email} is {} of {tenant} now, and signs in first by this link (good once, for a week):\n  {shown}",
            role.as_str()
        ),
    );
    Ok(Exit::Ok)
}

pub(crate) async fn key(overrides: &Overrides, command: KeyCommand, output: Output) -> Result<Exit, Failure> {
    let (_, weir) = open(overrides).await?;
    let KeyCommand::Create { tenant, name, scopes, test, expires_in_days } = command;
    let actor = actor(&weir, &tenant).await?;
    let input = KeyInput { name, scopes, test, expires_in_days: Some(expires_in_days) };
    let created = service::keys::create(&weir, &actor, input).await?;
    output.answer(&created, &created.key);
    if !output.is_json() {
        output.note("This is the only time the key is shown.");
    }
    Ok(Exit::Ok)
}

pub(crate) async fn flow(overrides: &Overrides, command: FlowCommand, output: Output) -> Result<Exit, Failure> {
    let FlowCommand::Import { tenant, path } = command;
    let (name, folder) = service::flows::folder::read_path(&path)?;
    let (_, weir) = open(overrides).await?;
    let actor = actor(&weir, &tenant).await?;
    let saved = service::flows::put(&weir, &actor, &name, folder, service::flows::PutOptions::default()).await?;
    let version = saved.number;
    output.answer(
        &json!({"flow": name, "version": version}),
        &format!("{name}: version {}", version.map_or_else(|| "(draft)".to_owned(), |number| number.to_string())),
    );
    Ok(Exit::Ok)
}

/// The file of `weir connection set` and of `weir run --connections`.
#[derive(Debug, Deserialize)]
pub(super) struct ConnectionsFile {
    #[serde(default)]
    pub(super) default_model: Option<String>,
    #[serde(flatten)]
    pub(super) connections: BTreeMap<String, ConnectionInput>,
}

pub(crate) async fn connection(
    overrides: &Overrides,
    command: ConnectionCommand,
    output: Output,
) -> Result<Exit, Failure> {
    let ConnectionCommand::Set { tenant, file } = command;
    let written = read_connections(&file)?;
    let (_, weir) = open(overrides).await?;
    let actor = actor(&weir, &tenant).await?;
    let mut names = Vec::new();
    for (name, input) in written.connections {
        service::connections::put(&weir, &actor, &name, input).await?;
        names.push(name);
    }
    if let Some(model) = &written.default_model {
        service::tenants::patch(
            &weir,
            &actor,
            TenantPatch { default_model: Some(Some(model.clone())), ..TenantPatch::default() },
        )
        .await?;
    }
    let default = written.default_model.as_deref().map(|model| format!("; default model {model}")).unwrap_or_default();
    output.answer(
        &json!({"connections": names, "default_model": written.default_model}),
        &format!("set: {}{default}", names.join(", ")),
    );
    Ok(Exit::Ok)
}

pub(super) fn read_connections(file: &Path) -> Result<ConnectionsFile, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::NotFound, format!("{}: {error}", file.display())))?;
    let value = language::yaml_to_json(&text)
        .map_err(|problem| Failure::new(Exit::Validation, format!("{}: {problem}", file.display())))?;
    serde_json::from_value(value)
        .map_err(|error| Failure::new(Exit::Validation, format!("{}: {error}", file.display())))
}
