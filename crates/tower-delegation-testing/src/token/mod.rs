//! Tokens, good and bad.

mod forgery;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};
use tower_delegation::clock::Timestamp;

use crate::{
    algorithm::Algorithm,
    idp::{MockIssuer, lock},
    keys::{STRANGER_RSA, SigningKey, base64url, unique},
};

/// The subject of tokens that name none.
pub const DEFAULT_SUBJECT: &str = "alice";

/// The claim that marks the tokens of users: its value is the user's `sub`.
///
/// Only [`TokenBuilder::user`] writes it, and an exchange keeps it. The service
/// under test reads it with
/// [`TrustedIssuer::add_user_claim`](tower_delegation::TrustedIssuer::add_user_claim).
pub const USER_CLAIM: &str = "user_id";

/// The client of tokens that name none.
pub const DEFAULT_CLIENT: &str = "test-client";

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Id,
    Logout,
}

impl Kind {
    fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Id => "JWT",
            Self::Logout => "logout+jwt",
        }
    }
}

#[derive(Clone)]
enum Signature {
    Key,
    OtherKey,
    Unsigned(String),
    HmacWithPublicKey,
    Raw(Vec<u8>),
}

/// A token in the making: good unless a setting says otherwise.
///
/// What is not set gets a default when the token is signed:
///
/// | kind | `typ` | claims |
/// |---|---|---|
/// | [access token](MockIssuer::token) | `at+jwt` | `iss` `sub` `aud` `client_id` `iat` `exp` `jti` (RFC 9068 section 2.2) |
/// | [ID token](MockIssuer::id_token) | `JWT` | `iss` `sub` `aud` `azp` `iat` `exp` `nonce` |
/// | [logout token](MockIssuer::logout_token) | `logout+jwt` | `iss` `sub` `aud` `iat` `exp` `jti` `events` |
///
/// The audience of an ID token and a logout token is the client. Times come
/// from the provider's clock; `jti` and `nonce` are random. Setting a claim
/// twice keeps the last value.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let idp = tower_delegation_testing::MockIdp::start().await;
/// use std::time::Duration;
///
/// let delegated = idp
///     .token()
///     .user("alice")
///     .client("shop-web")
///     .scopes(["orders:read", "orders:refund"])
///     .actor("copilot")
///     .earlier_actor("planner")
///     .expires_in(Duration::from_secs(30))
///     .sign();
/// let forged = idp.token().scopes(["admin"]).sign_with_other_key().sign();
/// # assert_eq!(delegated.split('.').count(), forged.split('.').count());
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a token builder does nothing until `sign`"]
pub struct TokenBuilder {
    issuer: MockIssuer,
    kind: Kind,
    claims: Map<String, Value>,
    absent_claims: BTreeSet<String>,
    header: Map<String, Value>,
    absent_header: BTreeSet<String>,
    /// The current actor first.
    actors: Vec<String>,
    issued_at: Option<Timestamp>,
    lifetime: Duration,
    access_token: Option<String>,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    raw_claims: Option<Vec<u8>>,
    raw_header: Option<Vec<u8>>,
    signature: Signature,
    tamper_payload: bool,
    tamper_signature: bool,
}

impl TokenBuilder {
    pub(crate) fn new(issuer: MockIssuer, kind: Kind) -> Self {
        let lifetime = issuer.inner.token_lifetime;
        Self {
            issuer,
            kind,
            claims: Map::new(),
            absent_claims: BTreeSet::new(),
            header: Map::new(),
            absent_header: BTreeSet::new(),
            actors: Vec::new(),
            issued_at: None,
            lifetime,
            access_token: None,
            algorithm: None,
            key_id: None,
            raw_claims: None,
            raw_header: None,
            signature: Signature::Key,
            tamper_payload: false,
            tamper_signature: false,
        }
    }

    /// `sub`: whom the token is about, and of what kind is not known: a service
    /// if the client has the same name. For a user, see [`user`](Self::user).
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.without(USER_CLAIM).claim("sub", subject.into())
    }

    /// `sub`, and the mark of a user's token, [`USER_CLAIM`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = tower_delegation_testing::MockIdp::start().await;
    /// use tower_delegation::TrustedIssuer;
    /// use tower_delegation_testing::USER_CLAIM;
    ///
    /// let token = idp.token().user("alice").client("shop-web").sign();
    /// let issuer = TrustedIssuer::discover(idp.issuer())?.add_user_claim(USER_CLAIM);
    /// # let _ = (token, issuer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn user(self, user: impl Into<String>) -> Self {
        let user = user.into();
        self.claim("sub", user.clone()).claim(USER_CLAIM, user)
    }

    /// The client that the token was issued to: `client_id`; for an ID token
    /// `azp` and `aud`, for a logout token `aud`.
    pub fn client(self, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        match self.kind {
            Kind::Access => self.claim("client_id", client_id),
            Kind::Id => self.claim("azp", client_id.clone()).claim("aud", client_id),
            Kind::Logout => self.claim("aud", client_id),
        }
    }

    /// `aud` as one string.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// `aud` as an array; as a string if there is one audience only.
    pub fn audiences<S: Into<String>>(self, audiences: impl IntoIterator<Item = S>) -> Self {
        let mut audiences: Vec<String> = audiences.into_iter().map(Into::into).collect();
        match audiences.pop() {
            Some(only) if audiences.is_empty() => self.audience(only),
            last => {
                audiences.extend(last);
                self.claim("aud", audiences)
            }
        }
    }

    /// `iss`, when it is to differ from the issuer that signs.
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.claim("iss", issuer.into())
    }

    /// `scope`, space-delimited (RFC 8693 section 4.2).
    pub fn scopes<S: AsRef<str>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        let mut joined = String::new();
        for scope in scopes {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(scope.as_ref());
        }
        self.claim("scope", joined)
    }

    /// The current actor: the `sub` of the outermost `act` (RFC 8693 section
    /// 4.1). Called again, it puts a newer actor before the others.
    pub fn actor(mut self, subject: impl Into<String>) -> Self {
        self.actors.insert(0, subject.into());
        self
    }

    /// An actor before all those named so far: one level deeper in `act`.
    pub fn earlier_actor(mut self, subject: impl Into<String>) -> Self {
        self.actors.push(subject.into());
        self
    }

    /// `exp`, counted from `iat`.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// `exp` at a fixed time.
    pub fn expires_at(self, time: Timestamp) -> Self {
        self.claim("exp", time.unix_seconds())
    }

    /// `iat`; the clock's time unless set.
    pub fn issued_at(mut self, time: Timestamp) -> Self {
        self.issued_at = Some(time);
        self
    }

    /// `nbf`.
    pub fn not_before(self, time: Timestamp) -> Self {
        self.claim("nbf", time.unix_seconds())
    }

    /// `auth_time`: when the user signed in.
    pub fn auth_time(self, time: Timestamp) -> Self {
        self.claim("auth_time", time.unix_seconds())
    }

    /// `acr`: how well the user was authenticated.
    pub fn acr(self, acr: impl Into<String>) -> Self {
        self.claim("acr", acr.into())
    }

    /// `amr`: by which means the user was authenticated.
    pub fn amr<S: Into<String>>(self, methods: impl IntoIterator<Item = S>) -> Self {
        self.claim("amr", methods.into_iter().map(Into::into).collect::<Vec<String>>())
    }

    /// `sid`: the session that the token belongs to.
    pub fn session(self, sid: impl Into<String>) -> Self {
        self.claim("sid", sid.into())
    }

    /// `jti`; unique unless set.
    pub fn token_id(self, jti: impl Into<String>) -> Self {
        self.claim("jti", jti.into())
    }

    /// `nonce`, of an ID token.
    pub fn nonce(self, nonce: impl Into<String>) -> Self {
        self.claim("nonce", nonce.into())
    }

    /// `at_hash` of an ID token: ties it to this access token (OpenID Connect
    /// Core 1.0 section 3.1.3.6).
    pub fn for_access_token(mut self, access_token: impl Into<String>) -> Self {
        self.access_token = Some(access_token.into());
        self
    }

    /// Any claim, of any type.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.absent_claims.remove(&name);
        self.claims.insert(name, value.into());
        self
    }

    /// Leaves a claim out, defaults too.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.claims.remove(&name);
        self.absent_claims.insert(name);
        self
    }

    pub(crate) fn remove_claim(&mut self, name: &str) -> Option<Value> {
        self.claims.remove(name)
    }

    /// Any member of the JOSE header, of any type. Setting `alg` changes what
    /// the header says, not how the token is signed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.absent_header.remove(&name);
        self.header.insert(name, value.into());
        self
    }

    /// Leaves a member of the JOSE header out, defaults too.
    pub fn without_header(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.header.remove(&name);
        self.absent_header.insert(name);
        self
    }

    /// `typ`.
    pub fn typ(self, typ: impl Into<String>) -> Self {
        self.header("typ", typ.into())
    }

    /// `kid`. If the issuer has a key of that name, withdrawn or not, and of
    /// the chosen algorithm, if one was chosen, that key signs; else the
    /// current one does, under the wrong name.
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// Signs with the current key of this algorithm, which is made and
    /// published now if there is none.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// The token in the compact serialization (RFC 7515 section 3.1).
    #[must_use]
    pub fn sign(self) -> String {
        let key = self.key();
        let header = base64url(self.header_bytes(&key));
        let payload = self.payload_bytes(&key);
        let message = format!("{header}.{}", base64url(&payload));

        let mut signature = match &self.signature {
            Signature::Key => key.sign(message.as_bytes()),
            Signature::OtherKey => {
                let name = key.key_id().to_owned();
                SigningKey::generate(key.algorithm(), name, &STRANGER_RSA).sign(message.as_bytes())
            }
            Signature::Unsigned(_) => Vec::new(),
            Signature::HmacWithPublicKey => key.confused_hmac(message.as_bytes()),
            Signature::Raw(raw) => raw.clone(),
        };
        if self.tamper_signature
            && let Some(byte) = signature.first_mut()
        {
            *byte ^= 1;
        }
        let payload = if self.tamper_payload { tampered(payload) } else { payload };
        format!("{header}.{}.{}", base64url(payload), base64url(signature))
    }

    fn key(&self) -> Arc<SigningKey> {
        let mut ring = lock(&self.issuer.inner.ring);
        let named = self.key_id.as_deref().and_then(|key_id| ring.find(key_id));
        match (named, self.algorithm) {
            (Some(key), None) => key,
            (Some(key), Some(algorithm)) if key.algorithm() == algorithm => key,
            (_, algorithm) => ring.current(algorithm.unwrap_or(self.issuer.inner.algorithm)),
        }
    }

    fn header_bytes(&self, key: &SigningKey) -> Vec<u8> {
        if let Some(raw) = &self.raw_header {
            return raw.clone();
        }
        let alg = match &self.signature {
            Signature::Unsigned(alg) => alg.as_str(),
            Signature::HmacWithPublicKey => "HS256",
            Signature::Key | Signature::OtherKey | Signature::Raw(_) => key.algorithm().as_str(),
        };
        let defaults = json!({
            "alg": alg,
            "typ": self.kind.typ(),
            "kid": self.key_id.as_deref().unwrap_or(key.key_id()),
        });
        merged(defaults, &self.header, &self.absent_header)
    }

    fn payload_bytes(&self, key: &SigningKey) -> Vec<u8> {
        if let Some(raw) = &self.raw_claims {
            return raw.clone();
        }
        let issued_at = self.issued_at.unwrap_or_else(|| self.issuer.inner.clock.now());
        let expires_at = issued_at.saturating_add(self.lifetime);
        let mut defaults = json!({
            "iss": self.issuer.issuer(),
            "sub": DEFAULT_SUBJECT,
            "iat": issued_at.unix_seconds(),
            "exp": expires_at.unix_seconds(),
        });
        let own = match self.kind {
            Kind::Access => json!({
                "aud": self.issuer.inner.audience,
                "client_id": DEFAULT_CLIENT,
                "jti": unique(),
            }),
            Kind::Id => json!({ "aud": DEFAULT_CLIENT, "azp": DEFAULT_CLIENT, "nonce": unique() }),
            Kind::Logout => json!({
                "aud": DEFAULT_CLIENT,
                "jti": unique(),
                "events": { LOGOUT_EVENT: {} },
            }),
        };
        if let (Value::Object(defaults), Value::Object(own)) = (&mut defaults, own) {
            defaults.extend(own);
            if let Some(act) = self.act() {
                defaults.insert("act".into(), act);
            }
            if let Some(access_token) = &self.access_token {
                defaults.insert("at_hash".into(), at_hash(key.algorithm(), access_token).into());
            }
        }
        merged(defaults, &self.claims, &self.absent_claims)
    }

    fn act(&self) -> Option<Value> {
        self.actors.iter().rev().fold(None, |earlier, subject| match earlier {
            None => Some(json!({ "sub": subject })),
            Some(earlier) => Some(json!({ "sub": subject, "act": earlier })),
        })
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("issuer", &self.issuer.issuer())
            .field("kind", &self.kind)
            .field("claims", &self.claims)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

pub(crate) fn merged(defaults: Value, set: &Map<String, Value>, absent: &BTreeSet<String>) -> Vec<u8> {
    let mut members = match defaults {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.extend(set.clone());
    members.retain(|name, _| !absent.contains(name));
    Value::Object(members).to_string().into_bytes()
}

fn tampered(mut payload: Vec<u8>) -> Vec<u8> {
    match serde_json::from_slice::<Map<String, Value>>(&payload) {
        Ok(mut claims) => {
            claims.insert("sub".into(), "mallory".into());
            Value::Object(claims).to_string().into_bytes()
        }
        Err(_) => {
            payload.push(b' ');
            payload
        }
    }
}

/// The left half of the hash that belongs to the signature algorithm.
fn at_hash(algorithm: Algorithm, access_token: &str) -> String {
    let name = algorithm.as_str();
    let hash = if name.ends_with("256") {
        &digest::SHA256
    } else if name.ends_with("384") {
        &digest::SHA384
    } else {
        &digest::SHA512
    };
    let hash = digest::digest(hash, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    base64url(left)
}

#[cfg(test)]
mod tests;
