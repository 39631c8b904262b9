//! Every reason for which a request is not served, each with one stable code.
//!
//! Operators read the reason in the audit event. Clients learn only its
//! [`RejectionKind`]: which check a token failed is for the
//! operator alone.

use std::fmt;

/// What a client may know of a refusal. One kind has one status, one OAuth
/// error code, one problem `code` and one text; the table is in
/// [`rejection`](crate::rejection).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// No credentials were sent: 401, a challenge without an error
    /// (RFC 6750 section 3.1).
    MissingCredentials,
    /// The request presents credentials in a way that no standard allows: 400.
    InvalidRequest,
    /// The token is expired, forged, malformed or not for us: 401.
    InvalidToken,
    /// The DPoP proof is missing, or not one for this request and this token:
    /// 401 (RFC 9449 section 7.1).
    InvalidDpopProof,
    /// The DPoP proof lacks a nonce that this service gave out lately: 401 with
    /// one in `DPoP-Nonce` (RFC 9449 section 9).
    UseDpopNonce,
    /// The token is good, and the user's authentication is too weak or too old
    /// for the route: 401 that names what is needed (RFC 9470 section 3).
    InsufficientUserAuthentication,
    /// The token is good, and the authorization server of a downstream demands a new proof of
    /// the user: 401 that hands on its claims request.
    InsufficientClaims,
    /// The token is good, and a broader scope would open the route: 403 that
    /// names the scopes needed.
    InsufficientScope,
    /// The token is good, and no broader scope would help: 403 without an
    /// OAuth error, so that clients do not loop on re-authorization.
    Forbidden,
    /// The client sends more than its share: 429 with `Retry-After`.
    TooManyRequests,
    /// The JWT-SVID is expired, forged, malformed or not for this service: 403,
    /// without a challenge, since nothing is said of the access token.
    JwtSvidRefused,
    /// A header field that speaks for the client's identity is not acceptable: 400.
    InvalidIdentityHeader,
    /// The client certificate that a proxy hands on is not acceptable: 403
    /// (RFC 9440 section 2.4).
    CertificateRefused,
    /// Header fields are too large: 431 (RFC 9440 section 2.4).
    HeaderFieldsTooLarge,
    /// Something on our side cannot be reached, so nothing could be decided:
    /// 503 with `Retry-After`.
    Unavailable,
    /// The service is wired wrongly: 500.
    Misconfigured,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal => $kind:ident,)*) => {
        /// Why a request was refused.
        ///
        /// The [code](DenialReason::code) is stable: dashboards and alerts may
        /// rely on it. New reasons may be added in a minor version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DenialReason {
            $($(#[$doc])* $variant,)*
        }

        impl DenialReason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code, in `snake_case`, as audit events carry it.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// How much of the reason the client learns.
            #[must_use]
            pub fn kind(self) -> RejectionKind {
                match self {
                    $(Self::$variant => RejectionKind::$kind,)*
                }
            }
        }
    };
}

reasons! {
    /// The request carries no credentials of a scheme that we know.
    CredentialsMissing = "credentials_missing" => MissingCredentials,
    /// More than one `Authorization` field, or more than one method of sending
    /// a token (RFC 6750 section 2).
    CredentialsMultiple = "credentials_multiple" => InvalidRequest,
    /// What follows the scheme is not one `b64token` (RFC 6750 section 2.1).
    CredentialsMalformed = "credentials_malformed" => InvalidRequest,
    /// The token is in the query of the URI, where logs and caches see it.
    TokenInQuery = "token_in_query" => InvalidRequest,
    /// The scheme of the credentials is `DPoP`, which this service is not configured for.
    SchemeUnsupported = "scheme_unsupported" => MissingCredentials,

    /// The token is longer than 16 KiB.
    TokenTooLarge = "token_too_large" => InvalidToken,
    /// The token is not three base64url parts, or its payload is no JSON object
    /// of the right shape.
    TokenMalformed = "token_malformed" => InvalidToken,
    /// The token is encrypted (five parts), which is not configured (RFC 9068 section 4).
    TokenEncrypted = "token_encrypted" => InvalidToken,
    /// The JOSE header is longer than 4 KiB.
    HeaderTooLarge = "header_too_large" => InvalidToken,
    /// The JOSE header is no JSON object of the right shape (RFC 7515 section 4).
    HeaderMalformed = "header_malformed" => InvalidToken,
    /// A member name occurs twice in one JSON object of the token (RFC 7515
    /// section 4, RFC 7519 section 4).
    DuplicateMember = "duplicate_member" => InvalidToken,
    /// The JSON of the token nests deeper than 16 levels, or has more than 256
    /// members in one object.
    StructureTooLarge = "structure_too_large" => InvalidToken,
    /// The header names critical extensions; none is understood (RFC 7515 section 4.1.11).
    CriticalHeader = "critical_header" => InvalidToken,
    /// The header carries `b64`, which JWTs must not use (RFC 7797 section 7).
    UnencodedPayload = "unencoded_payload" => InvalidToken,
    /// The payload is itself a token (`cty: JWT`, RFC 7519 section 5.2).
    NestedToken = "nested_token" => InvalidToken,
    /// A claim replicated in the header differs from the payload's (RFC 7519 section 5.3).
    HeaderClaimMismatch = "header_claim_mismatch" => InvalidToken,
    /// `alg` is not one of the algorithms that the issuer may use (RFC 8725 section 3.1).
    AlgorithmNotAllowed = "algorithm_not_allowed" => InvalidToken,
    /// `typ` names another kind of token, or none (RFC 9068 section 4).
    TypeNotAccepted = "type_not_accepted" => InvalidToken,
    /// The token is of another kind although its `typ` does not say so: an ID
    /// token, a logout token, a security event (RFC 8725 section 3.12).
    NotAnAccessToken = "not_an_access_token" => InvalidToken,
    /// `iss` is not the identifier of a trusted issuer (RFC 9068 section 4).
    IssuerUnknown = "issuer_unknown" => InvalidToken,
    /// The issuer publishes no key that fits the token.
    KeyUnknown = "key_unknown" => InvalidToken,
    /// The key that the token names is not for the token's algorithm (RFC 8725 section 3.1).
    KeyMismatch = "key_mismatch" => InvalidToken,
    /// Several published keys fit the token, so none is taken.
    KeyAmbiguous = "key_ambiguous" => InvalidToken,
    /// The signature does not verify (RFC 7515 section 5.2).
    SignatureInvalid = "signature_invalid" => InvalidToken,
    /// A required claim is absent (RFC 9068 section 2.2).
    ClaimMissing = "claim_missing" => InvalidToken,
    /// A claim has the wrong JSON type or an impossible value (RFC 7519 section 4.1).
    ClaimMalformed = "claim_malformed" => InvalidToken,
    /// The route demands something of a claim that is malformed in this token. The
    /// code is that of a token that is refused as a whole; the status tells which.
    FactMalformed = "claim_malformed" => Forbidden,
    /// Two claims that say the same thing say it differently: two names of the
    /// client, two lists of scopes, a tenant that is not the issuer's.
    ClaimsContradictory = "claims_contradictory" => InvalidToken,
    /// The token names no audience, and its client is not one of those given
    /// for the issuer in place of one.
    ClientNotAccepted = "client_not_accepted" => InvalidToken,
    /// `exp` has passed (RFC 7519 section 4.1.4).
    TokenExpired = "token_expired" => InvalidToken,
    /// `nbf` lies ahead (RFC 7519 section 4.1.5).
    TokenNotYetValid = "token_not_yet_valid" => InvalidToken,
    /// `iat` lies ahead.
    TokenFromFuture = "token_from_future" => InvalidToken,
    /// The token is older than the issuer's maximum token age.
    TokenTooOld = "token_too_old" => InvalidToken,
    /// The token lives longer than the issuer's maximum token lifetime.
    TokenLifetimeTooLong = "token_lifetime_too_long" => InvalidToken,
    /// `aud` does not name this service (RFC 7519 section 4.1.3).
    AudienceMismatch = "audience_mismatch" => InvalidToken,
    /// `act` is not a chain of objects that each name an actor (RFC 8693 section 4.1).
    ActorMalformed = "actor_malformed" => InvalidToken,
    /// `act` nests deeper than the configured number of actors.
    ActorChainTooLong = "actor_chain_too_long" => InvalidToken,
    /// `cnf` is not an object that names a confirmation method (RFC 7800 section 3.1).
    ConfirmationMalformed = "confirmation_malformed" => InvalidToken,
    /// The token is bound to a key by a method that this service cannot check,
    /// so it is refused rather than taken as a plain bearer token.
    ConfirmationUnsupported = "confirmation_unsupported" => InvalidToken,

    /// The token is bound to a certificate, and the connection has no current one.
    CertificateMissing = "certificate_missing" => InvalidToken,
    /// The token is bound to another certificate than the connection's (RFC 8705 section 3).
    ConfirmationMismatch = "confirmation_mismatch" => InvalidToken,
    /// The route demands a token that is bound to its presenter, and this one is not.
    SenderConstraintMissing = "sender_constraint_missing" => InvalidToken,

    /// The header field for the JWT-SVID is there more than once, or holds
    /// something that is no JWT-SVID by its form (JWT-SVID sections 2 and 3).
    SvidMalformed = "svid_malformed" => JwtSvidRefused,
    /// The JWT-SVID is of a trust domain whose bundle is not known.
    SvidTrustDomainUnknown = "svid_trust_domain_unknown" => JwtSvidRefused,
    /// The bundle of the JWT-SVID's own trust domain has no key that fits it.
    SvidKeyUnknown = "svid_key_unknown" => JwtSvidRefused,
    /// The signature of the JWT-SVID does not verify.
    SvidSignatureInvalid = "svid_signature_invalid" => JwtSvidRefused,
    /// The JWT-SVID does not name this service (JWT-SVID section 3.2).
    SvidAudienceMismatch = "svid_audience_mismatch" => JwtSvidRefused,
    /// The JWT-SVID has expired (JWT-SVID section 3.3).
    SvidExpired = "svid_expired" => JwtSvidRefused,
    /// `nbf` or `iat` of the JWT-SVID lies ahead.
    SvidNotYetValid = "svid_not_yet_valid" => JwtSvidRefused,

    /// The token was revoked, or everything that was issued when it was.
    TokenRevoked = "token_revoked" => InvalidToken,
    /// The tokens of the subject were revoked.
    SubjectRevoked = "subject_revoked" => InvalidToken,
    /// The session that the token comes from was revoked.
    SessionRevoked = "session_revoked" => InvalidToken,
    /// The tokens of the client were revoked.
    ClientRevoked = "client_revoked" => InvalidToken,
    /// The current actor or one before it was revoked.
    ActorRevoked = "actor_revoked" => InvalidToken,
    /// The workload that presents the token was revoked.
    WorkloadRevoked = "workload_revoked" => InvalidToken,

    /// A context was kept, and shows more than is so by now: a certificate or a JWT-SVID
    /// that said who the workload is has ended, or the registry lets the application use
    /// less. The token is good: a new request is judged as things are.
    ContextOutdated = "context_outdated" => InvalidToken,

    /// The token comes by scheme `DPoP` and is not bound to a key (RFC 9449 section 7.1).
    DpopTokenUnbound = "dpop_token_unbound" => InvalidToken,
    /// The token is bound to a key and comes by scheme `Bearer` (RFC 9449 section 7.2).
    DpopTokenAsBearer = "dpop_token_as_bearer" => InvalidToken,
    /// The token is bound to another key than the proof's (RFC 9449 section 4.3).
    DpopKeyMismatch = "dpop_key_mismatch" => InvalidToken,
    /// Scheme `DPoP` without a `DPoP` field (RFC 9449 section 7.1).
    DpopProofMissing = "dpop_proof_missing" => InvalidDpopProof,
    /// More than one proof (RFC 9449 section 4.3).
    DpopProofMultiple = "dpop_proof_multiple" => InvalidDpopProof,
    /// The proof is longer than 8 KiB, or its header longer than 4 KiB.
    DpopProofTooLarge = "dpop_proof_too_large" => InvalidDpopProof,
    /// The proof is not one compact JWS of strict JSON (RFC 9449 section 4.3).
    DpopProofMalformed = "dpop_proof_malformed" => InvalidDpopProof,
    /// `typ` of the proof is not `dpop+jwt` (RFC 9449 section 4.2).
    DpopProofTypeNotAccepted = "dpop_proof_type_not_accepted" => InvalidDpopProof,
    /// `alg` of the proof is not one that the service accepts (RFC 9449 section 4.3).
    DpopProofAlgorithmNotAllowed = "dpop_proof_algorithm_not_allowed" => InvalidDpopProof,
    /// `jwk` of the proof is no sound public key for its `alg`, or holds private
    /// members (RFC 9449 section 4.3).
    DpopProofKeyInvalid = "dpop_proof_key_invalid" => InvalidDpopProof,
    /// The proof's signature does not verify with its `jwk`.
    DpopProofSignatureInvalid = "dpop_proof_signature_invalid" => InvalidDpopProof,
    /// The proof lacks `jti`, `htm`, `htu`, `iat` or `ath` (RFC 9449 section 4.2).
    DpopProofClaimMissing = "dpop_proof_claim_missing" => InvalidDpopProof,
    /// A claim of the proof has the wrong JSON type or an impossible value.
    DpopProofClaimMalformed = "dpop_proof_claim_malformed" => InvalidDpopProof,
    /// `htm` is not the request's method.
    DpopProofMethodMismatch = "dpop_proof_method_mismatch" => InvalidDpopProof,
    /// `htu` is not the request's URI.
    DpopProofUriMismatch = "dpop_proof_uri_mismatch" => InvalidDpopProof,
    /// `ath` is not the hash of the token that the request carries.
    DpopProofTokenMismatch = "dpop_proof_token_mismatch" => InvalidDpopProof,
    /// The proof was made too long ago, or its `exp` has passed.
    DpopProofExpired = "dpop_proof_expired" => InvalidDpopProof,
    /// The proof's `iat` or `nbf` lies ahead.
    DpopProofFromFuture = "dpop_proof_from_future" => InvalidDpopProof,
    /// The proof was used before (RFC 9449 section 11.1).
    DpopProofReplayed = "dpop_proof_replayed" => InvalidDpopProof,
    /// The service demands a nonce, and the proof has none (RFC 9449 section 9).
    DpopNonceMissing = "dpop_nonce_missing" => UseDpopNonce,
    /// The proof's nonce is none that the service gave out lately.
    DpopNonceNotAccepted = "dpop_nonce_not_accepted" => UseDpopNonce,

    /// The token names no client, and the service takes only those of registered applications.
    ClientMissing = "client_missing" => Forbidden,
    /// The client belongs to no registered application.
    ClientUnregistered = "client_unregistered" => Forbidden,
    /// The current actor belongs to no registered application.
    ActorUnregistered = "actor_unregistered" => Forbidden,
    /// The client's application is suspended.
    ClientSuspended = "client_suspended" => Forbidden,
    /// The application of an actor, current or earlier, is suspended, or that of a
    /// subject that is no user.
    ActorSuspended = "actor_suspended" => Forbidden,
    /// The registration of the client's application has ended.
    ClientExpired = "client_expired" => Forbidden,
    /// The registration of such an application has ended.
    ActorExpired = "actor_expired" => Forbidden,
    /// The client's or the current actor's application is not registered for
    /// the environment that the service runs in.
    EnvironmentNotAllowed = "environment_not_allowed" => Forbidden,
    /// The client's or the current actor's application is not registered for
    /// the token's tenant.
    TenantNotAllowed = "tenant_not_allowed" => Forbidden,
    /// The presenter's application may not act for subjects of this kind.
    ActingNotAllowed = "acting_not_allowed" => Forbidden,
    /// The token lives longer than the client's or the current actor's
    /// application may hold one.
    ApplicationTokenLifetimeTooLong = "application_token_lifetime_too_long" => Forbidden,
    /// The client's or the current actor's application must present tokens that
    /// are bound to it, and this one is not.
    ApplicationSenderConstraintMissing = "application_sender_constraint_missing" => InvalidToken,
    /// The presenter's application is tied to its workloads, and nothing is
    /// proved about the one that sent the request.
    WorkloadUnknown = "workload_unknown" => Forbidden,
    /// The workload that sent the request is not one of the presenter's application.
    WorkloadNotRegistered = "workload_not_registered" => Forbidden,
    /// The token has more scope than the client's or the current actor's
    /// application may ever use, and that application's are not to be cut.
    TokenTooBroad = "token_too_broad" => Forbidden,

    /// A header field that speaks for the client's identity came from a hop that is
    /// not trusted, and the service refuses such requests.
    IdentityHeaderUntrusted = "identity_header_untrusted" => InvalidIdentityHeader,
    /// The trusted hop's field for the client certificate is not of the configured format.
    IdentityHeaderMalformed = "identity_header_malformed" => InvalidIdentityHeader,
    /// The trusted hop's fields for the client certificate are larger than 64 KiB.
    IdentityHeaderTooLarge = "identity_header_too_large" => HeaderFieldsTooLarge,
    /// A certificate that the trusted hop hands on is not a well-formed one.
    ForwardedCertificateInvalid = "forwarded_certificate_invalid" => CertificateRefused,
    /// What the trusted hop says of the client certificate contradicts itself, or
    /// is said by another proxy than the one expected.
    ForwardedCertificateMismatch = "forwarded_certificate_mismatch" => CertificateRefused,

    /// The token's issuer is not one that the route accepts.
    IssuerNotAllowed = "issuer_not_allowed" => Forbidden,
    /// The token's audience is not the one that the route demands.
    AudienceNotAllowed = "audience_not_allowed" => Forbidden,
    /// The kind of the subject (user, service) is not the one that the route demands.
    SubjectKindNotAllowed = "subject_kind_not_allowed" => Forbidden,
    /// The route is only for applications that act for a user.
    NotOnBehalfOfUser = "not_on_behalf_of_user" => Forbidden,
    /// The route demands a delegated token (`act`), and this one is not.
    DelegationRequired = "delegation_required" => Forbidden,
    /// The route refuses delegated tokens, and this one is.
    DelegationForbidden = "delegation_forbidden" => Forbidden,
    /// The current actor is not one that the route admits.
    ActorNotAllowed = "actor_not_allowed" => Forbidden,
    /// The client is not one that the route admits.
    ClientNotAllowed = "client_not_allowed" => Forbidden,
    /// The workload at the other end of the connection is not one that the route admits.
    WorkloadNotAllowed = "workload_not_allowed" => Forbidden,
    /// The token lacks a scope that the route demands (RFC 6750 section 3.1).
    ScopeMissing = "scope_missing" => InsufficientScope,
    /// The route demands a scope that the application may never use: no broader
    /// token would help.
    ScopeBeyondApplication = "scope_beyond_application" => Forbidden,
    /// The route demands a scope that the token's issuer may not grant: no other token
    /// of that issuer would help.
    ScopeBeyondIssuer = "scope_beyond_issuer" => Forbidden,

    /// The token's tenant is not one that the route admits, or not known.
    TenantMismatch = "tenant_mismatch" => Forbidden,
    /// The token is meant for more audiences than the route tolerates.
    AudienceTooBroad = "audience_too_broad" => Forbidden,
    /// The token has more scopes than the route tolerates.
    ScopeTooBroad = "scope_too_broad" => Forbidden,
    /// The token lives longer than the route tolerates.
    TokenLifetimeNotAllowed = "token_lifetime_not_allowed" => Forbidden,
    /// The token is older than the route tolerates; a new one would do.
    TokenAgeNotAllowed = "token_age_not_allowed" => InvalidToken,
    /// The token is bound to its presenter in another way than the route demands.
    SenderConstraintNotAllowed = "sender_constraint_not_allowed" => InvalidToken,
    /// The route refuses applications that act for a user, and those of which
    /// it is not known.
    OnBehalfOfUserForbidden = "on_behalf_of_user_forbidden" => Forbidden,
    /// The token names more actors than the route tolerates.
    ActorChainNotAllowed = "actor_chain_not_allowed" => Forbidden,
    /// An actor, current or earlier, is one that the route shuts out.
    ActorDenied = "actor_denied" => Forbidden,
    /// The client is one that the route shuts out, or not known.
    ClientDenied = "client_denied" => Forbidden,
    /// The client's registered application is not one that the route admits, or
    /// there is none.
    ApplicationNotAllowed = "application_not_allowed" => Forbidden,
    /// The presenter's registered application is not one that the route admits,
    /// or there is none.
    PresenterNotAllowed = "presenter_not_allowed" => Forbidden,
    /// The request comes outside of the route's hours.
    OutsideTimeWindow = "outside_time_window" => Forbidden,
    /// The risk is not known.
    RiskUnknown = "risk_unknown" => Forbidden,
    /// The risk is as high as the route's bound, or higher.
    RiskTooHigh = "risk_too_high" => Forbidden,
    /// A claim does not say what the route demands, or is absent.
    ClaimNotAllowed = "claim_not_allowed" => Forbidden,
    /// The token does not say what the path of the request says.
    PathParameterMismatch = "path_parameter_mismatch" => Forbidden,
    /// The token does not say what a header field of the request says.
    HeaderMismatch = "header_mismatch" => Forbidden,
    /// The token was not issued for the purpose that the route demands.
    PurposeNotAllowed = "purpose_not_allowed" => Forbidden,
    /// The token lacks a role that the route demands.
    RoleMissing = "role_missing" => Forbidden,
    /// The token lacks a permission that the route demands.
    PermissionMissing = "permission_missing" => Forbidden,
    /// The subject is not in a group that the route demands.
    GroupMissing = "group_missing" => Forbidden,
    /// The route demands a group, and the subject's groups are not known.
    GroupsUnknown = "groups_unknown" => Forbidden,
    /// No single object of `authorization_details` grants what the route
    /// demands (RFC 9396 section 2).
    AuthorizationDetailMissing = "authorization_detail_missing" => Forbidden,
    /// `authorization_details` is not an array of objects that each have a
    /// `type` (RFC 9396 section 2).
    AuthorizationDetailsMalformed = "authorization_details_malformed" => Forbidden,
    /// What the route excludes is the case, or it is not known that it is not.
    Excluded = "excluded" => Forbidden,
    /// The user's authentication is of none of the classes that the route
    /// demands, `acr` (RFC 9470 section 5).
    AuthenticationTooWeak = "authentication_too_weak" => InsufficientUserAuthentication,
    /// The user's authentication is older than the route tolerates, or its
    /// time is not known (RFC 9470 section 5).
    AuthenticationTooOld = "authentication_too_old" => InsufficientUserAuthentication,
    /// The route demands that a user has authenticated, strongly or lately, and the
    /// subject is a service, which cannot.
    NoUserToAuthenticate = "no_user_to_authenticate" => Forbidden,

    /// The issuer's keys cannot be had right now.
    KeysUnavailable = "keys_unavailable" => Unavailable,
    /// What is known of revocations is too old to decide by.
    RevocationUnavailable = "revocation_unavailable" => Unavailable,
    /// A JWT-SVID is to be verified, and no bundle of any trust domain is there yet.
    SvidBundlesMissing = "svid_bundles_missing" => Unavailable,

    /// The store of used proofs is full: our own limit, so the request cannot be judged.
    ReplayStoreFull = "replay_store_full" => Unavailable,
    /// The key that signed the proof has used up its share of the store of used proofs.
    ReplayShareExhausted = "replay_share_exhausted" => TooManyRequests,
    /// The wall clock was set back, and whether the proof was used before is not known.
    ClockSetBack = "clock_set_back" => Unavailable,
    /// The store of used proofs cannot be reached.
    ReplayStoreUnavailable = "replay_store_unavailable" => Unavailable,
    /// A token for a downstream is asked for with more scope than the caller's effective
    /// scopes are worth there, or with none.
    ExchangeScopeNotGranted = "exchange_scope_not_granted" => Forbidden,
    /// The authorization server does not take the caller's token in exchange
    /// (`invalid_grant`, RFC 7523 section 3.1).
    ExchangeSubjectRefused = "exchange_subject_refused" => InvalidToken,
    /// The authorization server demands a new proof of the user before it goes on
    /// (`interaction_required`), and says by which claims.
    ExchangeInteractionRequired = "exchange_interaction_required" => InsufficientClaims,
    /// The authorization server refuses the exchange, and it is not known whose fault that is
    /// (`invalid_request`, RFC 8693 section 2.2.2).
    ExchangeRefused = "exchange_refused" => Unavailable,
    /// The authorization server cannot be reached or answers with something that no
    /// standard knows.
    ExchangeUnavailable = "exchange_unavailable" => Unavailable,
    /// The authorization server does not know this service, or does not serve the
    /// downstream; or the exchange is wired wrongly.
    ExchangeMisconfigured = "exchange_misconfigured" => Misconfigured,
    /// The token that came back is none of the agreed form, or its signature does not verify.
    ExchangeUnreadable = "exchange_unreadable" => Unavailable,
    /// What came back is no access token, or of another type than was asked for (RFC 8693
    /// section 2.2.1).
    ExchangeTypeMismatch = "exchange_type_mismatch" => Unavailable,
    /// A refresh token came back too: authority that does not end.
    ExchangeRefreshToken = "exchange_refresh_token" => Unavailable,
    /// The token that came back is of another issuer than was agreed.
    ExchangeIssuerMismatch = "exchange_issuer_mismatch" => Unavailable,
    /// The token that came back is for another audience than the downstream, or for a second one.
    ExchangeAudienceMismatch = "exchange_audience_mismatch" => Unavailable,
    /// The token that came back has more scope than was asked for.
    ExchangeScopeWider = "exchange_scope_wider" => Unavailable,
    /// The token that came back has authorization details that the caller's has not, or that
    /// may not be passed on.
    ExchangeDetailsWider = "exchange_details_wider" => Unavailable,
    /// The token that came back is about another subject than the caller's.
    ExchangeSubjectChanged = "exchange_subject_changed" => Unavailable,
    /// The token that came back does not name this service as the actor.
    ExchangeActorMissing = "exchange_actor_missing" => Unavailable,
    /// The token that came back names another actor than this service.
    ExchangeActorMismatch = "exchange_actor_mismatch" => Unavailable,
    /// The earlier actors of the token that came back are not those of the caller's.
    ExchangeChainChanged = "exchange_chain_changed" => Unavailable,
    /// The token that came back is not bound as it was asked for.
    ExchangeBindingMismatch = "exchange_binding_mismatch" => Unavailable,
    /// The token that came back lives longer than the downstream allows, or than the caller's
    /// where the issuer is said to cap that.
    ExchangeLifeTooLong = "exchange_life_too_long" => Unavailable,
    /// The token that came back has ended.
    ExchangeExpired = "exchange_expired" => Unavailable,

    /// The caller's own token is to be passed on, and is bound to a key or certificate of the
    /// caller's: it is of no use to another party.
    PassThroughBound = "pass_through_bound" => Misconfigured,
    /// A call to a downstream does not say on behalf of whom it is, goes to another origin, or is
    /// malformed.
    DownstreamRequestInvalid = "downstream_request_invalid" => Misconfigured,
    /// A downstream cannot be reached, or does not answer in time.
    DownstreamUnavailable = "downstream_unavailable" => Unavailable,

    /// No audit sink took the request's event in time, and what cannot be
    /// recorded is not served.
    AuditUnavailable = "audit_unavailable" => Unavailable,

    /// A handler asks for the context, and no `DelegationLayer` ran.
    LayerMissing = "layer_missing" => Misconfigured,
    /// Workload identity is configured to come from the TLS listener, and the
    /// request says nothing of its connection.
    PeerInfoMissing = "peer_info_missing" => Misconfigured,
    /// A requirement names a risk signal that is not registered.
    RiskSignalMissing = "risk_signal_missing" => Misconfigured,
    /// A requirement names a party or a privilege without its issuer, and issuers of
    /// several namespaces can say it.
    RequirementUnqualified = "requirement_unqualified" => Misconfigured,
    /// A requirement contradicts itself.
    RequirementContradictory = "requirement_contradictory" => Misconfigured,

    /// The route table has no row for the request.
    RouteUnlisted = "route_unlisted" => Forbidden,
    /// The path can be read in two ways (encoded slashes, dot segments, double
    /// slashes), so no row of a route table is looked up for it, and it is not called at a
    /// downstream.
    PathAmbiguous = "path_ambiguous" => Forbidden,
    /// The service answered, and nothing had decided whether it may.
    Undecided = "undecided" => Misconfigured,
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A claim is there, and is not what its name promises: neither absent nor good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What demands the claim is denied; the token itself is not refused.
impl From<Malformed> for DenialReason {
    fn from(_: Malformed) -> Self {
        Self::FactMalformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_snake_case() {
        let mut seen = HashSet::new();
        for reason in DenialReason::ALL {
            let code = reason.code();
            // One code for one fault: a malformed claim. Who demands it decides what it costs.
            let is_shared = *reason == DenialReason::FactMalformed;
            assert_ne!(seen.insert(code), is_shared, "{code} is given twice");
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }
}
