//! What is measured: a service that answers requests with tokens.

use std::{
    convert::Infallible,
    future::poll_fn,
    hint::black_box,
    marker::PhantomData,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::runtime::Runtime;
use tower::Service;

use crate::{PATH, Provider};

/// Requests made in advance of being timed. The more, the farther their tokens
/// have gone from the processor's caches; a server has just read its request.
pub const BATCH: usize = 64;

/// Something that answers requests, whatever its types.
pub trait Subject {
    /// The status that a request with this token is answered with.
    fn status(&mut self, runtime: &Runtime, token: &str) -> StatusCode;

    /// How long it takes to answer one request for each token, one after the
    /// other. Making the requests does not count.
    ///
    /// # Panics
    /// If an answer is not 200.
    fn time(&mut self, runtime: &Runtime, tokens: &[&str]) -> Duration;
}

/// A [`Subject`] that is a tower service. `B` is the body of its requests.
#[derive(Debug)]
pub struct HttpSubject<S, B> {
    service: S,
    body: PhantomData<B>,
}

impl<S, B, R> HttpSubject<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + 'static,
    B: Default + 'static,
{
    pub fn boxed(service: S) -> Box<dyn Subject> {
        Box::new(Self { service, body: PhantomData })
    }

    async fn answer(&mut self, request: Request<B>) -> Response<R> {
        let Ok(()) = poll_fn(|context| self.service.poll_ready(context)).await;
        let Ok(response) = self.service.call(request).await;
        response
    }
}

impl<S, B, R> Subject for HttpSubject<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + 'static,
    B: Default + 'static,
{
    fn status(&mut self, runtime: &Runtime, token: &str) -> StatusCode {
        runtime.block_on(self.answer(request(token))).status()
    }

    fn time(&mut self, runtime: &Runtime, tokens: &[&str]) -> Duration {
        let requests: Vec<_> = tokens.iter().map(|token| request(token)).collect();
        runtime.block_on(async {
            let start = Instant::now();
            for request in requests {
                let response = black_box(self.answer(black_box(request)).await);
                assert_eq!(response.status(), StatusCode::OK);
            }
            start.elapsed()
        })
    }
}

fn request<B: Default>(token: &str) -> Request<B> {
    Request::get(PATH).header(AUTHORIZATION, format!("Bearer {token}")).body(B::default()).unwrap()
}

/// Makes sure that a subject verifies signature, expiry, issuer and audience:
/// nobody is measured for not doing the work.
///
/// # Panics
/// If it refuses a good token or lets a bad one through.
pub fn check(name: &str, subject: &mut dyn Subject, runtime: &Runtime, provider: &Provider) {
    let algorithm = provider.algorithm();
    for token in provider.stream().take(2) {
        assert_eq!(subject.status(runtime, &token), StatusCode::OK, "{name}, {algorithm}: a good token");
    }
    for (what, token) in provider.bad_tokens() {
        // Libraries differ in the status that they refuse with.
        let status = subject.status(runtime, &token);
        assert!(!status.is_success(), "{name}, {algorithm}: {what} is answered with {status}");
    }
}
