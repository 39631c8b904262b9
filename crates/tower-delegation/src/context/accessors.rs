//! What a [`DelegationContext`] says: the token's facts, as far as the registered
//! applications may use them.

use std::sync::Arc;

use std::sync::atomic::Ordering;

use http::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::delegation::DelegationContext;
use crate::{
    application::{Application, Registration},
    clock::Timestamp,
    confirmation::SenderConstraint,
    credential::WorkloadIdentity,
    issuer::{GrantKind, Issuers},
    names::{Audience, ClientId, IssuerUrl, SessionId, SubjectKind, TenantId, TokenId},
    privileges::{GroupSet, PermissionSet, RoleSet},
    revocation::Revocation,
    scope::ScopeSet,
    token::{Actor, ClaimError, Subject},
};

impl DelegationContext {
    /// When the context was last found good: on arrival of the request, and wherever it
    /// was judged again since. The time that requirements go by: of a context that is kept,
    /// the token's age and that of the user's authentication are those of now.
    #[must_use]
    pub fn authenticated_at(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.judged_at.load(Ordering::Relaxed))
    }

    /// The party that the request is made for.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.0.token.facts().subject
    }

    /// The application that the token was issued to (RFC 9068 section 2.2).
    /// Never silently the actor.
    ///
    /// `None` only for issuers whose [`ClaimMapping`](crate::issuer::ClaimMapping)
    /// allows it: workload tokens are not issued to OAuth clients. Always there
    /// under RFC 9068.
    #[must_use]
    pub fn client(&self) -> Option<&ClientId> {
        self.0.token.facts().client.as_ref()
    }

    /// The party that acts for the subject now: the outermost `act`
    /// (RFC 8693 section 4.1). `None` if the token is not delegated.
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.actors().first()
    }

    /// The current actor and those before it, newest first. Earlier actors are
    /// for the record: nothing may be granted because of them (RFC 8693 section 4.1).
    #[must_use]
    pub fn actors(&self) -> &[Actor] {
        &self.0.token.facts().actors
    }

    /// The authorization server that issued the token.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        self.subject().issuer()
    }

    /// The workload identity: what was proved about who sent this request, at its
    /// time. `None` if nothing was, and where
    /// [`ClientIdentity`](crate::authenticator::ClientIdentity) is not configured.
    #[must_use]
    pub fn workload(&self) -> Option<&WorkloadIdentity> {
        self.0.standing.transport.as_workload()
    }

    /// How the token is tied to its presenter; checked for this request.
    #[must_use]
    pub fn sender_constraint(&self) -> SenderConstraint {
        self.0.sender_constraint
    }

    /// The nonce to give the client for its next proofs, in a `DPoP-Nonce` field
    /// (RFC 9449 section 8.2). `None` while the one that it uses will do.
    ///
    /// For those who call the [`Authenticator`](crate::authenticator::Authenticator)
    /// themselves; the layer adds the field to the response.
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<&HeaderValue> {
        self.0.dpop_nonce.as_ref()
    }

    /// Every identifier in `aud`; one of them names this service.
    #[must_use]
    pub fn audience(&self) -> &[Audience] {
        &self.0.token.facts().audience
    }

    /// The registered application that the token was issued to: the client's.
    /// `None` where no [registry](crate::application) is configured.
    #[must_use]
    pub fn application(&self) -> Option<&Application> {
        self.registration().map(Registration::client)
    }

    /// The registered application that presents the token: the current actor's
    /// if there is one, else the client's. `None` where no
    /// [registry](crate::application) is configured.
    #[must_use]
    pub fn presenter(&self) -> Option<&Application> {
        self.registration().map(Registration::presenter)
    }

    /// The effective scopes: those that the token names, as far as its issuer
    /// [may grant](crate::TrustedIssuer::may_grant) them, and the client's application and
    /// the presenter's [may ever use](crate::application) them. Requirements go by these.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        let granted = self.0.token.facts().granted_scopes();
        self.registration().and_then(Registration::cut_scopes).unwrap_or(granted)
    }

    /// The scopes that the token names, whatever its issuer may grant and its
    /// applications may use. For the record: what counts are the effective
    /// [`scopes`](Self::scopes).
    #[must_use]
    pub fn token_scopes(&self) -> &ScopeSet {
        &self.0.token.facts().scopes
    }

    /// Could a broader token have this scope here?
    pub(crate) fn may_ever_use(&self, scope: &str) -> bool {
        self.issuer_may_grant(GrantKind::Scope, scope)
            && self.registration().is_none_or(|registration| registration.may_ever_use(scope))
    }

    /// Do authorization details of this type count, whatever the token says?
    pub(crate) fn may_ever_use_detail(&self, kind: &str) -> bool {
        self.issuer_may_grant(GrantKind::AuthorizationDetail, kind)
            && self.registration().is_none_or(|registration| registration.may_ever_use_detail(kind))
    }

    /// Could any token of the issuer grant this here?
    pub(crate) fn issuer_may_grant(&self, kind: GrantKind, name: &str) -> bool {
        self.0.token.facts().bounded.allows(kind, name)
    }

    /// Does the token name roles that its issuer may not grant, or that no ceiling lets count?
    pub(crate) fn has_cut_roles(&self) -> bool {
        let by_issuer = self.0.token.facts().bounded.has_cut_roles;
        by_issuer || self.registration().is_some_and(|registration| registration.cut_roles().is_some())
    }

    pub(crate) fn has_cut_permissions(&self) -> bool {
        let by_issuer = self.0.token.facts().bounded.has_cut_permissions;
        by_issuer || self.registration().is_some_and(|registration| registration.cut_permissions().is_some())
    }

    pub(crate) fn has_cut_groups(&self) -> bool {
        let by_issuer = self.0.token.facts().bounded.has_cut_groups;
        by_issuer || self.registration().is_some_and(|registration| registration.cut_groups().is_some())
    }

    /// All that are trusted.
    pub(crate) fn issuers(&self) -> &Issuers {
        &self.0.token.facts().issuers
    }

    fn registration(&self) -> Option<&Registration> {
        self.0.standing.registration.as_deref()
    }

    /// The effective roles: those that the token names, where the issuer's
    /// [`ClaimMapping`](crate::issuer::ClaimMapping) says where they stand, as far as its
    /// issuer [may grant](crate::TrustedIssuer::may_grant) them, and the client's
    /// application and the presenter's may ever use them. Never scopes.
    ///
    /// # Errors
    /// [`ClaimError`] if a claim that the mapping reads them from is malformed. What
    /// needs the roles must then refuse: they are not known, which is not none.
    pub fn roles(&self) -> Result<&RoleSet, ClaimError> {
        let roles = self.0.token.facts().roles.as_ref().map_err(|malformed| *malformed)?;
        Ok(self.registration().and_then(Registration::cut_roles).unwrap_or(roles))
    }

    /// The effective permissions: those that the token names, where the issuer's
    /// mapping says where they stand, cut as the [`roles`](Self::roles). Never scopes.
    ///
    /// # Errors
    /// [`ClaimError`] if they are malformed, as of [`roles`](Self::roles).
    pub fn permissions(&self) -> Result<&PermissionSet, ClaimError> {
        let permissions = self.0.token.facts().permissions.as_ref().map_err(|malformed| *malformed)?;
        Ok(self.registration().and_then(Registration::cut_permissions).unwrap_or(permissions))
    }

    /// The subject's groups, cut as the [`roles`](Self::roles). `None` if they are
    /// not known: the mapping reads none, the token has no such claim, or it says that
    /// they are elsewhere because they are too many. Not known is not empty.
    ///
    /// # Errors
    /// [`ClaimError`] if they are malformed, as of [`roles`](Self::roles).
    pub fn groups(&self) -> Result<Option<&GroupSet>, ClaimError> {
        let groups = self.0.token.facts().groups.as_ref().map_err(|malformed| *malformed)?;
        Ok(self.registration().and_then(Registration::cut_groups).or(groups.as_ref()))
    }

    /// The tenant that the token belongs to, where the issuer's mapping says
    /// where it stands. Meaningful only together with the [`issuer`](Self::issuer).
    ///
    /// # Errors
    /// [`ClaimError`] if the claim is malformed. What needs the tenant must then
    /// refuse: the token may belong to any.
    pub fn tenant(&self) -> Result<Option<&TenantId>, ClaimError> {
        Ok(self.0.token.facts().tenant.as_ref().map_err(|malformed| *malformed)?.as_ref())
    }

    /// The session that the token comes from, `sid`, if the token says so.
    #[must_use]
    pub fn session_id(&self) -> Option<&SessionId> {
        self.0.token.facts().session.as_ref()
    }

    /// When the token ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.token.facts().expires_at
    }

    /// When the token begins, if it says so.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        self.0.token.facts().not_before
    }

    /// When the token was issued. `None` only where the issuer's
    /// [`ClaimMapping`](crate::issuer::ClaimMapping) allows tokens that do not tell:
    /// they may be of any age.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.0.token.facts().issued_at
    }

    /// When the user last authenticated, if the token says so.
    ///
    /// # Errors
    /// [`ClaimError`] if `auth_time` is no number of seconds. It is not known then
    /// when the user authenticated.
    pub fn auth_time(&self) -> Result<Option<Timestamp>, ClaimError> {
        Ok(self.0.token.facts().auth_time?)
    }

    /// How the user authenticated: the authentication context class, if the token
    /// says so.
    ///
    /// # Errors
    /// [`ClaimError`] if `acr` is no text.
    pub fn acr(&self) -> Result<Option<&str>, ClaimError> {
        Ok(self.0.token.facts().acr.as_ref().map_err(|malformed| *malformed)?.as_deref())
    }

    /// How the user authenticated: the methods (RFC 8176); none if the token does
    /// not say so.
    ///
    /// # Errors
    /// [`ClaimError`] if `amr` is no array of texts.
    pub fn amr(&self) -> Result<impl Iterator<Item = &str>, ClaimError> {
        let methods = self.0.token.facts().amr.as_ref().map_err(|malformed| *malformed)?;
        Ok(methods.iter().map(|method| &**method))
    }

    /// The token's own identifier, `jti`; the digest of the token where the
    /// issuer's mapping allows that it has none.
    #[must_use]
    pub fn token_id(&self) -> &TokenId {
        &self.0.token.facts().token_id
    }

    /// A revocation of this very token, for a handler that ends a session or finds
    /// a token misused. It ends by itself once the token has expired, also by a
    /// clock that is behind by the layer's leeway.
    ///
    /// ```
    /// use tower_delegation::{
    ///     DelegationContext,
    ///     revocation::{InMemoryRevocations, RevocationError},
    /// };
    ///
    /// fn sign_out(delegation: &DelegationContext, store: &InMemoryRevocations) -> Result<(), RevocationError> {
    ///     store.revoke(delegation.token_revocation().reason("signed out"))
    /// }
    /// ```
    pub fn token_revocation(&self) -> Revocation {
        let until = self.expires_at().saturating_add(self.0.circumstances.leeway);
        Revocation::token(self.issuer().clone(), self.token_id().clone()).until(until)
    }

    /// Does the token carry an actor?
    #[must_use]
    pub fn is_delegated(&self) -> bool {
        self.actor().is_some()
    }

    /// Is the subject a user, and the client another party than the subject?
    /// True with and without an actor; false where the kind or the client is unknown.
    #[must_use]
    pub fn is_on_behalf_of_user(&self) -> bool {
        let subject = self.subject();
        let by_another = self.client().is_some_and(|client| client.as_str() != subject.id().as_str());
        subject.kind() == SubjectKind::User && by_another
    }

    /// Any other claim, by its name: `Ok(None)` if the token does not carry it.
    ///
    /// Reads the claims' JSON on each call (about a microsecond), as the token has it:
    /// no application's ceiling cuts it.
    ///
    /// # Errors
    /// [`ClaimError`] if the claim is there and is no `T`. Treat that as a
    /// refusal, never as absence.
    ///
    /// ```
    /// # use tower_delegation::context::{ClaimError, DelegationContext};
    /// fn tenant(delegation: &DelegationContext) -> Result<Option<String>, ClaimError> {
    ///     delegation.claim("tenant")
    /// }
    /// ```
    pub fn claim<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClaimError> {
        self.0.token.claim(name)
    }

    /// All claims of the token as one type of the caller's, as the issuer signed them.
    ///
    /// Parsed on the first call for a token and kept with the verified token, so
    /// that later requests with it share the value. Up to four types are kept for one
    /// token, in addition to the bytes that
    /// [`TokenCache::max_bytes`](crate::token::TokenCache::max_bytes) counts; any
    /// further type is parsed on each call.
    ///
    /// What is read is the JSON and nothing else: `sub`, `scope` or `roles` in `T`
    /// know no [`ClaimMapping`](crate::issuer::ClaimMapping) and no application's
    /// ceiling. Decide by requirements and by the other methods, and read here what
    /// they do not know. In `T`, `#[serde(default)]` makes an absent claim look like
    /// one that was sent: a default must never permit more. An `Option` is `None`
    /// for an absent claim and for `null`. `#[serde(deny_unknown_fields)]` refuses
    /// every token, unless `T` names all of its claims.
    ///
    /// # Errors
    /// [`ClaimError`] if the claims are no `T`: a claim that `T` needs is absent, or
    /// one of them has another type. Nothing is denied and nothing is audited by
    /// that: what to answer is the caller's decision. Where the claims decide
    /// about access, answer as to a refusal. The error is remembered like the value.
    ///
    /// # Example
    /// ```
    /// # use tower_delegation::context::{ClaimError, DelegationContext};
    /// #[derive(serde::Deserialize)]
    /// struct Shop {
    ///     cost_center: String,
    ///     seats: Option<u32>,
    /// }
    ///
    /// fn seats(delegation: &DelegationContext) -> Result<u32, ClaimError> {
    ///     let shop = delegation.claims::<Shop>()?;
    ///     Ok(shop.seats.unwrap_or(1))
    /// }
    /// ```
    pub fn claims<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, ClaimError> {
        self.0.token.claims()
    }

    /// A claim's JSON, read from the payload on each call.
    pub(crate) fn raw_claim<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Option<&RawValue> {
        self.0.token.raw_claim(path)
    }
}
