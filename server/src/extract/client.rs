//! From where a request comes.
//!
//! Invariant: `X-Forwarded-For` is believed only as far as trusted proxies wrote it.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header;
use service::sessions::Client;

use crate::state::State;

pub(crate) fn client_of(request: &HttpRequest, state: &State) -> Client {
    let peer = request.peer_addr().map(|address| address.ip());
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Client {
        address: address(peer, &hops, &state.trusted_proxies).map(|address| address.to_string()),
        user_agent: agent.map(ToOwned::to_owned),
    }
}

/// Walks from the nearest hop outwards, as long as who speaks is trusted.
fn address(peer: Option<IpAddr>, hops: &[&str], trusted: &[IpAddr]) -> Option<IpAddr> {
    let mut address = peer?;
    for hop in hops.iter().rev() {
        if !trusted.contains(&address) {
            break;
        }
        match hop.parse() {
            Ok(next) => address = next,
            Err(_) => break,
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (proxy, caller) = (ip("10.0.0.1"), ip("203.0.113.7"));
        assert_eq!(address(Some(caller), &["1.1.1.1"], &[proxy]), Some(caller));
        assert_eq!(address(Some(proxy), &["1.1.1.1", "203.0.113.7"], &[proxy]), Some(caller));
        assert_eq!(address(Some(proxy), &["not an address"], &[proxy]), Some(proxy));
        assert_eq!(address(Some(proxy), &["1.1.1.1"], &[]), Some(proxy));
    }
}
