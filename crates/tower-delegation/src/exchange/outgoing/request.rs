//! One call through reqwest, from its path to its answer.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use reqwest::{Body, Client, Request, RequestBuilder, Response};
use serde::Serialize;

use super::error::CallError;
use crate::{
    context::DelegationContext,
    exchange::{
        issued::DownstreamToken,
        request::{Exchange, ExchangeRequest},
    },
    reason::DenialReason,
};

/// A request to a downstream that does not say yet for whom it is.
#[must_use = "nothing is sent before `on_behalf_of(..).send()`"]
pub struct DownstreamRequest<'c> {
    exchange: &'c Exchange,
    client: &'c Client,
    builder: Result<RequestBuilder, DenialReason>,
}

impl<'c> DownstreamRequest<'c> {
    /// Of this client, which follows no redirect.
    pub(super) fn new(
        exchange: &'c Exchange,
        client: &'c Client,
        builder: Result<RequestBuilder, DenialReason>,
    ) -> Self {
        Self { exchange, client, builder }
    }

    fn with(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self { builder: self.builder.map(change), ..self }
    }

    /// Adds a header field. `Authorization`, `DPoP`, `Proxy-Authorization` and `Host` are not the
    /// request's to set: what is set is replaced or removed.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|builder| builder.header(name, value))
    }

    /// Sets header fields, in place of those of the same names.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|builder| builder.headers(headers))
    }

    /// Adds parameters to the query.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.with(|builder| builder.query(query))
    }

    /// Sends this as JSON.
    pub fn json<T: Serialize + ?Sized>(self, json: &T) -> Self {
        self.with(|builder| builder.json(json))
    }

    /// Sends this as a form.
    pub fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        self.with(|builder| builder.form(form))
    }

    /// Sends this body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.with(|builder| builder.body(body))
    }

    /// The time from the start of the call to the end of its answer.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|builder| builder.timeout(timeout))
    }

    /// Makes the call for this caller, with a token that theirs is exchanged for.
    pub fn on_behalf_of(self, delegation: &'c DelegationContext) -> DelegatedRequest<'c> {
        DelegatedRequest { request: self, delegation, scopes: Vec::new() }
    }

    /// Makes the call with the caller's **own token**, for this reason, which the audit event of
    /// each such call shows. See
    /// [`Exchange::dangerous_callers_token`](crate::exchange::Exchange::dangerous_callers_token).
    pub fn dangerous_with_callers_token(
        self,
        reason: &'c str,
        delegation: &'c DelegationContext,
    ) -> PassThroughRequest<'c> {
        PassThroughRequest { request: self, delegation, reason }
    }

    /// Finds everything that is wrong with the request, before there is a token.
    fn build(self, delegation: &'c DelegationContext) -> Result<Call<'c>, CallError> {
        let Self { exchange, client, builder } = self;
        let builder = builder.map_err(|reason| CallError::target(exchange, Some(delegation), reason))?;
        let request = builder
            .build()
            .map_err(|error| CallError::malformed(exchange, delegation, error.without_url()))?;
        Ok(Call { exchange, client, delegation, request })
    }
}

impl fmt::Debug for DownstreamRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownstreamRequest").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

/// A request to a downstream on behalf of a caller.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct DelegatedRequest<'c> {
    request: DownstreamRequest<'c>,
    delegation: &'c DelegationContext,
    scopes: Vec<&'c str>,
}

impl<'c> DelegatedRequest<'c> {
    /// Asks for a token with this scope, and no others than those that are named. By default it
    /// has all that the caller's effective scopes are worth there.
    pub fn scope(mut self, scope: &'c str) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Exchanges the caller's token, and sends the request with what comes back.
    ///
    /// # Errors
    /// [`CallError`], with a [`Rejection`](crate::rejection::Rejection) to answer with. An answer
    /// of the downstream is none, whatever its status.
    pub async fn send(self) -> Result<Response, CallError> {
        let call = self.request.build(self.delegation)?;
        let exchange = call.exchange.on_behalf_of(self.delegation);
        let token = self.scopes.into_iter().fold(exchange, ExchangeRequest::scope).token().await?;
        call.send(&token).await
    }
}

/// A request to a downstream with the caller's own token.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct PassThroughRequest<'c> {
    request: DownstreamRequest<'c>,
    delegation: &'c DelegationContext,
    reason: &'c str,
}

impl PassThroughRequest<'_> {
    /// Judges the caller, records that their token is passed on, and sends the request with it.
    ///
    /// # Errors
    /// [`CallError`], with a [`Rejection`](crate::rejection::Rejection) to answer with.
    pub async fn send(self) -> Result<Response, CallError> {
        let call = self.request.build(self.delegation)?;
        let token = call.exchange.dangerous_callers_token(self.reason, self.delegation).await?;
        call.send(&token).await
    }
}

/// A request that only lacks its token.
struct Call<'c> {
    exchange: &'c Exchange,
    client: &'c Client,
    delegation: &'c DelegationContext,
    request: Request,
}

impl Call<'_> {
    async fn send(self, token: &DownstreamToken) -> Result<Response, CallError> {
        let again = if token.is_bound_to_key() { self.request.try_clone() } else { None };
        let Self { exchange, client, delegation, request } = self;
        let once = async |mut request: Request| {
            let (method, url) = (request.method().clone(), request.url().clone());
            token
                .put_on(&method, &url, request.headers_mut())
                .map_err(|error| CallError::malformed(exchange, delegation, error))?;
            if let Some(trace) = delegation.record().trace() {
                trace.put_on(request.headers_mut());
            }
            let answer = client.execute(request).await;
            answer.map_err(|error| CallError::transport(exchange, Some(delegation), error.without_url()))
        };
        let answer = once(request).await?;
        let is_learned = token.learn_nonce(answer.headers());
        match again {
            // RFC 9449 section 9: the same request with the nonce that it lacked, once.
            Some(request) if is_learned && demands_nonce(&answer) => {
                let answer = once(request).await?;
                let _ = token.learn_nonce(answer.headers());
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }
}

fn demands_nonce(answer: &Response) -> bool {
    let mut challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter().flat_map(|field| field.to_str());
    answer.status() == StatusCode::UNAUTHORIZED
        && challenges.any(|field| field.contains("\"use_dpop_nonce\""))
}
