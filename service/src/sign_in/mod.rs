//! Signing in with a password.
//!
//! Invariant: an unknown account takes the same work and gets the same answer as a wrong password; no password is looked
//! at before its try was counted ([`limit`]), and the wait that is named is true.

mod limit;

use zeroize::Zeroizing;

use crate::sessions::{self, Client, SignedIn};
use crate::{ServiceError, Weir};

const REFUSED: &str = "E-mail address or password is not right.";

/// # Errors
/// [`ServiceError::Unauthenticated`], or [`ServiceError::RateLimited`] with the true wait.
pub async fn sign_in(
    weir: &Weir,
    email_text: &str,
    password: Zeroizing<String>,
    client: &Client,
) -> Result<SignedIn, ServiceError> {
    let now = weir.now();
    let email = email(email_text).unwrap_or_else(|_| crate::text::column(&email_text.trim().to_lowercase(), 254));
    let user = weir.store().system().await?.find_user_by_email(&email).await?;
    let user = user.filter(|user| user.disabled_at.is_none());
    let known = user.as_ref().map(|user| domain::UserId::from_uuid(user.id));
    let tried = limit::reserve(weir, &email, client.address.as_deref(), known).await?;
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = weir.passwords().verify(password, stored).await?;
    let Some(user) = user.filter(|_| right) else {
        return Err(ServiceError::Unauthenticated(REFUSED));
    };
    let (session, token) = sessions::fresh(weir, client);
    let user_id = domain::UserId::from_uuid(user.id);
    weir.store()
        .write_system(move |unit| async move {
            limit::give_back(&unit, &tried, now).await?;
            unit.insert(entities::session::Model { user_id: user.id, ..session }).await?;
            unit.update_user(entities::user::Model { last_active_at: Some(now), ..user }).await?;
            Ok::<_, ServiceError>(())
        })
        .await?;
    Ok(SignedIn { token, user_id })
}

/// An address in the form in which accounts are stored.
///
/// # Errors
/// [`ServiceError::Invalid`] if it is no address.
pub(crate) fn email(text: &str) -> Result<String, ServiceError> {
    let text = text.trim().to_lowercase();
    let fits = text.len() <= 254
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        });
    if fits { Ok(text) } else { Err(ServiceError::field("/email", "This is no e-mail address.")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_one_form() {
        assert_eq!(email(" Ada@Example.COM ").unwrap(), "ada@example.com");
        assert!(email("ada").is_err());
        assert!(email("a b@c").is_err());
    }
}
