//! What a test can set at the token endpoint, and see of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use serde_json::Value;

use super::{
    exchange::ExchangeLife,
    jws::spiffe_keys,
    misissue::{ExchangeFault, Misissues},
    request::{Requests, TokenRequest},
    used::Used,
};
use crate::{
    idp::{MockIssuer, client::MockClient, issuer::Issuer, lock},
    keys::unique,
    token::TokenBuilder,
};

/// The policy of one issuer's token endpoint, and its memory.
#[derive(Default)]
pub(crate) struct TokenSettings {
    /// The audiences that tokens are issued for; `None` is any.
    pub(crate) targets: Option<BTreeSet<String>>,
    /// What is written into `aud` for a target.
    pub(crate) audience_names: BTreeMap<String, String>,
    pub(crate) exchange_life: ExchangeLife,
    pub(crate) misissues: Misissues,
    /// Members of good answers set (`Some`) or removed (`None`).
    answer: BTreeMap<String, Option<Value>>,
    pub(crate) requests: Requests,
    /// What assertions of clients may name as `aud` in place of the issuer.
    pub(crate) assertion_audiences: BTreeSet<String>,
    /// JWK Sets by trust domain.
    pub(crate) spiffe_keys: BTreeMap<String, Value>,
    pub(crate) dpop_nonce: Option<String>,
    pub(crate) used: Used,
    /// The authorization servers that grants are issued for.
    pub(crate) partners: BTreeSet<String>,
    /// The issuers whose grants are accepted.
    pub(crate) grants_of: Vec<Weak<Issuer>>,
    /// Our names of their subjects.
    pub(crate) subject_names: BTreeMap<String, String>,
    /// What users have to prove anew before anything is done on their behalf.
    pub(crate) interaction: Option<String>,
    claim_names: BTreeMap<String, String>,
}

impl TokenSettings {
    /// Writes claims under the names that the test has for them.
    pub(crate) fn rename_claims(&self, mut token: TokenBuilder) -> TokenBuilder {
        for (name, written) in &self.claim_names {
            if let Some(value) = token.remove_claim(name) {
                token = token.without(name).claim(written, value);
            }
        }
        token
    }

    /// Makes the changes of the test in a good answer.
    pub(crate) fn change_answer(&self, answer: &mut Value) {
        let Value::Object(members) = answer else { return };
        for (name, value) in &self.answer {
            match value {
                Some(value) => members.insert(name.clone(), value.clone()),
                None => members.remove(name),
            };
        }
    }
}

/// # Clients and targets
impl MockIssuer {
    /// Registers a client. Another one of the same identifier is replaced.
    pub fn register(&self, client: MockClient) {
        lock(&self.inner.clients).insert(client.id.clone(), client);
    }

    /// Registers a client with a secret and no restriction: see [`MockClient`].
    pub fn register_client(&self, client_id: impl Into<String>, secret: impl Into<String>) {
        self.register(MockClient::new(client_id).secret(secret));
    }

    /// Issues tokens only for these audiences and resources; a request for
    /// another is `invalid_target` (RFC 8707 section 2).
    pub fn limit_targets<S: Into<String>>(&self, targets: impl IntoIterator<Item = S>) {
        lock(&self.inner.tokens).targets = Some(targets.into_iter().map(Into::into).collect());
    }

    /// Writes `audience` into the tokens that are asked for `target`, as
    /// providers do that name a resource by a URI and its audience by a GUID.
    pub fn name_audience(&self, target: impl Into<String>, audience: impl Into<String>) {
        lock(&self.inner.tokens).audience_names.insert(target.into(), audience.into());
    }

    /// Writes the claim `name` as `written` into the tokens that the token endpoint issues,
    /// as providers do that write `scp` or `azp`. Such a token is no subject token
    /// here unless the claim is an optional one.
    pub fn rename_claim(&self, name: impl Into<String>, written: impl Into<String>) {
        lock(&self.inner.tokens).claim_names.insert(name.into(), written.into());
    }

    /// Decides how long exchanged tokens live; the default is
    /// [`ExchangeLife::Capped`].
    pub fn set_exchange_life(&self, life: ExchangeLife) {
        lock(&self.inner.tokens).exchange_life = life;
    }
}

/// # Client authentication
impl MockIssuer {
    /// Accepts assertions of clients for this audience, too, such as the URL of
    /// the token endpoint. By default only the issuer's identifier is
    /// accepted, as draft-ietf-oauth-rfc7523bis demands.
    pub fn accept_assertion_audience(&self, audience: impl Into<String>) {
        lock(&self.inner.tokens).assertion_audiences.insert(audience.into());
    }

    /// Accepts JWT-SVIDs of this trust domain by these keys: a SPIFFE bundle, or
    /// the [`jwks`](crate::ClientKey::jwks) of a key.
    pub fn trust_spiffe_keys(&self, trust_domain: impl Into<String>, jwks: &Value) {
        lock(&self.inner.tokens).spiffe_keys.insert(trust_domain.into(), spiffe_keys(jwks));
    }

    /// Demands a nonce in every DPoP proof from now on: one without it, or with another
    /// one, is `use_dpop_nonce`, and the answer has `DPoP-Nonce` (RFC 9449 section 8).
    /// Called again, it replaces the nonce.
    pub fn require_dpop_nonce(&self) {
        lock(&self.inner.tokens).dpop_nonce = Some(unique());
    }

    /// Returns the nonce that proofs need now.
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<String> {
        lock(&self.inner.tokens).dpop_nonce.clone()
    }
}

/// # Other authorization servers
impl MockIssuer {
    /// Accepts the grants of `other`, an issuer of this or of another provider, which
    /// issues them for this one from now on.
    ///
    /// At `other`, a token exchange with this issuer as `audience` gives an
    /// ID-JAG, if `requested_token_type` is
    /// `urn:ietf:params:oauth:token-type:id-jag`
    /// (draft-ietf-oauth-identity-assertion-authz-grant), or, if it is
    /// `urn:ietf:params:oauth:token-type:jwt`, the authorization grant of
    /// draft-ietf-oauth-identity-chaining. Here, the client that the grant names
    /// presents it as the `assertion` of [`Grant::JwtBearer`](crate::Grant), once.
    ///
    /// Actors get the `iss` that they had without saying it.
    pub fn accept_grants_of(&self, other: &Self) {
        lock(&other.inner.tokens).partners.insert(self.issuer().to_owned());
        lock(&self.inner.tokens).grants_of.push(Arc::downgrade(&other.inner));
    }

    /// Writes the subject `theirs` of another issuer's grant as `ours`.
    pub fn name_subject(&self, theirs: impl Into<String>, ours: impl Into<String>) {
        lock(&self.inner.tokens).subject_names.insert(theirs.into(), ours.into());
    }

    /// Answers every request on behalf of a user with `interaction_required` and these
    /// `claims`, as Entra does where a policy demands a new proof of the user.
    pub fn require_interaction(&self, claims: impl Into<String>) {
        lock(&self.inner.tokens).interaction = Some(claims.into());
    }
}

/// # Answers that hand out too much
impl MockIssuer {
    /// Spoils the answer to the next exchange that is granted. Called again, it
    /// spoils the one after that.
    pub fn misissue_next(&self, fault: ExchangeFault) {
        lock(&self.inner.tokens).misissues.push_next(fault);
    }

    /// Spoils the answer to every exchange.
    pub fn misissue_all(&self, fault: ExchangeFault) {
        lock(&self.inner.tokens).misissues.set_all(fault);
    }

    /// Answers exchanges as they were granted from now on.
    pub fn issue_as_granted(&self) {
        lock(&self.inner.tokens).misissues.clear();
    }

    /// Sets one member of every good answer of the token endpoint, such as a
    /// `token_type` that is `N_A`, or a `scope` that is wider than the one asked for. The
    /// token stays as it was granted.
    pub fn set_token_answer(&self, name: impl Into<String>, value: impl Into<Value>) {
        lock(&self.inner.tokens).answer.insert(name.into(), Some(value.into()));
    }

    /// Leaves one member out of every good answer of the token endpoint.
    pub fn remove_token_answer(&self, name: impl Into<String>) {
        lock(&self.inner.tokens).answer.insert(name.into(), None);
    }

    /// Undoes every [`set_token_answer`](Self::set_token_answer) and
    /// [`remove_token_answer`](Self::remove_token_answer).
    pub fn restore_token_answer(&self) {
        lock(&self.inner.tokens).answer.clear();
    }
}

/// # Token requests
impl MockIssuer {
    /// Returns the token requests that arrived, oldest first, up to the latest
    /// 1,024. [`requests`](Self::requests) counts all of them.
    #[must_use]
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        lock(&self.inner.tokens).requests.all()
    }

    /// Returns the last token request.
    #[must_use]
    pub fn last_token_request(&self) -> Option<TokenRequest> {
        lock(&self.inner.tokens).requests.last()
    }
}
