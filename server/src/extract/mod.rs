//! From a request to types that cannot be wrong: who calls, query, body, files.
//!
//! Invariant: credentials are checked before anything else of a request is looked at; queries and bodies refuse what they
//! do not know.

mod body;
mod caller;
mod client;
mod flow_body;
mod flow_form;
mod params;
mod plain;
mod run_body;

pub(crate) use body::Body;
pub(crate) use caller::{Caller, Credentials, MaybeCaller};
pub(crate) use client::client_of;
pub(crate) use flow_body::{FlowBody, if_match};
pub(crate) use flow_form::wanted_form;
pub(crate) use params::{Known, NoParams, Params};
pub(crate) use plain::objection;
pub(crate) use run_body::{RunBody, UploadBody};
