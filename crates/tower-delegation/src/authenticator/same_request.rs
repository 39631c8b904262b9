//! Whether a request is the one that was judged before, and which proof is its own.

use http::{Request, Uri, header::AUTHORIZATION, uri::PathAndQuery};

use super::Authenticator;
use crate::{
    arrival::Arrival,
    clock::Moment,
    context::Passage,
    credential::{DPOP, Scheme},
    proof::{OwnProof, Presented, PresentingRequest},
    text_hash::TextHash,
};

impl Authenticator {
    /// Is this the request that this authenticator judged, in every part that
    /// authentication goes by, and still at the target that was received?
    pub(crate) fn has_judged(&self, passage: &Passage, arrival: Arrival<'_>) -> bool {
        arrival.is_received() && self.would_judge_alike(passage, arrival)
    }

    /// Does authentication go by the same parts of a head? Middleware may have changed
    /// others, such as what is left of the target.
    pub(super) fn would_judge_alike(&self, passage: &Passage, arrival: Arrival<'_>) -> bool {
        self.passage(arrival).is_some_and(|arriving| *passage == arriving)
    }

    /// Notes which proof a request comes with, before it is authenticated by a layer: it is
    /// used up once, also where the request is authenticated again further inside.
    pub(crate) fn note_proof<B>(&self, request: &mut Request<B>, now: Moment) {
        if self.0.dpop.is_none() {
            return;
        }
        let Some(proof) = request.headers().get(DPOP) else { return };
        if OwnProof::of(Arrival::of(request, now), proof.as_bytes()).is_none() {
            let own = OwnProof::new(proof);
            request.extensions_mut().insert(own);
        }
    }

    /// The proof of a request that no layer further outside waits for.
    pub(crate) fn take_proof<B>(&self, request: &Request<B>) -> Option<OwnProof> {
        self.0.dpop.as_ref()?;
        request.extensions().get::<OwnProof>().filter(|own| own.claim()).cloned()
    }

    /// Was it this authenticator that judged?
    pub(crate) fn is_of(&self, passage: &Passage) -> bool {
        passage.authenticator == self.0.number
    }

    /// What there is to be judged of a request; `None` where that cannot have been let
    /// pass, such as two tokens.
    pub(super) fn passage(&self, arrival: Arrival<'_>) -> Option<Passage> {
        if let Some(presented) = self.presented(arrival).ok()? {
            return self.passage_of(presented, self.0.verifier.hash(presented.credential));
        }
        let mut fields = arrival.headers.get_all(AUTHORIZATION).iter();
        let field = fields.next().map(|field| self.0.verifier.hash_of(field.as_bytes()));
        if fields.next().is_some() {
            return None;
        }
        Some(Passage {
            authenticator: self.0.number,
            method: arrival.method.clone(),
            target: self.hash_of_target(arrival.received_uri()),
            scheme: None,
            authorization: field,
            proof: None,
        })
    }

    /// The same of a request with a token, whose hash is known. `None` where no request
    /// presents it.
    pub(super) fn passage_of(&self, presented: Presented<'_>, token: TextHash) -> Option<Passage> {
        let PresentingRequest { method, uri, proof, .. } = presented.request?;
        let scheme = presented.credential.scheme();
        let proof = match scheme {
            Scheme::Bearer => None,
            Scheme::Dpop => Some(self.0.verifier.hash_of(proof.ok()?.as_bytes())),
        };
        Some(Passage {
            authenticator: self.0.number,
            method: method.clone(),
            target: self.hash_of_target(uri),
            scheme: Some(scheme),
            authorization: Some(token),
            proof,
        })
    }

    fn hash_of_target(&self, uri: &Uri) -> TextHash {
        let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
        self.0.verifier.hash_of(target.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authenticator::Configuration, clock::Timestamp, error::Mistakes, issuer::TrustedIssuer, proof::Dpop,
        settings::Settings,
    };

    const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn authenticator() -> Authenticator {
        let issuer = TrustedIssuer::with_static_keys("https://idp.example.com", JWKS).unwrap();
        let issuers = vec![issuer.add_audience("https://api.example.com")];
        let dpop = Some(Dpop::at("https://api.example.com"));
        let configuration = Configuration { issuers, dpop, ..Configuration::default() };
        configuration.build(&Settings::default(), Mistakes::default()).unwrap()
    }

    /// Method, target and fields of a head.
    type Head = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

    fn request((method, target, fields): Head) -> Request<()> {
        let request = Request::builder().method(method).uri(target);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap()
    }

    fn arrival(request: &Request<()>) -> Arrival<'_> {
        let wall = Timestamp::from_unix_seconds(0);
        Arrival::of(request, Moment { wall, monotonic: std::time::Duration::ZERO })
    }

    const BEARER: (&str, &str) = ("authorization", "Bearer a");
    const BOUND: (&str, &str) = ("authorization", "DPoP a");
    const PROOF: (&str, &str) = ("dpop", "p");

    #[test]
    fn only_the_very_same_head_was_judged() {
        let (own, other) = (authenticator(), authenticator());
        let bearer: Head = ("GET", "/a?b=1", &[BEARER]);
        let proved: Head = ("GET", "/a", &[BOUND, PROOF]);
        let nothing: Head = ("GET", "/a", &[]);
        let elsewhere: Head = ("GET", "/a", &[("authorization", "Basic a")]);
        for (name, judged, arriving, expected) in [
            ("the same", bearer, bearer, true),
            ("the same with a proof", proved, proved, true),
            ("the same without credentials", nothing, nothing, true),
            ("the same with credentials of another scheme", elsewhere, elsewhere, true),
            ("other fields mean nothing", bearer, ("GET", "/a?b=1", &[BEARER, ("accept", "x")]), true),
            ("a field that a bearer token has no use for", bearer, ("GET", "/a?b=1", &[BEARER, PROOF]), true),
            (
                "another spelling of the scheme",
                bearer,
                ("GET", "/a?b=1", &[("authorization", "bearer a")]),
                true,
            ),
            ("another token", bearer, ("GET", "/a?b=1", &[("authorization", "Bearer b")]), false),
            ("the token, removed", bearer, ("GET", "/a?b=1", &[]), false),
            ("the token, twice", bearer, ("GET", "/a?b=1", &[BEARER, BEARER]), false),
            ("a token, added", nothing, ("GET", "/a", &[BEARER]), false),
            ("other credentials, added", nothing, elsewhere, false),
            ("other credentials, changed", elsewhere, ("GET", "/a", &[("authorization", "Basic b")]), false),
            ("by proof, then as a bearer", proved, ("GET", "/a", &[BEARER, PROOF]), false),
            ("as a bearer, then by proof", ("GET", "/a", &[BEARER]), proved, false),
            ("the proof, removed", proved, ("GET", "/a", &[BOUND]), false),
            ("the proof, twice", proved, ("GET", "/a", &[BOUND, PROOF, PROOF]), false),
            ("another proof", proved, ("GET", "/a", &[BOUND, ("dpop", "q")]), false),
            ("another method", proved, ("DELETE", "/a", &[BOUND, PROOF]), false),
            ("another method, without credentials", nothing, ("HEAD", "/a", &[]), false),
            ("another path", proved, ("GET", "/b", &[BOUND, PROOF]), false),
            ("another query", bearer, ("GET", "/a?b=2", &[BEARER]), false),
            ("the query, removed", bearer, ("GET", "/a", &[BEARER]), false),
            ("a token in the query", nothing, ("GET", "/a?access_token=x", &[]), false),
        ] {
            let (judged, arriving) = (request(judged), request(arriving));
            let passage = own.passage(arrival(&judged)).unwrap();
            assert_eq!(own.has_judged(&passage, arrival(&arriving)), expected, "{name}");
            assert_eq!(own.clone().has_judged(&passage, arrival(&arriving)), expected, "{name}, a clone");
            assert!(own.is_of(&passage) && own.clone().is_of(&passage), "{name}");
            // Another authenticator has judged nothing, whatever its terms are.
            assert!(!other.has_judged(&passage, arrival(&arriving)), "{name}");
            assert!(!other.is_of(&passage), "{name}");
        }
    }

    /// What no layer can have let pass has judged nothing, itself included.
    #[test]
    fn what_cannot_have_passed_is_the_same_as_nothing() {
        let own = authenticator();
        for (name, head) in [
            ("two tokens", ("GET", "/a", &[BEARER, ("authorization", "Bearer b")][..])),
            ("two fields of another scheme", ("GET", "/a", &[("authorization", "Basic a"); 2])),
            ("a scheme without a token", ("GET", "/a", &[("authorization", "Bearer")])),
            ("a token in the query", ("GET", "/a?access_token=x", &[])),
            ("no proof", ("GET", "/a", &[BOUND])),
            ("two proofs", ("GET", "/a", &[BOUND, PROOF, PROOF])),
        ] {
            assert!(own.passage(arrival(&request(head))).is_none(), "{name}");
        }
    }

    /// Routers that are nested leave less of a target; whatever else is there is another request.
    #[cfg(feature = "axum")]
    #[test]
    fn the_target_is_the_one_that_was_received() {
        use axum::extract::OriginalUri;

        let own = authenticator();
        let passage = own.passage(arrival(&request(("GET", "/a?b=1", &[BEARER])))).unwrap();
        for (name, target, received, [has_judged, would_judge_alike]) in [
            ("as it was received", "/a?b=1", Some("/a?b=1"), [true, true]),
            ("no router has seen it", "/a?b=1", None, [true, true]),
            ("another path is left", "/c?b=1", Some("/a?b=1"), [false, true]),
            ("another query is left", "/a?b=2", Some("/a?b=1"), [false, true]),
            ("no query is left", "/a", Some("/a?b=1"), [false, true]),
            ("another path was received", "/a?b=1", Some("/c?b=1"), [false, false]),
            ("another query was received", "/a?b=1", Some("/a?b=2"), [false, false]),
            ("a token in the query that is left", "/a?access_token=x", Some("/a?b=1"), [false, false]),
        ] {
            let mut request = request(("GET", target, &[BEARER]));
            if let Some(received) = received {
                request.extensions_mut().insert(OriginalUri(received.parse().unwrap()));
            }
            assert_eq!(own.has_judged(&passage, arrival(&request)), has_judged, "{name}");
            assert_eq!(own.would_judge_alike(&passage, arrival(&request)), would_judge_alike, "{name}");
        }
    }
}
