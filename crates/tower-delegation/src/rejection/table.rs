//! The one table of rejections: status, code, words and challenge of each kind.

use http::StatusCode;

use self::ErrorInChallenge::{Error, NoChallenge, NoError};
use crate::reason::RejectionKind;

/// What one kind of rejection looks like outside.
pub(super) struct Appearance {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    /// The problem's `detail` and the challenge's `error_description`.
    pub(super) description: &'static str,
    pub(super) challenge: ErrorInChallenge,
}

pub(super) enum ErrorInChallenge {
    NoChallenge,
    NoError,
    Error(&'static str),
}

impl RejectionKind {
    /// The row of this kind.
    pub(super) const fn appearance(self) -> Appearance {
        match self {
            Self::MissingCredentials => MISSING_CREDENTIALS,
            Self::InvalidRequest => INVALID_REQUEST,
            Self::InvalidToken => INVALID_TOKEN,
            Self::InvalidDpopProof => INVALID_DPOP_PROOF,
            Self::UseDpopNonce => USE_DPOP_NONCE,
            Self::InsufficientUserAuthentication => INSUFFICIENT_USER_AUTHENTICATION,
            Self::InsufficientClaims => INSUFFICIENT_CLAIMS,
            Self::InsufficientScope => INSUFFICIENT_SCOPE,
            Self::Forbidden => FORBIDDEN,
            Self::TooManyRequests => TOO_MANY_REQUESTS,
            Self::JwtSvidRefused => JWT_SVID_REFUSED,
            Self::InvalidIdentityHeader => INVALID_IDENTITY_HEADER,
            Self::CertificateRefused => CERTIFICATE_REFUSED,
            Self::HeaderFieldsTooLarge => HEADER_FIELDS_TOO_LARGE,
            Self::Unavailable => UNAVAILABLE,
            Self::Misconfigured => MISCONFIGURED,
        }
    }
}

const MISSING_CREDENTIALS: Appearance = Appearance {
    status: StatusCode::UNAUTHORIZED,
    code: "missing_credentials",
    title: "Credentials are missing",
    description: "Send an access token in the Authorization header",
    challenge: NoError,
};

const INVALID_REQUEST: Appearance = Appearance {
    status: StatusCode::BAD_REQUEST,
    code: "invalid_request",
    title: "The request is not valid",
    description: "Send exactly one access token, in the Authorization header",
    challenge: Error("invalid_request"),
};

const INVALID_TOKEN: Appearance = Appearance {
    status: StatusCode::UNAUTHORIZED,
    code: "invalid_token",
    title: "The access token is not valid",
    description: "The access token is expired, revoked, malformed or not valid here",
    challenge: Error("invalid_token"),
};

const INVALID_DPOP_PROOF: Appearance = Appearance {
    status: StatusCode::UNAUTHORIZED,
    code: "invalid_dpop_proof",
    title: "The DPoP proof is not valid",
    description: "Send exactly one new DPoP proof, for this request and this access token",
    challenge: Error("invalid_dpop_proof"),
};

const USE_DPOP_NONCE: Appearance = Appearance {
    status: StatusCode::UNAUTHORIZED,
    code: "use_dpop_nonce",
    title: "The DPoP proof needs a nonce",
    description: "Put the value of the DPoP-Nonce field into the DPoP proof",
    challenge: Error("use_dpop_nonce"),
};

const INSUFFICIENT_USER_AUTHENTICATION: Appearance = Appearance {
    status: StatusCode::UNAUTHORIZED,
    code: "insufficient_user_authentication",
    title: "The user must authenticate again",
    description: "The request needs a stronger or a more recent authentication of the user",
    challenge: Error("insufficient_user_authentication"),
};

const INSUFFICIENT_CLAIMS: Appearance = Appearance {
    status: StatusCode::UNAUTHORIZED,
    code: "insufficient_claims",
    title: "The user must prove more",
    description: "A service behind this one needs a token that was issued for the given claims request",
    challenge: Error("insufficient_claims"),
};

const INSUFFICIENT_SCOPE: Appearance = Appearance {
    status: StatusCode::FORBIDDEN,
    code: "insufficient_scope",
    title: "The access token lacks scope",
    description: "The request needs more scope than the access token has",
    challenge: Error("insufficient_scope"),
};

const FORBIDDEN: Appearance = Appearance {
    status: StatusCode::FORBIDDEN,
    code: "forbidden",
    title: "The request is not allowed",
    description: "The access token is valid and does not allow this request",
    challenge: NoError,
};

const TOO_MANY_REQUESTS: Appearance = Appearance {
    status: StatusCode::TOO_MANY_REQUESTS,
    code: "too_many_requests",
    title: "Too many requests",
    description: "Too many DPoP proofs by this key are in use; send fewer requests at a time",
    challenge: NoChallenge,
};

const JWT_SVID_REFUSED: Appearance = Appearance {
    status: StatusCode::FORBIDDEN,
    code: "jwt_svid_refused",
    title: "The JWT-SVID is not acceptable",
    description: "The JWT-SVID is expired, malformed or not valid here; the access token was not judged",
    challenge: NoChallenge,
};

const INVALID_IDENTITY_HEADER: Appearance = Appearance {
    status: StatusCode::BAD_REQUEST,
    code: "invalid_identity_header",
    title: "The request is not valid",
    description: "A header field that speaks for the client's identity is not acceptable",
    challenge: NoChallenge,
};

const CERTIFICATE_REFUSED: Appearance = Appearance {
    status: StatusCode::FORBIDDEN,
    code: "client_certificate_refused",
    title: "The client certificate is not acceptable",
    description: "The client certificate is not acceptable",
    challenge: NoChallenge,
};

const HEADER_FIELDS_TOO_LARGE: Appearance = Appearance {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    code: "header_fields_too_large",
    title: "The header fields are too large",
    description: "The fields for the client certificate are too large",
    challenge: NoChallenge,
};

const UNAVAILABLE: Appearance = Appearance {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "temporarily_unavailable",
    title: "The request cannot be authorized right now",
    description: "Something that is needed for the decision cannot be reached",
    challenge: NoChallenge,
};

const MISCONFIGURED: Appearance = Appearance {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: "misconfigured",
    title: "The service is not configured correctly",
    description: "The service is not configured correctly",
    challenge: NoChallenge,
};
