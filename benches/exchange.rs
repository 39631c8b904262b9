//! `cargo bench --bench exchange`: what a kept token of a downstream costs, on one thread.
//!
//! | benchmark | what it is |
//! |---|---|
//! | `exchange/hit` | a token with all that the caller's scopes are worth, of one that is kept |
//! | `exchange/hit by name` | the same with one scope that is asked for by name |
//! | `exchange/authorize` | a kept token, and put on a request |
//! | `exchange/look-up` | the cache alone: moka, by a hash and a text, through its future |

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::Criterion;
use http::Request;
use tokio::runtime::{Builder, Runtime};
use tower_delegation::{
    DelegationContext, DelegationLayer, Requirement, TrustedIssuer,
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange},
};
use tower_delegation_benches::AUDIENCE;
use tower_delegation_testing::{MockClient, MockIdp, USER_CLAIM};

const STOCK: &str = "https://stock.example.com";

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .nresamples(10_000)
        .configure_from_args();
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Builder::new_current_thread().enable_all().build().unwrap();
    let lifetime = Duration::from_secs(3000);
    let idp = server.block_on(MockIdp::builder().audience(AUDIENCE).token_lifetime(lifetime).start());
    let (exchange, caller) = client.block_on(set_up(&idp));
    let mut group = criterion.benchmark_group("exchange");
    let mut measure = |name: &str, one: &dyn Fn(&Runtime, u64)| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let begin = Instant::now();
                one(&client, times);
                begin.elapsed()
            });
        });
    };
    measure("hit", &|client, times| {
        client.block_on(async {
            for _ in 0..times {
                black_box(exchange.on_behalf_of(&caller).token().await.unwrap());
            }
        });
    });
    measure("hit by name", &|client, times| {
        client.block_on(async {
            for _ in 0..times {
                black_box(exchange.on_behalf_of(&caller).scope("stock:read").token().await.unwrap());
            }
        });
    });
    measure("authorize", &|client, times| {
        client.block_on(async {
            for _ in 0..times {
                let mut request = Request::get("https://stock.example.com/items").body(()).unwrap();
                exchange.on_behalf_of(&caller).token().await.unwrap().authorize(&mut request).unwrap();
                black_box(request);
            }
        });
    });
    let kept = moka::future::Cache::<(u128, Box<str>), u64>::new(10_000);
    client.block_on(kept.insert((1, "stock:read".into()), 1));
    measure("look-up", &|client, times| {
        client.block_on(async {
            for _ in 0..times {
                black_box(kept.get(&(1, "stock:read".into())).await);
            }
        });
    });
    group.finish();
    criterion.final_summary();
}

/// A downstream, and a caller for whom its token is kept.
async fn set_up(idp: &MockIdp) -> (Exchange, DelegationContext) {
    idp.register(MockClient::new("orders").secret_basic("secret"));
    let issuer = || TrustedIssuer::discover(idp.issuer()).unwrap().add_user_claim(USER_CLAIM);
    let layer = DelegationLayer::builder().add_issuer(issuer().add_audience(AUDIENCE)).build().unwrap();
    let server = AuthorizationServer::discover(idp.issuer())
        .unwrap()
        .client("orders", ClientAuthentication::secret_basic("secret"));
    let downstream = Downstream::new("stock", STOCK, server)
        .require(Requirement::named("calls stock").on_behalf_of_user())
        .add_scopes(["stock:read", "stock:reserve"])
        .grants("orders:write", ["stock:read", "stock:reserve"])
        .reads(issuer());
    let exchange = layer.exchange(downstream).unwrap();
    let token = idp.token().user("alice").client("shop-web").scopes([
        "openid",
        "profile",
        "orders:read",
        "stock:read",
        "invoices:read",
    ]);
    let caller = layer.authenticator().verify(&token.sign()).await.unwrap();
    let token = exchange.on_behalf_of(&caller).token().await.unwrap();
    assert_eq!(token.scopes().as_str(), "stock:read");
    (exchange, caller)
}
