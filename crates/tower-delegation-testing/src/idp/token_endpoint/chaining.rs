//! Grants for another authorization server: an ID-JAG
//! (draft-ietf-oauth-identity-assertion-authz-grant), or the JWT authorization
//! grant of draft-ietf-oauth-identity-chaining.

use super::{
    ID_JAG, JWT,
    error::TokenError,
    issuance::Kind,
    jwt_bearer::{GRANT_TYPE, ID_JAG_TYPE},
    request::Form,
};
use crate::idp::{MockIssuer, client::MockClient, lock};

/// Returns the kind of grant that is asked for, if a grant is what is asked for.
pub(crate) fn grant_asked(
    issuer: &MockIssuer,
    form: &Form,
    client: &MockClient,
    requested_type: Option<&str>,
) -> Result<Option<Kind>, TokenError> {
    let typ = match requested_type {
        Some(ID_JAG) => ID_JAG_TYPE,
        Some(JWT) => GRANT_TYPE,
        _ => return Ok(None),
    };
    // Where an ID-JAG is asked for, `resource` is one of the other server's resources.
    let named: Vec<&str> = match typ {
        ID_JAG_TYPE => form.all("audience").collect(),
        _ => form.all("audience").chain(form.all("resource")).collect(),
    };
    let partners = lock(&issuer.inner.tokens).partners.clone();
    match named.as_slice() {
        [server] if partners.contains(*server) => {
            let resources = form.all("resource").filter(|resource| resource != server);
            Ok(Some(Kind::Grant {
                typ,
                server: (*server).to_owned(),
                client_id: client.names.get(*server).unwrap_or(&client.id).clone(),
                resources: resources.map(str::to_owned).collect(),
            }))
        }
        [] if typ == ID_JAG_TYPE => Err(TokenError::invalid_request("audience is missing")),
        _ if typ == ID_JAG_TYPE => Err(TokenError::invalid_target("not one server that accepts grants")),
        _ => Ok(None),
    }
}
