//! The step cache: what a unit's output is kept under, and for whom.
//!
//! Invariant: the key holds everything the output depends on (executor and version, config, secrets by reference and
//! version, model, connections by revision, the resolved tree of the flows it calls), and the scope it may be shared in; the
//! surroundings add the tenant. What cannot be known is not cached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{NanoUsd, StepStatus};
use language::CostKind;
use language::plan::{CacheMode, CacheScope};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Driver;
use super::values::store;
use crate::dispatcher::{CacheHit, Place, Signal};
use crate::executor::Executor;
use crate::ports::{CacheEntry, Children, Models, PortError, Secrets};
use crate::run::DriveError;
use crate::template::names;

/// Where an attempt's output goes besides the journal.
pub(super) struct Keep {
    depends_on: DependsOn,
    ttl_ms: Option<u64>,
    tags: Vec<String>,
}

impl Keep {
    /// The key as things stand now. It is made before the attempt sees a secret or a connection: what changes in between
    /// is then kept under a key that nobody asks for any more.
    pub(super) async fn key(&self) -> Result<Option<String>, PortError> {
        match self.depends_on.key().await {
            Err(PortError::LeaseLost) => Err(PortError::LeaseLost),
            Err(error) => {
                tracing::warn!(%error, "an output is not kept: what it depends on could not be read");
                Ok(None)
            }
            key => key,
        }
    }

    pub(super) fn entry(&self, key: &str, value: Value, cost: Option<NanoUsd>) -> CacheEntry {
        CacheEntry { key: key.to_owned(), value, cost, ttl_ms: self.ttl_ms, tags: self.tags.clone() }
    }
}

/// What a unit's output depends on, and who knows how that stands now.
pub(super) struct DependsOn {
    fixed: Value,
    names_of_secrets: BTreeSet<String>,
    names_of_connections: BTreeSet<String>,
    /// Of a step that calls flows; `None` in it: a template computes one.
    callees: Option<Option<Vec<language::Callee>>>,
    secrets: Arc<dyn Secrets>,
    models: Arc<dyn Models>,
    children: Arc<dyn Children>,
}

impl DependsOn {
    /// `None`: something of it cannot be known.
    pub(super) async fn key(&self) -> Result<Option<String>, PortError> {
        let (mut secrets, mut connections) = (BTreeMap::new(), BTreeMap::new());
        for name in &self.names_of_secrets {
            secrets.insert(name, self.secrets.version(name).await?);
        }
        for name in &self.names_of_connections {
            connections.insert(name, self.models.revision(name).await?);
        }
        let tree = match &self.callees {
            None => Value::Null,
            Some(None) => return Ok(None),
            Some(Some(callees)) => match self.children.tree(callees).await? {
                Some(tree) => tree,
                None => return Ok(None),
            },
        };
        let of = json!({ "fixed": self.fixed, "secrets": secrets, "connections": connections, "tree": tree });
        Ok(Some(hex::encode(Sha256::digest(of.to_string()))))
    }
}

impl Driver {
    /// Where this unit's output is to be kept, if anywhere.
    pub(super) fn keep(&self, place: Place, executor: &Arc<dyn Executor>, config: &Value) -> Option<Keep> {
        self.surroundings.cache.as_ref()?;
        let mode = self.state.may_cache(self.prepared.graph(), place)?;
        let plan = self.prepared.plan().steps[place.step].cache.as_ref()?;
        matches!(mode, CacheMode::On | CacheMode::WriteOnly).then(|| Keep {
            depends_on: self.depends_on(place, executor, config),
            ttl_ms: plan.ttl_ms,
            tags: plan.tags.clone(),
        })
    }

    pub(super) fn depends_on(&self, place: Place, executor: &Arc<dyn Executor>, config: &Value) -> DependsOn {
        let plan = &self.prepared.plan().steps[place.step];
        let scope = match plan.cache.as_ref().map(|cache| cache.scope).unwrap_or_default() {
            CacheScope::Tenant => json!("tenant"),
            CacheScope::Flow => json!({"flow": self.run.flow}),
            CacheScope::Run => json!({"run": self.run.id}),
        };
        let spec = executor.spec();
        let uses = &self.state.unit(place).secrets;
        let fixed = json!({
            "scope": scope,
            "executor": [spec.name, spec.version],
            "config": config,
            "secrets": uses,
            "model": self.run.default_model,
            "test": self.run.test,
        });
        let mut names_of_secrets = BTreeSet::new();
        for secret in uses {
            names(&secret.parts, &mut |name| {
                names_of_secrets.insert(name.to_owned());
            });
        }
        let text = |field: &str| config.get(field).and_then(Value::as_str);
        let model = text("model").or(self.run.default_model.as_deref()).filter(|_| spec.cost == CostKind::Tokens);
        let of_model = model.and_then(|model| Some(model.split_once('/')?.0));
        let callees = (spec.cost == CostKind::Child).then(|| config.as_object().and_then(language::callees));
        DependsOn {
            fixed,
            names_of_secrets,
            names_of_connections: text("connection").into_iter().chain(of_model).map(str::to_owned).collect(),
            callees,
            secrets: self.surroundings.secrets.clone(),
            models: self.surroundings.models.clone(),
            children: self.surroundings.children.clone(),
        }
    }

    pub(super) async fn look_up(&mut self, place: Place) -> Result<Option<Signal>, DriveError> {
        let unit = self.state.unit(place);
        let executor = self.prepared.entry(place.step, unit.entry).and_then(|entry| entry.executor.clone());
        let (Some(cache), Some(executor), StepStatus::Ready) = (self.surroundings.cache.clone(), executor, unit.status)
        else {
            return Ok(Some(Signal::CacheAnswered { place, hit: None }));
        };
        let config = unit.config.clone().unwrap_or(Value::Null);
        let depends_on = self.depends_on(place, &executor, &config);
        let asked = async {
            match depends_on.key().await? {
                Some(key) => cache.get(&key).await,
                None => Ok(None),
            }
        };
        // A cache that is not there costs a call, not the run.
        let hit = match asked.await {
            Ok(hit) => hit,
            Err(PortError::LeaseLost) => return Err(PortError::LeaseLost.into()),
            Err(error) => {
                tracing::warn!(%error, "the step cache could not be asked");
                None
            }
        };
        let hit = match hit {
            Some(kept) => {
                let output = store(&*self.surroundings.blobs, kept.value).await?;
                output.map(|output| CacheHit { output, saved: kept.cost })
            }
            None => None,
        };
        Ok(Some(Signal::CacheAnswered { place, hit }))
    }
}
