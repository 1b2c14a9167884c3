//! The protocol: frames of a JSON header and a binary payload over one socket, one job at a time.
//!
//! Invariant: lengths are checked against a limit before a byte of the body is read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::JobError;
use crate::limits::Limits;

/// Length prefixes: four bytes of header length, eight of payload length, big endian.
pub(crate) const PREFIX_BYTES: usize = 12;
/// Room for the parts of a header that are not the value in it.
pub(crate) const ENVELOPE_BYTES: u64 = 64 * 1024;

/// Parent to child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Request {
    /// First of all: limits for the child's whole life.
    Hello {
        memory_ceiling_bytes: u64,
    },
    Job {
        name: String,
        input: Value,
        limits: Limits,
    },
}

/// Child to parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Response {
    /// `weaker` says which confinement this machine could not give.
    Ready {
        weaker: Option<String>,
    },
    Done {
        output: Value,
        held_bytes: u64,
    },
    Refused {
        error: JobError,
        held_bytes: u64,
    },
    TooLarge,
    UnknownJob,
    Panicked {
        message: String,
    },
}

/// A frame's two lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub header: u64,
    pub payload: u64,
}

impl Prefix {
    pub(crate) fn decode(bytes: [u8; PREFIX_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            header: u64::from(u32::from_be_bytes([a, b, c, d])),
            payload: u64::from_be_bytes([e, f, g, h, i, j, k, l]),
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.header.saturating_add(self.payload)
    }
}

/// Prefix and header as bytes; the payload follows as it is.
pub(crate) fn encode(header: &impl Serialize, payload: &Bytes) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut bytes, header)?;
    let length = u32::try_from(bytes.len() - PREFIX_BYTES)
        .map_err(|_| serde::ser::Error::custom("a header of more than 4 GiB"))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes[4..PREFIX_BYTES].copy_from_slice(&(payload.len() as u64).to_be_bytes());
    Ok(bytes)
}
