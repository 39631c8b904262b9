//! The workloads that may present an application's tokens.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use data_encoding::HEXLOWER_PERMISSIVE;
use url::Host;

use crate::{credential::WorkloadIdentity, reason::DenialReason, spiffe::SpiffePattern};

/// Which workloads. None at all, unless said otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Workloads {
    pub(super) spiffe: Vec<SpiffePattern>,
    pub(super) dns_names: Vec<Box<str>>,
    pub(super) thumbprints: Vec<[u8; 32]>,
    /// Anyone, also one who proves nothing.
    pub(super) any: bool,
}

impl Workloads {
    pub(super) fn is_empty(&self) -> bool {
        self.spiffe.is_empty() && self.dns_names.is_empty() && self.thumbprints.is_empty()
    }

    pub(super) fn check(&self, workload: Option<&WorkloadIdentity>) -> Result<(), DenialReason> {
        if self.any {
            return Ok(());
        }
        let workload = workload.ok_or(DenialReason::WorkloadUnknown)?;
        if self.admits(workload) { Ok(()) } else { Err(DenialReason::WorkloadNotRegistered) }
    }

    fn admits(&self, workload: &WorkloadIdentity) -> bool {
        let by_id = |id| self.spiffe.iter().any(|pattern| pattern.matches(id));
        workload.spiffe_id().is_some_and(by_id)
            || workload.thumbprint().is_some_and(|thumbprint| self.thumbprints.contains(thumbprint))
            || workload
                .dns_names()
                .any(|name| self.dns_names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
    }
}

/// The DNS name of one host, compared without regard to case (RFC 4343).
pub(super) fn dns_name(text: &str) -> Result<Box<str>, String> {
    // A wildcard in a certificate speaks for servers, which many hosts may be; a workload is one.
    let is_plain = !text.contains('*') && text.split('.').all(|label| !label.is_empty());
    match Host::parse(text) {
        Ok(Host::Domain(name)) if is_plain && name.eq_ignore_ascii_case(text) => Ok(name.into()),
        Ok(_) | Err(_) => {
            Err(format!("{text:?} is not a DNS name: write one host's name, without wildcard and final dot"))
        }
    }
}

/// The SHA-256 of a certificate's DER: in base64url as in `x5t#S256` (RFC 8705
/// section 3.1), or in hex as audit events carry it.
pub(super) fn thumbprint(text: &str) -> Result<[u8; 32], String> {
    let bytes = if text.len() == 64 {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
    } else {
        URL_SAFE_NO_PAD.decode(text).ok()
    };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        format!("{text:?} is not the SHA-256 thumbprint of a certificate, in base64url (43 characters) or hex (64)")
    })
}

/// A pattern over SPIFFE IDs.
pub(super) fn spiffe_pattern(text: &str) -> Result<SpiffePattern, String> {
    SpiffePattern::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_thumbprints_are_read_strictly() {
        assert_eq!(&*dns_name("Orders.Internal").unwrap(), "orders.internal");
        for name in ["", ".", "a..b", "a.", "*.internal", "a b", "a/b", "127.0.0.1", "[::1]", "höst", "a:1"]
        {
            assert!(dns_name(name).is_err(), "{name:?}");
        }
        let base64url = "A".repeat(43);
        let hex = "00".repeat(32);
        assert_eq!(thumbprint(&base64url).unwrap(), [0; 32]);
        assert_eq!(thumbprint(&hex).unwrap(), [0; 32]);
        for bad in ["", "AA", &"A".repeat(42), &format!("{base64url}="), &"0g".repeat(32), &"00".repeat(31)] {
            assert!(thumbprint(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nobody_unless_registered() {
        let id = |id: &str| WorkloadIdentity::of_spiffe_id(id.parse().unwrap());
        let shop = Workloads {
            spiffe: vec![spiffe_pattern("spiffe://example.org/shop/*").unwrap()],
            ..Workloads::default()
        };
        let anybody = Workloads { any: true, ..Workloads::default() };
        let (web, other) = (id("spiffe://example.org/shop/web"), id("spiffe://example.org/bank/web"));
        for (name, workloads, workload, expected) in [
            ("registered", &shop, Some(&web), Ok(())),
            ("anybody", &anybody, None, Ok(())),
            ("another", &shop, Some(&other), Err(DenialReason::WorkloadNotRegistered)),
            ("nobody known", &shop, None, Err(DenialReason::WorkloadUnknown)),
            ("none registered", &Workloads::default(), Some(&web), Err(DenialReason::WorkloadNotRegistered)),
            ("none registered, none known", &Workloads::default(), None, Err(DenialReason::WorkloadUnknown)),
        ] {
            assert_eq!(workloads.check(workload), expected, "{name}");
        }
    }
}
