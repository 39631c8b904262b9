//! [`Passage`]: the layer that a request has passed, and what was judged there.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION, uri::PathAndQuery};

use crate::credential::Scheme;

const PROOF: HeaderName = HeaderName::from_static("dpop");

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
    authorization: Option<HeaderValue>,
    /// Only where the token came with one that was judged.
    proof: Option<HeaderValue>,
    allows_inner: bool,
}

impl Passage {
    pub(crate) fn new(
        authenticator: u64,
        method: &Method,
        target: Option<&PathAndQuery>,
        headers: &HeaderMap,
        scheme: Option<Scheme>,
    ) -> Self {
        let proof = match scheme {
            Some(Scheme::Dpop) => headers.get(PROOF),
            Some(Scheme::Bearer) | None => None,
        };
        Self {
            authenticator,
            method: method.clone(),
            target: target.cloned(),
            authorization: headers.get(AUTHORIZATION).cloned(),
            proof: proof.cloned(),
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
        let is_only = |name: HeaderName, known: Option<&HeaderValue>| {
            let mut sent = headers.get_all(name).iter();
            sent.next() == known && sent.next().is_none()
        };
        self.method == *method
            && self.target.as_ref() == target
            && is_only(AUTHORIZATION, self.authorization.as_ref())
            && (self.proof.is_none() || is_only(PROOF, self.proof.as_ref()))
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
        const BOUND: (&str, &str) = ("authorization", "DPoP a");
        const PROOF: (&str, &str) = ("dpop", "p");
        let bearer: Sent = ("GET", "/a?b=1", &[AUTH]);
        let proved: Sent = ("GET", "/a", &[BOUND, PROOF]);
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
            ("a field that a bearer token has no use for", bearer, ("GET", "/a?b=1", &[AUTH, PROOF]), true),
            ("another scheme", ("GET", "/a", &[AUTH]), proved, false),
            ("the proof, removed", proved, ("GET", "/a", &[BOUND]), false),
            ("the proof, twice", proved, ("GET", "/a", &[BOUND, PROOF, PROOF]), false),
            ("another proof", proved, ("GET", "/a", &[BOUND, ("dpop", "q")]), false),
            ("another method", proved, ("DELETE", "/a", &[BOUND, PROOF]), false),
            ("another path", proved, ("GET", "/b", &[BOUND, PROOF]), false),
            ("a token in the query", nothing, ("GET", "/a?access_token=x", &[]), false),
        ] {
            let (method, path, fields): Sent = judged;
            let scheme = fields.iter().find_map(|(_, value)| match value.split_once(' ')?.0 {
                "DPoP" => Some(Scheme::Dpop),
                _ => Some(Scheme::Bearer),
            });
            let (sent_method, judged_target) = (method.parse().unwrap(), target(path));
            let passage = Passage::new(1, &sent_method, Some(&judged_target), &headers(fields), scheme);
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
