//! [`TrustedHop`]: which proxy is believed.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::{
    clock::Timestamp,
    credential::{PeerCertificate, PeerInfo},
    error::ConfigError,
    spiffe::SpiffePattern,
};

/// Which other end of a connection is the proxy that may speak for its clients.
///
/// The ways to know it, the strongest first. A peer that passes can claim to be any
/// client at all, so take the strongest that your deployment has:
///
/// 1. [`spiffe`](Self::spiffe): the proxy's own client certificate, on our TLS
///    listener, chained to a trust anchor.
/// 2. [`thumbprint`](Self::thumbprint): one certificate of the proxy. As strong,
///    and to be changed here whenever the proxy's certificate is renewed.
/// 3. [`unix_socket`](Self::unix_socket): the socket's file permissions say who
///    can connect.
/// 4. [`loopback`](Self::loopback): every process of the machine, or of the pod,
///    can connect.
/// 5. [`ip_range`](Self::ip_range): everything in that network can connect, and
///    the bytes on the wire are no secret.
///
/// ```
/// use tower_delegation::credential::TrustedHop;
///
/// let hop = TrustedHop::spiffe("spiffe://prod.example/ns/mesh/sa/gateway")?.or(TrustedHop::unix_socket());
/// # let _ = hop;
/// # Ok::<_, tower_delegation::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TrustedHop(Vec<Hop>);

#[derive(Clone)]
enum Hop {
    Spiffe(SpiffePattern),
    Thumbprint([u8; 32]),
    UnixSocket,
    Loopback,
    IpRange(IpNet),
}

impl TrustedHop {
    /// A proxy that presents an X509-SVID whose SPIFFE ID fits `pattern`, on our
    /// TLS listener. It must chain to a trust anchor and be current.
    ///
    /// # Errors
    /// The pattern is not usable: see [`SpiffePattern::new`].
    pub fn spiffe(pattern: &str) -> Result<Self, ConfigError> {
        Ok(Self(vec![Hop::Spiffe(SpiffePattern::new(pattern)?)]))
    }

    /// A proxy that presents exactly this certificate (the SHA-256 digest of its
    /// DER), on our TLS listener. It must be current.
    pub fn thumbprint(thumbprint: [u8; 32]) -> Self {
        Self(vec![Hop::Thumbprint(thumbprint)])
    }

    /// Every process that may connect to our Unix socket.
    pub fn unix_socket() -> Self {
        Self(vec![Hop::UnixSocket])
    }

    /// Every peer from `127.0.0.0/8` or `::1`: every process that shares
    /// our network namespace.
    pub fn loopback() -> Self {
        Self(vec![Hop::Loopback])
    }

    /// Every peer from these addresses, such as `10.0.0.0/8` or
    /// `2001:db8::/32`, or from this one address.
    ///
    /// # Errors
    /// It is no range, has bits behind its prefix, or is the range of all addresses.
    pub fn ip_range(range: &str) -> Result<Self, ConfigError> {
        let wrong = |problem| ConfigError::InvalidIpRange { range: range.into(), problem };
        let net = range
            .parse::<IpNet>()
            .or_else(|_no_range| range.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_no_address| wrong("write `10.0.0.0/8`, `2001:db8::/32` or one address"))?;
        if net.addr() != net.network() {
            return Err(wrong("its address has bits set behind the prefix"));
        }
        if net.prefix_len() == 0 {
            return Err(wrong("it is every address there is, so it names no proxy"));
        }
        Ok(Self(vec![Hop::IpRange(net)]))
    }

    /// This one or another.
    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Is `peer` the proxy, at this time?
    pub(crate) fn is(&self, peer: &PeerInfo, now: Timestamp) -> bool {
        let certificate = peer.certificate(now);
        // `::ffff:10.0.0.1` is how a socket for both families shows 10.0.0.1.
        let address = peer.address().map(|address| address.ip().to_canonical());
        self.0.iter().any(|hop| match hop {
            Hop::Spiffe(pattern) => {
                certificate.and_then(PeerCertificate::spiffe_id).is_some_and(|id| pattern.matches(id))
            }
            Hop::Thumbprint(thumbprint) => {
                certificate.is_some_and(|certificate| certificate.thumbprint() == thumbprint)
            }
            Hop::UnixSocket => peer.is_unix_socket(),
            Hop::Loopback => address.is_some_and(|address| address.is_loopback()),
            Hop::IpRange(range) => address.is_some_and(|address| range.contains(&address)),
        })
    }
}

impl fmt::Debug for TrustedHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(pattern) => fmt::Debug::fmt(pattern, f),
            Self::Thumbprint(_) => f.write_str("thumbprint"),
            Self::UnixSocket => f.write_str("unix socket"),
            Self::Loopback => f.write_str("loopback"),
            Self::IpRange(range) => fmt::Display::fmt(range, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 9440-2.4-2.
    #[test]
    fn a_peer_is_the_hop_or_is_not() {
        let tcp = |ip: &str| PeerInfo::new((ip.parse::<IpAddr>().unwrap(), 1).into());
        let range = TrustedHop::ip_range("10.1.0.0/16").unwrap();
        let one = TrustedHop::ip_range("2001:db8::7").unwrap();
        for (name, hop, peer, is) in [
            ("loopback", TrustedHop::loopback(), tcp("127.0.0.1"), true),
            ("all of loopback", TrustedHop::loopback(), tcp("127.9.9.9"), true),
            ("loopback 6", TrustedHop::loopback(), tcp("::1"), true),
            ("loopback, mapped", TrustedHop::loopback(), tcp("::ffff:127.0.0.1"), true),
            ("not loopback", TrustedHop::loopback(), tcp("10.1.2.3"), false),
            ("unspecified", TrustedHop::loopback(), tcp("0.0.0.0"), false),
            ("unix is not loopback", TrustedHop::loopback(), PeerInfo::unix_socket(), false),
            ("unix", TrustedHop::unix_socket(), PeerInfo::unix_socket(), true),
            ("loopback is not unix", TrustedHop::unix_socket(), tcp("127.0.0.1"), false),
            ("range", range.clone(), tcp("10.1.255.255"), true),
            ("range, mapped", range.clone(), tcp("::ffff:10.1.0.1"), true),
            ("beside the range", range.clone(), tcp("10.2.0.0"), false),
            ("unix is in no range", range.clone(), PeerInfo::unix_socket(), false),
            ("one address", one.clone(), tcp("2001:db8::7"), true),
            ("its neighbour", one, tcp("2001:db8::8"), false),
            ("no certificate", TrustedHop::thumbprint([0; 32]), tcp("127.0.0.1"), false),
            ("no SPIFFE ID", TrustedHop::spiffe("spiffe://td/**").unwrap(), tcp("127.0.0.1"), false),
            ("one of two", range.clone().or(TrustedHop::unix_socket()), PeerInfo::unix_socket(), true),
            ("none of two", range.or(TrustedHop::unix_socket()), tcp("127.0.0.1"), false),
        ] {
            assert_eq!(hop.is(&peer, Timestamp::from_unix_seconds(0)), is, "{name}");
        }
    }

    #[test]
    fn refused_ranges() {
        for range in ["", "10.0.0.0/33", "10.0.0.1/8", "0.0.0.0/0", "::/0", "localhost", "10.0.0/8"] {
            assert!(TrustedHop::ip_range(range).is_err(), "{range:?}");
        }
        assert!(TrustedHop::spiffe("gateway").is_err());
    }
}
