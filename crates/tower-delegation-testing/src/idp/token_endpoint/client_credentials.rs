//! Client credentials (RFC 6749 section 4.4).

use serde_json::Map;

use super::{
    error::TokenError,
    issuance::{Confirmation, Issuance},
    policy,
    request::Form,
};
use crate::idp::{MockIssuer, client::MockClient};

/// Issues a token whose subject is the client itself (RFC 9068 section 2.2).
pub(crate) fn client_credentials(
    issuer: &MockIssuer,
    form: &Form,
    client: &MockClient,
) -> Result<Issuance, TokenError> {
    let asked = policy::scopes(form.one("scope")?);
    let scopes = match &client.scopes {
        Some(allowed) if asked.is_empty() => allowed.clone(),
        _ => policy::narrowed(client, &asked)?,
    };
    let targets = policy::targets(issuer, form)?;
    Ok(Issuance {
        subject: client.id.clone(),
        client_id: client.id.clone(),
        audiences: policy::audiences(issuer, &targets),
        scopes,
        scopes_asked: asked,
        act: None,
        lifetime: issuer.inner.token_lifetime,
        kept: Map::new(),
        authorization_details: None,
        issued_type: None,
        confirmation: Confirmation::default(),
    })
}
