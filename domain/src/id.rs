//! Typed, prefixed ids: `run_` plus 26 Crockford base32 characters of a version 7 UUID, so that a pasted id tells its
//! kind and ids of one kind sort by time.
//!
//! Invariant: a value of one id type cannot be passed where another is meant, and text round-trips exactly.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("expected an id that starts with `{expected}_`")]
    Prefix { expected: &'static str },
    #[error("an id has 26 characters of 0-9 and a-z without i, l, o, u after its prefix")]
    Body,
}

fn encode(uuid: Uuid) -> String {
    let mut value = uuid.as_u128();
    let mut out = [b'0'; LENGTH];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    out.iter().map(|&byte| char::from(byte)).collect()
}

fn decode(body: &str) -> Result<Uuid, IdError> {
    if body.len() != LENGTH || body.as_bytes()[0] > b'7' {
        return Err(IdError::Body);
    }
    let mut value: u128 = 0;
    for byte in body.bytes() {
        let digit = ALPHABET.iter().position(|&letter| letter == byte).ok_or(IdError::Body)?;
        value = (value << 5) | digit as u128;
    }
    Ok(Uuid::from_u128(value))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore in this id's text.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID; who makes ids (a clock and a random source) is decided outside this crate.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }

            #[must_use]
            pub const fn uuid(self) -> Uuid { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let body = text
                    .strip_prefix(concat!($prefix, "_"))
                    .ok_or(IdError::Prefix { expected: $prefix })?;
                decode(body).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                String::schema()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    TenantId = "tenant";
    UserId = "user";
    /// One person's membership of one tenant.
    MemberId = "member";
    SessionId = "session";
    ApiKeyId = "key";
    SecretId = "secret";
    ConnectionId = "connection";
    FlowId = "flow";
    VersionId = "version";
    RunId = "run";
    StepId = "step";
    AttemptId = "attempt";
    BlobId = "blob";
    FileId = "file";
    LedgerId = "ledger";
    AuditId = "audit";
    ExperimentId = "experiment";
    FeedbackId = "feedback";
    ApprovalId = "approval";
    /// Something put into a run's inbox.
    DeliveryId = "delivery";
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_keeps_the_order() {
        let low = RunId::from_uuid(Uuid::from_u128(7));
        let high = RunId::from_uuid(Uuid::from_u128(u128::MAX));
        assert_eq!(low.to_string().parse::<RunId>(), Ok(low));
        assert_eq!(high.to_string().parse::<RunId>(), Ok(high));
        assert!(low.to_string() < high.to_string());
    }

    #[test]
    fn an_id_of_another_kind_or_an_overflowing_body_is_refused() {
        let key = ApiKeyId::from_uuid(Uuid::from_u128(7)).to_string();
        assert_eq!(key.parse::<RunId>(), Err(IdError::Prefix { expected: "run" }));
        assert_eq!("run_80000000000000000000000000".parse::<RunId>(), Err(IdError::Body));
        assert_eq!("run_short".parse::<RunId>(), Err(IdError::Body));
        assert_eq!("run_é0000000000000000000000000".parse::<RunId>(), Err(IdError::Body));
    }
}
