//! What is issued, and the answer that says so.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value, json};

use super::{Arrival, dpop::proven_key, error::TokenError, misissue::ExchangeFault, policy::joined};
use crate::{
    idp::{
        MockIssuer,
        client::{ClientAuthMethod, MockClient},
        lock,
    },
    keys::base64url,
    token::TokenBuilder,
};

/// A token that a request is granted, before it is signed.
pub(crate) struct Issuance {
    pub(crate) kind: Kind,
    pub(crate) subject: String,
    pub(crate) client_id: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) scopes: BTreeSet<String>,
    /// What the request asked for, empty if it named no scope; `None` where the answer
    /// says in any case what was granted.
    pub(crate) scopes_asked: Option<BTreeSet<String>>,
    /// What the answer writes before each scope.
    pub(crate) scope_prefix: Option<String>,
    pub(crate) act: Option<Value>,
    pub(crate) lifetime: Duration,
    /// Claims that hold for the new token as for the old one.
    pub(crate) kept: Map<String, Value>,
    /// RFC 9396.
    pub(crate) authorization_details: Option<Value>,
    /// `issued_token_type`, in answers of RFC 8693.
    pub(crate) issued_type: Option<&'static str>,
    pub(crate) confirmation: Confirmation,
}

/// What is issued.
pub(crate) enum Kind {
    AccessToken,
    /// A JWT that is a grant at another authorization server.
    Grant {
        typ: &'static str,
        server: String,
        /// The client's identifier there.
        client_id: String,
        /// Resources behind that server.
        resources: Vec<String>,
    },
}

/// What the token is bound to (RFC 7800): nothing, a certificate, a key, or both.
#[derive(Clone, Default)]
pub(crate) struct Confirmation {
    certificate: Option<String>,
    key: Option<String>,
}

impl Confirmation {
    /// Binds to what the request proves to hold. A client that authenticates by its
    /// certificate gets tokens that are bound to it.
    pub(crate) fn of(
        arrival: &Arrival<'_>,
        client: &MockClient,
        method: ClientAuthMethod,
    ) -> Result<Self, TokenError> {
        let key = proven_key(arrival.issuer, arrival.headers)?;
        if client.dpop_bound && key.is_none() {
            return Err(TokenError::invalid_proof("this client needs a DPoP proof"));
        }
        let is_bound = client.certificate_bound || method.is_tls();
        let certificate = match &arrival.certificate {
            Some(certificate) if is_bound => Some(base64url(certificate.thumbprint())),
            None if is_bound => return Err(TokenError::invalid_request("this client needs a certificate")),
            _ => None,
        };
        Ok(Self { certificate, key })
    }

    /// Returns the thumbprint of the key that the request proved to hold.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl Issuance {
    /// An access token of nothing for no one, to be filled in.
    pub(crate) fn new(subject: String, client: &MockClient) -> Self {
        Self {
            kind: Kind::AccessToken,
            subject,
            client_id: client.id.clone(),
            audiences: Vec::new(),
            scopes: BTreeSet::new(),
            scopes_asked: Some(BTreeSet::new()),
            scope_prefix: None,
            act: None,
            lifetime: Duration::ZERO,
            kept: Map::new(),
            authorization_details: None,
            issued_type: None,
            confirmation: Confirmation::default(),
        }
    }

    /// Signs the token and writes the answer. With a fault, the token is not
    /// what the request was granted; see [`ExchangeFault`].
    pub(crate) fn answer(self, issuer: &MockIssuer, fault: Option<ExchangeFault>) -> Value {
        let token = match fault {
            Some(fault) => fault.spoil_token(self.token(issuer), &self),
            None => self.token(issuer),
        };
        let mut members = Map::new();
        let token = lock(&issuer.inner.tokens).rename_claims(token);
        members.insert("access_token".to_owned(), token.sign().into());
        members.insert("token_type".to_owned(), self.token_type().into());
        members.insert("expires_in".to_owned(), self.lifetime.as_secs().into());
        // RFC 6749 section 5.1: optional if it is what was asked for.
        if self.scopes_asked.as_ref() != Some(&self.scopes) {
            let prefix = self.scope_prefix.as_deref().unwrap_or_default();
            let scopes = self.scopes.iter().map(|scope| format!("{prefix}{scope}")).collect();
            members.insert("scope".to_owned(), joined(&scopes).into());
        }
        if let Some(details) = self.authorization_details {
            members.insert("authorization_details".to_owned(), details);
        }
        if let Some(issued_type) = self.issued_type {
            members.insert("issued_token_type".to_owned(), issued_type.into());
        }
        if let Some(fault) = fault {
            fault.spoil_answer(&mut members);
        }
        Value::Object(members)
    }

    fn token(&self, issuer: &MockIssuer) -> TokenBuilder {
        let mut token = issuer
            .token()
            .subject(&self.subject)
            .client(&self.client_id)
            .audiences(&self.audiences)
            .scopes(&self.scopes)
            .expires_in(self.lifetime);
        if let Kind::Grant { typ, client_id, resources, .. } = &self.kind {
            token = token.typ(*typ).client(client_id);
            if !resources.is_empty() {
                token = token.claim("resource", resources.clone());
            }
        }
        if let Some(act) = &self.act {
            token = token.claim("act", act.clone());
        }
        if let Some(details) = &self.authorization_details {
            token = token.claim("authorization_details", details.clone());
        }
        let Confirmation { certificate, key } = &self.confirmation;
        for (name, thumbprint) in [("x5t#S256", certificate), ("jkt", key)] {
            if let Some(thumbprint) = thumbprint {
                token = token.bound(name, thumbprint.clone());
            }
        }
        for (name, value) in &self.kept {
            token = token.claim(name, value.clone());
        }
        token
    }

    fn token_type(&self) -> &'static str {
        match (&self.kind, &self.confirmation.key) {
            // Not an access token (RFC 8693 section 2.2.1).
            (Kind::Grant { .. }, _) => "N_A",
            (Kind::AccessToken, Some(_)) => "DPoP",
            (Kind::AccessToken, None) => "Bearer",
        }
    }
}

/// Puts an actor before those who acted earlier (RFC 8693 section 4.1).
pub(crate) fn chained(actor: &Actor, earlier: Option<&Value>) -> Value {
    let mut act = json!({ "sub": actor.subject });
    if let Value::Object(members) = &mut act {
        if let Some(issuer) = &actor.issuer {
            members.insert("iss".to_owned(), issuer.clone().into());
        }
        if let Some(earlier) = earlier {
            members.insert("act".to_owned(), earlier.clone());
        }
    }
    act
}

/// The party that acts.
pub(crate) struct Actor {
    pub(crate) subject: String,
    /// Unless it is the issuer of the token.
    pub(crate) issuer: Option<String>,
}
