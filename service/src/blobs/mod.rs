//! Bytes outside the database: files, and values too large for a row.
//!
//! Invariant: what lies in the blob store is encrypted with its tenant's data key, named by a keyed hash of its content
//! under the tenant's prefix, and on the disk before a row names it.

mod folder;
mod spool;

use bytes::Bytes;
use domain::{BlobId, FileId, FileRef, RunId, TenantId};
use entities::{Scope, blob, file};
use sea_orm::ColumnTrait;
use sha2::{Digest, Sha256};

pub use folder::{BlobError, BlobStore};
pub use spool::Spool;

use crate::{ServiceError, Weir};

/// A file that is about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Display only; cut to 255 characters.
    pub name: String,
    pub media_type: String,
    /// For people: who uploaded it, or the run's flow.
    pub created_by: String,
    pub run_id: Option<RunId>,
}

/// The largest file, in bytes.
pub const FILE_BYTES: usize = 100 * 1024 * 1024;

/// Stores bytes and gives their id.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the store is out of reach or full.
pub async fn put(weir: &Weir, tenant: TenantId, bytes: Bytes) -> Result<BlobId, ServiceError> {
    let row = place(weir, tenant, bytes).await?;
    let id = BlobId::from_uuid(row.id);
    weir.store().write(tenant, move |unit| async move { Ok::<_, ServiceError>(unit.insert(row).await?) }).await?;
    Ok(id)
}

/// The bytes of a blob.
///
/// # Errors
/// [`ServiceError::NotFound`] for an id that is not there or another tenant's.
pub async fn get(weir: &Weir, tenant: TenantId, id: BlobId) -> Result<Bytes, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let row = reader.find::<blob::Entity>().filter(blob::Column::Id.eq(id.uuid())).one().await?;
    drop(reader);
    let row = row.ok_or_else(|| ServiceError::not_found("blob", id))?;
    let key = weir.tenant_key(tenant).await?;
    Ok(weir.blobs().read(&key, &row.storage_key).await?)
}

/// Stores a file.
///
/// # Errors
/// [`ServiceError::TooLarge`], [`ServiceError::Unavailable`].
pub async fn put_file(weir: &Weir, tenant: TenantId, new: NewFile, bytes: Bytes) -> Result<FileRef, ServiceError> {
    if bytes.len() > FILE_BYTES {
        let limit = FILE_BYTES / (1024 * 1024);
        return Err(ServiceError::TooLarge(format!("A file may have at most {limit} MiB.")));
    }
    let blob = place(weir, tenant, bytes).await?;
    insert_file(weir, tenant, new, blob).await
}

/// Room for a file that is about to be received.
///
/// # Errors
/// Faults of the store.
pub async fn spool(weir: &Weir, tenant: TenantId) -> Result<Spool, ServiceError> {
    Ok(weir.blobs().spool(&weir.tenant_key(tenant).await?))
}

/// Takes the next bytes of a file that is received, up to the largest file.
///
/// # Errors
/// [`ServiceError::TooLarge`], [`ServiceError::Unavailable`].
pub async fn receive(spool: Spool, chunk: Bytes) -> Result<Spool, ServiceError> {
    if spool.size() + chunk.len() as u64 > FILE_BYTES as u64 {
        let limit = FILE_BYTES / (1024 * 1024);
        return Err(ServiceError::TooLarge(format!("A file may have at most {limit} MiB.")));
    }
    Ok(spool.add(chunk).await?)
}

/// Stores a file that was received.
///
/// # Errors
/// [`ServiceError::Unavailable`].
pub async fn put_spool(weir: &Weir, tenant: TenantId, new: NewFile, spool: Spool) -> Result<FileRef, ServiceError> {
    let (storage_key, spool) = weir.blobs().keep(tenant, spool).await?;
    let size = i64::try_from(spool.size()).unwrap_or(i64::MAX);
    let blob = blob_row(weir, tenant, storage_key, size, spool.sha256());
    insert_file(weir, tenant, new, blob).await
}

async fn insert_file(weir: &Weir, tenant: TenantId, new: NewFile, blob: blob::Model) -> Result<FileRef, ServiceError> {
    let row = file::Model {
        tenant_id: tenant.uuid(),
        id: weir.ids().file().uuid(),
        blob_id: blob.id,
        name: crate::text::column(&new.name, 255),
        media_type: crate::text::column(&new.media_type, 255),
        size_bytes: blob.size_bytes,
        sha256: blob.sha256.clone(),
        run_id: new.run_id.map(RunId::uuid),
        created_by: new.created_by,
        created_at: weir.now(),
    };
    let stored = file_ref(&row);
    weir.store()
        .write(tenant, move |unit| async move {
            unit.insert(blob).await?;
            Ok::<_, ServiceError>(unit.insert(row).await?)
        })
        .await?;
    Ok(stored)
}

/// A file's value, by its id.
///
/// # Errors
/// [`ServiceError::NotFound`] for an id that is not there or another tenant's.
pub async fn find_file(weir: &Weir, tenant: TenantId, id: FileId) -> Result<FileRef, ServiceError> {
    Ok(file_ref(&file_row(weir, tenant, id).await?))
}

/// A file's value and bytes, by its id.
///
/// # Errors
/// [`ServiceError::NotFound`] for an id that is not there or another tenant's.
pub async fn get_file(weir: &Weir, tenant: TenantId, id: FileId) -> Result<(FileRef, Bytes), ServiceError> {
    let row = file_row(weir, tenant, id).await?;
    let bytes = get(weir, tenant, BlobId::from_uuid(row.blob_id)).await?;
    Ok((file_ref(&row), bytes))
}

async fn file_row(weir: &Weir, tenant: TenantId, id: FileId) -> Result<file::Model, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let row = reader.find::<file::Entity>().filter(file::Column::Id.eq(id.uuid())).one().await?;
    row.ok_or_else(|| ServiceError::not_found("file", id))
}

/// Puts bytes on the disk and makes the row that names them.
async fn place(weir: &Weir, tenant: TenantId, bytes: Bytes) -> Result<blob::Model, ServiceError> {
    let key = weir.tenant_key(tenant).await?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let size_bytes = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let storage_key = weir.blobs().write(&key, tenant, bytes).await?;
    Ok(blob_row(weir, tenant, storage_key, size_bytes, sha256))
}

fn blob_row(weir: &Weir, tenant: TenantId, storage_key: String, size_bytes: i64, sha256: String) -> blob::Model {
    blob::Model {
        tenant_id: tenant.uuid(),
        id: weir.ids().blob().uuid(),
        storage_key,
        size_bytes,
        sha256,
        created_at: weir.now(),
    }
}

fn file_ref(row: &file::Model) -> FileRef {
    FileRef {
        file_id: FileId::from_uuid(row.id),
        name: row.name.clone(),
        media_type: row.media_type.clone(),
        size_bytes: u64::try_from(row.size_bytes).unwrap_or_default(),
        sha256: row.sha256.clone(),
    }
}

impl From<BlobError> for ServiceError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Disk(ref source) if source.kind() == std::io::ErrorKind::StorageFull => {
                tracing::error!(%error, "the blob store is full");
                Self::Unavailable("There is no room for files at the moment.".to_owned())
            }
            other => Self::internal(other),
        }
    }
}
