//! Names that stand in token requests and their answers.

/// RFC 8693 section 2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// RFC 7523 section 2.1.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// RFC 8693 section 3.
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// RFC 8693 section 3.
pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// draft-ietf-oauth-identity-assertion-authz-grant.
pub(super) const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
