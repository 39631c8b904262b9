//! Which client made the request.

use axum::http::header;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower_delegation::credential::{CertificateTrust, PeerCertificate};
use url::form_urlencoded;

use super::{
    Arrival,
    assertion::{JWT_BEARER, JWT_SPIFFE, client_of_assertion, client_of_svid},
    error::TokenError,
};
use crate::idp::{
    client::{CertificateName, ClientAuthMethod, Credential, MockClient, SecretMethod},
    lock,
};

/// A client whose credential was checked.
pub(crate) struct Authenticated {
    pub(crate) client: MockClient,
    pub(crate) method: ClientAuthMethod,
}

/// What a request presents: exactly one of them (RFC 6749 section 2.3).
enum Presented<'a> {
    Basic { id: String, secret: String },
    Post { id: &'a str, secret: &'a str },
    Assertion { kind: &'a str, assertion: &'a str },
    Certificate { id: &'a str },
}

/// Finds the client that made the request, and checks its credential.
pub(crate) fn authenticate(arrival: &Arrival<'_>) -> Result<Authenticated, TokenError> {
    let named = arrival.form.one("client_id")?;
    let (client, method) = match presented(arrival, named)? {
        Presented::Basic { id, secret } => {
            (by_basic(arrival, &id, &secret)?, ClientAuthMethod::ClientSecretBasic)
        }
        Presented::Post { id, secret } => {
            let client = registered(arrival, id)?;
            if !has_secret(&client, SecretMethod::Post, secret) {
                return Err(wrong_secret());
            }
            (client, ClientAuthMethod::ClientSecretPost)
        }
        Presented::Assertion { kind: JWT_BEARER, assertion } => {
            (client_of_assertion(arrival.issuer, assertion)?, ClientAuthMethod::PrivateKeyJwt)
        }
        Presented::Assertion { kind: JWT_SPIFFE, assertion } => {
            (client_of_svid(arrival.issuer, assertion)?, ClientAuthMethod::SpiffeJwt)
        }
        Presented::Assertion { .. } => {
            return Err(TokenError::invalid_client("unsupported client_assertion_type"));
        }
        Presented::Certificate { id } => by_certificate(arrival, registered(arrival, id)?)?,
    };
    if named.is_some_and(|named| named != client.id) {
        return Err(TokenError::invalid_request("client_id names another client"));
    }
    Ok(Authenticated { client, method })
}

fn presented<'a>(arrival: &'a Arrival<'_>, named: Option<&'a str>) -> Result<Presented<'a>, TokenError> {
    let basic_field = arrival.headers.get(header::AUTHORIZATION);
    let secret = arrival.form.one("client_secret")?;
    let kind = arrival.form.one("client_assertion_type")?;
    let assertion = arrival.form.one("client_assertion")?;
    let needs_id = || TokenError::invalid_client("client_id is missing");
    match (basic_field, secret, kind, assertion) {
        (Some(value), None, None, None) => {
            let credentials = value.to_str().ok().and_then(basic);
            let (id, secret) =
                credentials.ok_or_else(|| TokenError::invalid_client("no credentials of HTTP Basic"))?;
            Ok(Presented::Basic { id, secret })
        }
        (None, Some(secret), None, None) => Ok(Presented::Post { id: named.ok_or_else(needs_id)?, secret }),
        (None, None, Some(kind), Some(assertion)) => Ok(Presented::Assertion { kind, assertion }),
        (None, None, None, None) if arrival.certificate.is_some() => {
            Ok(Presented::Certificate { id: named.ok_or_else(needs_id)? })
        }
        (None, None, None, None) => Err(TokenError::invalid_client("no client authentication")),
        (None, None, ..) => {
            Err(TokenError::invalid_request("client_assertion and client_assertion_type go together"))
        }
        _ => Err(TokenError::invalid_request("more than one way of client authentication")),
    }
}

fn registered(arrival: &Arrival<'_>, id: &str) -> Result<MockClient, TokenError> {
    let client = lock(&arrival.issuer.inner.clients).get(id).cloned();
    client.ok_or_else(|| TokenError::invalid_client("unknown client"))
}

fn wrong_secret() -> TokenError {
    TokenError::invalid_client("wrong secret, or not by this method")
}

/// Both values are form-urlencoded first, which many clients forget: both
/// spellings are accepted.
fn by_basic(arrival: &Arrival<'_>, id: &str, secret: &str) -> Result<MockClient, TokenError> {
    let client = registered(arrival, id).or_else(|_| registered(arrival, &form_decoded(id)))?;
    let is_good = has_secret(&client, SecretMethod::Basic, secret)
        || has_secret(&client, SecretMethod::Basic, &form_decoded(secret));
    if is_good { Ok(client) } else { Err(wrong_secret()) }
}

/// RFC 8705 section 2. A name counts only in a certificate that chains to a
/// trust anchor; a registered certificate needs none.
fn by_certificate(
    arrival: &Arrival<'_>,
    client: MockClient,
) -> Result<(MockClient, ClientAuthMethod), TokenError> {
    let fits = |certificate: &PeerCertificate, credential: &Credential| match credential {
        Credential::CertificateName(name) => {
            certificate.trust() == CertificateTrust::ChainedToTrustAnchor
                && match name {
                    CertificateName::Dns(name) => certificate.dns_names().any(|own| own == name),
                    CertificateName::Uri(name) => certificate.uris().any(|own| own == name),
                }
        }
        Credential::Certificate(thumbprint) => certificate.thumbprint() == thumbprint,
        _ => false,
    };
    let method = arrival.certificate.as_ref().and_then(|certificate| {
        let fitting = client.credentials.iter().find(|credential| fits(certificate, credential));
        fitting.map(Credential::method)
    });
    let method = method.ok_or_else(|| TokenError::invalid_client("not a certificate of this client"))?;
    Ok((client, method))
}

fn has_secret(client: &MockClient, wanted: SecretMethod, presented: &str) -> bool {
    client.credentials.iter().any(|credential| {
        matches!(credential, Credential::Secret { secret, method } if *method == wanted && secret == presented)
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
