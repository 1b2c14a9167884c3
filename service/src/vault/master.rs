//! The master key: where it comes from and what it does.
//!
//! Invariant: it is never in the database, never printed, and a file that holds it can be read by its owner alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use domain::TenantId;
use zeroize::Zeroizing;

use super::cipher::{self, CipherError};

/// Where the operator put the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// 64 hexadecimal digits, from the environment.
    Text(String),
    File(PathBuf),
    /// `master.key` in the data folder, made on first start.
    DataFolder,
}

#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key in {0} is not 64 hexadecimal digits")]
    Form(String),
    #[error("the master key file {path} cannot be used: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the master key file {0} can be read by others; run `chmod 600` on it")]
    Open(PathBuf),
}

pub struct MasterKey {
    key: Zeroizing<[u8; 32]>,
    location: String,
}

impl MasterKey {
    pub(super) fn parse(text: &str, location: String) -> Result<Self, MasterKeyError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim(), &mut key[..]).map_err(|_| MasterKeyError::Form(location.clone()))?;
        Ok(Self { key, location })
    }

    pub(super) fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let file = |source| MasterKeyError::File { path: path.to_owned(), source };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).map_err(file)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(MasterKeyError::Open(path.to_owned()));
            }
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file)?);
        Self::parse(&text, path.display().to_string())
    }

    pub(super) fn make(path: &Path) -> Result<Self, MasterKeyError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut key[..]);
        let file = |source| MasterKeyError::File { path: path.to_owned(), source };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut out = match options.open(path) {
            Ok(out) => out,
            // Another process of the same folder was faster; its key is the key.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Self::read(path),
            Err(error) => return Err(file(error)),
        };
        let text = Zeroizing::new(format!("{}\n", hex::encode(&key[..])));
        out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(file)?;
        Ok(Self { key, location: path.display().to_string() })
    }

    pub(super) fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn wrap(&self, tenant: TenantId, key: &[u8; 32]) -> Vec<u8> {
        cipher::seal(&self.derived("wrap"), tenant.uuid().as_bytes(), key)
    }

    pub(super) fn unwrap(&self, tenant: TenantId, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, CipherError> {
        let plain = cipher::open(&self.derived("wrap"), tenant.uuid().as_bytes(), wrapped)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        if plain.len() != key.len() {
            return Err(CipherError::Broken);
        }
        key.copy_from_slice(&plain);
        Ok(key)
    }

    pub(super) fn mac(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        cipher::mac(&self.derived(purpose), &[message])
    }

    fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(cipher::mac(&self.key, &[b"weir derived key", purpose.as_bytes()]))
    }
}
