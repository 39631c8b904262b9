//! [`IssuerResolver`]: issuers that are known only at run time.

use std::{fmt, sync::Arc};

use super::TrustedIssuer;

/// How many issuers are held where a resolver names no other number.
const DEFAULT_MAX_ISSUERS: u64 = 1_000;

/// Knows issuers that cannot be listed in the configuration, such as one for
/// each customer.
///
/// The layer calls [`resolve`](Self::resolve) with the `iss` of a token whose
/// issuer is not configured: text that any client can send, not verified, up to
/// the length of a token. It is called on the request's path, at most once at a
/// time for one issuer; it must answer from memory and not block. Of several
/// resolvers the first that knows the issuer counts.
///
/// An implementation answers `None` unless it knows exactly this identifier,
/// by code point. Keys are fetched from where the answer says, so an identifier
/// must never be turned into a URL before it is known to be allowed. `None` is a
/// 401, and so is an answer for another identifier or one that does not build.
/// [`TenantIssuers`](super::TenantIssuers) is an implementation.
///
/// # How long an answer counts
///
/// 1. Until the [`generation`](Self::generation) changes; for a resolver without
///    one, for one second. The next request with a token of that issuer then asks
///    again, also where that token was verified before.
/// 2. An answer that is `None` now takes the issuer back: its tokens are refused.
/// 3. Other terms (audiences, mapping, keys, algorithms, limits) count at once:
///    tokens that were verified before are verified from scratch.
/// 4. Equal terms change nothing, and fetched keys are kept as long as they come
///    from the same place and the algorithms are the same. Key sources of your own
///    are the same if one `TrustedIssuer` was cloned: hold it and clone it, because
///    a new source for each answer is fetched from for each answer.
/// 5. Of an issuer that is not known nothing is held.
///
/// # What the names of its issuers mean
///
/// All issuers of one resolver are in one namespace: what one of them calls `alice`,
/// another calls `alice`. Where they are those of customers who have nothing to do with
/// each other, each answer, and the [common terms](Self::common_terms) if there are some,
/// are given [`own_namespace`](TrustedIssuer::own_namespace). An answer may name a
/// [`namespace`](TrustedIssuer::namespace), too. An answer in another namespace than the
/// resolver's, and every answer of a layer that trusts issuers of several
/// namespaces, must say what its issuer [may grant](TrustedIssuer::may_grant); it is
/// not used otherwise.
///
/// Each issuer is isolated from the others like a configured one. The keys of one
/// of which no token was verified for an hour are not refreshed any more; its next
/// token fetches them first.
///
/// # Example
/// Customers that come, change their keys and go while the service runs:
/// ```
/// use std::{
///     collections::HashMap,
///     sync::{
///         Arc, RwLock,
///         atomic::{AtomicU64, Ordering},
///     },
/// };
/// use tower_delegation::{ConfigError, DelegationLayer, TrustedIssuer, issuer::IssuerResolver};
///
/// /// The customers' issuers. Clones share them: the layer has one, an admin route another.
/// #[derive(Clone, Debug, Default)]
/// struct Customers(Arc<Known>);
///
/// #[derive(Debug, Default)]
/// struct Known {
///     issuers: RwLock<HashMap<String, TrustedIssuer>>,
///     generation: AtomicU64,
/// }
///
/// impl Customers {
///     /// A customer is new, or has other keys.
///     fn put(&self, issuer: &str, jwks: &str) -> Result<(), ConfigError> {
///         let terms = TrustedIssuer::with_static_keys(issuer, jwks)?.add_audience("https://orders.example.com");
///         self.change(|issuers| issuers.insert(issuer.to_owned(), terms));
///         Ok(())
///     }
///
///     /// A customer is gone.
///     fn off_board(&self, issuer: &str) {
///         self.change(|issuers| issuers.remove(issuer));
///     }
///
///     fn change<T>(&self, change: impl FnOnce(&mut HashMap<String, TrustedIssuer>) -> T) {
///         change(&mut self.0.issuers.write().unwrap());
///         // After the change: who sees the new number sees the change.
///         self.0.generation.fetch_add(1, Ordering::Release);
///     }
/// }
///
/// impl IssuerResolver for Customers {
///     fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
///         self.0.issuers.read().ok()?.get(issuer).cloned()
///     }
///
///     fn generation(&self) -> Option<u64> {
///         Some(self.0.generation.load(Ordering::Acquire))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let idp = tower_delegation_testing::MockIdp::builder().audience("https://orders.example.com").start().await;
/// let customers = Customers::default();
/// let delegation = DelegationLayer::builder().add_issuer_resolver(customers.clone()).build()?;
/// # let token = idp.token().sign();
/// # let is_good = async |token: &str| delegation.authenticator().verify(token).await.is_ok();
/// # assert!(!is_good(&token).await);
/// customers.put(idp.issuer(), &idp.jwks().to_string())?;
/// assert!(is_good(&token).await);
///
/// // The customer rotates: tokens by the old key are refused from the next request on.
/// idp.rotate_keys();
/// idp.withdraw_old_keys();
/// customers.put(idp.issuer(), &idp.jwks().to_string())?;
/// assert!(!is_good(&token).await);
/// let token = idp.token().sign();
/// assert!(is_good(&token).await);
///
/// customers.off_board(idp.issuer());
/// assert!(!is_good(&token).await);
/// # Ok(())
/// # }
/// ```
pub trait IssuerResolver: fmt::Debug + Send + Sync + 'static {
    /// The issuer with this identifier, if its tokens are to be accepted.
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer>;

    /// A number that is another one whenever any answer may have become another
    /// one. Read on every request with a token of one of these issuers: an atomic
    /// read, no lock. Change it after the answers have changed, and never use a
    /// number again for other answers.
    ///
    /// Default: `None`, for a resolver that cannot tell. It is then asked again
    /// for each issuer once a second, if there are requests.
    fn generation(&self) -> Option<u64> {
        None
    }

    /// How many issuers are held at once. Beyond that, the least recently used
    /// is dropped, with its keys, and its tokens are verified anew. Default 1,000.
    ///
    /// Give a number that all allowed issuers fit in: an issuer that was dropped
    /// is fetched anew, and a client that can name more allowed issuers than are
    /// held causes fetches at will.
    fn max_issuers(&self) -> u64 {
        DEFAULT_MAX_ISSUERS
    }

    /// What all answers have in common: their mapping with its kinds of subjects, the
    /// namespace or that each has its own, what they may grant and whose actors they may
    /// name. Read when the layer is built: rules that this decides about are then refused
    /// there. An answer that differs in one of these is not used.
    ///
    /// Default: `None`, not known. Such a resolver could know issuers that say anything:
    /// a rule that an answer makes ambiguous is a 500 from then on.
    fn common_terms(&self) -> Option<&TrustedIssuer> {
        None
    }
}

impl<R: IssuerResolver + ?Sized> IssuerResolver for Arc<R> {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        (**self).resolve(issuer)
    }

    fn generation(&self) -> Option<u64> {
        (**self).generation()
    }

    fn max_issuers(&self) -> u64 {
        (**self).max_issuers()
    }

    fn common_terms(&self) -> Option<&TrustedIssuer> {
        (**self).common_terms()
    }
}
