//! Names to addresses, with the address check on the way: what comes out is what the connection is made to.
//!
//! Invariant: if one address of a name is forbidden, the name is refused, so that no answer can mix the two.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::error::Refused;
use crate::policy::Policy;

/// Who knows the addresses of names.
pub trait Lookup: Send + Sync {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver.
pub(crate) struct System;

impl Lookup for System {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

/// What the client library asks before it connects.
pub(crate) struct Guard {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) policy: Arc<Policy>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        // Behind a proxy the only name connected to is the proxy's own, which the operator chose.
        let trusted = self.policy.proxy().is_some_and(|proxy| proxy.host_str() == Some(&host));
        let policy = Arc::clone(&self.policy);
        let found = self.lookup.lookup(host);
        Box::pin(async move {
            let addresses = found.await.map_err(|error| Refused::Name(error.kind(), error.to_string()))?;
            if addresses.is_empty() {
                return Err(Refused::Name(io::ErrorKind::NotFound, "no addresses".to_owned()).into());
            }
            if !trusted && !addresses.iter().all(|address| policy.lets_out(*address)) {
                return Err(Refused::Address.into());
            }
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
