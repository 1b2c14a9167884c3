//! Envelope encryption: a master key that never lies in the database wraps one data key a tenant, which seals fields.
//!
//! Invariant: what is sealed for one tenant, object and field opens nowhere else; every sealed value names its key.

mod cipher;
mod master;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use domain::TenantId;
use zeroize::Zeroizing;

pub use cipher::{CipherError, TenantKey};
pub use master::{MasterKey, MasterKeyError, MasterKeySource};

use crate::ServiceError;

/// The master key with the data keys it has unwrapped.
#[derive(Clone)]
pub struct Vault {
    master: Arc<MasterKey>,
    keys: Arc<Mutex<HashMap<TenantId, TenantKey>>>,
}

/// How many unwrapped data keys are kept.
const KEPT_KEYS: usize = 10_000;

impl Vault {
    #[must_use]
    pub fn new(master: MasterKey) -> Self {
        Self { master: Arc::new(master), keys: Arc::default() }
    }

    /// Where the master key is, for people.
    #[must_use]
    pub fn location(&self) -> &str {
        self.master.location()
    }

    /// A fresh data key for a new tenant, wrapped for storing.
    #[must_use]
    pub fn new_data_key(&self, tenant: TenantId) -> Vec<u8> {
        let mut key = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut key[..]);
        self.master.wrap(tenant, &key)
    }

    /// The tenant's key from its wrapped form.
    ///
    /// # Errors
    /// [`CipherError`] if the master key is another one than that which wrapped it.
    pub fn unwrap_data_key(&self, tenant: TenantId, wrapped: &[u8]) -> Result<TenantKey, CipherError> {
        if let Some(known) = self.known(tenant) {
            return Ok(known);
        }
        let key = TenantKey::new(tenant, self.master.unwrap(tenant, wrapped)?);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEPT_KEYS {
            keys.clear();
        }
        keys.insert(tenant, key.clone());
        Ok(key)
    }

    /// The tenant's key if it was unwrapped before.
    #[must_use]
    pub fn known(&self, tenant: TenantId) -> Option<TenantKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }

    /// A keyed hash for one purpose: how API keys are stored, cursors and form tokens signed.
    #[must_use]
    pub fn mac(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        self.master.mac(purpose, message)
    }

    /// Whether `mac` is the one of this message, in time that does not depend on where they differ.
    #[must_use]
    pub fn verify_mac(&self, purpose: &str, message: &[u8], mac: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.mac(purpose, message)[..], mac).into()
    }
}

/// Reads or makes the master key: `WEIR_MASTER_KEY`, `WEIR_MASTER_KEY_FILE`, else `master.key` in the data folder.
///
/// # Errors
/// A sentence for the operator.
pub fn master_key(source: MasterKeySource, data: &std::path::Path) -> Result<MasterKey, MasterKeyError> {
    let file: PathBuf = match source {
        MasterKeySource::Text(text) => return MasterKey::parse(&text, "the environment (WEIR_MASTER_KEY)".to_owned()),
        MasterKeySource::File(path) => return MasterKey::read(&path),
        MasterKeySource::DataFolder => data.join("master.key"),
    };
    if file.exists() { MasterKey::read(&file) } else { MasterKey::make(&file) }
}

impl From<CipherError> for ServiceError {
    fn from(error: CipherError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(MasterKey::parse(&"ab".repeat(32), "test".to_owned()).unwrap())
    }

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_sealed_value_opens_only_for_its_tenant_object_and_field() {
        let vault = vault();
        let (one, two) = (tenant(1), tenant(2));
        let wrapped = vault.new_data_key(one);
        let key = vault.unwrap_data_key(one, &wrapped).unwrap();
        let sealed = key.seal("secret_1", "value", b"hunter2");
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(&key.open("secret_1", "value", &sealed).unwrap()[..], b"hunter2");
        assert!(key.open("secret_2", "value", &sealed).is_err());
        assert!(key.open("secret_1", "other", &sealed).is_err());
        let other = vault.unwrap_data_key(two, &vault.new_data_key(two)).unwrap();
        assert!(other.open("secret_1", "value", &sealed).is_err());
    }

    #[test]
    fn a_data_key_of_another_tenant_or_master_does_not_unwrap() {
        let wrapped = vault().new_data_key(tenant(1));
        assert!(vault().unwrap_data_key(tenant(2), &wrapped).is_err());
        let stranger = Vault::new(MasterKey::parse(&"cd".repeat(32), "test".to_owned()).unwrap());
        assert!(stranger.unwrap_data_key(tenant(1), &wrapped).is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = master_key(MasterKeySource::DataFolder, folder.path()).unwrap();
        let again = master_key(MasterKeySource::DataFolder, folder.path()).unwrap();
        assert_eq!(made.mac("x", b"y"), again.mac("x", b"y"));
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join("master.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
