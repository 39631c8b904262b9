//! The names that providers give their keys in the header: `kid`, `x5t`, `x5t#S256`.

use serde_json::{Value, json};
use tower_delegation::{
    DenialReason as R, TrustedIssuer,
    issuer::{ClaimMapping, KindCheck},
};

use crate::{Mint, NOW};

const ISSUER: &str = "http://adfs.corp.test/adfs/services/trust";
const AUDIENCE: &str = "microsoft:identityserver:orders";

/// Two keys during a roll-over, each changed by `members`.
fn roll_over(mint: &Mint, current: &Value, next: &Value) -> Value {
    let key = |of: Value, members: &Value| {
        let mut key = of["keys"][0].clone();
        for (name, value) in members.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let next = key(mint.idp.issuer_at("/next").jwks(), next);
    json!({ "keys": [next, key(mint.idp.jwks(), current)] })
}

/// An access token as AD FS issues it, with these members of the header.
fn token(mint: &Mint, names: &Value) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ana@corp.test", "client_id": "7c0e6e0a",
        "scope": "openid", "iat": NOW - 1, "exp": NOW + 60, "jti": "t",
    });
    let mut token = mint.idp.token().claims_json(claims.to_string()).typ("JWT").without_header("kid");
    for (name, value) in names.as_object().unwrap() {
        token = token.header(name, value.clone());
    }
    token.sign()
}

async fn verify(mint: &Mint, jwks: &Value, names: &Value) -> Result<(), R> {
    let issuer = TrustedIssuer::with_static_keys(ISSUER, &jwks.to_string()).unwrap();
    let issuer = issuer
        .add_audience(AUDIENCE)
        .claim_mapping(ClaimMapping::rfc9068())
        .accept_generic_type(KindCheck::claim_present("scope"));
    mint.verify(issuer, &token(mint, names)).await.map(drop)
}

#[tokio::test]
async fn a_certificate_names_the_key_during_a_roll_over() {
    let mint = Mint::new().await;
    let none = json!({ "kid": null });
    let (one, two) = (json!({ "kid": null, "x5t": "bWluZQ" }), json!({ "kid": null, "x5t": "cml2YWw" }));
    let by_sha256 = (
        json!({ "kid": null, "x5t#S256": "bWluZQ", "x5t": 7 }),
        json!({ "kid": null, "x5t#S256": "cml2YWw" }),
    );
    let both_kids = (json!({ "kid": "k", "x5t": "bWluZQ" }), json!({ "kid": "k", "x5t": "cml2YWw" }));
    for (name, (current, next), names, expected) in [
        ("x5t", (&one, &two), json!({ "x5t": "bWluZQ" }), Ok(())),
        ("x5t of one key only", (&one, &none), json!({ "x5t": "bWluZQ" }), Ok(())),
        ("x5t#S256", (&by_sha256.0, &by_sha256.1), json!({ "x5t#S256": "bWluZQ" }), Ok(())),
        ("both", (&one, &two), json!({ "x5t": "bWluZQ", "x5t#S256": "eA" }), Ok(())),
        ("kid and x5t", (&one, &two), json!({ "kid": "bWluZQ", "x5t": "bWluZQ" }), Ok(())),
        ("one kid, told apart", (&both_kids.0, &both_kids.1), json!({ "kid": "k", "x5t": "bWluZQ" }), Ok(())),
        ("no name", (&one, &two), json!({}), Err(R::KeyAmbiguous)),
        (
            "one kid, not told apart",
            (&both_kids.0, &both_kids.1),
            json!({ "kid": "k" }),
            Err(R::KeyAmbiguous),
        ),
        ("no certificate in the set", (&none, &none), json!({ "x5t": "bWluZQ" }), Err(R::KeyUnknown)),
        ("the other key", (&one, &two), json!({ "x5t": "cml2YWw" }), Err(R::SignatureInvalid)),
        ("neither", (&one, &two), json!({ "x5t": "bm9uZQ" }), Err(R::KeyUnknown)),
        ("padded", (&one, &two), json!({ "x5t": "bWluZQ==" }), Err(R::KeyUnknown)),
        ("another case", (&one, &two), json!({ "x5t": "BWLUZQ" }), Err(R::KeyUnknown)),
        ("the other kind", (&one, &two), json!({ "x5t#S256": "bWluZQ" }), Err(R::KeyUnknown)),
        ("no text", (&one, &two), json!({ "x5t": ["bWluZQ"] }), Err(R::KeyAmbiguous)),
        (
            "an unknown kid",
            (&both_kids.0, &both_kids.1),
            json!({ "kid": "z", "x5t": "bWluZQ" }),
            Err(R::KeyUnknown),
        ),
    ] {
        assert_eq!(verify(&mint, &roll_over(&mint, current, next), &names).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_single_key_needs_no_name() {
    let mint = Mint::new().await;
    let jwks = mint.idp.jwks();
    for names in [json!({}), json!({ "x5t": "bWluZQ" }), json!({ "x5t#S256": 7 })] {
        assert_eq!(verify(&mint, &jwks, &names).await, Ok(()), "{names}");
    }
    // A certificate that comes with the token is not looked at (RFC 8725 section 3.10).
    let stranger = mint.idp.issuer_at("/stranger").jwks();
    let names =
        json!({ "x5c": ["MIIB"], "x5u": "https://evil.example/c", "jwk": mint.idp.jwks()["keys"][0] });
    assert_eq!(verify(&mint, &stranger, &names).await, Err(R::SignatureInvalid));
}
