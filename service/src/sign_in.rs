//! Signing in with a password.
//!
//! Invariant: an unknown account takes the same work and gets the same answer as a wrong password; attempts are limited
//! by account and by address, and the wait that is named is true.

use chrono::{DateTime, Duration, Utc};
use entities::sign_in_failure;
use zeroize::Zeroizing;

use crate::sessions::{self, Client, SignedIn};
use crate::{ServiceError, Weir};

/// Failures within the window before an account, or an address, has to wait.
const FREE_FOR_ACCOUNT: i32 = 5;
const FREE_FOR_ADDRESS: i32 = 50;
const WINDOW: Duration = Duration::minutes(15);
/// The first wait; it doubles with every further failure, up to the window.
const FIRST_WAIT: Duration = Duration::seconds(15);

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
    let account = format!("account:{email}");
    let address = format!("address:{}", client.address.as_deref().unwrap_or("unknown"));
    refuse_blocked(weir, [&account, &address], now).await?;
    let user = weir.store().system().await?.find_user_by_email(&email).await?;
    let user = user.filter(|user| user.disabled_at.is_none());
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = weir.passwords().verify(password, stored).await?;
    let Some(user) = user.filter(|_| right) else {
        note_failure(weir, account, address, now).await?;
        return Err(ServiceError::Unauthenticated(REFUSED));
    };
    let (session, token) = sessions::fresh(weir, client);
    let user_id = domain::UserId::from_uuid(user.id);
    weir.store()
        .write_system(move |unit| async move {
            unit.clear_sign_in_failures(&account).await?;
            unit.insert(entities::session::Model { user_id: user.id, ..session }).await?;
            unit.update_user(entities::user::Model { last_active_at: Some(now), ..user }).await?;
            Ok::<_, ServiceError>(())
        })
        .await?;
    Ok(SignedIn { token, user_id })
}

async fn refuse_blocked(weir: &Weir, subjects: [&String; 2], now: DateTime<Utc>) -> Result<(), ServiceError> {
    let system = weir.store().system().await?;
    for subject in subjects {
        let until = system.sign_in_failures(subject).await?.and_then(|row| row.blocked_until);
        if let Some(until) = until.filter(|until| *until > now) {
            let wait = (until - now).num_milliseconds().max(1);
            return Err(ServiceError::RateLimited {
                detail: format!("Too many attempts. Try again in {} seconds.", (wait + 999) / 1_000),
                retry_after_ms: u64::try_from(wait).unwrap_or(1_000),
            });
        }
    }
    Ok(())
}

async fn note_failure(weir: &Weir, account: String, address: String, now: DateTime<Utc>) -> Result<(), ServiceError> {
    weir.store()
        .write_system(move |unit| async move {
            for (subject, free) in [(account, FREE_FOR_ACCOUNT), (address, FREE_FOR_ADDRESS)] {
                let known = unit.sign_in_failures(&subject).await?;
                unit.put_sign_in_failures(counted(known, subject, free, now)).await?;
            }
            Ok::<_, ServiceError>(())
        })
        .await
}

fn counted(
    known: Option<sign_in_failure::Model>,
    subject: String,
    free: i32,
    now: DateTime<Utc>,
) -> sign_in_failure::Model {
    let fresh = sign_in_failure::Model { subject, failures: 0, window_started_at: now, blocked_until: None };
    let mut row = known.filter(|row| now - row.window_started_at < WINDOW).unwrap_or(fresh);
    row.failures = row.failures.saturating_add(1);
    if row.failures >= free {
        let doublings = u32::try_from(row.failures - free).unwrap_or(0).min(10);
        row.blocked_until = Some(now + (FIRST_WAIT * 2_i32.pow(doublings)).min(WINDOW));
        // The window starts anew, so that whoever goes on failing goes on waiting.
        row.window_started_at = now;
    }
    row
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
    fn failures_within_the_window_lead_to_growing_waits() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let mut row = None;
        for _ in 0..FREE_FOR_ACCOUNT {
            row = Some(counted(row, "account:a".to_owned(), FREE_FOR_ACCOUNT, now));
        }
        assert_eq!(row.as_ref().unwrap().blocked_until, Some(now + FIRST_WAIT));
        let row = counted(row, "account:a".to_owned(), FREE_FOR_ACCOUNT, now + FIRST_WAIT);
        assert_eq!(row.blocked_until, Some(now + FIRST_WAIT + FIRST_WAIT * 2));
        let later = counted(Some(row), "account:a".to_owned(), FREE_FOR_ACCOUNT, now + WINDOW * 3);
        assert_eq!((later.failures, later.blocked_until), (1, None));
    }

    #[test]
    fn addresses_are_compared_in_one_form() {
        assert_eq!(email(" Ada@Example.COM ").unwrap(), "ada@example.com");
        assert!(email("ada").is_err());
        assert!(email("a b@c").is_err());
    }
}
