//! The OAuth clients registered with an issuer, and how they authenticate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::form_urlencoded;

use super::exchange::{Form, TokenError};

pub(crate) type Clients = BTreeMap<String, Client>;

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) secret: String,
    /// The most it may ask for; `None` is anything.
    pub(crate) scopes: Option<BTreeSet<String>>,
}

impl Client {
    pub(crate) fn may_use(&self, scope: &str) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// Finds the client that made the request: HTTP Basic or `client_id` and
/// `client_secret` in the form, never both (RFC 6749 section 2.3.1).
pub(crate) fn authenticate(
    clients: &Clients,
    headers: &HeaderMap,
    form: &Form,
) -> Result<(String, Client), TokenError> {
    let named = form.one("client_id")?;
    let form_secret = form.one("client_secret")?;
    let (id, secret) = match (headers.get(header::AUTHORIZATION), named, form_secret) {
        (Some(_), _, Some(_)) => {
            return Err(TokenError::invalid_request("more than one way of client authentication"));
        }
        (Some(value), ..) => value.to_str().ok().and_then(basic).ok_or_else(TokenError::invalid_client)?,
        (None, Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
        (None, ..) => return Err(TokenError::invalid_client()),
    };
    // Basic values are form-urlencoded first, which many clients forget: both
    // spellings are taken.
    let (decoded_id, decoded_secret) = (form_decoded(&id), form_decoded(&secret));
    let (id, client) = clients
        .get_key_value(&id)
        .or_else(|| clients.get_key_value(&decoded_id))
        .ok_or_else(TokenError::invalid_client)?;
    if client.secret != secret && client.secret != decoded_secret {
        return Err(TokenError::invalid_client());
    }
    if named.is_some_and(|named| named != id) {
        return Err(TokenError::invalid_request("client_id names another client"));
    }
    Ok((id.clone(), client.clone()))
}

fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (id.to_owned(), secret.to_owned()))
}

fn form_decoded(text: &str) -> String {
    let one_name = text.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(one_name.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials() {
        let encoded = |text: &str| format!("bAsIc {}", STANDARD.encode(text));
        assert_eq!(basic(&encoded("shop:s3:cret")), Some(("shop".to_owned(), "s3:cret".to_owned())));
        for (name, value) in [
            ("no colon", encoded("shop")),
            ("another scheme", encoded("shop:s").replace("bAsIc", "Bearer")),
            ("no base64", "Basic !!".to_owned()),
            ("nothing", String::new()),
        ] {
            assert_eq!(basic(&value), None, "{name}");
        }
    }

    #[test]
    fn form_encoding_is_undone() {
        assert_eq!(form_decoded("a%3Ab+c=d&e"), "a:b c=d&e");
    }
}
