//! The blob store as a folder: `<tenant>/<2 hex>/<keyed hash>`, each file a row of sealed pieces.
//!
//! Invariant: a name that exists holds its whole content (written beside, synced, then renamed), and every piece is bound
//! to the blob's name and to its place, so that pieces cannot be swapped, dropped or cut off.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::TenantId;
use sha2::{Digest as _, Sha256};

use super::spool::Spool;
use crate::vault::{CipherError, TenantKey};

/// Plain bytes sealed together.
pub(super) const PIECE: usize = 1024 * 1024;
/// A sealed piece is at most this much longer than what it seals.
const OVERHEAD: usize = 256;

/// Why bytes could not be kept or given back.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the blob store's disk refused")]
    Disk(#[from] std::io::Error),
    #[error("a blob is damaged or was sealed with another key")]
    Sealed(#[from] CipherError),
    #[error("a blob is cut off or has no valid name")]
    Damaged,
    /// The store is there, and the blob is not: no waiting brings it back.
    #[error("a blob is not in the store any more")]
    Lost,
}

impl BlobError {
    /// Whether the blob itself is gone or spoilt, and not only out of reach for now.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::Sealed(_) | Self::Damaged | Self::Lost)
    }
}

/// Blobs in a folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobStore {
    root: Arc<Path>,
}

impl BlobStore {
    /// Opens a folder, making it where it is missing.
    ///
    /// # Errors
    /// Whatever the file system said.
    pub fn folder(root: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let root = root.into();
        std::fs::create_dir_all(&root)?;
        Ok(Self { root: root.into() })
    }

    /// Keeps bytes; gives the key to read them by. The same bytes of the same tenant are kept once.
    ///
    /// # Errors
    /// Whatever the file system said.
    pub async fn write(&self, key: &TenantKey, tenant: TenantId, bytes: Bytes) -> Result<String, BlobError> {
        let (root, key) = (Arc::clone(&self.root), key.clone());
        blocking(move || {
            let name = hex::encode(key.keyed_hash(&Sha256::digest(&bytes).into()));
            let storage_key = format!("{}/{}/{name}", tenant.uuid().simple(), &name[..2]);
            let path = root.join(&storage_key);
            if !path.exists() {
                let pieces = bytes.chunks(PIECE).map(|piece| Ok(Cow::Borrowed(piece)));
                write_sealed(&key, &name, &path, pieces)?;
            }
            Ok(storage_key)
        })
        .await
    }

    /// Room for a file that is about to be received.
    #[must_use]
    pub fn spool(&self, key: &TenantKey) -> Spool {
        Spool::new(Arc::clone(&self.root), key.clone())
    }

    /// Keeps what was received; gives it back with the key to read it by.
    ///
    /// # Errors
    /// Whatever the file system said.
    pub async fn keep(&self, tenant: TenantId, mut spool: Spool) -> Result<(String, Spool), BlobError> {
        let root = Arc::clone(&self.root);
        blocking(move || {
            let name = spool.content_name();
            let storage_key = format!("{}/{}/{name}", tenant.uuid().simple(), &name[..2]);
            let path = root.join(&storage_key);
            if !path.exists() {
                let key = spool.key().clone();
                write_sealed(&key, &name, &path, spool.pieces()?.map(|piece| piece.map(Cow::Owned)))?;
            }
            Ok((storage_key, spool))
        })
        .await
    }

    /// Reads what was kept under a key.
    ///
    /// # Errors
    /// [`BlobError::Lost`] when it is not there, [`BlobError::Sealed`] when it is not this tenant's or was changed.
    pub async fn read(&self, key: &TenantKey, storage_key: &str) -> Result<Bytes, BlobError> {
        let path = self.path(storage_key)?;
        let (key, root) = (key.clone(), Arc::clone(&self.root));
        blocking(move || {
            read_sealed(&key, &path).map_err(|error| match error {
                BlobError::Disk(error) if error.kind() == std::io::ErrorKind::NotFound && root.exists() => {
                    BlobError::Lost
                }
                other => other,
            })
        })
        .await
    }

    fn path(&self, storage_key: &str) -> Result<PathBuf, BlobError> {
        let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'/';
        if storage_key.bytes().all(plain) && storage_key.split('/').count() == 3 && !storage_key.contains("//") {
            Ok(self.root.join(storage_key.trim_start_matches('/')))
        } else {
            Err(BlobError::Damaged)
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| BlobError::Disk(std::io::Error::other(error)))?
}

/// Pieces are of the same length but for the last one.
fn write_sealed<'p>(
    key: &TenantKey,
    name: &str,
    path: &Path,
    pieces: impl Iterator<Item = Result<Cow<'p, [u8]>, BlobError>>,
) -> Result<(), BlobError> {
    let folder = path.parent().ok_or(BlobError::Damaged)?;
    std::fs::create_dir_all(folder)?;
    let beside = folder.join(format!("{name}.{:08x}.part", rand::random::<u32>()));
    let written = (|| {
        let mut file = std::fs::File::create_new(&beside)?;
        let mut pieces = pieces.enumerate().peekable();
        if pieces.peek().is_none() {
            write_piece(&mut file, &key.seal(name, "0 last", b""))?;
        }
        while let Some((number, piece)) = pieces.next() {
            let field = place(number, pieces.peek().is_none());
            write_piece(&mut file, &key.seal(name, &field, &piece?))?;
        }
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        // The rename itself must survive the loss of power, or a row could name nothing.
        std::fs::File::open(folder)?.sync_all()?;
        Ok(())
    })();
    if written.is_err() {
        // Nothing names the part, so a failure to remove it costs room only.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

pub(super) fn write_piece(file: &mut std::fs::File, sealed: &[u8]) -> Result<(), BlobError> {
    let length = u32::try_from(sealed.len()).map_err(|_| BlobError::Damaged)?;
    file.write_all(&length.to_be_bytes())?;
    file.write_all(sealed)?;
    Ok(())
}

fn read_sealed(key: &TenantKey, path: &Path) -> Result<Bytes, BlobError> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(BlobError::Damaged)?;
    let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut out = Vec::new();
    for number in 0.. {
        let sealed = read_piece(&mut file)?;
        let last = std::io::BufRead::fill_buf(&mut file)?.is_empty();
        out.extend_from_slice(&key.open(name, &place(number, last), &sealed)?);
        if last {
            break;
        }
    }
    Ok(out.into())
}

pub(super) fn read_piece(file: &mut dyn Read) -> Result<Vec<u8>, BlobError> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > PIECE + OVERHEAD {
        return Err(BlobError::Damaged);
    }
    let mut sealed = vec![0; length];
    file.read_exact(&mut sealed)?;
    Ok(sealed)
}

/// What a piece is bound to besides the blob's name.
pub(super) fn place(number: usize, last: bool) -> String {
    format!("{number}{}", if last { " last" } else { "" })
}
