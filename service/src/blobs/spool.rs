//! A file while it is received: small ones in memory, larger ones sealed on the disk, piece by piece.
//!
//! Invariant: memory holds one piece, whatever the file's size; nothing lies on the disk in clear, and what is not stored
//! is gone when the process is, because the file on the disk has no name.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::folder::{BlobError, PIECE, blocking, place, read_piece, write_piece};
use crate::vault::TenantKey;

/// A file on its way in.
pub struct Spool {
    root: Arc<Path>,
    key: TenantKey,
    /// What the pieces on the disk are bound to.
    name: String,
    room: Option<File>,
    sealed: usize,
    /// The end of the file, not yet sealed: all of a small one.
    pending: BytesMut,
    size: u64,
    digest: Sha256,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Spool {
    pub(super) fn new(root: Arc<Path>, key: TenantKey) -> Self {
        let name = format!("spool {:032x}", rand::random::<u128>());
        let (pending, digest) = (BytesMut::new(), Sha256::new());
        Self { root, key, name, room: None, sealed: 0, pending, size: 0, digest }
    }

    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Whatever the file system said.
    pub async fn add(mut self, chunk: Bytes) -> Result<Self, BlobError> {
        self.size += chunk.len() as u64;
        self.digest.update(&chunk);
        self.pending.extend_from_slice(&chunk);
        if self.pending.len() <= PIECE {
            return Ok(self);
        }
        blocking(move || {
            // The last piece stays, however long: only its end tells that it was the last.
            while self.pending.len() > PIECE {
                let piece = self.pending.split_to(PIECE);
                let sealed = self.key.seal(&self.name, &place(self.sealed, false), &piece);
                let room = match &mut self.room {
                    Some(room) => room,
                    empty => empty.insert(tempfile::tempfile_in(&self.root)?),
                };
                write_piece(room, &sealed)?;
                self.sealed += 1;
            }
            Ok(self)
        })
        .await
    }

    pub(super) const fn key(&self) -> &TenantKey {
        &self.key
    }

    pub(super) fn sha256(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// The name that content of this tenant has.
    pub(super) fn content_name(&self) -> String {
        hex::encode(self.key.keyed_hash(&self.digest.clone().finalize().into()))
    }

    /// The whole content from its beginning, in pieces.
    pub(super) fn pieces(&mut self) -> Result<impl Iterator<Item = Result<Vec<u8>, BlobError>>, BlobError> {
        let Self { key, name, room, sealed, pending, .. } = self;
        if let Some(room) = room.as_mut() {
            room.seek(SeekFrom::Start(0))?;
        }
        let mut reader = room.as_mut().map(std::io::BufReader::new);
        let stored = (0..*sealed).map(move |number| {
            let reader: &mut dyn Read = reader.as_mut().ok_or(BlobError::Damaged)?;
            Ok(key.open(name, &place(number, false), &read_piece(reader)?)?.to_vec())
        });
        Ok(stored.chain(std::iter::once_with(|| Ok(pending.to_vec()))))
    }
}

#[cfg(test)]
mod tests {
    use domain::TenantId;

    use super::super::BlobStore;
    use super::*;
    use crate::vault::{MasterKeySource, Vault, master_key};

    fn tenant() -> (TenantId, TenantKey) {
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(7));
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(master_key(MasterKeySource::Text("5a".repeat(32)), folder.path()).unwrap());
        (tenant, vault.unwrap_data_key(tenant, &vault.new_data_key(tenant)).unwrap())
    }

    #[tokio::test]
    async fn what_comes_in_chunks_is_kept_as_what_comes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::folder(folder.path()).unwrap();
        let (tenant, key) = tenant();
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5] {
            let content: Bytes = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut spool = store.spool(&key);
            let mut rest = content.clone();
            while !rest.is_empty() {
                spool = spool.add(rest.split_to(rest.len().min(70_001))).await.unwrap();
                assert!(spool.pending.len() <= PIECE, "memory holds one piece");
            }
            assert_eq!(spool.size(), size as u64);
            assert_eq!(spool.sha256(), hex::encode(Sha256::digest(&content)));
            let (spooled, _) = store.keep(tenant, spool).await.unwrap();
            assert_eq!(store.read(&key, &spooled).await.unwrap(), content, "{size} bytes");
            assert_eq!(store.write(&key, tenant, content).await.unwrap(), spooled, "kept under one name, and once");
        }
    }

    #[tokio::test]
    async fn what_is_not_kept_leaves_nothing_and_nothing_lies_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::folder(folder.path()).unwrap();
        let (_, key) = tenant();
        let mut spool = store.spool(&key).add(Bytes::from(vec![b'z'; 2 * PIECE + 1])).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        let room = spool.room.as_mut().unwrap();
        room.seek(SeekFrom::Start(0)).unwrap();
        let mut stored = Vec::new();
        room.read_to_end(&mut stored).unwrap();
        assert!(stored.len() > 2 * PIECE && !stored.windows(16).any(|window| window == [b'z'; 16]));
    }
}
