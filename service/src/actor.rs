//! Who acts: the one thing every service call takes besides its context.
//!
//! Invariant: an actor is made by sign-in, by a key's check or by the program itself, never from what a request says.

use domain::{ApiKeyId, Role, TenantId, TraceContext, UserId};

/// A person, a key or the program, within one tenant.
#[derive(Debug, Clone)]
pub struct Actor {
    pub tenant: TenantId,
    pub subject: Subject,
    /// The role at the time of use: the member's own, for a key its maker's.
    pub role: Role,
    /// A key's scopes; empty where the role alone decides.
    pub scopes: Vec<Scope>,
    /// Runs by test keys are marked and skip unsafe effects.
    pub test: bool,
    /// What a run started by this actor is said to be started by: `api`, `console`, `cli`, `demo`.
    pub trigger: &'static str,
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// The trace of the request; without one, what the actor starts begins a trace of its own.
    pub trace: Option<TraceContext>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    User {
        id: UserId,
        name: String,
    },
    ApiKey {
        id: ApiKeyId,
        name: String,
        user_id: UserId,
    },
    /// The program itself: a worker, the command line on the store, the demo's seed.
    System {
        name: &'static str,
    },
}

impl Actor {
    /// The program acting within a tenant. It may everything, so it must never carry a request's wish unchecked.
    #[must_use]
    pub const fn system(tenant: TenantId, name: &'static str) -> Self {
        Self {
            tenant,
            subject: Subject::System { name },
            role: Role::Owner,
            scopes: Vec::new(),
            test: false,
            trigger: "cli",
            address: None,
            request_id: None,
            trace: None,
        }
    }

    /// The name that people see in lists: an e-mail address, a key's name, or the program's part.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.subject {
            Subject::User { name, .. } | Subject::ApiKey { name, .. } => name,
            Subject::System { name } => name,
        }
    }

    #[must_use]
    pub const fn user_id(&self) -> Option<UserId> {
        match &self.subject {
            Subject::User { id, .. } | Subject::ApiKey { user_id: id, .. } => Some(*id),
            Subject::System { .. } => None,
        }
    }

    #[must_use]
    pub const fn api_key_id(&self) -> Option<ApiKeyId> {
        match &self.subject {
            Subject::ApiKey { id, .. } => Some(*id),
            Subject::User { .. } | Subject::System { .. } => None,
        }
    }

    /// `user`, `api_key` or `system`, as the audit log says it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.subject {
            Subject::User { .. } => "user",
            Subject::ApiKey { .. } => "api_key",
            Subject::System { .. } => "system",
        }
    }
}

/// One scope of a key: `area:verb[:flow]`. `*` stands for any verb, and for any flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    area: String,
    verb: String,
    flow: Option<String>,
}

impl Scope {
    /// Reads a scope; the error is a sentence for people.
    ///
    /// # Errors
    /// If it does not name a permission (or a whole area by `area:*`).
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (area, verb) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let known = domain::Permission::ALL.iter().any(|permission| {
            permission.as_str().split_once(':').is_some_and(|(a, v)| a == area && (verb == "*" || v == verb))
        });
        if !known {
            let all: Vec<&str> = domain::Permission::ALL.iter().map(|permission| permission.as_str()).collect();
            return Err(format!(
                "`{text}` is no scope. Scopes are `area:verb` or `area:verb:flow`: {}.",
                all.join(", ")
            ));
        }
        let flow = parts.next().filter(|flow| *flow != "*").map(ToOwned::to_owned);
        if flow.is_some() && !matches!(area, "flows" | "runs") {
            return Err(format!("`{text}`: only scopes of flows and runs can name a flow."));
        }
        Ok(Self { area: area.to_owned(), verb: verb.to_owned(), flow })
    }

    /// A scope that covers nothing.
    pub(crate) fn nothing() -> Self {
        Self { area: String::new(), verb: String::new(), flow: None }
    }

    /// Whether the scope covers a permission on a flow. Without a flow, only a scope without one does.
    #[must_use]
    pub fn covers(&self, permission: domain::Permission, flow: Option<&str>) -> bool {
        let Some((area, verb)) = permission.as_str().split_once(':') else { return false };
        self.area == area
            && (self.verb == "*" || self.verb == verb)
            && match (&self.flow, flow) {
                (None, _) => true,
                (Some(own), Some(asked)) => own == asked,
                (Some(_), None) => false,
            }
    }

    /// Whether everything that `other` covers is covered by this one.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.area == other.area
            && (self.verb == "*" || self.verb == other.verb)
            && (self.flow.is_none() || self.flow == other.flow)
    }

    /// The only flow this scope is about, where it names one.
    #[must_use]
    pub fn flow(&self) -> Option<&str> {
        self.flow.as_deref()
    }
}
