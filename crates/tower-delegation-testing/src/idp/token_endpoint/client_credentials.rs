//! Client credentials (RFC 6749 section 4.4).

use super::{error::TokenError, issuance::Issuance, policy, request::Form};
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
        audiences: policy::audiences(issuer, &targets),
        scopes,
        scopes_asked: Some(asked),
        lifetime: issuer.inner.token_lifetime,
        ..Issuance::new(client.id.clone(), client)
    })
}
