//! Sealing one field: XChaCha20-Poly1305 with tenant, object and field as associated data.
//!
//! Invariant: a sealed value is `version (1) | key id (4) | nonce (24) | ciphertext and tag`, and its nonce is random.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use domain::TenantId;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 1 + 4;

/// Why something does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    #[error("sealed with another key")]
    OtherKey,
    #[error("not a sealed value, or changed since")]
    Broken,
}

/// A tenant's data key, in clear. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct TenantKey {
    tenant: TenantId,
    key: Zeroizing<[u8; 32]>,
}

impl TenantKey {
    pub(crate) const fn new(tenant: TenantId, key: Zeroizing<[u8; 32]>) -> Self {
        Self { tenant, key }
    }

    #[must_use]
    pub fn seal(&self, object: &str, field: &str, plain: &[u8]) -> Vec<u8> {
        seal(&self.key, &self.associated(object, field), plain)
    }

    /// # Errors
    /// [`CipherError`] if it was sealed for something else, with another key, or changed.
    pub fn open(&self, object: &str, field: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        open(&self.key, &self.associated(object, field), sealed)
    }

    /// A hash that only this tenant's key can make, of content by its SHA-256: names blobs without telling their content.
    #[must_use]
    pub fn keyed_hash(&self, sha256: &[u8; 32]) -> [u8; 32] {
        mac(&self.key, &[b"weir blob name", sha256])
    }

    fn associated(&self, object: &str, field: &str) -> Vec<u8> {
        // Lengths first, so that no two triples give the same bytes.
        let mut out = self.tenant.uuid().as_bytes().to_vec();
        for part in [object, field] {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

/// Names a key without telling anything about it.
pub(crate) fn key_id(key: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(b"weir key id").chain_update(key).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[expect(clippy::expect_used, reason = "sealing fails only beyond 256 GiB")]
pub(crate) fn seal(key: &[u8; 32], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0_u8; NONCE];
    rand::fill(&mut nonce);
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let ciphertext = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: associated })
        .expect("a message far below 256 GiB is always sealed");
    let mut out = Vec::with_capacity(HEADER + NONCE + ciphertext.len());
    out.push(VERSION);
    out.extend_from_slice(&key_id(key));
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&ciphertext);
    out
}

pub(crate) fn open(key: &[u8; 32], associated: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let (header, rest) = sealed.split_at_checked(HEADER).ok_or(CipherError::Broken)?;
    let (nonce, ciphertext) = rest.split_at_checked(NONCE).ok_or(CipherError::Broken)?;
    if header[0] != VERSION {
        return Err(CipherError::Broken);
    }
    if header[1..] != key_id(key) {
        return Err(CipherError::OtherKey);
    }
    let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| CipherError::Broken)?;
    XChaCha20Poly1305::new(&(*key).into())
        .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: associated })
        .map(Zeroizing::new)
        .map_err(|_| CipherError::Broken)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
