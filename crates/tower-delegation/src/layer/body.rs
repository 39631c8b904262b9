//! The response body of the layer: the service's own, or a refusal's.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::rejection::Rejection;

pin_project! {
    /// The body of a response that went through the layer.
    #[derive(Debug)]
    pub struct DelegationBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Service { #[pin] body: B },
        Refusal { problem: Bytes },
    }
}

impl<B> DelegationBody<B> {
    pub(super) fn service(body: B) -> Self {
        Self { kind: Kind::Service { body } }
    }

    /// No bytes at all.
    pub(super) fn empty() -> Self {
        Self { kind: Kind::Refusal { problem: Bytes::new() } }
    }

    pub(super) fn refusal(rejection: &Rejection) -> Response<Self> {
        rejection.to_response().map(|problem| Self { kind: Kind::Refusal { problem } })
    }
}

impl<B> Body for DelegationBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            KindProjection::Service { body } => body.poll_frame(cx),
            KindProjection::Refusal { problem } if problem.is_empty() => Poll::Ready(None),
            KindProjection::Refusal { problem } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(problem).into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Service { body } => body.is_end_stream(),
            Kind::Refusal { problem } => problem.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Service { body } => body.size_hint(),
            Kind::Refusal { problem } => {
                SizeHint::with_exact(u64::try_from(problem.len()).unwrap_or(u64::MAX))
            }
        }
    }
}
