//! Passwords: Argon2id on a bounded pool, so that sign-ins can neither starve the program nor eat its memory.
//!
//! Invariant: a check costs the same whether the account exists or not, and no password is ever logged or stored.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::ServiceError;

/// Memory in KiB, passes and lanes of one hash (OWASP's second choice: 19 MiB, 2, 1).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Shortest and longest password in characters and bytes.
const SHORTEST: usize = 12;
const LONGEST_BYTES: usize = 1_024;

#[derive(Clone)]
pub struct Passwords {
    slots: Arc<Semaphore>,
    /// Verified against when there is no account, so that both ways take the same work.
    decoy: Arc<str>,
}

impl Passwords {
    /// # Errors
    /// Never with the constants above; they are checked here once instead of at every sign-in.
    pub fn new() -> Result<Self, ServiceError> {
        let slots = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let decoy = hash_now(&crate::token::opaque())?;
        Ok(Self { slots: Arc::new(Semaphore::new(slots)), decoy: decoy.into() })
    }

    /// # Errors
    /// [`ServiceError::Invalid`] for a password outside the allowed lengths.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, ServiceError> {
        if password.chars().count() < SHORTEST {
            return Err(ServiceError::field(
                "/password",
                "A password needs at least 12 characters; a few words are best.",
            ));
        }
        if password.len() > LONGEST_BYTES {
            return Err(ServiceError::field("/password", "A password may have at most 1,024 bytes."));
        }
        self.on_the_pool(move || hash_now(&password)).await?
    }

    /// Whether the password is the account's; `stored` is `None` when there is no account or it has no password.
    ///
    /// # Errors
    /// Only faults of ours.
    pub async fn verify(&self, password: Zeroizing<String>, stored: Option<String>) -> Result<bool, ServiceError> {
        if password.len() > LONGEST_BYTES {
            return Ok(false);
        }
        let decoy = Arc::clone(&self.decoy);
        self.on_the_pool(move || {
            let exists = stored.is_some();
            let against = stored.unwrap_or_else(|| decoy.to_string());
            argon2().is_ok_and(|argon2| argon2.verify_password(password.as_bytes(), against.as_str()).is_ok()) && exists
        })
        .await
    }

    async fn on_the_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let _slot = self.slots.acquire().await.map_err(ServiceError::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(ServiceError::internal)
    }
}

fn argon2() -> Result<Argon2<'static>, ServiceError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| ServiceError::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &str) -> Result<String, ServiceError> {
    let hash =
        argon2()?.hash_password(password.as_bytes()).map_err(|error| ServiceError::internal(error.to_string()))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_opens_and_a_missing_account_never_does() {
        let passwords = Passwords::new().unwrap();
        let right = || Zeroizing::new("correct horse battery".to_owned());
        let stored = passwords.hash(right()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify(right(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify(Zeroizing::new("wrong horse battery".to_owned()), Some(stored)).await.unwrap());
        assert!(!passwords.verify(right(), None).await.unwrap());
    }
}
