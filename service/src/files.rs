//! Files uploaded by callers, and read back.
//!
//! Invariant: a file belongs to one tenant, and its name is for display only.

use bytes::Bytes;
use domain::{FileId, FileRef, Permission};

use crate::blobs::{self, NewFile, Spool};
use crate::{Actor, ServiceError, Weir, authz};

/// Stores an uploaded file that was received.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::TooLarge`].
pub async fn upload(
    weir: &Weir,
    actor: &Actor,
    name: String,
    media_type: String,
    content: Spool,
) -> Result<FileRef, ServiceError> {
    authz::check(actor, Permission::FilesWrite)?;
    let new = NewFile { name, media_type, created_by: actor.name().to_owned(), run_id: None };
    blobs::put_spool(weir, actor.tenant, new, content).await
}

/// Refuses an actor that may not upload, before anything is received.
///
/// # Errors
/// [`ServiceError::Forbidden`].
pub fn may_upload(actor: &Actor) -> Result<(), ServiceError> {
    authz::check(actor, Permission::FilesWrite)
}

/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn get(weir: &Weir, actor: &Actor, id: FileId) -> Result<FileRef, ServiceError> {
    authz::check(actor, Permission::FilesRead)?;
    blobs::find_file(weir, actor.tenant, id).await
}

/// A file's value and bytes.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn content(weir: &Weir, actor: &Actor, id: FileId) -> Result<(FileRef, Bytes), ServiceError> {
    authz::check(actor, Permission::FilesRead)?;
    blobs::get_file(weir, actor.tenant, id).await
}
