//! Who may do what: permissions, roles and the one table between them.
//!
//! Invariant: deny by default; a permission that no arm below grants is granted to nobody.

use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// One thing that can be permitted, written `area:verb` as in an API key's scopes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $($(#[$doc])* $variant,)* }

        impl Permission {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

permissions! {
    FlowsRead = "flows:read",
    FlowsWrite = "flows:write",
    RunsStart = "runs:start",
    RunsRead = "runs:read",
    RunsCancel = "runs:cancel",
    /// The end at once, without handlers.
    RunsKill = "runs:kill",
    RunsSignal = "runs:signal",
    /// Says what becomes of a step that needs attention.
    RunsResolve = "runs:resolve",
    RunsApprove = "runs:approve",
    RunsFeedback = "runs:feedback",
    KeysRead = "keys:read",
    KeysWrite = "keys:write",
    SecretsRead = "secrets:read",
    SecretsWrite = "secrets:write",
    ConnectionsRead = "connections:read",
    ConnectionsWrite = "connections:write",
    FilesWrite = "files:write",
    FilesRead = "files:read",
    MembersRead = "members:read",
    MembersWrite = "members:write",
    TenantRead = "tenant:read",
    TenantWrite = "tenant:write",
    AuditRead = "audit:read",
}

/// A built-in role. Custom roles come later and are sets of permissions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Admin,
    Developer,
    Operator,
    Viewer,
}

impl Role {
    pub const ALL: &'static [Self] = &[Self::Owner, Self::Admin, Self::Developer, Self::Operator, Self::Viewer];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text)
    }

    /// The role in one plain sentence, shown wherever it can be chosen.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Owner => "May do everything, including handing the tenant over.",
            Self::Admin => "Manages members, keys, secrets and settings, and everything a developer may.",
            Self::Developer => "Writes flows, connects services and runs everything.",
            Self::Operator => "Starts, watches, repairs and ends runs; changes no flow.",
            Self::Viewer => "Looks at flows and runs; changes nothing.",
        }
    }

    /// The policy: whether this role grants a permission.
    #[must_use]
    pub const fn grants(self, permission: Permission) -> bool {
        use Permission as P;
        match permission {
            P::FlowsRead | P::RunsRead | P::TenantRead | P::FilesRead | P::MembersRead => true,
            P::RunsStart
            | P::RunsCancel
            | P::RunsKill
            | P::RunsSignal
            | P::RunsResolve
            | P::RunsApprove
            | P::RunsFeedback
            | P::FilesWrite => {
                matches!(self, Self::Owner | Self::Admin | Self::Developer | Self::Operator)
            }
            P::FlowsWrite | P::ConnectionsRead | P::ConnectionsWrite | P::SecretsRead | P::SecretsWrite => {
                matches!(self, Self::Owner | Self::Admin | Self::Developer)
            }
            P::KeysRead | P::KeysWrite => matches!(self, Self::Owner | Self::Admin | Self::Developer),
            P::MembersWrite | P::TenantWrite | P::AuditRead => matches!(self, Self::Owner | Self::Admin),
        }
    }
}
