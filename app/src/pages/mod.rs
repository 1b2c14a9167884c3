//! The screens, one module each. A page asks its question, shows the answer, and writes through plain forms.

pub(crate) mod account;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod connections;
pub(crate) mod errors;
pub(crate) mod flows;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod overview;
pub(crate) mod runs;
pub(crate) mod settings;
pub(crate) mod sign_in;
