//! [`Passage`]: the layer that a request has passed, and what was judged there.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION, uri::PathAndQuery};

/// The fields that carry credentials.
const FIELDS: [HeaderName; 2] = [AUTHORIZATION, HeaderName::from_static("dpop")];

/// The layer that admitted a request, and the parts of the head that it judged.
///
/// What makes two requests the same is all that authentication goes by, and no
/// less: an inner layer of the same authenticator lets a request pass only if
/// every part is what it was. Whatever carries a context over to another request
/// (cloned extensions, a batch, a queue) is thereby judged anew.
///
/// Holds the credentials, so it has no `Debug` and is never handed out.
pub(crate) struct Passage {
    authenticator: u64,
    method: Method,
    /// As the client sent it, also behind nested routers.
    target: Option<PathAndQuery>,
    credentials: [Option<HeaderValue>; 2],
    allows_inner: bool,
}

impl Passage {
    pub(crate) fn new(
        authenticator: u64,
        method: &Method,
        target: Option<&PathAndQuery>,
        headers: &HeaderMap,
    ) -> Self {
        Self {
            authenticator,
            method: method.clone(),
            target: target.cloned(),
            credentials: FIELDS.map(|name| headers.get(name).cloned()),
            allows_inner: false,
        }
    }

    /// The same for a layer that is built for others further inside.
    #[must_use]
    pub(crate) fn allow_inner(self, allows_inner: bool) -> Self {
        Self { allows_inner, ..self }
    }

    /// Was the layer built for other authenticators further inside?
    pub(crate) fn allows_inner(&self) -> bool {
        self.allows_inner
    }

    pub(crate) fn is_of(&self, authenticator: u64) -> bool {
        self.authenticator == authenticator
    }

    /// Is this the head that was judged?
    pub(crate) fn judged(&self, method: &Method, target: Option<&PathAndQuery>, headers: &HeaderMap) -> bool {
        self.method == *method
            && self.target.as_ref() == target
            && FIELDS.iter().zip(&self.credentials).all(|(name, known)| {
                let mut sent = headers.get_all(name).iter();
                sent.next() == known.as_ref() && sent.next().is_none()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_head_was_judged() {
        type Sent = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
        let target = |text: &'static str| PathAndQuery::from_static(text);
        let headers = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
            let field = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            fields.iter().map(field).fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
        };
        const AUTH: (&str, &str) = ("authorization", "Bearer a");
        const PROOF: (&str, &str) = ("dpop", "p");
        let bearer: Sent = ("GET", "/a?b=1", &[AUTH]);
        let proved: Sent = ("GET", "/a", &[AUTH, PROOF]);
        let nothing: Sent = ("GET", "/a", &[]);
        for (name, judged, sent, expected) in [
            ("the same", bearer, bearer, true),
            ("the same with a proof", proved, proved, true),
            ("the same without credentials", nothing, nothing, true),
            ("other fields mean nothing", bearer, ("GET", "/a?b=1", &[AUTH, ("accept", "x")]), true),
            ("another token", bearer, ("GET", "/a?b=1", &[("authorization", "Bearer b")]), false),
            ("the token, removed", bearer, ("GET", "/a?b=1", &[]), false),
            ("the token, twice", bearer, ("GET", "/a?b=1", &[AUTH, AUTH]), false),
            ("a token, added", nothing, ("GET", "/a", &[AUTH]), false),
            ("a proof, added", ("GET", "/a", &[AUTH]), proved, false),
            ("a proof, removed", proved, ("GET", "/a", &[AUTH]), false),
            ("another proof", proved, ("GET", "/a", &[AUTH, ("dpop", "q")]), false),
            ("another method", proved, ("DELETE", "/a", &[AUTH, PROOF]), false),
            ("another path", proved, ("GET", "/b", &[AUTH, PROOF]), false),
            ("a token in the query", nothing, ("GET", "/a?access_token=x", &[]), false),
        ] {
            let (method, path, fields): Sent = judged;
            let passage = Passage::new(1, &method.parse().unwrap(), Some(&target(path)), &headers(fields));
            let (method, path, fields): Sent = sent;
            assert_eq!(
                passage.judged(&method.parse().unwrap(), Some(&target(path)), &headers(fields)),
                expected,
                "{name}"
            );
            assert!(!passage.judged(&method.parse().unwrap(), None, &headers(fields)), "{name}");
        }
    }
}
