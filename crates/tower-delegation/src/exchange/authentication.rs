//! [`ClientAuthentication`]: how this service proves who it is at the authorization server.

use std::{borrow::Cow, time::Duration};

use aws_lc_rs::rand;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde::Serialize;
use url::form_urlencoded::byte_serialize;

use super::{error::Failure, signing::SigningKey};
use crate::{
    clock::Timestamp,
    material::Material,
    names::{ClientId, IssuerUrl},
};

/// RFC 7523 section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// draft-ietf-oauth-spiffe-client-auth.
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// How long an assertion is good. It is used at once.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// How this service proves who it is at the authorization server: the method that is
/// registered for its client (OpenID Connect Core section 9, RFC 7591 section 2).
#[derive(Clone, Debug)]
pub struct ClientAuthentication(Method);

#[derive(Clone, Debug)]
enum Method {
    SecretBasic(Material),
    SecretPost(Material),
    PrivateKeyJwt(SigningKey),
    MutualTls,
    JwtSvid(Material),
}

impl ClientAuthentication {
    /// `client_secret_basic`: identifier and secret in `Authorization`, each form-encoded
    /// first (RFC 6749 section 2.3.1). A file is read anew for each request.
    #[must_use]
    pub fn secret_basic(secret: impl Into<Material>) -> Self {
        Self(Method::SecretBasic(secret.into()))
    }

    /// `client_secret_post`: identifier and secret in the form, for servers that take it in
    /// no other way (RFC 6749 section 2.3.1).
    #[must_use]
    pub fn secret_post(secret: impl Into<Material>) -> Self {
        Self(Method::SecretPost(secret.into()))
    }

    /// `private_key_jwt`: an assertion that this key signs, new for each request, good for 60
    /// seconds, with the server's issuer identifier as its one audience (RFC 7523 section 2.2
    /// and its update).
    #[must_use]
    pub fn private_key_jwt(key: SigningKey) -> Self {
        Self(Method::PrivateKeyJwt(key))
    }

    /// `tls_client_auth` and `self_signed_tls_client_auth`: the certificate that the HTTP client
    /// [presents](crate::http_client::HttpClient::client_certificate) (RFC 8705 section 2). Requests
    /// go to the token endpoint of `mtls_endpoint_aliases` where the metadata names one. Such
    /// servers bind tokens to the certificate: see
    /// [`certificate_bound`](super::Downstream::certificate_bound).
    #[must_use]
    pub fn mutual_tls() -> Self {
        Self(Method::MutualTls)
    }

    /// `spiffe_jwt`: a JWT-SVID of this workload, whose audience is the server's issuer
    /// identifier, as the assertion (draft-ietf-oauth-spiffe-client-auth). An agent keeps the
    /// file current; it is read anew for each request.
    #[must_use]
    pub fn jwt_svid(svid: impl Into<Material>) -> Self {
        Self(Method::JwtSvid(svid.into()))
    }

    /// Is the client's certificate the proof?
    pub(super) fn is_mutual_tls(&self) -> bool {
        matches!(self.0, Method::MutualTls)
    }

    /// Adds the proof to a request to the server.
    pub(super) async fn prove(
        &self,
        form: &mut Form<'_>,
        headers: &mut HeaderMap,
        (client, server): (&ClientId, &IssuerUrl),
        now: Timestamp,
    ) -> Result<(), Failure> {
        match &self.0 {
            Method::SecretBasic(secret) => {
                let secret = read(secret).await?;
                let encoded = [client.as_str(), &secret]
                    .map(|part| byte_serialize(part.as_bytes()).collect::<String>());
                let basic = format!("Basic {}", STANDARD.encode(encoded.join(":")));
                let mut value = HeaderValue::try_from(basic).map_err(Failure::ours)?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Method::SecretPost(secret) => {
                form.push(("client_id", client.as_str().to_owned().into()));
                form.push(("client_secret", read(secret).await?.into()));
            }
            Method::PrivateKeyJwt(key) => {
                form.push(("client_id", client.as_str().to_owned().into()));
                form.push(("client_assertion_type", JWT_BEARER.into()));
                form.push(("client_assertion", assertion(key, client, server, now)?.into()));
            }
            // RFC 8705 section 2: `client_id` in any case.
            Method::MutualTls => form.push(("client_id", client.as_str().to_owned().into())),
            Method::JwtSvid(svid) => {
                form.push(("client_id", client.as_str().to_owned().into()));
                form.push(("client_assertion_type", JWT_SPIFFE.into()));
                form.push(("client_assertion", read(svid).await?.into()));
            }
        }
        Ok(())
    }
}

/// The pairs of a token request.
pub(super) type Form<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// A secret: text, without the line break that ends a file.
pub(super) async fn read(secret: &Material) -> Result<String, Failure> {
    let secret = secret.read_async().await.map_err(Failure::ours)?;
    let secret = std::str::from_utf8(&secret).map_err(Failure::ours)?;
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(Failure::ours("the secret is empty")) } else { Ok(secret.to_owned()) }
}

/// RFC 7523 section 3, with the audience and the type of its update.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

fn assertion(
    key: &SigningKey,
    client: &ClientId,
    server: &IssuerUrl,
    now: Timestamp,
) -> Result<String, Failure> {
    let claims = Assertion {
        iss: client.as_str(),
        sub: client.as_str(),
        aud: server.as_str(),
        jti: unique()?,
        iat: now.unix_seconds(),
        exp: now.saturating_add(ASSERTION_LIFETIME).unix_seconds(),
    };
    key.sign("client-authentication+jwt", &claims)
}

/// An identifier that occurs once: 128 random bits.
pub(super) fn unique() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(Failure::ours)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
