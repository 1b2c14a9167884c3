//! What the operator lets out.
//!
//! Invariant: an empty policy lets requests reach the open internet and nothing else.

use std::net::IpAddr;

use url::{Host, Url};

use crate::address::{Cidr, CidrError, is_outside};
use crate::error::EgressError;

/// The operator's rules. Tenants have no part in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    allow: Vec<Cidr>,
    proxy: Option<Url>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(transparent)]
    Cidr(#[from] CidrError),
    #[error("the egress proxy must be an http or https URL")]
    Proxy,
}

impl Policy {
    /// Reads the operator's settings: address ranges between commas or blanks that may be reached although they are inside
    /// (`WEIR_EGRESS_ALLOW`), and a proxy (`WEIR_EGRESS_PROXY`).
    pub fn parse(allow: &str, proxy: Option<&str>) -> Result<Self, PolicyError> {
        let ranges = allow.split([',', ' ', '\n', '\t']).filter(|part| !part.is_empty());
        let allow = ranges.map(str::parse).collect::<Result<_, CidrError>>()?;
        let proxy = match proxy.filter(|text| !text.trim().is_empty()) {
            None => None,
            Some(text) => {
                let url = Url::parse(text.trim()).map_err(|_| PolicyError::Proxy)?;
                if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                    return Err(PolicyError::Proxy);
                }
                Some(url)
            }
        };
        Ok(Self { allow, proxy })
    }

    pub(crate) const fn proxy(&self) -> Option<&Url> {
        self.proxy.as_ref()
    }

    pub(crate) fn lets_out(&self, address: IpAddr) -> bool {
        is_outside(address) || self.allows_by_name(address)
    }

    /// Whether the operator named a range that holds this address.
    pub(crate) fn allows_by_name(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|range| range.contains(address))
    }

    /// Checks what can be known from the URL alone. Names are checked when they are resolved for the connection.
    pub(crate) fn check(&self, url: &Url) -> Result<(), EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::InvalidUrl(format!("only http and https are possible, not `{}`", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::InvalidUrl("credentials do not belong into a URL".to_owned()));
        }
        let address = match url.host() {
            None | Some(Host::Domain("")) => return Err(EgressError::InvalidUrl("it names no host".to_owned())),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        };
        if self.lets_out(address) { Ok(()) } else { Err(EgressError::Forbidden { host: address.to_string() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(url: &str) -> Result<(), EgressError> {
        Policy::default().check(&Url::parse(url).unwrap())
    }

    #[test]
    fn an_address_is_refused_however_it_is_spelled() {
        let spellings = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0x7f.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0xa9fea9fe/",
            "http://[fd00:ec2::254]/",
            "http://10.0.0.1:8080/",
            "http://192.168.0.1/",
            "http://100.64.0.1/",
            "http://１２７.0.0.1/",
            "https://127.0.0.1:443/",
        ];
        for url in spellings {
            assert!(matches!(verdict(url), Err(EgressError::Forbidden { .. })), "{url}");
        }
    }

    #[test]
    fn only_plain_web_urls_are_taken() {
        for url in
            ["ftp://example.com/", "file:///etc/passwd", "gopher://x/", "unix:/run/x.sock", "http://u:p@example.com/"]
        {
            assert!(matches!(verdict(url), Err(EgressError::InvalidUrl(_))), "{url}");
        }
        for url in ["http://example.com/", "https://8.8.8.8/", "https://[2606:4700::1111]/"] {
            assert_eq!(verdict(url).err().map(|error| error.to_string()), None, "{url}");
        }
    }

    #[test]
    fn the_operators_ranges_open_exactly_what_they_name() {
        let policy = Policy::parse("127.0.0.0/8, fd00::/8", None).unwrap();
        let allowed = |url: &str| policy.check(&Url::parse(url).unwrap()).is_ok();
        assert!(allowed("http://127.0.0.1/") && allowed("http://[::ffff:127.0.0.1]/") && allowed("http://[fd00::5]/"));
        assert!(!allowed("http://10.0.0.1/") && !allowed("http://[::1]/"));
        assert!(Policy::parse("127.0.0.0/8;10.0.0.0/8", None).is_err());
        assert!(Policy::parse("", Some("socks5://x")).is_err());
    }
}
