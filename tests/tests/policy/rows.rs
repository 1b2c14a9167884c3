//! One row a route: what it needs and a request that would do. A new route gets its row here, or the suite fails.

/// What a caller must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Open to strangers.
    Nothing,
    /// Any good key of the tenant.
    Key,
    /// A key with this scope.
    Permission(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    Nothing,
    Json(&'static str),
    Yaml(&'static str),
    File,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) need: Need,
    pub(crate) body: Body,
    /// A name that is free in the caller's own tenant makes a thing there, whatever others have.
    pub(crate) creates: bool,
}

const fn row_of(name: &'static str, need: Need, body: Body) -> Row {
    Row { name, need, body, creates: false }
}

const fn creating(name: &'static str, need: Need, body: Body) -> Row {
    Row { name, need, body, creates: true }
}

/// Every scope there is.
pub(crate) const PERMISSIONS: &[&str] = &[
    "flows:read",
    "flows:write",
    "runs:start",
    "runs:read",
    "runs:cancel",
    "runs:kill",
    "runs:signal",
    "runs:resolve",
    "runs:approve",
    "runs:feedback",
    "keys:read",
    "keys:write",
    "secrets:read",
    "secrets:write",
    "connections:read",
    "connections:write",
    "files:write",
    "files:read",
    "members:read",
    "members:write",
    "tenant:read",
    "tenant:write",
    "audit:read",
];

const FLOW: &str = "steps:\n  - name: a\n    executor: data_transformer\n    config: {data: 1}\n";

const EXPERIMENT: &str =
    r#"{"variants": [{"name": "control", "version": 1}, {"name": "other", "version": 1}], "state": "paused"}"#;

const ROWS: &[Row] = &[
    row_of("GET /health/live", Need::Nothing, Body::Nothing),
    row_of("GET /health/ready", Need::Nothing, Body::Nothing),
    row_of("GET /api/v1/openapi.json", Need::Nothing, Body::Nothing),
    row_of("GET /api/v1/executors", Need::Key, Body::Nothing),
    row_of("DELETE /api/v1/cache", Need::Permission("flows:write"), Body::Nothing),
    row_of("GET /api/v1/flows", Need::Permission("flows:read"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}", Need::Permission("flows:read"), Body::Nothing),
    creating("PUT /api/v1/flows/{flow}", Need::Permission("flows:write"), Body::Yaml(FLOW)),
    row_of("DELETE /api/v1/flows/{flow}", Need::Permission("flows:write"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}/versions", Need::Permission("flows:read"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}/versions/{version}", Need::Permission("flows:read"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}/channels", Need::Permission("flows:read"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}/channels/{channel}", Need::Permission("flows:read"), Body::Nothing),
    row_of(
        "PUT /api/v1/flows/{flow}/channels/{channel}",
        Need::Permission("flows:write"),
        Body::Json(r#"{"version": 1}"#),
    ),
    row_of("DELETE /api/v1/flows/{flow}/channels/{channel}", Need::Permission("flows:write"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}/experiments", Need::Permission("flows:read"), Body::Nothing),
    row_of("GET /api/v1/flows/{flow}/experiments/{experiment}", Need::Permission("flows:read"), Body::Nothing),
    row_of(
        "PUT /api/v1/flows/{flow}/experiments/{experiment}",
        Need::Permission("flows:write"),
        Body::Json(EXPERIMENT),
    ),
    row_of("DELETE /api/v1/flows/{flow}/experiments/{experiment}", Need::Permission("flows:write"), Body::Nothing),
    row_of("POST /api/v1/flows/{flow}/plan", Need::Permission("flows:read"), Body::Json("{}")),
    row_of("POST /api/v1/flows/check", Need::Permission("flows:read"), Body::Yaml(FLOW)),
    row_of("POST /api/v1/flows/{flow}/run", Need::Permission("runs:start"), Body::Json("{}")),
    row_of("GET /api/v1/runs", Need::Permission("runs:read"), Body::Nothing),
    row_of("GET /api/v1/runs/{run}", Need::Permission("runs:read"), Body::Nothing),
    row_of("GET /api/v1/runs/{run}/steps", Need::Permission("runs:read"), Body::Nothing),
    row_of("GET /api/v1/runs/{run}/events", Need::Permission("runs:read"), Body::Nothing),
    row_of("GET /api/v1/runs/{run}/why", Need::Permission("runs:read"), Body::Nothing),
    row_of("POST /api/v1/runs/{run}/cancel", Need::Permission("runs:cancel"), Body::Json("{}")),
    row_of("POST /api/v1/runs/{run}/kill", Need::Permission("runs:kill"), Body::Json(r#"{"reason": "r"}"#)),
    row_of("POST /api/v1/runs/{run}/signal", Need::Permission("runs:signal"), Body::Json(r#"{"name": "go"}"#)),
    row_of("POST /api/v1/runs/{run}/restart", Need::Permission("runs:start"), Body::Nothing),
    row_of("POST /api/v1/runs/{run}/replay", Need::Permission("runs:start"), Body::Json("{}")),
    row_of(
        "POST /api/v1/runs/{run}/steps/{step}/resolve",
        Need::Permission("runs:resolve"),
        Body::Json(r#"{"action": "retry"}"#),
    ),
    row_of("GET /api/v1/approvals", Need::Permission("runs:read"), Body::Nothing),
    row_of("GET /api/v1/approvals/{approval}", Need::Permission("runs:read"), Body::Nothing),
    row_of(
        "POST /api/v1/approvals/{approval}",
        Need::Permission("runs:approve"),
        Body::Json(r#"{"decision": "approve"}"#),
    ),
    row_of("POST /api/v1/runs/{run}/feedback", Need::Permission("runs:feedback"), Body::Json(r#"{"score": 1}"#)),
    row_of("GET /api/v1/runs/{run}/feedback", Need::Permission("runs:read"), Body::Nothing),
    row_of("GET /api/v1/keys", Need::Permission("keys:read"), Body::Nothing),
    row_of(
        "POST /api/v1/keys",
        Need::Permission("keys:write"),
        Body::Json(r#"{"name": "made", "scopes": ["keys:write"]}"#),
    ),
    row_of("DELETE /api/v1/keys/{key}", Need::Permission("keys:write"), Body::Nothing),
    row_of("POST /api/v1/files", Need::Permission("files:write"), Body::File),
    row_of("GET /api/v1/files/{file}", Need::Permission("files:read"), Body::Nothing),
    row_of("GET /api/v1/files/{file}/content", Need::Permission("files:read"), Body::Nothing),
    row_of("GET /api/v1/connections", Need::Permission("connections:read"), Body::Nothing),
    row_of("GET /api/v1/connections/{connection}", Need::Permission("connections:read"), Body::Nothing),
    creating(
        "PUT /api/v1/connections/{connection}",
        Need::Permission("connections:write"),
        Body::Json(r#"{"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}"#),
    ),
    row_of("DELETE /api/v1/connections/{connection}", Need::Permission("connections:write"), Body::Nothing),
    row_of("POST /api/v1/connections/{connection}/test", Need::Permission("connections:write"), Body::Nothing),
    row_of("GET /api/v1/secrets", Need::Permission("secrets:read"), Body::Nothing),
    creating("PUT /api/v1/secrets/{secret}", Need::Permission("secrets:write"), Body::Json(r#"{"value": "v"}"#)),
    row_of("DELETE /api/v1/secrets/{secret}", Need::Permission("secrets:write"), Body::Nothing),
    row_of("GET /api/v1/tenant", Need::Permission("tenant:read"), Body::Nothing),
    row_of("PATCH /api/v1/tenant", Need::Permission("tenant:write"), Body::Json(r#"{"default_model": null}"#)),
    row_of("GET /api/v1/members", Need::Permission("members:read"), Body::Nothing),
    row_of("GET /api/v1/members/{member}", Need::Permission("members:read"), Body::Nothing),
    row_of("PATCH /api/v1/members/{member}", Need::Permission("members:write"), Body::Json(r#"{"role": "viewer"}"#)),
    row_of("DELETE /api/v1/members/{member}", Need::Permission("members:write"), Body::Nothing),
    row_of("GET /api/v1/audit", Need::Permission("audit:read"), Body::Nothing),
];

pub(crate) fn row(name: &str) -> Option<Row> {
    ROWS.iter().copied().find(|row| row.name == name)
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}
