//! The metadata document, as far as it matters here.

use std::borrow::Cow;

use serde::Deserialize;

use super::failures::Failure;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The two members that matter here; a member given twice is an error. One that
/// is `null` is absent.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    issuer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    jwks_uri: Option<Cow<'a, str>>,
}

impl<'a> Metadata<'a> {
    /// Reads a document that need not be metadata: an error page, for example.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Failure> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(Failure::no_metadata("it is no JSON object"));
        }
        serde_json::from_slice(body).map_err(|error| {
            // An object that has the members, and has them wrong, is meant as metadata.
            if error.is_data() { Failure::unusable(error) } else { Failure::no_metadata(error) }
        })
    }

    /// `issuer` and `jwks_uri`. RFC 8414 lets a document leave out the latter, but
    /// one without it says nothing about keys.
    pub(super) fn members(&self) -> Result<(&str, &str), Failure> {
        let issuer = self.issuer.as_deref().ok_or_else(|| Failure::no_metadata("it has no issuer"))?;
        let jwks_uri = self.jwks_uri.as_deref().ok_or_else(|| Failure::no_metadata("it has no jwks_uri"))?;
        Ok((issuer, jwks_uri))
    }
}
