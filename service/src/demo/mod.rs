//! The demo tenant: people, flows, a broken draft and two weeks of past runs, so that a first look shows a product in use.
//!
//! Invariant: seeded into a store of its own, once; its past is labelled `demo: seeded`, and its model says in every
//! answer that it is simulated.

mod history;
mod rehearsal;

use domain::wire::{KeyInput, TenantPatch};
use domain::{Role, TenantId};
use language::Folder;

use crate::flows::PutOptions;
use crate::{Actor, ServiceError, Weir, connections, flows, keys, links, tenants};

/// The demo tenant's name in URLs.
pub const TENANT: &str = "demo";
const OWNER: &str = "you@demo.test";
const MODEL: &str = "simulated/storyteller";

/// A flow with problems that the checker explains, waiting as a draft.
const BROKEN: &str = "\
description: A draft with three mistakes in it. The problem list says what, where and what to do.
steps:
  - name: extract
    executor: document_extracter
  - name: summarise
    executor: llm_analyzer
    conditon: \"{{ steps.extract.success }}\"
    config:
      prompt: \"Summarise: {{ steps.extact.text }}\"
";

/// What a first visitor needs.
#[derive(Debug, Clone)]
pub struct Seeded {
    pub tenant: TenantId,
    /// A path that signs the owner in, good once.
    pub sign_in_path: String,
    /// A fresh key; keys of earlier starts stay good.
    pub api_key: String,
}

/// Seeds the demo tenant unless it is there, and hands out a link and a key for this start.
///
/// # Errors
/// Faults of the store, or a shipped flow that does not check.
pub async fn open(weir: &Weir, shipped: Vec<(String, Folder)>) -> Result<Seeded, ServiceError> {
    let (tenant, owner) = match tenants::find(weir, TENANT).await {
        Ok(row) => (TenantId::from_uuid(row.id), owner_of(weir).await?),
        Err(ServiceError::NotFound { .. }) => seed(weir, shipped).await?,
        Err(other) => return Err(other),
    };
    let operator = Actor::system(tenant, "demo");
    let input = KeyInput { name: "demo key".to_owned(), expires_in_days: Some(30), ..KeyInput::default() };
    let key = keys::create(weir, &operator, input).await?;
    let sign_in_path = links::sign_in_for(weir, owner).await?;
    Ok(Seeded { tenant, sign_in_path, api_key: key.key })
}

async fn owner_of(weir: &Weir) -> Result<uuid::Uuid, ServiceError> {
    let system = weir.store().system().await?;
    let owner = system.find_user_by_email(OWNER).await?;
    owner.map(|user| user.id).ok_or_else(|| ServiceError::not_found("user", OWNER))
}

async fn seed(weir: &Weir, shipped: Vec<(String, Folder)>) -> Result<(TenantId, uuid::Uuid), ServiceError> {
    let (tenant, owner) = people(weir).await?;
    let actor = Actor { trigger: "demo", ..Actor::system(tenant, "demo") };
    connections::put_simulated(weir, &actor, "simulated").await?;
    tenants::patch(weir, &actor, TenantPatch { default_model: Some(Some(MODEL.to_owned())), ..TenantPatch::default() })
        .await?;
    for (name, folder) in callees_first(shipped) {
        flows::put(weir, &actor, &name, folder, PutOptions::default()).await?;
    }
    let broken = Folder { name: Some("needs_a_fix".to_owned()), yaml: BROKEN.to_owned(), ..Folder::default() };
    flows::put(weir, &actor, "needs_a_fix", broken, PutOptions { draft: true, ..PutOptions::default() }).await?;
    history::act_out(weir, &actor).await?;
    Ok((tenant, owner))
}

/// A flow that calls others is published after them, so that nothing is warned about.
fn callees_first(mut shipped: Vec<(String, Folder)>) -> Vec<(String, Folder)> {
    shipped.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut ordered: Vec<(String, Folder)> = Vec::new();
    while !shipped.is_empty() {
        let names: Vec<String> = shipped.iter().map(|(name, _)| name.clone()).collect();
        let waits = |name: &str, folder: &Folder| {
            let built_on = folder.missing_neighbours();
            names.iter().any(|other| {
                let called = [format!("flow_name: {other}"), format!("flow_name: \"{other}\"")];
                other != name && (built_on.contains(other) || called.iter().any(|called| folder.yaml.contains(called)))
            })
        };
        // Flows that wait for each other in a circle are left to the checker.
        let ready = shipped.iter().position(|(name, folder)| !waits(name, folder)).unwrap_or(0);
        ordered.push(shipped.remove(ready));
    }
    ordered
}

/// The owner and two colleagues in other roles.
async fn people(weir: &Weir) -> Result<(TenantId, uuid::Uuid), ServiceError> {
    let id = weir.ids().tenant();
    let tenant = tenants::new_row(weir, id, TENANT);
    let team = [(OWNER, Role::Owner), ("maria@demo.test", Role::Developer), ("jonas@demo.test", Role::Viewer)];
    let users: Vec<_> = team.iter().map(|(email, role)| (tenants::new_user(weir, email), *role)).collect();
    let owner = users[0].0.id;
    let rows: Vec<_> =
        users.into_iter().map(|(user, role)| (tenants::new_membership(weir, id, &user, role), user)).collect();
    weir.store()
        .write_system(move |unit| async move {
            unit.insert(tenant).await?;
            for (membership, user) in rows {
                unit.insert(user).await?;
                unit.insert(membership).await?;
            }
            Ok::<_, ServiceError>(())
        })
        .await?;
    Ok((id, owner))
}
