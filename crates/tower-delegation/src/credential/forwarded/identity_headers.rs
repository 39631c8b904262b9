//! [`IdentityHeaders`]: the header fields that speak for a client, and their
//! removal from requests.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName};

use crate::{
    credential::header_name::{configured_header, folded},
    error::{ConfigError, all},
    reason::DenialReason,
    text::Text,
};

pub(super) static XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
pub(super) static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) static CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The identity headers. Nothing behind the layer sees one that an untrusted peer
/// wrote.
#[derive(Debug)]
pub(crate) struct IdentityHeaders {
    guarded: Vec<Guarded>,
    /// Bit `n % 64` is set if a name is `n` bytes long: one look tells most names of
    /// ordinary fields apart from all of these.
    lengths: u64,
    refuses_untrusted: bool,
    untrusted: AtomicU64,
}

#[derive(Debug)]
struct Guarded {
    /// As it is spelled where it is vouched for.
    name: HeaderName,
    /// The same as [`folded`], to compare with.
    folded: Box<[u8]>,
    /// Whether the trusted hop writes it, or removes it from what its clients send.
    is_hops_own: bool,
}

/// For which of a request's fields its hop is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vouched {
    ForNothing,
    /// For its own. They have been read.
    ToBeRemoved,
    /// For its own, and the service wants to see them.
    ToBeKept,
}

impl IdentityHeaders {
    /// The fields that are known to everyone, and more of the configuration.
    ///
    /// # Errors
    /// Each of those that cannot be one.
    pub(crate) fn new(more: &[String], refuses_untrusted: bool) -> Result<Self, ConfigError> {
        let mut headers =
            Self { guarded: Vec::new(), lengths: 0, refuses_untrusted, untrusted: AtomicU64::new(0) };
        for known in [&XFCC, &CLIENT_CERT, &CLIENT_CERT_CHAIN] {
            headers.guard(known, false);
        }
        for more in all(more.iter().map(|name| configured_header(name, "the client's identity")))? {
            headers.guard(&more, true);
        }
        #[cfg(feature = "metrics")]
        metrics::describe_counter!(
            UNTRUSTED,
            "Header fields that speak for a client and came from a hop that is not trusted"
        );
        Ok(headers)
    }

    /// The trusted hop writes this field itself.
    pub(super) fn vouch_for(&mut self, name: &HeaderName) {
        self.guard(name, true);
    }

    fn guard(&mut self, name: &HeaderName, is_hops_own: bool) {
        match self.guarded.iter_mut().find(|guarded| guarded.name == name) {
            Some(guarded) => guarded.is_hops_own |= is_hops_own,
            None => {
                let folded = name.as_str().bytes().map(folded).collect();
                self.guarded.push(Guarded { name: name.clone(), folded, is_hops_own });
            }
        }
        self.lengths |= length_bit(name.as_str().as_bytes());
    }

    /// Removes every field that speaks for a client, except those that the hop
    /// vouches for and that are to be kept. Called once for each request.
    ///
    /// # Errors
    /// Someone who is not trusted wrote one, and such requests are refused.
    pub(crate) fn sweep(&self, headers: &mut HeaderMap, vouched: Vouched) -> Result<(), DenialReason> {
        // One pass over the names, without hashing and without allocation: this is
        // on the path of every request, about 40 ns of it where there are ten names.
        if headers.keys().all(|name| self.guarded_as(name).is_none()) {
            return Ok(());
        }
        self.remove(headers, vouched)
    }

    #[cold]
    fn remove(&self, headers: &mut HeaderMap, vouched: Vouched) -> Result<(), DenialReason> {
        let found: Vec<_> = headers
            .keys()
            .filter_map(|name| self.guarded_as(name).map(|guarded| (name.clone(), guarded)))
            .collect();
        let mut untrusted = 0_u64;
        for (name, guarded) in found {
            let is_vouched = guarded.is_hops_own && guarded.name == name;
            match vouched {
                Vouched::ToBeKept if is_vouched => continue,
                Vouched::ToBeRemoved if is_vouched => {}
                _ => {
                    untrusted = untrusted.saturating_add(1);
                    tracing::debug!(header = %Text::new(guarded.name.as_str()), "a field for the client's identity came from an untrusted hop");
                    #[cfg(feature = "metrics")]
                    metrics::counter!(UNTRUSTED, "header" => guarded.name.to_string()).increment(1);
                }
            }
            headers.remove(name);
        }
        if untrusted == 0 {
            return Ok(());
        }
        self.untrusted.fetch_add(untrusted, Ordering::Relaxed);
        if self.refuses_untrusted { Err(DenialReason::IdentityHeaderUntrusted) } else { Ok(()) }
    }

    fn guarded_as(&self, name: &HeaderName) -> Option<&Guarded> {
        let name = name.as_str().as_bytes();
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        self.guarded.iter().find(|guarded| guarded.is_spelled(name))
    }

    /// How many fields of untrusted hops were removed so far.
    pub(crate) fn untrusted(&self) -> u64 {
        self.untrusted.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "metrics")]
const UNTRUSTED: &str = "tower_delegation_untrusted_identity_headers_total";

impl Guarded {
    /// `client_cert` too: programs that hand fields on as variables (CGI and what
    /// came after it) make one name of both, and proxies that remove
    /// `client-cert` let the other through.
    fn is_spelled(&self, name: &[u8]) -> bool {
        self.folded.len() == name.len()
            && self.folded.iter().zip(name).all(|(one, other)| *one == *other || *one == folded(*other))
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(names: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
        }
        headers
    }

    fn left(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    /// 9440-2.4-1, 9440-2.4-3.
    #[test]
    fn what_a_stranger_wrote_is_removed_in_every_spelling() {
        let guard = IdentityHeaders::new(&["ssl-client-verify".into()], false).unwrap();
        let before = ["accept", "authorization", "client-certs", "host", "x-client-cert", "ssl-client-cert"];
        let mut headers = of(&before);
        for name in [
            "client-cert",
            "Client-Cert",
            "client_cert",
            "client.cert",
            "client-cert-chain",
            "client_cert_chain",
            "client-cert_chain",
            "X-Forwarded-Client-Cert",
            "x_forwarded-client_cert",
            "SSL-Client-Verify",
            "ssl_client_verify",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name.clone(), HeaderValue::from_static("forged"));
            headers.append(name, HeaderValue::from_static("forged again"));
        }
        guard.sweep(&mut headers, Vouched::ForNothing).unwrap();
        let mut before = before;
        before.sort_unstable();
        assert_eq!(left(&headers), before);
        // `Client-Cert` and `X-Forwarded-Client-Cert` are one name each, in any case.
        assert_eq!(guard.untrusted(), 10);
    }

    #[test]
    fn what_the_hop_wrote_is_removed_without_a_word_or_kept() {
        let names = ["client-cert", "client-cert-chain", "ssl-client-verify"];
        let strangers = ["client_cert", "ssl_client_verify", "x-forwarded-client-cert"];
        for (vouched, expected) in [(Vouched::ToBeRemoved, &[][..]), (Vouched::ToBeKept, &names)] {
            let mut guard = IdentityHeaders::new(&["ssl-client-verify".into()], false).unwrap();
            guard.vouch_for(&CLIENT_CERT);
            guard.vouch_for(&CLIENT_CERT_CHAIN);
            let mut headers = of(&names);
            guard.sweep(&mut headers, vouched).unwrap();
            assert_eq!((left(&headers).as_slice(), guard.untrusted()), (expected, 0));

            let mut headers = of(&[names, strangers].concat());
            guard.sweep(&mut headers, vouched).unwrap();
            assert_eq!((left(&headers).as_slice(), guard.untrusted()), (expected, 3));
        }
    }

    #[test]
    fn a_strict_service_refuses_what_a_stranger_wrote() {
        let mut guard = IdentityHeaders::new(&[], true).unwrap();
        guard.vouch_for(&CLIENT_CERT);
        for (name, vouched, is_refused) in [
            ("host", Vouched::ForNothing, false),
            ("client-cert", Vouched::ForNothing, true),
            ("client-cert", Vouched::ToBeRemoved, false),
            ("client-cert", Vouched::ToBeKept, false),
            ("client_cert", Vouched::ToBeRemoved, true),
            ("client_cert", Vouched::ToBeKept, true),
            ("x-forwarded-client-cert", Vouched::ToBeKept, true),
        ] {
            let swept = guard.sweep(&mut of(&[name]), vouched);
            let expected = if is_refused { Err(DenialReason::IdentityHeaderUntrusted) } else { Ok(()) };
            assert_eq!(swept, expected, "{name} {vouched:?}");
        }
    }

    #[test]
    fn names_that_no_field_has_are_mistakes() {
        for wrong in ["", "client cert", "client:cert", "cliént", "Authorization", "content_length"] {
            assert!(IdentityHeaders::new(&[wrong.into()], false).is_err(), "{wrong:?}");
        }
    }
}
