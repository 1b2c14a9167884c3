//! The only parts that run in the browser too. Each adds ease to a page that is whole without it.
//!
//! Invariant: an island knows nothing but its few properties and the page it stands on; marked `scripted` it is not
//! shown before scripts have taken over.

mod copy;
mod live;
mod menus;
#[cfg(feature = "hydrate")]
mod morph;
mod password;

pub(crate) use copy::Copy;
pub(crate) use live::Live;
pub(crate) use menus::Menus;
pub(crate) use password::ShowPassword;
