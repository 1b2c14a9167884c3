//! The design system's parts: small views without knowledge of tenants or addresses of their own.

pub(crate) mod chart;
pub(crate) mod code;
pub(crate) mod field;
pub(crate) mod figure;
pub(crate) mod json;
pub(crate) mod loaded;
pub(crate) mod page;
pub(crate) mod prose;
pub(crate) mod query;
pub(crate) mod status;
pub(crate) mod svg;
pub(crate) mod time;
pub(crate) mod yaml;
