//! Where an issuer's metadata is looked for.

use url::Url;

use crate::{
    error::ConfigError,
    http_client::{Fetcher, configured_url},
};

/// The most places of one issuer.
pub(super) const MAX_PLACES: u64 = 3;

/// The places where an issuer's metadata may stand, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::issuer) struct MetadataUrls(Vec<Url>);

impl MetadataUrls {
    /// For an issuer that is an `https` or `http` URL without query and fragment (RFC
    /// 8414 section 2).
    pub(in crate::issuer) fn of(issuer: &str) -> Result<Self, ConfigError> {
        const PURPOSE: &str = "an issuer to discover";
        let url = configured_url(issuer, PURPOSE)?;
        if url.query().is_some() {
            let problem = "it has a query: an issuer identifier has none";
            return Err(ConfigError::InvalidUrl { url: issuer.to_owned(), purpose: PURPOSE, problem });
        }
        // A terminating slash is removed in every form (RFC 8414 section 3.1,
        // OpenID Connect Discovery section 4.1).
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let mut urls = Vec::new();
        for path in [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ] {
            let mut candidate = url.clone();
            candidate.set_path(&path);
            if !urls.contains(&candidate) {
                urls.push(candidate);
            }
        }
        Ok(Self(urls))
    }

    /// The places, each with its number: the one numbered `first` before the others.
    pub(super) fn starting_with(&self, first: Option<usize>) -> impl Iterator<Item = (usize, &Url)> {
        let numbered = || self.0.iter().enumerate();
        let kept = numbered().filter(move |(place, _)| Some(*place) == first);
        kept.chain(numbered().filter(move |(place, _)| Some(*place) != first))
    }

    /// One place, which the configuration names.
    pub(in crate::issuer) fn at(url: Url) -> Self {
        Self(vec![url])
    }

    /// Whether all places may be spoken to.
    pub(in crate::issuer) fn check(&self, fetcher: &Fetcher) -> Result<(), ConfigError> {
        // All are of one origin.
        self.0.first().map_or(Ok(()), |url| fetcher.check_configured(url, "a metadata URL"))
    }
}

/// Where [`TrustedIssuer::discover`](crate::TrustedIssuer::discover) looks for
/// an issuer's metadata, in the order in which the places are tried: what a
/// firewall for outgoing requests has to let through, in addition to the key set itself.
///
/// 1. `/.well-known/oauth-authorization-server{path}` on the issuer's host (RFC 8414 section 3.1)
/// 2. `/.well-known/openid-configuration{path}` on the issuer's host (RFC 8414 section 5)
/// 3. `{issuer}/.well-known/openid-configuration` (OpenID Connect Discovery section 4)
///
/// A slash at the end of the issuer's path is left out; the third is the second
/// again for an issuer without a path. The search ends at the first place with
/// this issuer's metadata: identical `issuer`, and a `jwks_uri` at which a key
/// set can be fetched. Whatever another place answers (an error, a redirect, HTML, another
/// issuer's metadata), the next one is tried. The place that was good is asked
/// first from then on.
///
/// # Errors
/// [`ConfigError::InvalidUrl`] for an issuer that cannot be discovered.
///
/// # Example
/// ```
/// use tower_delegation::issuer::metadata_urls;
///
/// let urls: Vec<String> = metadata_urls("https://idp.example.com/tenant-a")?.collect();
/// assert_eq!(urls, [
///     "https://idp.example.com/.well-known/oauth-authorization-server/tenant-a",
///     "https://idp.example.com/.well-known/openid-configuration/tenant-a",
///     "https://idp.example.com/tenant-a/.well-known/openid-configuration",
/// ]);
/// assert!(metadata_urls("https://idp.example.com?tenant=a").is_err());
/// # Ok::<(), tower_delegation::error::ConfigError>(())
/// ```
pub fn metadata_urls(issuer: &str) -> Result<impl Iterator<Item = String> + use<>, ConfigError> {
    Ok(MetadataUrls::of(issuer)?.0.into_iter().map(String::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_urls() {
        let rows: &[(&str, &[&str])] = &[
            (
                "https://example.com",
                &[
                    "https://example.com/.well-known/oauth-authorization-server",
                    "https://example.com/.well-known/openid-configuration",
                ],
            ),
            (
                "https://example.com/",
                &[
                    "https://example.com/.well-known/oauth-authorization-server",
                    "https://example.com/.well-known/openid-configuration",
                ],
            ),
            // The example of RFC 8414 section 3.1.
            (
                "https://example.com/issuer1",
                &[
                    "https://example.com/.well-known/oauth-authorization-server/issuer1",
                    "https://example.com/.well-known/openid-configuration/issuer1",
                    "https://example.com/issuer1/.well-known/openid-configuration",
                ],
            ),
            (
                "https://example.com:8443/realms/a%20b/",
                &[
                    "https://example.com:8443/.well-known/oauth-authorization-server/realms/a%20b",
                    "https://example.com:8443/.well-known/openid-configuration/realms/a%20b",
                    "https://example.com:8443/realms/a%20b/.well-known/openid-configuration",
                ],
            ),
        ];
        for (issuer, expected) in rows {
            let urls: Vec<String> = super::metadata_urls(issuer).unwrap().collect();
            assert_eq!(urls, *expected, "{issuer}");
        }
    }

    #[test]
    fn what_cannot_be_discovered() {
        for issuer in [
            "",
            "idp.example.com",
            "https://idp.example.com?tenant=1",
            "https://idp.example.com/?",
            "https://idp.example.com#a",
            "https://user@idp.example.com",
            "urn:example:idp",
        ] {
            assert!(MetadataUrls::of(issuer).is_err(), "{issuer:?}");
        }
    }

    #[test]
    fn the_kept_place_comes_first() {
        let places = MetadataUrls::of("https://example.com/a").unwrap();
        for (kept, expected) in [(None, [0, 1, 2]), (Some(0), [0, 1, 2]), (Some(2), [2, 0, 1])] {
            let order: Vec<_> = places.starting_with(kept).map(|(place, _)| place).collect();
            assert_eq!(order, expected, "{kept:?}");
        }
    }
}
