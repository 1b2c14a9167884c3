//! The one client for everything that leaves: flows' requests, model endpoints, webhooks, sign-in providers.
//!
//! Invariant: no connection is ever opened to an address that the operator's [`Policy`] does not let out; the check is made
//! on the very addresses that are connected to, so a name that changes its mind between check and use gains nothing.

mod address;
mod client;
mod connect;
mod error;
mod policy;
mod request;
mod resolver;
mod response;

pub use address::{Cidr, CidrError};
pub use client::{BuildError, Client};
pub use error::EgressError;
pub use policy::{Policy, PolicyError};
pub use request::{Limits, Request};
pub use resolver::Lookup;
pub use response::Response;

pub use bytes::Bytes;
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};
pub use url::Url;
