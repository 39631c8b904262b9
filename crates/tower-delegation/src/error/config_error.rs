//! [`ConfigError`]: what is wrong with a configuration.

use std::{error::Error, fmt, io, path::PathBuf, slice, sync::Arc, time::Duration};

/// A configuration that cannot be served safely.
///
/// Each variant quotes the offending value and names the fix. Where several things
/// are wrong, all of them are reported, in [`ConfigError::Several`];
/// [`mistakes`](Self::mistakes) lists them one by one in either case.
///
/// ```
/// use std::time::Duration;
/// use tower_delegation::DelegationLayer;
///
/// let error = DelegationLayer::builder().leeway(Duration::from_secs(900)).max_actors(0).build().unwrap_err();
/// let codes: Vec<_> = error.mistakes().map(|mistake| mistake.code()).collect();
/// assert_eq!(codes, ["no_issuer", "leeway_too_long", "out_of_range"]);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No issuer is trusted, so no token could ever be accepted.
    #[error("no trusted issuer: add one with `.add_issuer(TrustedIssuer::discover(..)?)`")]
    NoIssuer,
    /// Two trusted issuers have the same identifier.
    #[error("issuer {issuer:?} is configured twice: give each issuer once")]
    DuplicateIssuer {
        /// The identifier.
        issuer: String,
    },
    /// An issuer's tokens would be accepted for any audience (RFC 9068 section 4).
    #[error("issuer {issuer:?} has no audience: name this service with `.add_audience(..)`")]
    NoAudience {
        /// The identifier.
        issuer: String,
    },
    /// An audience is the empty string.
    #[error("issuer {issuer:?} has an empty audience: name this service with `.add_audience(..)`")]
    EmptyAudience {
        /// The identifier of the issuer.
        issuer: String,
    },
    /// An issuer's tokens would be accepted for any audience and any client.
    #[error("issuer {issuer:?} has no client in place of an audience: name at least one, none of them empty")]
    NoClient {
        /// The identifier of the issuer.
        issuer: String,
    },
    /// A claim mapping contradicts itself.
    #[error("the claim mapping of issuer {issuer:?} is not usable: {problem}")]
    InvalidMapping {
        /// The identifier of the issuer.
        issuer: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Issuers of several namespaces are trusted, and some of them may grant anything.
    #[error(
        "issuers of several namespaces are trusted, and what {issuers:?} may grant is not bounded: give each \
         `.may_grant(Grants::none().add_scopes([..]))`, your own issuer `.may_grant(Grants::all())`, and issuers \
         of one house one `.namespace(..)`"
    )]
    UnboundedIssuers {
        /// The identifiers, in alphabetical order.
        issuers: Vec<String>,
    },
    /// An issuer may grant a role, permission, group or authorization detail without a name.
    #[error(
        "issuer {issuer:?} may grant a {kind} without a name: give `.may_grant(..)` the names as tokens spell them"
    )]
    InvalidGrant {
        /// The identifier.
        issuer: String,
        /// What has no name.
        kind: &'static str,
    },
    /// An issuer is in a namespace without a name.
    #[error("issuer {issuer:?} is in a namespace without a name: give `.namespace(..)` one, or leave it out")]
    UnnamedNamespace {
        /// The identifier.
        issuer: String,
    },
    /// A template of issuers, or one of its tenants, does not make issuers.
    #[error("{value:?} is not usable for issuers by tenant: {problem}")]
    InvalidTenants {
        /// The template or the tenant as given.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// An issuer may use no algorithm at all.
    #[error("issuer {issuer:?} may use no algorithm: leave out `.algorithms(..)` or name at least one")]
    NoAlgorithm {
        /// The identifier.
        issuer: String,
    },
    /// A URL does not parse, or has a part that it must not have.
    #[error("{url:?} is not usable as {purpose}: {problem}")]
    InvalidUrl {
        /// The URL as given.
        url: String,
        /// What it was given for.
        purpose: &'static str,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// The metadata of the protected resource would send clients to an issuer whose
    /// tokens are refused.
    #[error(
        "the protected resource names the authorization server {issuer:?}, whose tokens are not accepted: \
         trust it with `.add_issuer(..)` or a resolver"
    )]
    UntrustedAuthorizationServer {
        /// The issuer as given.
        issuer: String,
    },
    /// A JWK Set given in the configuration holds no key that could verify a token.
    #[error("the JWK Set given for issuer {issuer:?} is not usable: {problem}")]
    InvalidKeySet {
        /// The identifier of the issuer.
        issuer: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The leeway is beyond the hard cap.
    #[error("a leeway of {leeway:?} is too long: the most is {max:?}")]
    LeewayTooLong {
        /// The leeway as given.
        leeway: Duration,
        /// The hard cap.
        max: Duration,
    },
    /// The store of revocations was given one that no request can be about.
    #[error(
        "a revocation in the store can match nothing: {problem}; load revocations once all layers are built"
    )]
    UnmatchedRevocation {
        /// What is wrong with it.
        problem: String,
    },
    /// A number is outside the range that makes sense.
    #[error("{setting} = {value} is out of range: {expected}")]
    OutOfRange {
        /// The name of the setting.
        setting: &'static str,
        /// The value as given.
        value: u64,
        /// The range that is accepted.
        expected: &'static str,
    },
    /// The realm cannot be part of a challenge (RFC 9110 section 11.5).
    #[error(
        "realm {realm:?} cannot be part of a challenge: use printable ASCII without quotes and backslashes"
    )]
    InvalidRealm {
        /// The realm as given.
        realm: String,
    },
    /// The bundle of a trust domain is no SPIFFE bundle, or not for a trust domain.
    #[error("the bundle given for trust domain {trust_domain:?} is not usable: {problem}")]
    InvalidJwtBundle {
        /// The trust domain as given.
        trust_domain: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Layers at one origin share the store of used DPoP proofs, and differ in its bounds.
    #[error(
        "this process remembers used DPoP proofs for {origin:?} with `{setting}` {used}, and another layer \
         wants {given}: give every `Dpop` for this origin the same bounds"
    )]
    ReplayStoreDiffers {
        /// The origin.
        origin: String,
        /// The name of the setting.
        setting: &'static str,
        /// What the layers that are there use.
        used: usize,
        /// What this one was given.
        given: usize,
    },
    /// A header field cannot carry what it is configured for.
    #[error("{header:?} is not usable as the header field of {purpose}: {problem}")]
    InvalidHeader {
        /// The name of the field as given.
        header: String,
        /// What it was given for.
        purpose: &'static str,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// JWT-SVIDs that are meant for any service would be accepted.
    #[error(
        "the source of JWT-SVIDs has no audience, or an empty one: name this service with `.add_audience(..)`"
    )]
    NoSvidAudience,
    /// A name is not that of a header field (RFC 9110 section 5.1).
    #[error("{name:?} is not the name of a header field: use letters, digits and `-`")]
    InvalidHeaderName {
        /// The name as given.
        name: String,
    },
    /// A range of addresses names no proxy.
    #[error("{range:?} is not usable as the addresses of a trusted proxy: {problem}")]
    InvalidIpRange {
        /// The range as given.
        range: String,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
    /// A setting for `x-forwarded-client-cert` is made for another header field.
    #[error("`{setting}` is for `ClientCertHeader::xfcc()` only: leave it out for other formats")]
    XfccOnly {
        /// The name of the setting.
        setting: &'static str,
    },
    /// A downstream is not usable.
    #[error("downstream {downstream:?} is not usable: {problem}")]
    InvalidDownstream {
        /// The name of the downstream.
        downstream: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A private key cannot be signed with.
    #[error("the signing key is not usable: {problem}")]
    InvalidSigningKey {
        /// What is wrong with it. Nothing of the key.
        problem: String,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {problem}")]
    HttpClient {
        /// What the client said.
        problem: String,
    },
    /// The queue of an audit sink would hold nothing, or too much.
    #[error(
        "the queue of audit sink {sink:?} cannot hold {max_entries} events: set `max_entries` from 1 to {most}"
    )]
    InvalidAuditQueue {
        /// The name of the sink.
        sink: String,
        /// How many events as given.
        max_entries: usize,
        /// The most that can be set.
        most: usize,
    },
    /// The thread of an audit sink could not be started.
    #[error("the thread of an audit sink cannot be started: {problem}")]
    AuditThread {
        /// What the operating system said.
        problem: String,
    },
    /// A scope is not a `scope-token` (RFC 6749 section 3.3).
    #[error("{scope:?} is not a scope: use printable ASCII without spaces, quotes and backslashes")]
    InvalidScope {
        /// The scope as given.
        scope: String,
    },
    /// The configuration of DPoP contradicts itself or lacks something.
    #[error("the configuration of DPoP is not usable: {problem}")]
    InvalidDpop {
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A demand that no request can meet, that contradicts another one, or that
    /// cannot be read.
    #[error("requirement {requirement:?} is not usable: `{key}`: {problem}")]
    InvalidRequirement {
        /// The requirement's name.
        requirement: String,
        /// The key of the demand: the method that makes it.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A day of the week that is not known.
    #[error("{name:?} is not a day of the week: use its English name in lower case, such as \"monday\"")]
    InvalidWeekday {
        /// The name as given.
        name: String,
    },
    /// Two risk signals bear one name, or one bears none.
    #[error("risk signal {name:?} has the name of another: give each a name of its own")]
    InvalidRiskSignal {
        /// The name as given.
        name: String,
    },
    /// A rule names a party or a privilege without its issuer, and issuers of several
    /// namespaces can say it.
    #[error(
        "the rule of {route} does not say whose `{demand}` is meant, and issuers of several namespaces can say \
         it: name one in the same requirement with `issuer`, or give issuers of one house one `.namespace(..)`"
    )]
    UnqualifiedRule {
        /// Method and path.
        route: String,
        /// The key of the demand.
        demand: &'static str,
    },
    /// A rule can never be met: nothing in the configuration supplies what it demands.
    #[error("the rule of {route} can never be met: `{demand}` needs {missing}")]
    UnsatisfiableRule {
        /// Method and path.
        route: String,
        /// The key of the demand.
        demand: &'static str,
        /// What is missing, and how to supply it.
        missing: String,
    },
    /// A public route does not say why it is public.
    #[error("the public route {route} has no reason: say in a few words why anyone may use it")]
    PublicWithoutReason {
        /// Method and path.
        route: String,
    },
    /// A router beside the guarded ones does not say why it is there.
    #[error(
        "the router beside the guarded routes has no reason: say in a few words why its routes need no rule"
    )]
    BesideWithoutReason,
    /// A row of a route table is not usable.
    #[error("row {row} of the route table is not usable: line {line}, column {column}: {problem}")]
    InvalidRouteRow {
        /// Methods and path of the row, or its place where it has none; of a row in code, the
        /// source file too.
        row: String,
        /// The line of what is wrong, in the table's text or in the source file, counted from 1.
        line: usize,
        /// Its column in characters, counted from 1.
        column: usize,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The text of a route table is not TOML, or has keys beside its rows.
    #[error("the route table is not readable: line {line}, column {column}: {source}")]
    RouteTableMalformed {
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
        /// What the parser said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file of a route table cannot be read.
    #[error("the route table cannot be read from {path:?}: {source}")]
    RouteTableUnreadable {
        /// The path as given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A route table that was not read from a file cannot be read again.
    #[error("the route table has no file to read again: make it with `RouteTable::from_toml_file(..)`")]
    NoRouteTableFile,
    /// Another route table cannot take the place of the one in use.
    #[error("the route table stays as it was: {source}")]
    RouteTableNotReplaced {
        /// What is wrong with the other.
        source: Arc<Self>,
    },
    /// The file of a route table cannot be watched.
    #[error("the route table cannot be watched at {path:?}: {source}")]
    RouteTableUnwatchable {
        /// The path as given.
        path: PathBuf,
        /// What the operating system said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A pattern over SPIFFE IDs means no workload, or leaves open which trust domain.
    #[error("{pattern:?} is not a pattern over SPIFFE IDs: {problem}")]
    InvalidSpiffePattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A registry of applications without applications would refuse every token.
    #[error("no application is registered: every token would be refused")]
    NoApplication,
    /// A registered application is not usable.
    #[error("application {application:?} is not usable: {key}: {problem}")]
    InvalidApplication {
        /// The application's name, or its place in the file where it has none.
        application: String,
        /// The key in TOML of what is wrong.
        key: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The text of a registry is not TOML, or has keys beside its applications.
    #[error("the registry of applications{} is not readable in line {line}: {problem}", In(.file))]
    ApplicationsMalformed {
        /// The file, if it is in one.
        file: Option<PathBuf>,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
        /// What the parser said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file of a registry cannot be read.
    #[error("the registry of applications cannot be read from {path:?}: {source}")]
    ApplicationsUnreadable {
        /// The path as given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another registry of applications cannot take the place of the one in force.
    #[error("the registry of applications stays as it was: {source}")]
    ApplicationsNotReplaced {
        /// What is wrong with the other.
        source: Arc<Self>,
    },
    /// The file of a registry cannot be watched.
    #[error("the registry of applications cannot be watched at {path:?}: {source}")]
    ApplicationsUnwatchable {
        /// The path as given.
        path: PathBuf,
        /// What the operating system said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A registry that was not read from a file can be neither read again nor watched.
    #[error(
        "the registry of applications has no file to read again: make it with `Applications::from_toml_file(..)`"
    )]
    NoApplicationsFile,
    /// More than one thing is wrong.
    #[error("{} mistakes: {}", .mistakes.len(), Numbered(.mistakes))]
    Several {
        /// Each by itself, in the order of the checks: two at the least, and none of
        /// them is again several.
        mistakes: Vec<Self>,
    },
}

impl ConfigError {
    /// Each mistake by itself; this error alone, unless it is [`Several`](Self::Several).
    pub fn mistakes(&self) -> impl Iterator<Item = &Self> {
        match self {
            Self::Several { mistakes } => mistakes.iter(),
            only => slice::from_ref(only).iter(),
        }
    }
}

/// `(1) …; (2) …`
struct Numbered<'a>(&'a [ConfigError]);

impl fmt::Display for Numbered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in (1..).zip(self.0) {
            let separator = if number == 1 { "" } else { "; " };
            write!(f, "{separator}({number}) {mistake}")?;
        }
        Ok(())
    }
}

/// ` in "<path>"`, if there is a path.
struct In<'a>(&'a Option<PathBuf>);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |path| write!(f, " in {path:?}"))
    }
}
