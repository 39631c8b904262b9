//! The stable code of each kind of mistake.

use super::config_error::ConfigError;

macro_rules! codes {
    ($($variant:ident => $code:literal,)*) => {
        impl ConfigError {
            /// Every [code](Self::code), in the order of the documentation.
            pub const CODES: &'static [&'static str] = &[$($code,)*];

            /// A stable code for the kind of mistake, in `snake_case`: for what reads
            /// the reports of a deployment.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $code,)*
                }
            }
        }
    };
}

codes! {
    NoIssuer => "no_issuer",
    DuplicateIssuer => "duplicate_issuer",
    NoAudience => "no_audience",
    EmptyAudience => "empty_audience",
    NoClient => "no_client",
    InvalidMapping => "invalid_mapping",
    UnboundedIssuers => "unbounded_issuers",
    InvalidGrant => "invalid_grant",
    UnnamedNamespace => "unnamed_namespace",
    InvalidTenants => "invalid_tenants",
    NoAlgorithm => "no_algorithm",
    InvalidUrl => "invalid_url",
    UntrustedAuthorizationServer => "untrusted_authorization_server",
    InvalidKeySet => "invalid_key_set",
    LeewayTooLong => "leeway_too_long",
    UnmatchedRevocation => "unmatched_revocation",
    OutOfRange => "out_of_range",
    InvalidRealm => "invalid_realm",
    InvalidJwtBundle => "invalid_jwt_bundle",
    ReplayStoreDiffers => "replay_store_differs",
    InvalidHeader => "invalid_header",
    NoSvidAudience => "no_svid_audience",
    InvalidHeaderName => "invalid_header_name",
    InvalidIpRange => "invalid_ip_range",
    XfccOnly => "xfcc_only",
    HttpClient => "http_client",
    InvalidDownstream => "invalid_downstream",
    InvalidSigningKey => "invalid_signing_key",
    InvalidAuditQueue => "invalid_audit_queue",
    AuditThread => "audit_thread",
    InvalidScope => "invalid_scope",
    InvalidDpop => "invalid_dpop",
    InvalidRequirement => "invalid_requirement",
    InvalidWeekday => "invalid_weekday",
    InvalidRiskSignal => "invalid_risk_signal",
    UnqualifiedRule => "unqualified_rule",
    UnsatisfiableRule => "unsatisfiable_rule",
    PublicWithoutReason => "public_without_reason",
    BesideWithoutReason => "beside_without_reason",
    InvalidRouteRow => "invalid_route_row",
    RouteTableMalformed => "route_table_malformed",
    RouteTableUnreadable => "route_table_unreadable",
    NoRouteTableFile => "no_route_table_file",
    RouteTableNotReplaced => "route_table_not_replaced",
    RouteTableUnwatchable => "route_table_unwatchable",
    InvalidSpiffePattern => "invalid_spiffe_pattern",
    NoApplication => "no_application",
    InvalidApplication => "invalid_application",
    ApplicationsMalformed => "applications_malformed",
    ApplicationsUnreadable => "applications_unreadable",
    ApplicationsNotReplaced => "applications_not_replaced",
    ApplicationsUnwatchable => "applications_unwatchable",
    NoApplicationsFile => "no_applications_file",
    Several => "several",
}
