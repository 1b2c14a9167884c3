//! How often signing in may be tried.
//!
//! Invariant: a try is counted before its password is looked at, in the same unit of work that decides whether it may be
//! made: however many come at once, no more passwords are looked at than there are free tries. A try that was right is
//! given back.
//!
//! Three counts are kept, because no single one serves both sides. Account and address together are limited tightly:
//! that is somebody guessing, and nobody but them is hurt. The address alone is limited across accounts, against one
//! password tried on many. The account alone is limited loosely and never for long, against guessing from many addresses:
//! a tight limit there would let anybody lock the owner out. An address from which the account has an open session is
//! free of that last one, so that an owner under attack still gets in.

use std::net::{IpAddr, Ipv6Addr};

use chrono::{DateTime, Duration, Utc};
use domain::UserId;
use entities::sign_in_failure;
use entities::system::SystemUnit;

use crate::{ServiceError, Weir};

/// Tries within it are counted together.
const WINDOW: Duration = Duration::minutes(15);

struct Rule {
    /// Tries within the window before a wait.
    free: i32,
    /// The wait doubles with every further failure, up to the longest.
    first_wait: Duration,
    longest_wait: Duration,
}

const ACCOUNT_AND_ADDRESS: Rule =
    Rule { free: 5, first_wait: Duration::seconds(15), longest_wait: Duration::minutes(15) };
const ADDRESS: Rule = Rule { free: 50, first_wait: Duration::seconds(15), longest_wait: Duration::minutes(15) };
const ACCOUNT: Rule = Rule { free: 50, first_wait: Duration::seconds(1), longest_wait: Duration::minutes(1) };

/// A try that was counted.
pub(super) struct Try {
    both: String,
    account: Option<String>,
    address: String,
}

/// Counts a try, or refuses it with the true wait.
pub(super) async fn reserve(
    weir: &Weir,
    email: &str,
    address: Option<&str>,
    user: Option<UserId>,
) -> Result<Try, ServiceError> {
    let at_home = match (user, address) {
        (Some(user), Some(address)) => has_session_from(weir, user, address).await?,
        _ => false,
    };
    let (address, now) = (network(address), weir.now());
    let tried = Try {
        both: format!("account-at-address:{email} {address}"),
        account: (!at_home).then(|| format!("account:{email}")),
        address: format!("address:{address}"),
    };
    // Always in this order, so that two tries that share rows cannot wait for each other.
    let subjects: Vec<(String, &'static Rule)> = [
        Some((tried.both.clone(), &ACCOUNT_AND_ADDRESS)),
        tried.account.clone().map(|account| (account, &ACCOUNT)),
        Some((tried.address.clone(), &ADDRESS)),
    ]
    .into_iter()
    .flatten()
    .collect();
    weir.store()
        .write_system(move |unit| async move {
            let mut counted_rows = Vec::new();
            for (subject, rule) in subjects {
                let row = unit.hold_sign_in_failures(&subject, now).await?;
                if let Some(until) = row.blocked_until.filter(|until| *until > now) {
                    return Err(wait(until - now));
                }
                counted_rows.push(counted(row, rule, now));
            }
            for row in counted_rows {
                unit.put_sign_in_failures(row).await?;
            }
            Ok(())
        })
        .await?;
    Ok(tried)
}

/// The try was right: it was no failure.
pub(super) async fn give_back(unit: &SystemUnit, tried: &Try, now: DateTime<Utc>) -> Result<(), ServiceError> {
    unit.hold_sign_in_failures(&tried.both, now).await?;
    unit.clear_sign_in_failures(&tried.both).await?;
    for (subject, rule) in [(tried.account.as_ref(), &ACCOUNT), (Some(&tried.address), &ADDRESS)] {
        let Some(subject) = subject else { continue };
        let row = unit.hold_sign_in_failures(subject, now).await?;
        unit.put_sign_in_failures(uncounted(row, rule)).await?;
    }
    Ok(())
}

async fn has_session_from(weir: &Weir, user: UserId, address: &str) -> Result<bool, ServiceError> {
    let now = weir.now();
    let sessions = weir.store().system().await?.sessions_of(user.uuid()).await?;
    Ok(sessions.iter().any(|session| session.expires_at > now && session.address.as_deref() == Some(address)))
}

fn wait(left: Duration) -> ServiceError {
    let left = left.num_milliseconds().max(1);
    ServiceError::RateLimited {
        detail: format!("Too many attempts. Try again in {} seconds.", (left + 999) / 1_000),
        retry_after_ms: u64::try_from(left).unwrap_or(1_000),
    }
}

fn counted(mut row: sign_in_failure::Model, rule: &Rule, now: DateTime<Utc>) -> sign_in_failure::Model {
    if now - row.window_started_at >= WINDOW {
        row = sign_in_failure::Model { failures: 0, window_started_at: now, blocked_until: None, ..row };
    }
    row.failures = row.failures.saturating_add(1);
    if row.failures >= rule.free {
        let doublings = u32::try_from(row.failures - rule.free).unwrap_or(0).min(10);
        row.blocked_until = Some(now + (rule.first_wait * 2_i32.pow(doublings)).min(rule.longest_wait));
        // The window starts anew, so that whoever goes on failing goes on waiting.
        row.window_started_at = now;
    }
    row
}

fn uncounted(mut row: sign_in_failure::Model, rule: &Rule) -> sign_in_failure::Model {
    row.failures = row.failures.saturating_sub(1).max(0);
    if row.failures < rule.free {
        row.blocked_until = None;
    }
    row
}

/// What one customer of a provider has for himself: an IPv4 address, or a /64 of IPv6.
fn network(address: Option<&str>) -> String {
    match address.map(str::parse::<IpAddr>) {
        Some(Ok(IpAddr::V6(address))) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
        Some(Ok(IpAddr::V4(address))) => address.to_string(),
        Some(Err(_)) | None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(now: DateTime<Utc>) -> sign_in_failure::Model {
        sign_in_failure::Model { subject: "a".to_owned(), failures: 0, window_started_at: now, blocked_until: None }
    }

    #[test]
    fn failures_within_the_window_lead_to_growing_waits() {
        let (now, rule) = (DateTime::<Utc>::UNIX_EPOCH, &ACCOUNT_AND_ADDRESS);
        let mut row = row(now);
        for _ in 0..rule.free {
            assert_eq!(row.blocked_until, None);
            row = counted(row, rule, now);
        }
        assert_eq!(row.blocked_until, Some(now + rule.first_wait));
        let row = counted(row, rule, now + rule.first_wait);
        assert_eq!(row.blocked_until, Some(now + rule.first_wait + rule.first_wait * 2));
        let later = counted(row, rule, now + WINDOW * 3);
        assert_eq!((later.failures, later.blocked_until), (1, None));
    }

    #[test]
    fn an_account_alone_never_waits_for_long() {
        let (now, mut row) = (DateTime::<Utc>::UNIX_EPOCH, row(DateTime::<Utc>::UNIX_EPOCH));
        for _ in 0..10_000 {
            row = counted(row, &ACCOUNT, now);
        }
        assert_eq!(row.blocked_until, Some(now + ACCOUNT.longest_wait));
    }

    #[test]
    fn a_right_password_gives_its_try_back_and_no_other() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let mut row = row(now);
        for _ in 0..ADDRESS.free {
            row = counted(row, &ADDRESS, now);
        }
        let row = uncounted(row, &ADDRESS);
        assert_eq!((row.failures, row.blocked_until), (ADDRESS.free - 1, None));
    }

    #[test]
    fn addresses_of_one_customer_count_together() {
        assert_eq!(network(Some("2001:db8:1:2::1")), network(Some("2001:db8:1:2:ffff::9")));
        assert_ne!(network(Some("2001:db8:1:2::1")), network(Some("2001:db8:1:3::1")));
        assert_eq!(network(Some("::ffff:192.0.2.1")), network(Some("192.0.2.1")));
        assert_ne!(network(Some("192.0.2.1")), network(Some("192.0.2.2")));
        assert_eq!(network(None), network(Some("no address")));
    }
}
