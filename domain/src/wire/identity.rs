//! Tenants, members, keys, secrets and connections on the wire.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::id::{ApiKeyId, MemberId, SessionId, TenantId, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantView {
    pub id: TenantId,
    /// The name in URLs: `/t/{name}`.
    pub name: String,
    pub role: Option<Role>,
    pub default_model: Option<String>,
    /// Root runs that may execute at once.
    pub max_concurrent_runs: Option<u32>,
    /// Units by name of pool.
    pub pools: std::collections::BTreeMap<String, u32>,
    pub created_at: DateTime<Utc>,
}

/// Merge patch of `PATCH /api/v1/tenant`. A field that is absent stays as it is; `null` clears it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// `connection/model`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "double_option")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub default_model: Option<Option<String>>,
    /// Root runs that may execute at once; null: as many as there are workers for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "double_option")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub max_concurrent_runs: Option<Option<u32>>,
    /// Units by name of pool, for steps with `resources: {pool, units}`. Replaces all pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<std::collections::BTreeMap<String, u32>>,
}

mod double_option {
    //! Tells an absent field from a null one.
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::option_option,
        clippy::ref_option,
        reason = "absent, null and a value are three things in a merge patch"
    )]
    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    #[expect(clippy::option_option, reason = "absent, null and a value are three things in a merge patch")]
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(deserializer).map(Some)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberView {
    pub id: MemberId,
    pub user_id: UserId,
    pub email: String,
    pub role: Role,
    pub created_at: DateTime<Utc>,
    pub last_active_at: Option<DateTime<Utc>>,
    /// Keys that this person made and that are good still; they end with the membership.
    pub active_keys: u32,
}

/// Body of `PATCH /api/v1/members/{member}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MemberPatch {
    pub role: Role,
}

/// A session of the console as its own person sees it: from where, and when it was used last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    pub id: SessionId,
    /// The session that asks.
    pub current: bool,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    /// When it ends without use.
    pub expires_at: DateTime<Utc>,
}

/// An API key as lists show it: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyView {
    pub id: ApiKeyId,
    pub name: String,
    /// `weir_live_` or `weir_test_` and the first characters.
    pub prefix: String,
    pub last_four: String,
    pub scopes: Vec<String>,
    pub test: bool,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    pub name: String,
    /// `area:verb[:flow]`; empty means all that its maker may.
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub test: bool,
    /// Days until it ends; 90 unless said, 0 for never.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
}

/// The only time a key is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedKey {
    pub id: ApiKeyId,
    pub name: String,
    pub key: String,
}

/// A secret as lists show it: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretView {
    pub name: String,
    pub version: u32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What a model costs, in US dollars for a million tokens. 0 is free.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelRate {
    pub input: f64,
    pub output: f64,
    /// Input that the provider had kept from before; as `input` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
}

/// A connection as lists show it: never its credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionView {
    pub name: String,
    /// `openai` for any OpenAI-compatible endpoint; `simulated` only in a demo tenant.
    pub kind: String,
    pub base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_base_urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// By the model's name at the provider; `*` for all others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, ModelRate>,
    pub has_key: bool,
    pub updated_at: DateTime<Utc>,
}

/// Body of `PUT /api/v1/connections/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConnectionInput {
    pub kind: String,
    #[serde(default)]
    pub base_url: Option<String>,
    /// Further addresses of the same provider, for models: calls are spread over all of them, by how soon they answer and
    /// around what is down. At most 15. The key goes to all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_base_urls: Vec<String>,
    /// How many attempts may go through the connection at the same time, over all flows; the others wait in line. No
    /// limit unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// What its models cost, by their names at the provider, `*` for all others. They come before the built-in prices, hold
    /// for runs that start from then on, and without one a model has no known cost and no place under a `max_cost`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, ModelRate>,
    /// Absent keeps the stored one.
    #[serde(default)]
    pub api_key: Option<String>,
}

/// What came of `POST /api/v1/connections/{name}/test`: one real call, just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionTest {
    /// Whether flows can use the connection as it stands.
    pub ok: bool,
    /// What the other side answered, or why nothing came, in a sentence.
    pub message: String,
    /// The failure's code where it is not `ok`: `dns`, `connect`, `tls`, `key_refused` ...
    pub code: Option<String>,
    pub duration_ms: u64,
    pub tested_at: DateTime<Utc>,
}
