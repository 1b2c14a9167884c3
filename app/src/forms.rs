//! The console's writes: every one a plain HTML form with a path and fields, shared by the pages and the server.
//!
//! Invariant: a form posts to the address of the page that shows it wherever it can be refused, so that the server
//! answers a refusal with that same page and its errors; forms that cannot fail on input answer 303.
//!
//! Every form carries the hidden field [`CSRF`]. A field that was left empty arrives as an empty text and means "absent".

use serde::{Deserialize, Serialize};

/// The hidden field with the session's token (for visitors: a token bound to a cookie of the sign-in page).
pub const CSRF: &str = "csrf";
/// In multipart forms: what stands before an input's name. Files and plain inputs alike.
pub const INPUT_PREFIX: &str = "input.";
/// In the run form of a flow without declared inputs: a JSON object with all of them.
pub const RAW_INPUTS: &str = "inputs_json";
/// In the run form of a flow without declared inputs: the file, passed on under the name `file`.
pub const RAW_FILE: &str = "input.file";

/// `POST /sign-in`: 303 to `next` (a local path; anything else is ignored) or to the first tenant;
/// 401 or 429 with the page again otherwise, `FormState::message` saying why and how long to wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignIn {
    pub csrf: String,
    pub email: String,
    pub password: String,
    #[serde(default)]
    pub next: String,
}

/// `POST /setup/{token}`: makes the first owner, signs in, 303 to the tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    pub csrf: String,
    pub email: String,
    pub password: String,
    /// The first tenant's name in URLs; empty when a tenant is already there.
    #[serde(default)]
    pub tenant: String,
}

/// Forms that carry nothing but the token: `POST /sign-out`, `POST /t/{tenant}/keys/{id}/revoke`,
/// `POST /t/{tenant}/runs/{id}/cancel`, `POST /t/{tenant}/connections/{name}/delete`,
/// `POST /t/{tenant}/members/{id}/remove`, `POST /t/{tenant}/account/sessions/{id}/end` (`others` for all but this one).
/// Each answers 303.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Confirm {
    pub csrf: String,
}

/// `POST /preferences`: sets what is given of the cookies `weir_theme` (`system` clears it) and `weir_single_keys`, 303 to
/// `next`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Preferences {
    pub csrf: String,
    /// `system`, `light` or `dark`.
    #[serde(default)]
    pub theme: String,
    /// `on` or `off`.
    #[serde(default)]
    pub single_keys: String,
    #[serde(default)]
    pub next: String,
}

/// `POST /t/{tenant}/keys/new`: answers 200 with the same page and `PageState::created_key` (never stored, never cached).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewKey {
    pub csrf: String,
    pub name: String,
    /// `all`, `run` (start and read runs, read flows, write files) or `read`.
    pub access: String,
    /// `live` or `test`.
    pub mode: String,
    /// Days; `0` is never.
    pub expires_in_days: String,
}

impl NewKey {
    /// The scopes behind a choice of `access`; empty means all that the maker may, `None` that the choice is unknown.
    #[must_use]
    pub fn scopes(access: &str) -> Option<&'static [&'static str]> {
        match access {
            "all" => Some(&[]),
            "run" => Some(&["runs:start", "runs:read", "flows:read", "files:write", "files:read"]),
            "read" => Some(&["runs:read", "flows:read", "files:read"]),
            _ => None,
        }
    }
}

/// `POST /t/{tenant}/connections/new` and `POST /t/{tenant}/connections/{name}` (then `name` is the path's and the field
/// is absent). 303 to the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connection {
    pub csrf: String,
    #[serde(default)]
    pub name: String,
    pub kind: String,
    #[serde(default)]
    pub base_url: String,
    /// Further addresses of a model provider, with blanks or line ends between them.
    #[serde(default)]
    pub more_base_urls: String,
    /// A whole number; empty is no limit.
    #[serde(default)]
    pub max_concurrency: String,
    /// A line a model: its name or `*`, then US dollars for a million tokens of input, of output, and of cached input.
    #[serde(default)]
    pub prices: String,
    /// Write-only; empty keeps the stored one.
    #[serde(default)]
    pub api_key: String,
}

/// `POST /t/{tenant}/connections/{name}/test`: 303 to `next`, or to the list, with a notice that says what answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestConnection {
    pub csrf: String,
    #[serde(default)]
    pub next: String,
}

/// `POST /t/{tenant}/settings`: 303 to the page with a notice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    pub csrf: String,
    /// `connection/model`; empty clears it.
    #[serde(default)]
    pub default_model: String,
}

/// `POST /t/{tenant}/members/{id}/role`: 303 to the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberRole {
    pub csrf: String,
    pub role: String,
}

/// `POST /t/{tenant}/runs/{id}/kill`: 303 to the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kill {
    pub csrf: String,
    pub reason: String,
}

/// `POST /t/{tenant}/runs/{id}/signal`: 303 to the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signal {
    pub csrf: String,
    pub name: String,
    /// JSON; empty is null.
    #[serde(default)]
    pub payload: String,
}

/// `POST /t/{tenant}/runs/{id}/replay`: 303 to the new run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replay {
    pub csrf: String,
    /// Empty: from the beginning.
    #[serde(default)]
    pub from_step: String,
    /// `true` where it is ticked.
    #[serde(default)]
    pub reuse_keys: String,
}

/// `POST /t/{tenant}/runs/{id}/steps/{step}/resolve`: 303 to the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resolve {
    pub csrf: String,
    /// `complete`, `retry` or `fail`.
    pub action: String,
    /// Of a step with items, counted from 0; empty for any other.
    #[serde(default)]
    pub item: String,
    /// With `complete`: JSON; empty is null.
    #[serde(default)]
    pub output: String,
    /// With `retry`, for a step that stopped at a cap: the new cap in US dollars; empty leaves it.
    #[serde(default)]
    pub max_cost: String,
}

/// `POST /t/{tenant}/approvals/{id}`: 303 to the list, or the page again. What the question's form asks for comes in fields
/// that begin with [`INPUT_PREFIX`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decide {
    pub csrf: String,
    /// `approve` or `reject`.
    pub decision: String,
    #[serde(default)]
    pub comment: String,
    #[serde(flatten)]
    pub fields: std::collections::BTreeMap<String, String>,
}

/// The addresses of pages and forms, made in one place so that no link can rot. Names are path-safe by their grammar.
pub mod path {
    pub const SIGN_IN: &str = "/sign-in";
    pub const SIGN_OUT: &str = "/sign-out";
    pub const PREFERENCES: &str = "/preferences";

    #[must_use]
    pub fn setup(token: &str) -> String {
        format!("/setup/{token}")
    }

    #[must_use]
    pub fn overview(tenant: &str) -> String {
        format!("/t/{tenant}")
    }

    #[must_use]
    pub fn section(tenant: &str, section: &str) -> String {
        format!("/t/{tenant}/{section}")
    }

    #[must_use]
    pub fn flow(tenant: &str, flow: &str) -> String {
        format!("/t/{tenant}/flows/{flow}")
    }

    /// `tab` is `yaml`, `run`, `runs` or `versions`. `POST` on the `run` tab starts a run (multipart) and answers 303
    /// to the run's page.
    #[must_use]
    pub fn flow_tab(tenant: &str, flow: &str, tab: &str) -> String {
        format!("/t/{tenant}/flows/{flow}/{tab}")
    }

    #[must_use]
    pub fn run(tenant: &str, run: &str) -> String {
        format!("/t/{tenant}/runs/{run}")
    }

    #[must_use]
    pub fn run_tab(tenant: &str, run: &str, tab: &str) -> String {
        format!("/t/{tenant}/runs/{run}/{tab}")
    }

    /// `GET`, a stream of `domain::wire::EventView` as plain `message` events with `id:`; ends with `event: end`.
    #[must_use]
    pub fn run_events(tenant: &str, run: &str) -> String {
        format!("/t/{tenant}/runs/{run}/events")
    }

    /// `GET`, a stream that says `data: {}` whenever any run of the tenant changes; the list asks again then.
    #[must_use]
    pub fn runs_live(tenant: &str) -> String {
        format!("/t/{tenant}/runs/live")
    }

    /// `GET`, the runs of a filter as a file; `format` is `csv` or `json`, the query is the list's.
    #[must_use]
    pub fn runs_export(tenant: &str, format: &str) -> String {
        format!("/t/{tenant}/runs.{format}")
    }

    #[must_use]
    pub fn run_cancel(tenant: &str, run: &str) -> String {
        format!("/t/{tenant}/runs/{run}/cancel")
    }

    /// `POST`: `act` is `kill`, `signal`, `restart` or `replay`.
    #[must_use]
    pub fn run_act(tenant: &str, run: &str, act: &str) -> String {
        format!("/t/{tenant}/runs/{run}/{act}")
    }

    #[must_use]
    pub fn step_resolve(tenant: &str, run: &str, step: &str) -> String {
        format!("/t/{tenant}/runs/{run}/steps/{step}/resolve")
    }

    #[must_use]
    pub fn approval(tenant: &str, approval: &str) -> String {
        format!("/t/{tenant}/approvals/{approval}")
    }

    /// `GET`, a file value of a run, as an attachment.
    #[must_use]
    pub fn file(tenant: &str, file: &str) -> String {
        format!("/t/{tenant}/files/{file}")
    }

    #[must_use]
    pub fn key_new(tenant: &str) -> String {
        format!("/t/{tenant}/keys/new")
    }

    #[must_use]
    pub fn key_revoke(tenant: &str, key: &str) -> String {
        format!("/t/{tenant}/keys/{key}/revoke")
    }

    #[must_use]
    pub fn connection_new(tenant: &str) -> String {
        format!("/t/{tenant}/connections/new")
    }

    #[must_use]
    pub fn connection(tenant: &str, name: &str) -> String {
        format!("/t/{tenant}/connections/{name}")
    }

    #[must_use]
    pub fn connection_delete(tenant: &str, name: &str) -> String {
        format!("/t/{tenant}/connections/{name}/delete")
    }

    #[must_use]
    pub fn connection_test(tenant: &str, name: &str) -> String {
        format!("/t/{tenant}/connections/{name}/test")
    }

    /// `POST`: `act` is `role` or `remove`.
    #[must_use]
    pub fn member_act(tenant: &str, member: &str, act: &str) -> String {
        format!("/t/{tenant}/members/{member}/{act}")
    }

    /// `POST`: `others` ends all sessions but this one.
    #[must_use]
    pub fn session_end(tenant: &str, session: &str) -> String {
        format!("/t/{tenant}/account/sessions/{session}/end")
    }
}
