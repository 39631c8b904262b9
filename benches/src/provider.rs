//! The identity provider of one algorithm, and the tokens that it issues.

use std::{num::NonZero, thread, time::Duration};

use tokio::runtime::Runtime;
use tower_delegation::clock::{Clock as _, SystemClock};
use tower_delegation_testing::{Algorithm, MockIdp, TokenBuilder};

use crate::AUDIENCE;

/// Longer than any run.
const TOKEN_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// A mock identity provider with one key.
#[derive(Debug)]
pub struct Provider {
    idp: MockIdp,
    algorithm: Algorithm,
}

impl Provider {
    /// Starts it on `server`, which must go on running by itself: the client
    /// blocks the thread that it measures on.
    pub fn start(server: &Runtime, algorithm: Algorithm) -> Self {
        let idp = MockIdp::builder()
            .algorithms([algorithm])
            .audience(AUDIENCE)
            .token_lifetime(TOKEN_LIFETIME)
            .start();
        Self { idp: server.block_on(idp), algorithm }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn issuer(&self) -> &str {
        self.idp.issuer()
    }

    pub fn jwks_uri(&self) -> String {
        self.idp.jwks_uri()
    }

    /// The key set as JSON text: one key.
    pub fn jwks(&self) -> String {
        self.idp.jwks().to_string()
    }

    /// Distinct good tokens, signed on all cores.
    pub fn tokens(&self, count: usize) -> Vec<String> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = count.div_ceil(threads);
        thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|index| share.min(count.saturating_sub(index * share)))
                .map(|count| scope.spawn(move || self.stream().take(count).collect::<Vec<_>>()))
                .collect();
            handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
        })
    }

    /// A good token, to be changed.
    pub fn token(&self) -> TokenBuilder {
        self.good()
    }

    /// Distinct good tokens, without end.
    pub fn stream(&self) -> impl Iterator<Item = String> {
        let token = self.good();
        std::iter::repeat_with(move || token.clone().sign())
    }

    /// Tokens that differ from a good one in one point, and must be refused.
    pub fn bad_tokens(&self) -> Vec<(&'static str, String)> {
        let hour = Duration::from_secs(3600);
        let two_hours_ago = SystemClock::new().now().saturating_sub(2 * hour);
        vec![
            ("a signature with a flipped bit", self.good().tamper_signature().sign()),
            ("a changed payload", self.good().tamper_payload().sign()),
            ("another key", self.good().sign_with_other_key().sign()),
            ("another issuer", self.good().issuer("https://other.example.com").sign()),
            ("another audience", self.good().audience("https://other.example.com").sign()),
            ("expired", self.good().issued_at(two_hours_ago).expires_in(hour).sign()),
        ]
    }

    /// An access token by RFC 9068 as providers issue them: about 900 bytes.
    fn good(&self) -> TokenBuilder {
        self.idp
            .token()
            .subject("248289761001")
            .client("orders-web")
            .scopes(["openid", "profile", "orders:read", "orders:write", "invoices:read"])
            .session("9c0f8f7e-5a0e-4a5c-8a44-2f1d6a1b7b52")
            .acr("urn:mace:incommon:iap:silver")
            .amr(["pwd", "otp"])
            .claim("tenant", "7d0f4f0e-6f0b-4c64-9a63-0f4b7a3b9f10")
            .claim("name", "Alice Example-Customer")
            .claim("email", "alice@customers.example.com")
            .claim("preferred_username", "alice@customers.example.com")
            .claim("groups", ["customers", "beta-testers", "newsletter"].map(str::to_owned).to_vec())
    }
}
