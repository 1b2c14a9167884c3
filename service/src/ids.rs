//! Makes typed ids. Each is a version 7 UUID, so lists by id are lists by time.
//!
//! Invariant: ids made by one process grow strictly, even when the clock steps back.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::{
    ApiKeyId, ApprovalId, AuditId, BlobId, ConnectionId, DeliveryId, ExperimentId, FeedbackId, FileId, FlowId,
    LedgerId, MemberId, RequestId, RunId, SecretId, SessionId, SpanId, TenantId, TraceId, UserId, VersionId,
};
use uuid::Uuid;

/// The millisecond of the last id and its counter within it.
static LAST: Mutex<(u64, u16)> = Mutex::new((0, 0));

/// A new id.
#[must_use]
pub fn new_uuid() -> Uuid {
    let (millis, counter) = next_tick(u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default());
    build(millis, counter)
}

/// An id as if it had been made at that time: for seeded history.
#[must_use]
pub fn uuid_at(at: DateTime<Utc>) -> Uuid {
    build(u64::try_from(at.timestamp_millis()).unwrap_or_default(), rand::random::<u16>() & 0xfff)
}

/// The 12 bits after the version hold the counter, the other 62 are random.
fn build(millis: u64, counter: u16) -> Uuid {
    let mut random: [u8; 10] = rand::random();
    [random[0], random[1]] = counter.to_be_bytes();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn next_tick(now: u64) -> (u64, u16) {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    *last = match *last {
        (millis, _) if now > millis => (now, rand::random::<u16>() & 0x3ff),
        (millis, counter) if counter < 0xfff => (millis, counter + 1),
        (millis, _) => (millis + 1, 0),
    };
    *last
}

/// The maker of ids.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids;

impl Ids {
    /// A trace that begins here.
    #[must_use]
    pub fn trace(self) -> TraceId {
        TraceId::made_of(rand::random())
    }

    #[must_use]
    pub fn span(self) -> SpanId {
        SpanId::made_of(rand::random())
    }
}

macro_rules! makers {
    ($($name:ident -> $id:ident,)*) => {
        impl Ids {
            $(#[must_use] pub fn $name(self) -> $id { $id::from_uuid(new_uuid()) })*
        }
    };
}

makers! {
    tenant -> TenantId,
    user -> UserId,
    member -> MemberId,
    session -> SessionId,
    key -> ApiKeyId,
    secret -> SecretId,
    connection -> ConnectionId,
    flow -> FlowId,
    version -> VersionId,
    run -> RunId,
    blob -> BlobId,
    file -> FileId,
    ledger -> LedgerId,
    audit -> AuditId,
    request -> RequestId,
    experiment -> ExperimentId,
    feedback -> FeedbackId,
    approval -> ApprovalId,
    delivery -> DeliveryId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_within_a_process_and_carry_their_time() {
        let before = Utc::now();
        let made: Vec<Uuid> = (0..20_000).map(|_| new_uuid()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(made[0] >= entities::first_id_at(before));
        assert_eq!(made[0].get_version_num(), 7);
    }
}
