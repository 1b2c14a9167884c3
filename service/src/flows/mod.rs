//! Flows: immutable versions behind channels, drafts, and what is known of them.
//!
//! Invariant: a version never changes and the same content is the same version; every move of a channel gets the next
//! position in the tenant's history, so that a run can pin the whole of it by one number.

mod channels;
mod check;
mod delete;
mod describe;
mod detail;
mod difference;
mod figures;
pub mod folder;
mod list;
mod neighbours;
mod plans;
mod publish;

pub use channels::{channel, channels, channels_page, move_channel, remove_channel};
pub use check::check;
pub use delete::delete;
pub use describe::{CallableFlow, callable};
pub use detail::{get, source, version, versions};
pub(crate) use figures::percentile;
pub use list::{list, names};
pub(crate) use neighbours::{check_calls, check_references};
pub use plans::{Plans, Resolved, Wanted, compile, plan, resolve};
pub(crate) use plans::{default_model, find};
pub use publish::{PutOptions, Saved, put};

use crate::ServiceError;

/// The channel that a call without a wish runs.
pub const STABLE: &str = "stable";

/// A flow's name, in URLs and in `flow_name`.
///
/// # Errors
/// [`ServiceError::Invalid`].
pub fn check_name(name: &str) -> Result<(), ServiceError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
        && name.as_bytes()[0].is_ascii_alphanumeric();
    // `check` is where flows are checked; a flow of that name could never be reached.
    if fits && name != "check" {
        Ok(())
    } else {
        Err(ServiceError::field(
            "/flow",
            "A flow's name has 1 to 64 lower-case letters, digits, `_` and `-`, starts with a letter or digit and is not `check`.",
        ))
    }
}
