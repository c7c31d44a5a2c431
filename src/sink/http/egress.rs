//! Which addresses a sink may reach: not those where machines keep their metadata and credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves like the system does and leaves out what is blocked. Behind a proxy the proxy resolves, and guards.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) allow_link_local: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow_link_local;
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let open: Vec<SocketAddr> = all.iter().copied().filter(|found| allow || !is_blocked(found.ip())).collect();
            if open.is_empty() && !all.is_empty() {
                return Err(Blocked.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// All of a host's addresses are link-local.
#[derive(Debug, thiserror::Error)]
#[error("the host's address is link-local")]
pub(super) struct Blocked;

/// Whether a URL's host is this machine.
pub(in crate::sink) fn is_loopback(host: &str) -> bool {
    host == "localhost" || ip(host).is_some_and(|ip| ip.is_loopback())
}

/// Whether a URL's host is an address that is blocked. Clients do not resolve such hosts, so the resolver never sees them.
pub(super) fn is_blocked_host(host: &str) -> bool {
    ip(host).is_some_and(is_blocked)
}

fn ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// `169.254.0.0/16` and `fe80::/10` (link-local), `fd00:ec2::254` (EC2's metadata), and the first one as IPv4-mapped
/// (`::ffff:`), IPv4-compatible (`::`) or NAT64 (`64:ff9b::`).
pub(in crate::sink) fn is_blocked(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            let words = ip.segments();
            let embedded = matches!(words, [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0 | 0xffff, ..]);
            let [.., w, x, y, z] = ip.octets();
            (embedded && Ipv4Addr::new(w, x, y, z).is_link_local())
                || ip.is_unicast_link_local()
                || ip == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_blocked_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.170.2",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[::a9fe:a9fe]",
        ] {
            assert!(is_blocked_host(host), "{host}");
        }
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "[fec0::1]", "[fd00:ec2::253]", "169.253.1.1", "example.org"] {
            assert!(!is_blocked_host(host), "{host}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        assert!(is_loopback("localhost") && is_loopback("127.3.2.1") && is_loopback("[::1]"));
        assert!(!is_loopback("localhost.example.org") && !is_loopback("10.0.0.1"));
    }

    #[tokio::test]
    async fn the_resolver_lets_ordinary_names_through() {
        let found: Vec<_> =
            Resolver { allow_link_local: false }.resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
        // A numeric name is resolved to itself, which lets the filter be seen at work.
        let refused = Resolver { allow_link_local: false }.resolve("169.254.169.254".parse().unwrap()).await;
        assert!(refused.err().unwrap().is::<Blocked>());
        assert!(Resolver { allow_link_local: true }.resolve("169.254.169.254".parse().unwrap()).await.is_ok());
    }
}
