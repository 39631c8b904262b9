//! [`Flow`]: by which grants a token for a downstream is got.

use super::{
    server::{AuthorizationServer, Server},
    wire::{ID_JAG, JWT},
};
use crate::{
    context::DelegationContext,
    error::Mistakes,
    http_client::HttpClient,
    names::{Audience, ClientId, SubjectKind},
    reason::DenialReason,
};

/// By which grants a token for a downstream is got for the caller's. Default:
/// [`token_exchange`](Self::token_exchange).
#[derive(Clone, Debug, Default)]
pub struct Flow {
    kind: Kind,
    application_uris: Vec<Audience>,
}

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    TokenExchange,
    EntraOnBehalfOf,
    Chained(Box<AuthorizationServer>, GrantKind),
}

/// What the first of two servers issues, as a grant at the second.
#[derive(Clone, Copy, Debug)]
enum GrantKind {
    Jwt,
    IdJag,
}

impl Flow {
    /// One exchange at the downstream's server (RFC 8693).
    #[must_use]
    pub fn token_exchange() -> Self {
        Self::new(Kind::TokenExchange)
    }

    /// Entra's on-behalf-of: the caller's token is the assertion of RFC 7523 section 2.1, with
    /// `requested_token_use=on_behalf_of`. The token must be of a user, and for this application:
    /// its `aud` is the client's identifier, `api://` before that, or a
    /// [declared URI](Self::application_uri). Scopes are asked for by their full names, the
    /// resource before each. Entra names no actor: set
    /// [`ActorMode::None`](super::ActorMode::None).
    ///
    /// Where a policy demands a new proof of the user (`interaction_required`), the claims that
    /// Entra names are handed to the caller, in a 401 with `insufficient_claims`.
    #[must_use]
    pub fn entra_on_behalf_of() -> Self {
        Self::new(Kind::EntraOnBehalfOf)
    }

    /// Names this application by its application ID URI, as `aud` of version 1.0 tokens does: for
    /// [`entra_on_behalf_of`](Self::entra_on_behalf_of) alone.
    #[must_use]
    pub fn application_uri(mut self, uri: impl Into<Audience>) -> Self {
        self.application_uris.push(uri.into());
        self
    }

    /// Identity chaining: the caller's token is exchanged at `first` for a JWT that is a grant at
    /// the downstream's server, and that one for the token (draft-ietf-oauth-identity-chaining).
    /// The grant is used as nothing but a grant.
    ///
    /// This service is the actor that `first` names: that is the default of
    /// [`acts_as`](super::Downstream::acts_as). The subject is another issuer's from then on, so
    /// [`subject_remapped`](super::Downstream::subject_remapped) is needed where tokens are read,
    /// and the terms [may speak for](crate::TrustedIssuer::may_speak_for) `first`.
    #[must_use]
    pub fn identity_chaining(first: AuthorizationServer) -> Self {
        Self::new(Kind::Chained(Box::new(first), GrantKind::Jwt))
    }

    /// The same by an identity assertion authorization grant, ID-JAG
    /// (draft-ietf-oauth-identity-assertion-authz-grant): `first` is the identity provider of both
    /// sides, and the grant names the resource.
    #[must_use]
    pub fn id_jag(first: AuthorizationServer) -> Self {
        Self::new(Kind::Chained(Box::new(first), GrantKind::IdJag))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, application_uris: Vec::new() }
    }

    pub(super) fn is_entra(&self) -> bool {
        matches!(self.kind, Kind::EntraOnBehalfOf)
    }

    /// Does it name this application where that is of no use?
    pub(super) fn has_useless_uris(&self) -> bool {
        !self.is_entra() && !self.application_uris.is_empty()
    }

    /// The server that exchanges the caller's token, where it is not the downstream's.
    pub(super) fn first(&self) -> Option<&AuthorizationServer> {
        match &self.kind {
            Kind::Chained(first, _) => Some(first),
            Kind::TokenExchange | Kind::EntraOnBehalfOf => None,
        }
    }

    /// Checks everything; asks nothing. `client` is who this service is at the downstream's server.
    pub(super) fn build(
        self,
        mistakes: &mut Mistakes,
        downstream: &str,
        of_layer: Option<&HttpClient>,
        client: Option<&ClientId>,
    ) -> Option<Steps> {
        Some(match self.kind {
            Kind::TokenExchange => Steps::Exchange,
            Kind::EntraOnBehalfOf => {
                let mut names = self.application_uris;
                let client = client?.as_str();
                names.extend([client.into(), format!("api://{client}").into()]);
                Steps::EntraOnBehalfOf(names)
            }
            Kind::Chained(first, grant) => {
                let first = first.build(mistakes, downstream, of_layer, false)?;
                Steps::Chained(Box::new(first), grant.token_type())
            }
        })
    }
}

impl GrantKind {
    /// What is asked for, and what must come back (RFC 8693 section 3).
    fn token_type(self) -> &'static str {
        match self {
            Self::Jwt => JWT,
            Self::IdJag => ID_JAG,
        }
    }
}

/// The same, checked.
#[derive(Debug)]
pub(super) enum Steps {
    Exchange,
    /// The names of this application in `aud`.
    EntraOnBehalfOf(Vec<Audience>),
    /// The server that issues the grant, and the type of it.
    Chained(Box<Server>, &'static str),
}

impl Steps {
    /// May this caller's token be sent at all?
    pub(super) fn check_caller(&self, caller: &DelegationContext) -> Result<(), DenialReason> {
        let Self::EntraOnBehalfOf(names) = self else { return Ok(()) };
        if caller.subject().kind() != SubjectKind::User {
            return Err(DenialReason::NotOnBehalfOfUser);
        }
        if !caller.audience().iter().any(|audience| names.contains(audience)) {
            return Err(DenialReason::AudienceNotAllowed);
        }
        Ok(())
    }
}
