//! Connections for protocols that are not HTTP, such as a database's.
//!
//! Invariant: the address that is connected to is one that was checked; nothing is resolved twice.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::client::Client;
use crate::error::EgressError;

const WAIT: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to a port of a host. An operator who sends everything through a proxy lets such connections out only to
    /// addresses that are allowed by name, since the proxy cannot carry them.
    ///
    /// # Errors
    /// The name does not resolve, an address of it may not be reached, or nobody answers.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, EgressError> {
        let name = host.to_owned();
        let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let dns = |source| EgressError::Dns { host: name.clone(), source };
                let found = tokio::time::timeout(WAIT, self.lookup.lookup(name.clone())).await;
                found.map_err(|_| EgressError::Timeout { host: name.clone(), after: WAIT })?.map_err(dns)?
            }
        };
        if addresses.is_empty() {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no addresses");
            return Err(EgressError::Dns { host: name, source });
        }
        let allowed = |address: &IpAddr| match self.policy.proxy() {
            None => self.policy.lets_out(*address),
            Some(_) => self.policy.allows_by_name(*address),
        };
        if !addresses.iter().all(allowed) {
            return Err(EgressError::Forbidden { host: name });
        }
        let targets: Vec<SocketAddr> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        match tokio::time::timeout(WAIT, TcpStream::connect(targets.as_slice())).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(EgressError::Unreachable { host: name, source }),
            Err(_) => {
                let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "nobody answers");
                Err(EgressError::Unreachable { host: name, source })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[tokio::test]
    async fn inside_addresses_are_refused_before_a_packet_is_sent_unless_the_operator_opened_them() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = Client::new(Policy::default()).unwrap();
        for host in ["127.0.0.1", "localhost", "::1", "[::1]", "169.254.169.254", "0.0.0.0"] {
            assert!(matches!(closed.connect(host, port).await, Err(EgressError::Forbidden { .. })), "{host}");
        }
        let open = Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap();
        assert!(open.connect("127.0.0.1", port).await.is_ok());
        let proxied = Client::new(Policy::parse("", Some("http://127.0.0.1:1")).unwrap()).unwrap();
        assert!(matches!(proxied.connect("1.1.1.1", 5432).await, Err(EgressError::Forbidden { .. })));
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_proves_that_nothing_happened() {
        let open = Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap();
        let error = open.connect("127.0.0.1", 1).await.unwrap_err();
        assert!(matches!(error, EgressError::Unreachable { .. }) && !error.may_have_been_sent());
    }
}
