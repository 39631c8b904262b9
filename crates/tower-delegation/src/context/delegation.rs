//! [`DelegationContext`]: what was verified about one request; and [`RiskSignal`], which
//! is asked about it.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::{
    facts::RequestFacts,
    judge::{Judge, Revision},
    record::RequestRecord,
};
use crate::{
    application::Registration, clock::Timestamp, confirmation::SenderConstraint,
    credential::WorkloadIdentity, proof::Transport, token::VerifiedToken,
};

/// Who asks, through which application, for whom: all of it verified.
///
/// Handlers take it as an argument (feature `axum`); other tower services find
/// it in the request's extensions. Cheap to clone; holding one is proof that
/// the token was verified for this request. Whether it is still good is asked by
/// [`recheck`](Self::recheck), and wherever it decides.
#[derive(Clone)]
pub struct DelegationContext(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) token: VerifiedToken,
    pub(super) sender_constraint: SenderConstraint,
    pub(super) standing: Standing,
    /// What is left of it, where something has moved since.
    pub(super) later: ArcSwapOption<Later>,
    pub(super) dpop_nonce: Option<HeaderValue>,
    pub(super) circumstances: Circumstances,
    /// When it was last found good, in Unix milliseconds.
    pub(super) judged_at: AtomicI64,
    pub(super) record: Record,
}

/// What of a context may change while it is kept.
pub(super) struct Standing {
    /// Who sent the request.
    pub(super) transport: Transport,
    /// With the registry of applications, where there is one.
    pub(super) registration: Option<Arc<Registration>>,
    /// The state of the store of revocations that was last asked.
    pub(super) revision: AtomicU64,
}

/// What is left of a context by now. Worked out once for each state of the registry and of
/// what the workload's identity rests on.
pub(super) struct Later {
    pub(super) standing: Standing,
    /// Whether that is less than the context shows; known where someone has asked.
    pub(super) shows_less: OnceLock<bool>,
}

/// The record of the request.
#[expect(clippy::large_enum_variant, reason = "almost every context has its own, without another allocation")]
pub(super) enum Record {
    Own(RequestRecord),
    /// That of the context which this one was made from, when it was judged again.
    Of(DelegationContext),
}

/// What holds for this one request in addition to its credentials.
#[derive(Clone)]
pub(crate) struct Circumstances {
    /// When it was authenticated.
    pub(crate) at: Timestamp,
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
    pub(crate) risk: Option<Arc<RiskSignals>>,
    /// The token itself, where it may be exchanged. Nothing public hands it out.
    pub(crate) credential: Option<HeldToken>,
    /// What the context is judged again by.
    pub(crate) judge: Arc<Judge>,
    /// The state of the store of revocations that was asked.
    pub(crate) revision: Revision,
}

impl DelegationContext {
    /// Makes the proof. The one caller is the authenticator.
    pub(crate) fn assertion(
        token: VerifiedToken,
        sender_constraint: SenderConstraint,
        transport: Transport,
        registration: Option<Arc<Registration>>,
        dpop_nonce: Option<HeaderValue>,
        circumstances: Circumstances,
        record: RequestRecord,
    ) -> Self {
        Self(Arc::new(Inner {
            token,
            sender_constraint,
            standing: Standing { transport, registration, revision: circumstances.revision.number().into() },
            later: ArcSwapOption::empty(),
            dpop_nonce,
            judged_at: circumstances.at.unix_millis().into(),
            circumstances,
            record: Record::Own(record),
        }))
    }

    /// The token itself, where it is kept.
    #[cfg(feature = "http-client")]
    pub(crate) fn credential(&self) -> Option<&str> {
        self.0.circumstances.credential.as_ref().map(|held| &*held.0)
    }

    pub(crate) fn circumstances(&self) -> &Circumstances {
        &self.0.circumstances
    }

    pub(crate) fn token(&self) -> &VerifiedToken {
        &self.0.token
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.standing.transport
    }

    pub(crate) fn record(&self) -> &RequestRecord {
        match &self.0.record {
            Record::Own(record) => record,
            Record::Of(original) => original.record(),
        }
    }
}

/// The text of a token. It has no `Debug`, and leaves the library in a request to the
/// authorization server alone.
#[derive(Clone)]
pub(crate) struct HeldToken(
    #[cfg_attr(not(feature = "http-client"), expect(dead_code, reason = "exchanged over HTTP"))] Arc<str>,
);

impl HeldToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.into())
    }
}

/// A verified token that was refused for who presented it, or where, and who that
/// was: for the audit trail, never for a handler.
#[derive(Clone)]
pub(crate) struct Refused {
    pub(crate) token: VerifiedToken,
    pub(crate) workload: Option<WorkloadIdentity>,
}

impl fmt::Debug for DelegationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.token, f)
    }
}

/// Assesses how risky a request is: from the reputation of an address, the posture
/// of a device, the habits of a user.
///
/// Registered under a name, by
/// [`add_risk_signal`](crate::layer::DelegationLayerBuilder::add_risk_signal). Asked by
/// each evaluation of a requirement that names it
/// ([`risk_below`](crate::requirement::Requirement::risk_below)), on the
/// thread that serves the request: answer from memory, do not wait. A signal
/// whose source is remote keeps a copy and refreshes it elsewhere.
///
/// What it decides by must not be the client's to write: the verified token, the
/// workload, a list that is kept elsewhere. A header field counts only where a
/// trusted hop writes it on every request; one such as `x-region` is otherwise
/// the client's own word.
///
/// ```
/// use std::{collections::HashSet, sync::RwLock};
/// use tower_delegation::{
///     context::{RiskRequest, RiskSignal},
///     names::{ClientId, IssuerUrl},
/// };
///
/// /// Clients that the fraud desk watches, each at its issuer. Filled elsewhere.
/// #[derive(Debug, Default)]
/// struct Watched(RwLock<HashSet<(IssuerUrl, ClientId)>>);
///
/// impl RiskSignal for Watched {
///     fn assess(&self, request: &RiskRequest<'_>) -> Option<u8> {
///         let client = (request.delegation.issuer().clone(), request.delegation.client()?.clone());
///         let watched = self.0.read().ok()?;
///         Some(if watched.contains(&client) { 80 } else { 10 })
///     }
/// }
/// # use axum::{Router, body::Body, routing::get};
/// # use http::Request;
/// # use tower::ServiceExt as _;
/// # use tower_delegation::{DelegationLayer, RequireLayer, Requirement, TrustedIssuer};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let idp = tower_delegation_testing::MockIdp::builder().audience("https://orders.example.com").start().await;
/// # let watched = Watched::default();
/// # watched.0.write().unwrap().insert((idp.issuer().into(), "robot".into()));
/// # let issuer = TrustedIssuer::discover(idp.issuer())?.add_audience("https://orders.example.com");
/// # let layer = DelegationLayer::builder().add_issuer(issuer).add_risk_signal("watched", watched).build()?;
/// # let rule = RequireLayer::new(Requirement::new().risk_below("watched", 50))?;
/// # let service = Router::new().route("/", get(async || "served").layer(rule)).layer(layer);
/// # for (client, headers, status) in [
/// #     ("shop-web", &[][..], 200),
/// #     ("robot", &[], 403),
/// #     ("robot", &[("x-region", "eu"), ("x-client-id", "shop-web"), ("x-forwarded-for", "127.0.0.1")], 403),
/// # ] {
/// #     let token = idp.token().client(client).sign();
/// #     let mut request = Request::get("/").header("authorization", format!("Bearer {token}"));
/// #     for (name, value) in headers {
/// #         request = request.header(*name, *value);
/// #     }
/// #     assert_eq!(service.clone().oneshot(request.body(Body::empty())?).await?.status(), status, "{client}");
/// # }
/// # Ok(())
/// # }
/// ```
pub trait RiskSignal: fmt::Debug + Send + Sync + 'static {
    /// The risk, from 0 (none known) to 100 (certain harm). `None`: it is not
    /// known, and every requirement that names the signal then denies.
    fn assess(&self, request: &RiskRequest<'_>) -> Option<u8>;
}

/// The request whose risk is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RiskRequest<'a> {
    /// Who asks. Verified, not yet allowed.
    pub delegation: &'a DelegationContext,
    /// What is known of the request. The client sets all of it: a header field that no
    /// trusted hop has written proves nothing.
    pub facts: &'a RequestFacts<'a>,
}

impl<'a> RiskRequest<'a> {
    pub(crate) fn new(delegation: &'a DelegationContext, facts: &'a RequestFacts<'a>) -> Self {
        Self { delegation, facts }
    }
}

/// The registered signals; a handful, so they are searched one by one.
#[derive(Debug)]
pub(crate) struct RiskSignals(Box<[NamedSignal]>);

pub(crate) type NamedSignal = (Box<str>, Arc<dyn RiskSignal>);

impl RiskSignals {
    pub(crate) fn new(signals: Vec<NamedSignal>) -> Self {
        Self(signals.into())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&dyn RiskSignal> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, signal)| &**signal)
    }
}
