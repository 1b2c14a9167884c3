//! Files, the ledger and the audit log: what is kept beside the runs.

pub(super) const RECORDS: &str = "
CREATE TABLE files (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    blob_id {uuid} NOT NULL,
    name {text} NOT NULL,
    media_type {text} NOT NULL,
    size_bytes {big} NOT NULL,
    sha256 {text} NOT NULL,
    run_id {uuid},
    created_by {text} NOT NULL,
    created_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE TABLE ledger (
    tenant_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    flow_id {uuid} NOT NULL,
    step {text} NOT NULL,
    attempt {int} NOT NULL,
    at {time} NOT NULL,
    model {text},
    units {json} NOT NULL,
    price_version {text},
    cost_nano_usd {big},
    estimated {bool} NOT NULL,
    test {bool} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX ledger_run ON ledger (tenant_id, run_id)
;
CREATE INDEX ledger_at ON ledger (tenant_id, at)
;
CREATE TABLE audit (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    id {uuid} NOT NULL,
    at {time} NOT NULL,
    actor_kind {text} NOT NULL,
    actor_id {uuid},
    actor_name {text} NOT NULL,
    action {text} NOT NULL,
    target_kind {text} NOT NULL,
    target_id {text},
    target_name {text},
    data {json} NOT NULL,
    address {text},
    request_id {text},
    sequence {big},
    previous_hash {bytes},
    hash {bytes},
    PRIMARY KEY (tenant_id, id)
) {end}
;
CREATE UNIQUE INDEX audit_sequence ON audit (tenant_id, sequence) WHERE sequence IS NOT NULL
";
