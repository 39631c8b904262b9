//! A scheme, host and port in the configuration of the client.

use std::fmt;

use url::Url;

use crate::error::ConfigError;

/// What a setting is for: requests to this scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Origin(url::Origin);

impl Origin {
    /// Reads an origin of one of `schemes`, such as `https://idp.example.com:8443`.
    pub(super) fn parse(text: &str, purpose: &'static str, schemes: &[&str]) -> Result<Self, ConfigError> {
        let invalid = |problem| ConfigError::InvalidUrl { url: shown(text), purpose, problem };
        let url =
            Url::parse(text).map_err(|_cause| invalid("it does not parse: give scheme, host and port"))?;
        if !schemes.contains(&url.scheme()) {
            return Err(invalid(match schemes {
                ["http"] => "its scheme is not http: give an origin that is spoken to by plain http",
                _ => "its scheme is neither https nor http",
            }));
        }
        if has_credentials(&url) {
            return Err(invalid("it holds credentials: leave them out"));
        }
        if url.host().is_none() || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it is more than scheme, host and port: leave out what follows them"));
        }
        Ok(Self(url.origin()))
    }

    pub(super) fn is_of(&self, url: &Url) -> bool {
        self.0 == url.origin()
    }
}

/// A URL as it was given. Its `Debug` shows no credentials, though there should be none.
#[derive(Clone)]
pub(super) struct Given(pub(super) String);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(&self.0).fmt(f)
    }
}

pub(super) fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A URL as an error may quote it: without a password.
pub(super) fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if has_credentials(&url) => {
            let hidden = url.set_username("").and_then(|()| url.set_password(None));
            hidden.map_or_else(|()| String::from("(hidden)"), |()| url.into())
        }
        _ => text.to_owned(),
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.ascii_serialization())
    }
}
