//! An application on a real loopback socket, and a client for it.

use std::convert::Infallible;

use axum::{ServiceExt, extract::Request, response::Response as AxumResponse};
use http::header::WWW_AUTHENTICATE;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tower_service::Service;

/// An application served on a free port until it is dropped.
#[derive(Debug)]
pub struct Served {
    /// Such as `http://127.0.0.1:50000`.
    pub base: String,
    client: reqwest::Client,
    server: JoinHandle<()>,
}

/// What came back, read to the end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Every `WWW-Authenticate` field.
    pub challenges: Vec<String>,
    /// The header fields.
    pub headers: http::HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Served {
    /// Serves `app`: a router, plain or guarded.
    pub async fn start<S>(app: S) -> Self
    where
        S: Service<Request, Response = AxumResponse, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        Self::start_with(|_base| app).await
    }

    /// Serves an application that knows where it is served.
    pub async fn start_with<S>(app: impl FnOnce(&str) -> S) -> Self
    where
        S: Service<Request, Response = AxumResponse, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        crate::audit::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = ServiceExt::<Request>::into_make_service(app(&base));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { base, client: reqwest::Client::default(), server }
    }

    /// Starts a request.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// `GET` with a bearer token.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).bearer_auth(token)).await
    }

    /// `GET` without credentials.
    pub async fn get_anonymously(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Answer {
    /// Sends a request and reads its answer.
    pub async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.unwrap()
    }

    /// Sends a request and reads its answer, if there is one.
    ///
    /// # Errors
    /// There is none.
    pub async fn try_of(request: RequestBuilder) -> Result<Self, reqwest::Error> {
        Ok(Self::read(request.send().await?).await)
    }

    async fn read(response: Response) -> Self {
        let headers = response.headers().clone();
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        Self {
            status: response.status().as_u16(),
            challenges: headers.get_all(WWW_AUTHENTICATE).iter().map(text).collect(),
            headers,
            body: response.text().await.unwrap(),
        }
    }

    /// The one challenge, or the empty string.
    #[must_use]
    pub fn challenge(&self) -> &str {
        match self.challenges.as_slice() {
            [] => "",
            [one] => one,
            several => panic!("several challenges: {several:?}"),
        }
    }

    /// The problem's stable code, or the empty string.
    #[must_use]
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem.get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}
