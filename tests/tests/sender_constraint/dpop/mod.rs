//! DPoP at the resource server (RFC 9449), over real sockets. Rows and tests carry
//! the number of the requirement that they are for.
//!
//! No test can show these: 9-2 (CORS is another layer's) and 11.7-1 (what a proof
//! does not cover) are said in the documentation, and introspection (6.2-1) is not
//! in this version. How URIs compare is tested next to the code, too.

mod challenges;
mod load;
mod nonces;
mod refusals;
mod replay;
mod routing;
mod transport;

use axum::{
    Router,
    routing::{get, post},
};
use integration_tests::{Answer, Served};
use reqwest::{Method, header::AUTHORIZATION};
use tower_delegation::{
    DelegationContext, DenialReason, Dpop, layer::DelegationLayerBuilder, reason::RejectionKind,
    requires_scope,
};
use tower_delegation_testing::{DpopKey, ProofBuilder, TokenBuilder};

use crate::World;

/// What clients call the service, whatever socket it listens on.
pub(crate) const ORIGIN: &str = "https://api.example.com";

/// A client with a key, a provider, and the clock of all.
struct Client {
    world: World,
    key: DpopKey,
}

/// A request of a client.
#[derive(Clone, Debug)]
struct Call {
    method: Method,
    path: String,
    /// Every `Authorization` field.
    authorization: Vec<String>,
    /// Every `DPoP` field.
    proofs: Vec<String>,
}

impl Client {
    async fn new() -> Self {
        let world = World::new().await;
        let key = DpopKey::generate().clock(world.clock.clone());
        Self { world, key }
    }

    /// The layer's builder with these settings of DPoP.
    fn layer(&self, settings: impl FnOnce(Dpop) -> Dpop) -> DelegationLayerBuilder {
        self.world.layer().dpop(settings(Dpop::at(ORIGIN)))
    }

    /// The service as it comes.
    async fn serve(&self) -> Served {
        self.serve_with(|dpop| dpop).await
    }

    async fn serve_with(&self, settings: impl FnOnce(Dpop) -> Dpop) -> Served {
        Served::start(router().layer(self.layer(settings).build().unwrap())).await
    }

    /// A token that is bound to the client's key.
    fn token(&self) -> TokenBuilder {
        self.world.token().bound_to_key(&self.key)
    }

    /// A proof for `GET /orders` with this token.
    fn proof(&self, token: &str) -> ProofBuilder {
        self.key.proof("GET", format!("{ORIGIN}/orders")).for_token(token)
    }

    /// A good request: `GET /orders` with a new token and a new proof.
    fn call(&self) -> Call {
        let token = self.token().sign();
        self.call_with(&token, self.proof(&token))
    }

    /// `GET /orders` with this token and this proof.
    fn call_with(&self, token: &str, proof: ProofBuilder) -> Call {
        Call {
            method: Method::GET,
            path: "/orders".to_owned(),
            authorization: vec![format!("DPoP {token}")],
            proofs: vec![proof.sign()],
        }
    }
}

impl Call {
    async fn send(&self, service: &Served) -> Answer {
        let mut request = service.request(self.method.clone(), &self.path);
        for field in &self.authorization {
            request = request.header(AUTHORIZATION, field);
        }
        for proof in &self.proofs {
            request = request.header("DPoP", proof);
        }
        Answer::of(request).await
    }
}

fn router() -> Router {
    Router::new()
        .route("/orders", get(whoami).post(whoami))
        .route("/orders/{id}", get(whoami))
        .route("/refunds", post(refund))
        .route("/bound", get(crate::bound))
}

async fn whoami(delegation: DelegationContext) -> String {
    format!("{} {}", delegation.subject().id(), delegation.sender_constraint().as_str())
}

#[requires_scope("orders:refund")]
async fn refund() -> &'static str {
    "refunded"
}

/// Is it a 401 with this reason's error on the challenge of `DPoP` alone?
fn assert_refused(name: &str, answer: &Answer, reason: DenialReason) {
    let error = match reason.kind() {
        RejectionKind::InvalidToken => "invalid_token",
        RejectionKind::UseDpopNonce => "use_dpop_nonce",
        _ => "invalid_dpop_proof",
    };
    assert_eq!((answer.status, answer.code().as_str()), (401, error), "{name}: {}", answer.body);
    let [bearer, dpop] = answer.challenges.as_slice() else { panic!("{name}: {:?}", answer.challenges) };
    assert_eq!(bearer, r#"Bearer realm="api""#, "{name}");
    assert!(dpop.starts_with(&format!(r#"DPoP realm="api", error="{error}", "#)), "{name}: {dpop}");
    assert!(dpop.contains(r#", algs="RS256 "#), "{name}: {dpop}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
}
