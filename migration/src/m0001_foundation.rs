//! The foundation: tenants and people, flows and versions, runs and their journal, money, audit.
//!
//! Invariant: every tenant table has `tenant_id NOT NULL` in its primary key and in every foreign key to another tenant
//! table, so that a reference across tenants cannot exist.

mod records;

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_foundation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for text in [PEOPLE, CONFIGURATION, FLOWS, RUNS, records::RECORDS] {
            dialect::run(manager, text).await?;
        }
        for table in TENANT_TABLES {
            roles::fence(manager, table, "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await?;
        }
        for table in APPEND_ONLY_TABLES {
            roles::fence(manager, table, "tenant_id", "SELECT, INSERT").await?;
        }
        roles::fence(manager, "tenants", "id", "SELECT, UPDATE").await?;
        for (table, verbs) in SYSTEM_TABLES {
            roles::open_to_system(manager, table, verbs).await?;
        }
        dialect_only_on_postgres(manager, POSTGRES_ONLY).await
    }
}

async fn dialect_only_on_postgres(manager: &SchemaManager<'_>, text: &str) -> Result<(), DbErr> {
    use sea_orm_migration::sea_orm::DbBackend;
    if manager.get_database_backend() == DbBackend::Postgres {
        dialect::run(manager, text).await?;
    }
    Ok(())
}

const TENANT_TABLES: &[&str] = &[
    "memberships",
    "api_keys",
    "secrets",
    "connections",
    "flows",
    "versions",
    "channels",
    "blobs",
    "files",
    "runs",
    "steps",
    "items",
    "attempts",
    "idempotency_keys",
];

/// What is written once and never changed: not even the serving role could.
const APPEND_ONLY_TABLES: &[&str] = &["events", "ledger", "audit"];

/// Where the system role may go, and what it may do there: sign-in, looking a key up, claiming runs, sweeping.
const SYSTEM_TABLES: &[(&str, &str)] = &[
    ("tenants", "SELECT, INSERT, UPDATE"),
    ("users", "SELECT, INSERT, UPDATE"),
    ("memberships", "SELECT, INSERT, UPDATE"),
    ("sessions", "SELECT, INSERT, UPDATE, DELETE"),
    ("one_time_links", "SELECT, INSERT, UPDATE, DELETE"),
    ("sign_in_failures", "SELECT, INSERT, UPDATE, DELETE"),
    ("api_keys", "SELECT, UPDATE"),
    ("runs", "SELECT, UPDATE"),
    ("idempotency_keys", "SELECT, DELETE"),
    ("blobs", "SELECT"),
    ("audit", "SELECT, INSERT, UPDATE"),
    ("prices", "SELECT, INSERT"),
];

/// People are seen by the tenants they belong to; prices by everyone.
const POSTGRES_ONLY: &str = "
CREATE POLICY users_of_tenant ON users FOR SELECT TO weir_app
    USING (EXISTS (SELECT FROM memberships m WHERE m.user_id = users.id))
;
GRANT SELECT ON users TO weir_app
;
CREATE POLICY prices_for_all ON prices FOR SELECT TO weir_app USING (true)
;
GRANT SELECT ON prices TO weir_app
;
GRANT SELECT ON seaql_migrations TO weir_app
";

const PEOPLE: &str = "
CREATE TABLE tenants (
    id {uuid} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE,
    default_model {text},
    data_key {bytes} NOT NULL,
    data_key_version {int} NOT NULL,
    channel_position {big} NOT NULL,
    created_at {time} NOT NULL,
    suspended_at {time}
) {end}
;
CREATE TABLE users (
    id {uuid} NOT NULL PRIMARY KEY,
    email {text} NOT NULL UNIQUE,
    name {text} NOT NULL,
    password_hash {text},
    created_at {time} NOT NULL,
    disabled_at {time},
    last_active_at {time}
) {end}
;
CREATE TABLE memberships (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    user_id {uuid} NOT NULL REFERENCES users (id),
    role {text} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_id)
) {end}
;
CREATE INDEX memberships_user ON memberships (user_id)
;
CREATE TABLE sessions (
    id {uuid} NOT NULL PRIMARY KEY,
    user_id {uuid} NOT NULL REFERENCES users (id),
    token_hash {bytes} NOT NULL UNIQUE,
    address {text},
    user_agent {text},
    created_at {time} NOT NULL,
    last_seen_at {time} NOT NULL,
    expires_at {time} NOT NULL,
    revoked_at {time}
) {end}
;
CREATE INDEX sessions_user ON sessions (user_id)
;
CREATE INDEX sessions_expiry ON sessions (expires_at)
;
CREATE TABLE one_time_links (
    id {uuid} NOT NULL PRIMARY KEY,
    token_hash {bytes} NOT NULL UNIQUE,
    purpose {text} NOT NULL,
    tenant_id {uuid} REFERENCES tenants (id),
    user_id {uuid} REFERENCES users (id),
    email {text},
    role {text},
    created_at {time} NOT NULL,
    expires_at {time} NOT NULL,
    used_at {time}
) {end}
;
CREATE INDEX one_time_links_expiry ON one_time_links (expires_at)
;
CREATE TABLE sign_in_failures (
    subject {text} NOT NULL PRIMARY KEY,
    failures {int} NOT NULL,
    window_started_at {time} NOT NULL,
    blocked_until {time}
) {end}
";

const CONFIGURATION: &str = "
CREATE TABLE api_keys (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    name {text} NOT NULL,
    key_hash {bytes} NOT NULL UNIQUE,
    prefix {text} NOT NULL,
    last_four {text} NOT NULL,
    scopes {json} NOT NULL,
    test {bool} NOT NULL,
    user_id {uuid} NOT NULL REFERENCES users (id),
    created_at {time} NOT NULL,
    expires_at {time},
    revoked_at {time},
    last_used_at {time},
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id)
) {end}
;
CREATE TABLE secrets (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    name {text} NOT NULL,
    version {int} NOT NULL,
    ciphertext {bytes} NOT NULL,
    created_by {text} NOT NULL,
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
) {end}
;
CREATE TABLE connections (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    name {text} NOT NULL,
    kind {text} NOT NULL,
    base_url {text},
    credentials {bytes},
    settings {json},
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
) {end}
;
CREATE TABLE prices (
    version {text} NOT NULL,
    model {text} NOT NULL,
    unit {text} NOT NULL,
    nano_usd_per_million {big} NOT NULL,
    valid_from {time} NOT NULL,
    PRIMARY KEY (version, model, unit)
) {end}
";

const FLOWS: &str = "
CREATE TABLE flows (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    name {text} NOT NULL,
    description {text},
    labels {json} NOT NULL,
    last_number {int} NOT NULL,
    draft_yaml {text},
    draft_files {json},
    draft_problems {json},
    draft_updated_at {time},
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL,
    deleted_at {time},
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
) {end}
;
CREATE TABLE versions (
    tenant_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    number {int} NOT NULL,
    hash {text} NOT NULL,
    yaml {text} NOT NULL,
    files {json} NOT NULL,
    created_by {text} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, flow_id, number),
    UNIQUE (tenant_id, flow_id, hash),
    FOREIGN KEY (tenant_id, flow_id) REFERENCES flows (tenant_id, id)
) {end}
;
CREATE TABLE channels (
    tenant_id {uuid} NOT NULL,
    position {big} NOT NULL,
    flow_id {uuid} NOT NULL,
    name {text} NOT NULL,
    number {int},
    created_by {text} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, position),
    FOREIGN KEY (tenant_id, flow_id) REFERENCES flows (tenant_id, id),
    FOREIGN KEY (tenant_id, flow_id, number) REFERENCES versions (tenant_id, flow_id, number)
) {end}
;
CREATE INDEX channels_flow ON channels (tenant_id, flow_id, name, position)
";

const RUNS: &str = "
CREATE TABLE blobs (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    storage_key {text} NOT NULL,
    size_bytes {big} NOT NULL,
    sha256 {text} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id)
) {end}
;
CREATE TABLE runs (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    flow_name {text} NOT NULL,
    version_id {uuid} NOT NULL,
    version_number {int} NOT NULL,
    channel {text},
    channel_position {big} NOT NULL,
    price_version {text},
    status {text} NOT NULL,
    epoch {int} NOT NULL,
    trigger_kind {text} NOT NULL,
    started_by {text} NOT NULL,
    user_id {uuid},
    api_key_id {uuid},
    address {text},
    request_id {text},
    test {bool} NOT NULL,
    labels {json} NOT NULL,
    inputs {json},
    inputs_blob {uuid},
    outputs {json},
    outputs_blob {uuid},
    error {json},
    handler_errors {json},
    failed_step {text},
    usage {json},
    cost_nano_usd {big},
    parent_run_id {uuid},
    parent_step {text},
    start_key {text},
    root_run_id {uuid} NOT NULL,
    depth {int} NOT NULL,
    created_at {time} NOT NULL,
    started_at {time},
    ended_at {time},
    duration_ms {big},
    cancel_requested_at {time},
    cancel_reason {text},
    event_position {big} NOT NULL,
    priority {int} NOT NULL,
    available_at {time} NOT NULL,
    lease_owner {text},
    lease_until {time},
    fencing_token {big} NOT NULL,
    claims {int} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, flow_id) REFERENCES flows (tenant_id, id),
    FOREIGN KEY (tenant_id, version_id) REFERENCES versions (tenant_id, id),
    FOREIGN KEY (tenant_id, parent_run_id) REFERENCES runs (tenant_id, id),
    FOREIGN KEY (tenant_id, inputs_blob) REFERENCES blobs (tenant_id, id),
    FOREIGN KEY (tenant_id, outputs_blob) REFERENCES blobs (tenant_id, id)
) {end}
;
CREATE INDEX runs_status ON runs (tenant_id, status, id)
;
CREATE INDEX runs_flow ON runs (tenant_id, flow_id, id)
;
CREATE INDEX runs_claimable ON runs (available_at, id) WHERE status IN ('queued', 'running', 'waiting')
;
CREATE INDEX runs_leases ON runs (lease_owner) WHERE lease_owner IS NOT NULL
;
CREATE UNIQUE INDEX runs_start_key ON runs (tenant_id, start_key) WHERE start_key IS NOT NULL
;
CREATE INDEX runs_parent ON runs (tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL
;
CREATE TABLE steps (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    name {text} NOT NULL,
    ordinal {int} NOT NULL,
    executor {text} NOT NULL,
    group_name {text},
    status {text} NOT NULL,
    success {bool},
    skipped {bool} NOT NULL,
    cached {bool} NOT NULL,
    skip_reason {text},
    attempts {int} NOT NULL,
    error {json},
    config {json},
    config_blob {uuid},
    output {json},
    output_blob {uuid},
    started_at {time},
    ended_at {time},
    duration_ms {big},
    usage {json},
    cost_nano_usd {big},
    child_run_id {uuid},
    waiting {json},
    PRIMARY KEY (tenant_id, run_id, name),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id),
    FOREIGN KEY (tenant_id, output_blob) REFERENCES blobs (tenant_id, id),
    FOREIGN KEY (tenant_id, config_blob) REFERENCES blobs (tenant_id, id)
) {end}
;
CREATE TABLE attempts (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    step {text} NOT NULL,
    item {int} NOT NULL,
    number {int} NOT NULL,
    status {text} NOT NULL,
    started_at {time} NOT NULL,
    ended_at {time},
    error {json},
    usage {json},
    cost_nano_usd {big},
    worker {text},
    PRIMARY KEY (tenant_id, run_id, step, item, number),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE TABLE items (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    step {text} NOT NULL,
    item {int} NOT NULL,
    status {text} NOT NULL,
    attempts {int} NOT NULL,
    error {json},
    output {json},
    output_blob {uuid},
    waiting {json},
    started_at {time},
    ended_at {time},
    duration_ms {big},
    cost_nano_usd {big},
    child_run_id {uuid},
    PRIMARY KEY (tenant_id, run_id, step, item),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id),
    FOREIGN KEY (tenant_id, output_blob) REFERENCES blobs (tenant_id, id)
) {end}
;
CREATE TABLE events (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    position {big} NOT NULL,
    at {time} NOT NULL,
    kind {text} NOT NULL,
    step {text},
    data {json} NOT NULL,
    data_blob {uuid},
    PRIMARY KEY (tenant_id, run_id, position),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id),
    FOREIGN KEY (tenant_id, data_blob) REFERENCES blobs (tenant_id, id)
) {end}
;
CREATE TABLE idempotency_keys (
    tenant_id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    idempotency_key {text} NOT NULL,
    fingerprint {bytes} NOT NULL,
    run_id {uuid} NOT NULL,
    created_at {time} NOT NULL,
    expires_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, flow_id, idempotency_key),
    FOREIGN KEY (tenant_id, flow_id) REFERENCES flows (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at)
";
