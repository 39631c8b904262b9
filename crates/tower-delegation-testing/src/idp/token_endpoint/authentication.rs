//! Which client made the request.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::form_urlencoded;

use super::{error::TokenError, request::Form};
use crate::idp::client::{ClientAuthMethod, Credential, MockClient, SecretMethod};

/// A client whose credential was checked.
pub(crate) struct Authenticated {
    pub(crate) client: MockClient,
    pub(crate) method: ClientAuthMethod,
}

/// What a request presents: exactly one of them (RFC 6749 section 2.3).
enum Presented<'a> {
    Basic { id: String, secret: String },
    Post { id: &'a str, secret: &'a str },
}

/// Finds the client that made the request, and checks its credential.
pub(crate) fn authenticate(
    clients: &BTreeMap<String, MockClient>,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Authenticated, TokenError> {
    let named = form.one("client_id")?;
    let presented = presented(headers, form, named)?;
    let unknown = || TokenError::invalid_client("unknown client");
    let (client, method) = match presented {
        Presented::Basic { id, secret } => {
            // Both values are form-urlencoded first, which many clients forget:
            // both spellings are accepted.
            let decoded = (form_decoded(&id), form_decoded(&secret));
            let client = clients.get(&id).or_else(|| clients.get(&decoded.0)).ok_or_else(unknown)?;
            let good = has_secret(client, SecretMethod::Basic, &secret)
                || has_secret(client, SecretMethod::Basic, &decoded.1);
            (good.then_some(client), ClientAuthMethod::ClientSecretBasic)
        }
        Presented::Post { id, secret } => {
            let client = clients.get(id).ok_or_else(unknown)?;
            let good = has_secret(client, SecretMethod::Post, secret);
            (good.then_some(client), ClientAuthMethod::ClientSecretPost)
        }
    };
    let client = client.ok_or_else(|| TokenError::invalid_client("wrong secret, or not this method"))?;
    if named.is_some_and(|named| named != client.id) {
        return Err(TokenError::invalid_request("client_id names another client"));
    }
    Ok(Authenticated { client: client.clone(), method })
}

fn presented<'a>(
    headers: &HeaderMap,
    form: &'a Form,
    named: Option<&'a str>,
) -> Result<Presented<'a>, TokenError> {
    match (headers.get(header::AUTHORIZATION), form.one("client_secret")?) {
        (Some(_), Some(_)) => Err(TokenError::invalid_request("more than one way of client authentication")),
        (Some(value), None) => {
            let credentials = value.to_str().ok().and_then(basic);
            let (id, secret) =
                credentials.ok_or_else(|| TokenError::invalid_client("no credentials of HTTP Basic"))?;
            Ok(Presented::Basic { id, secret })
        }
        (None, Some(secret)) => {
            let id = named.ok_or_else(|| TokenError::invalid_client("client_id is missing"))?;
            Ok(Presented::Post { id, secret })
        }
        (None, None) => Err(TokenError::invalid_client("no client authentication")),
    }
}

fn has_secret(client: &MockClient, wanted: SecretMethod, presented: &str) -> bool {
    client.credentials.iter().any(|credential| {
        let Credential::Secret { secret, method } = credential;
        *method == wanted && secret == presented
    })
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
