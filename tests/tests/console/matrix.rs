//! Every address of the console below a tenant, and what one must be permitted to have it. The addresses are the program's
//! own list; one without a row here fails the suite.
use domain::Permission::{self, *};
use serde_json::json;
use std::collections::BTreeMap;
use tests::ApiKey;

const LIST: &str = include_str!("../../../server/src/console/addresses.rs");

/// Read: `None` for what every member may see.
const READ: &[(&str, Option<Permission>)] = &[
    ("/t/{}", None),
    ("/t/{}/flows", None),
    ("/t/{}/flows/{}", None),
    ("/t/{}/flows/{}/yaml", None),
    ("/t/{}/flows/{}/run", Some(RunsStart)),
    ("/t/{}/flows/{}/runs", None),
    ("/t/{}/flows/{}/versions", None),
    ("/t/{}/runs", None),
    ("/t/{}/runs.csv", None),
    ("/t/{}/runs.json", None),
    ("/t/{}/runs/live", None),
    ("/t/{}/runs/{}", None),
    ("/t/{}/runs/{}/steps", None),
    ("/t/{}/runs/{}/data", None),
    ("/t/{}/runs/{}/journal", None),
    ("/t/{}/runs/{}/raw", None),
    ("/t/{}/runs/{}/events", None),
    ("/t/{}/approvals", None),
    ("/t/{}/approvals/{}", None),
    ("/t/{}/keys", Some(KeysRead)),
    ("/t/{}/keys/new", Some(KeysWrite)),
    ("/t/{}/connections", Some(ConnectionsRead)),
    ("/t/{}/connections/new", Some(ConnectionsWrite)),
    ("/t/{}/connections/{}", Some(ConnectionsWrite)),
    ("/t/{}/members", None),
    ("/t/{}/audit", Some(AuditRead)),
    ("/t/{}/account", None),
    ("/t/{}/settings", None),
    ("/t/{}/files/{}", None),
];

/// Names and values of a form.
type Fields = &'static [(&'static str, &'static str)];

/// Written, with fields that would do. `None` for what is about the person alone.
const WRITTEN: &[(&str, Option<Permission>, Fields)] = &[
    (
        "/t/{}/keys/new",
        Some(KeysWrite),
        &[("name", "k"), ("access", "read"), ("mode", "live"), ("expires_in_days", "1")],
    ),
    ("/t/{}/keys/{}/revoke", Some(KeysWrite), &[]),
    (
        "/t/{}/connections/new",
        Some(ConnectionsWrite),
        &[("name", "c"), ("kind", "http"), ("base_url", "http://127.0.0.1:9")],
    ),
    ("/t/{}/connections/{}", Some(ConnectionsWrite), &[("kind", "openai"), ("base_url", "http://127.0.0.1:9/v1")]),
    ("/t/{}/connections/{}/delete", Some(ConnectionsWrite), &[]),
    ("/t/{}/connections/{}/test", Some(ConnectionsWrite), &[]),
    ("/t/{}/members/{}/role", Some(MembersWrite), &[("role", "viewer")]),
    ("/t/{}/members/{}/remove", Some(MembersWrite), &[]),
    ("/t/{}/account/sessions/{}/end", None, &[]),
    ("/t/{}/settings", Some(TenantWrite), &[("default_model", "")]),
    ("/t/{}/runs/{}/cancel", Some(RunsCancel), &[]),
    ("/t/{}/runs/{}/{}", Some(RunsKill), &[("reason", "r")]),
    ("/t/{}/runs/{}/steps/{}/resolve", Some(RunsResolve), &[("action", "retry")]),
    ("/t/{}/approvals/{}", Some(RunsApprove), &[("decision", "approve")]),
    ("/t/{}/flows/{}/run", Some(RunsStart), &[("inputs_json", "{}")]),
];

/// One address with its names filled in.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) path: String,
    pub(crate) need: Option<Permission>,
    pub(crate) fields: Vec<(String, String)>,
}

/// The tenant's own things by the kind that an address names before them.
#[derive(Debug)]
pub(crate) struct Things(BTreeMap<&'static str, String>);

impl Things {
    /// Makes one of each kind, with the canary in it.
    pub(crate) async fn make(key: &ApiKey, canary: &str) -> Self {
        let flow = format!("{canary}_flow");
        let yaml = format!(
            "description: {canary}\nsteps:\n  - name: ask\n    executor: approval\n    config: {{message: \"{canary}\"}}\n"
        );
        key.put_flow(&flow, &yaml).await.expect_success();
        let run = key.run(&flow, &json!({})).await.expect_status(202).json()["run_id"].clone();
        let asked = key.get("/api/v1/approvals?status=open").await.expect_success().json()["data"][0]["id"].clone();
        let made = key.post("/api/v1/keys", &json!({"name": canary})).await.expect_success().json()["id"].clone();
        let connection = json!({"kind": "openai", "base_url": "http://127.0.0.1:9/v1"});
        key.put(&format!("/api/v1/connections/{canary}"), &connection).await.expect_success();
        let member = key.get("/api/v1/members").await.expect_success().json()["data"][0]["id"].clone();
        let part = reqwest::multipart::Part::text(canary.to_owned()).file_name(format!("{canary}.txt"));
        let upload = key
            .request(reqwest::Method::POST, "/api/v1/files")
            .multipart(reqwest::multipart::Form::new().part("file", part));
        let file = key.send(upload).await.expect_success().json()["file_id"].clone();
        let text = |value: serde_json::Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
        Self(BTreeMap::from([
            ("flows", flow),
            ("runs", text(run)),
            ("approvals", text(asked)),
            ("keys", text(made)),
            ("connections", canary.to_owned()),
            ("members", text(member)),
            ("files", text(file)),
            ("sessions", "others".to_owned()),
            ("steps", "ask".to_owned()),
        ]))
    }

    fn fill(&self, tenant: &str, pattern: &str) -> String {
        let mut out: Vec<&str> = Vec::new();
        for part in pattern.split('/') {
            let before = out.last().copied().unwrap_or_default();
            out.push(match (part, before) {
                ("{}", "t") => tenant,
                // What is done to a run stands behind its name.
                ("{}", before) if before.starts_with("run_") => "kill",
                ("{}", kind) => self.0.get(kind).unwrap_or_else(|| panic!("nothing of the kind {kind}")),
                (word, _) => word,
            });
        }
        out.join("/")
    }

    pub(crate) fn read(&self, tenant: &str) -> Vec<Address> {
        let address = |&(pattern, need): &(&str, Option<Permission>)| Address {
            path: self.fill(tenant, pattern),
            need,
            fields: Vec::new(),
        };
        READ.iter().map(address).collect()
    }

    pub(crate) fn written(&self, tenant: &str) -> Vec<Address> {
        let owned = |fields: &[(&str, &str)]| {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        WRITTEN
            .iter()
            .map(|&(pattern, need, fields)| Address { path: self.fill(tenant, pattern), need, fields: owned(fields) })
            .collect()
    }
}

/// The addresses below a tenant in one of the program's lists.
fn listed(name: &str) -> Vec<&'static str> {
    let from = LIST.split(&format!("const {name}: &[&str] = &[")).nth(1).unwrap_or_default();
    let list = from.split("];").next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).filter(|path| path.starts_with("/t/")).collect()
}

#[test]
fn every_address_of_the_console_has_a_row_and_every_row_an_address() {
    for (name, rows) in [
        ("READ", READ.iter().map(|row| row.0).collect::<Vec<_>>()),
        ("WRITTEN", WRITTEN.iter().map(|row| row.0).collect()),
    ] {
        let (mut listed, mut rows) = (listed(name), rows);
        listed.sort_unstable();
        rows.sort_unstable();
        assert!(listed.len() > 10, "{name} of addresses.rs is written in a form that this rule does not read");
        assert_eq!(listed, rows, "{name}");
    }
}
