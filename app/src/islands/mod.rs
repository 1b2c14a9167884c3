//! The only parts that run in the browser too. Each adds ease to a page that is whole without it.
//!
//! Invariant: an island knows nothing but its few properties and the page it stands on; marked `scripted` it is not
//! shown before scripts have taken over.

mod copy;
mod live;
mod menus;
#[cfg(feature = "hydrate")]
mod morph;
mod palette;
mod password;

#[cfg(feature = "ssr")]
pub(crate) use {copy::Copy, live::Live, menus::Menus, palette::Palette, password::ShowPassword};
