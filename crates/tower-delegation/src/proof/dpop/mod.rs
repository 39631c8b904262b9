//! DPoP proofs (RFC 9449 section 4).

mod nonce;
mod proof;
mod settings;
mod target;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::{any::Any, fmt, sync::Arc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Method};
use quick_cache::sync::Cache;

pub use self::{nonce::DpopNonces, settings::DpopSettings};
use self::{
    nonce::NonceMint,
    proof::{ProofClaims, ProofHeader},
    target::{Origin, Targets},
};
use crate::{
    clock::{Clock, Moment, Timestamp},
    error::{ConfigError, Mistakes, all},
    jwks::{AlgorithmSet, SignatureAlgorithm, VerifyingKey, public_key},
    reason::DenialReason,
    replay::{
        Acceptance, Bounds, ChosenReplayStore, InMemoryReplayStore, ProcessReplayStore, ReplayKey,
        ReplayStore, UsedProof,
    },
    token::CompactJws,
};

/// How old a proof may be where nothing else is set.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);

/// The oldest that a proof may be allowed to get: "a few minutes" (RFC 9449 section 11.1).
const LONGEST_MAX_AGE: Duration = Duration::from_secs(300);

/// How far ahead a client's clock may be where nothing else is set.
const DEFAULT_FUTURE_TOLERANCE: Duration = Duration::from_secs(10);

/// The most that a client's clock may be allowed to be ahead.
const LONGEST_FUTURE_TOLERANCE: Duration = Duration::from_secs(60);

/// How many clients' keys are kept parsed, at about 2 KiB each. One more than
/// fit costs its reading each time it comes round.
const PARSED_KEYS: usize = 10_000;

/// How DPoP proofs are judged (RFC 9449). Given to
/// [`DelegationLayerBuilder::dpop`](crate::layer::DelegationLayerBuilder::dpop).
///
/// With it, a token that is bound to a key (`cnf.jkt`) is accepted by scheme
/// `DPoP` from a client that proves, for each request anew, to hold that key. Plain
/// bearer tokens go on as before, unless a route demands bound ones:
/// [`Requirement::sender_constrained`](crate::requirement::Requirement::sender_constrained).
///
/// ```
/// use std::time::Duration;
/// use tower_delegation::{DelegationLayer, TrustedIssuer, proof::{Dpop, DpopNonces}};
///
/// # fn layer(issuer: TrustedIssuer) -> Result<DelegationLayer, tower_delegation::ConfigError> {
/// let dpop = Dpop::at("https://api.example.com").max_age(Duration::from_secs(30)).nonces(DpopNonces::new());
/// DelegationLayer::builder().add_issuer(issuer).dpop(dpop).build()
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Dpop {
    origins: Vec<String>,
    algorithms: AlgorithmSet,
    max_age: Duration,
    future_tolerance: Duration,
    nonces: Option<DpopNonces>,
    replay_store: StoreSetting,
}

/// Where used proofs are to be remembered.
#[derive(Clone, Debug)]
enum StoreSetting {
    /// In the process's store for each origin, with these bounds.
    Process(Bounds),
    Given(Arc<dyn ReplayStore>),
}

impl Dpop {
    /// For a service that clients know by this URL: `https`, or `http` to a
    /// loopback address. Where a proxy in front takes a prefix off the path, the
    /// URL has that prefix: `https://example.com/orders`.
    ///
    /// Proofs name the URI that the client called. Which one that was comes from
    /// here, and the path from the request; never from `Host` or
    /// `X-Forwarded-*`, which any client can send.
    pub fn at(origin: &str) -> Self {
        Self::of(vec![origin.to_owned()])
    }

    fn of(origins: Vec<String>) -> Self {
        Self {
            origins,
            algorithms: AlgorithmSet::ALL,
            max_age: DEFAULT_MAX_AGE,
            future_tolerance: DEFAULT_FUTURE_TOLERANCE,
            nonces: None,
            replay_store: StoreSetting::Process(InMemoryReplayStore::new().bounds()),
        }
    }

    /// Another URL that clients know the same service by.
    pub fn add_origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// The algorithms that proofs may be signed with; challenges name them.
    /// Default: all of [`SignatureAlgorithm`], each of which is asymmetric.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = SignatureAlgorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How old a proof may be, by its `iat`. Default 60 s, from 1 s to 300 s: a
    /// client's clock that is behind by as much is refused, and each proof is
    /// remembered for as long. Where [nonces](Self::nonces) are demanded, they say how
    /// old a proof is, and this setting does not count.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// How far clocks may differ: a client's may be ahead by as much, and proofs
    /// are remembered for as much longer, for replicas whose clock is behind.
    /// Default 10 s, at most 60 s.
    pub fn future_tolerance(mut self, tolerance: Duration) -> Self {
        self.future_tolerance = tolerance;
        self
    }

    /// Demands a nonce of this service in every proof (RFC 9449 section 9): a
    /// proof that was made in advance is then of no use, and a client whose clock is
    /// wrong is served. Off unless set.
    pub fn nonces(mut self, nonces: DpopNonces) -> Self {
        self.nonces = Some(nonces);
        self
    }

    /// Where used proofs are remembered. Default [`InMemoryReplayStore`]; several
    /// replicas need one that they share.
    ///
    /// In memory, all layers of this process that have an origin (scheme, host and
    /// port) and a clock in common share one store for it, so that a proof for that
    /// origin is good at one of them only: an [`InMemoryReplayStore`] given here
    /// sets the bounds of that store, which must be the same for all of these layers. The
    /// store is kept until all of its proofs have expired, also when every layer is
    /// dropped and another one is built, as a configuration is reloaded; new bounds
    /// apply once no layer uses the former. It remembers a proof for as long as any of the
    /// layers would accept it. Any other store is used as it is.
    pub fn replay_store(mut self, store: impl ReplayStore) -> Self {
        let in_memory = (&store as &dyn Any).downcast_ref().map(InMemoryReplayStore::bounds);
        self.replay_store = match in_memory {
            Some(bounds) => StoreSetting::Process(bounds),
            None => StoreSetting::Given(Arc::new(store)),
        };
        self
    }

    /// Whether everything can be used.
    ///
    /// # Errors
    /// Every mistake.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        for (setting, value, least, most, expected) in [
            ("max_age", self.max_age, Duration::from_secs(1), LONGEST_MAX_AGE, "from 1 to 300 s"),
            (
                "future_tolerance",
                self.future_tolerance,
                Duration::ZERO,
                LONGEST_FUTURE_TOLERANCE,
                "from 0 to 60 s",
            ),
        ] {
            if !(least..=most).contains(&value) {
                mistakes.add(ConfigError::OutOfRange { setting, value: value.as_secs(), expected });
            }
        }
        let mut invalid = |problem: String| mistakes.add(ConfigError::InvalidDpop { problem });
        if self.origins.is_empty() {
            invalid("it has no origin: name the URL that clients know the service by".to_owned());
        }
        if self.algorithms.is_empty() {
            invalid("no algorithm is allowed: leave out `.algorithms(..)` or name at least one".to_owned());
        }
        if let StoreSetting::Process(Bounds { max_entries, max_entries_per_key }) = self.replay_store {
            if max_entries == 0 {
                invalid("the replay store has no room for any proof: give it more `max_entries`".to_owned());
            } else if max_entries_per_key > max_entries {
                invalid(format!(
                    "`max_entries_per_key` is {max_entries_per_key}, so that one key fills the replay store: \
                     give it no more than `max_entries`, which is {max_entries}"
                ));
            }
            if max_entries_per_key == 0 {
                invalid(
                    "no key may use a proof: give the replay store more `max_entries_per_key`".to_owned(),
                );
            }
        }
        mistakes.take(all(self.origins.iter().map(|origin| Origin::parse(origin))));
        if let Some(nonces) = &self.nonces {
            mistakes.take(nonces.check());
        }
        mistakes.into_result()
    }

    /// Checks the configuration, and finds the stores of used proofs.
    pub(crate) fn build(self, clock: &Arc<dyn Clock>) -> Result<DpopVerifier, ConfigError> {
        self.check()?;
        let origins = self.origins.iter().map(|origin| Origin::parse(origin));
        let targets = Targets::new(origins.collect::<Result<_, _>>()?);
        let nonces = self.nonces.map(DpopNonces::build).transpose()?;
        let acceptance = match &nonces {
            Some(nonces) => Acceptance::ByNonce(nonces.longest_acceptance() + self.future_tolerance),
            None => Acceptance::ByAge(self.max_age + Duration::from_secs(1)),
        };
        let store = |root: &str| -> Result<ChosenReplayStore, ConfigError> {
            Ok(match &self.replay_store {
                StoreSetting::Process(bounds) => {
                    ChosenReplayStore::Process(ProcessReplayStore::of(root, clock, *bounds, acceptance)?)
                }
                StoreSetting::Given(store) => ChosenReplayStore::Given(Arc::clone(store)),
            })
        };
        let replay_stores = all(targets.roots().map(store))?.into();
        Ok(DpopVerifier {
            targets,
            algorithms: self.algorithms,
            max_age: self.max_age,
            future_tolerance: self.future_tolerance,
            nonces,
            replay_stores,
            keys: Cache::new(PARSED_KEYS),
        })
    }
}

/// Judges proofs.
pub(crate) struct DpopVerifier {
    targets: Targets,
    algorithms: AlgorithmSet,
    max_age: Duration,
    future_tolerance: Duration,
    nonces: Option<NonceMint>,
    /// That of each target, in their order.
    replay_stores: Box<[ChosenReplayStore]>,
    /// By thumbprint. Only keys that a good token is bound to, and that have
    /// signed a good proof, come in here.
    keys: Cache<[u8; SHA256_OUTPUT_LEN], Arc<KnownKey>>,
}

/// A key that was read before.
struct KnownKey {
    /// The encoded header that it was read from. A client sends the same one with
    /// every proof; equal text has equal thumbprints.
    header: Box<str>,
    algorithm: SignatureAlgorithm,
    key: VerifyingKey,
}

/// A request by scheme `DPoP`.
pub(crate) struct DpopRequest<'a> {
    pub(crate) proof: &'a str,
    pub(crate) method: &'a Method,
    /// The path that the client sent.
    pub(crate) path: &'a str,
    /// The access token as it was received.
    pub(crate) token: &'a [u8],
    /// The thumbprint of the key that the token is bound to.
    pub(crate) key: &'a [u8; SHA256_OUTPUT_LEN],
    pub(crate) now: Moment,
}

/// A proof that is good, unless it was used before.
#[derive(Debug)]
pub(crate) struct AcceptedProof<'a> {
    pub(crate) used: UsedProof,
    /// Where it is to be remembered.
    pub(crate) store: &'a ChosenReplayStore,
    pub(crate) next_nonce: Option<HeaderValue>,
    pub(crate) end: ProofEnd,
}

/// Until when a proof is accepted, by either clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProofEnd(Moment);

impl ProofEnd {
    /// That of a proof that is accepted until `until` by the wall clock.
    pub(crate) fn of(until: Timestamp, now: Moment) -> Self {
        Self(now.saturating_add(until.saturating_since(now.wall)))
    }

    /// A store forgets a proof that is too old to be accepted: what it answers after that
    /// time does not tell whether the proof was used before.
    pub(crate) fn check(self, now: Moment) -> Result<(), DenialReason> {
        let is_over = now.wall >= self.0.wall || now.monotonic >= self.0.monotonic;
        if is_over { Err(DenialReason::DpopProofExpired) } else { Ok(()) }
    }
}

impl DpopVerifier {
    /// The `algs` parameter of challenges (RFC 9449 section 7.1).
    pub(crate) fn algorithm_names(&self) -> String {
        let names: Vec<_> = self.algorithms.iter().map(SignatureAlgorithm::as_str).collect();
        names.join(" ")
    }

    /// Whether a proof for a URI at the host of this one can be accepted.
    pub(crate) fn is_at_host_of(&self, url: &str) -> bool {
        self.targets.are_at_host_of(url)
    }

    /// The nonce that clients should use now, where nonces are demanded.
    pub(crate) fn current_nonce(&self, now: Timestamp) -> Option<HeaderValue> {
        self.nonces.as_ref().and_then(|nonces| nonces.current(now))
    }

    /// Everything but whether the proof was used before. The signature comes
    /// last: nothing else costs as much.
    pub(crate) fn check(&self, request: &DpopRequest<'_>) -> Result<AcceptedProof<'_>, DenialReason> {
        const MALFORMED: DenialReason = DenialReason::DpopProofMalformed;
        let jws = CompactJws::split(request.proof).or(Err(MALFORMED))?;
        let known = self.keys.get(request.key).filter(|known| *known.header == *jws.header);
        let (key, is_new) = match known {
            Some(known) => (known, false),
            None => (Arc::new(self.read_key(jws, request.key)?), true),
        };
        let payload = crate::token::decode(jws.payload).or(Err(MALFORMED))?;
        let claims = ProofClaims::parse(str::from_utf8(&payload).or(Err(MALFORMED))?)?;
        if claims.method != request.method.as_str() {
            return Err(DenialReason::DpopProofMethodMismatch);
        }
        let target = self.targets.find(&claims.uri, request.path);
        let store = target.and_then(|place| self.replay_stores.get(place));
        let store = store.ok_or(DenialReason::DpopProofUriMismatch)?;
        let by_age = self.check_times(&claims, request.now.wall)?;
        if !is_hash_of(&claims.token_hash, request.token) {
            return Err(DenialReason::DpopProofTokenMismatch);
        }
        let (accepted_until, next_nonce) = match &self.nonces {
            Some(nonces) => {
                let nonce = nonces.check(claims.nonce.as_deref(), request.now.wall)?;
                (nonce.accepted_until, nonce.next)
            }
            None => (by_age, None),
        };
        jws.verify_signature(key.algorithm, &key.key).map_err(|reason| match reason {
            DenialReason::TokenMalformed => MALFORMED,
            _ => DenialReason::DpopProofSignatureInvalid,
        })?;
        if is_new {
            self.keys.insert(*request.key, key);
        }
        // A replica whose clock is behind accepts it for a little longer.
        let expires_at = accepted_until.saturating_add(self.future_tolerance);
        let used = UsedProof::new(
            replay_key(request.key, &claims),
            *request.key,
            request.now.monotonic,
            expires_at.saturating_since(request.now.wall),
            expires_at,
        );
        let end = ProofEnd::of(accepted_until, request.now);
        Ok(AcceptedProof { used, store, next_nonce, end })
    }

    /// The key in a proof's header, if it is the one that the token is bound to.
    fn read_key(
        &self,
        jws: CompactJws<'_>,
        bound: &[u8; SHA256_OUTPUT_LEN],
    ) -> Result<KnownKey, DenialReason> {
        let json = jws.header_json().map_err(|reason| match reason {
            DenialReason::HeaderTooLarge => DenialReason::DpopProofTooLarge,
            _ => DenialReason::DpopProofMalformed,
        })?;
        let header = ProofHeader::parse(&json)?;
        if !self.algorithms.contains(header.algorithm) {
            return Err(DenialReason::DpopProofAlgorithmNotAllowed);
        }
        let (key, thumbprint) =
            public_key(header.key.get(), header.algorithm).or(Err(DenialReason::DpopProofKeyInvalid))?;
        if !thumbprint.matches(bound) {
            return Err(DenialReason::DpopKeyMismatch);
        }
        Ok(KnownKey { header: jws.header.into(), algorithm: header.algorithm, key })
    }

    /// Until when the proof is accepted by its `iat`, which is judged unless a nonce
    /// says when the proof was made (RFC 9449 section 4.3, check 11).
    fn check_times(&self, claims: &ProofClaims<'_>, now: Timestamp) -> Result<Timestamp, DenialReason> {
        let judges_age = self.nonces.is_none();
        let latest = now.saturating_add(self.future_tolerance);
        let is_ahead = |time: Timestamp| latest < time;
        if judges_age && is_ahead(claims.issued_at) || claims.not_before.is_some_and(is_ahead) {
            return Err(DenialReason::DpopProofFromFuture);
        }
        // `iat` counts whole seconds: the last one of them is still in time.
        let accepted_until = claims.issued_at.saturating_add(self.max_age + Duration::from_secs(1));
        let earliest = now.saturating_sub(self.future_tolerance);
        let is_old = judges_age && now >= accepted_until;
        if is_old || claims.expires_at.is_some_and(|expires_at| earliest >= expires_at) {
            return Err(DenialReason::DpopProofExpired);
        }
        Ok(accepted_until)
    }
}

impl fmt::Debug for DpopVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopVerifier")
            .field("targets", &self.targets)
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.max_age)
            .field("future_tolerance", &self.future_tolerance)
            .field("nonces", &self.nonces)
            .field("replay_stores", &self.replay_stores)
            .finish_non_exhaustive()
    }
}

/// Is `text` the base64url of the SHA-256 of `token`? (RFC 9449 section 4.2)
/// Neither is a secret to the client that sends both.
fn is_hash_of(text: &str, token: &[u8]) -> bool {
    let mut encoded = [0; SHA256_OUTPUT_LEN.div_ceil(3) * 4];
    let len = URL_SAFE_NO_PAD.encode_slice(digest(&SHA256, token), &mut encoded);
    len.is_ok_and(|len| encoded.get(..len) == Some(text.as_bytes()))
}

/// The hash that stands for a proof: of its key, its `jti` and its `htu`, as they
/// were signed.
fn replay_key(key: &[u8; SHA256_OUTPUT_LEN], claims: &ProofClaims<'_>) -> ReplayKey {
    let mut context = Context::new(&SHA256);
    context.update(key);
    // The length parts the two texts: no other pair gives the same bytes.
    context.update(&claims.id.len().to_be_bytes());
    context.update(claims.id.as_bytes());
    context.update(claims.uri.as_bytes());
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(context.finish().as_ref());
    ReplayKey::new(hash)
}
