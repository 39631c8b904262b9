//! JSON Web Signature (RFC 7515) and its unencoded payload option (RFC 7797).

use tower_delegation::{
    DenialReason as R,
    credential::MAX_TOKEN_LEN,
    jwks::{AlgorithmSet, KeySet},
    token::{MAX_HEADER_LEN, UnverifiedToken},
};
use tower_delegation_testing::{Endpoint, MockIdp};

use crate::site::{Site, base64url, from_base64url, with_signature};

/// `json` with as many spaces behind as it takes for its base64url to have spare bits.
fn with_spare_bits(json: &str) -> String {
    let mut json = json.to_owned();
    while json.len().is_multiple_of(3) {
        json.push(' ');
    }
    json
}

/// The same bytes in another spelling: one of the spare bits is set.
fn respelled(part: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert!(matches!(part.len() % 4, 2 | 3), "no spare bits");
    let (rest, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.iter().position(|symbol| *symbol == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(ALPHABET[value | 1]))
}

#[tokio::test]
async fn r7515_2_1_base64url_without_padding_and_white_space() {
    let site = Site::new().await;
    let header = base64url(with_spare_bits(&site.header()));
    let payload = base64url(with_spare_bits(&site.claims()));
    assert_eq!(site.refusal(&site.compact(&header, &payload)).await, None);
    for foreign in ["=", "==", " ", "\n", "\r\n", "\t", "+", "/", "?", "%3D", "\u{e9}", "\0"] {
        for (name, token) in [
            ("header", site.compact(&format!("{header}{foreign}"), &payload)),
            ("in the header", site.compact(&header.replacen('J', &format!("J{foreign}"), 1), &payload)),
            ("payload", site.compact(&header, &format!("{payload}{foreign}"))),
            ("in the payload", site.compact(&header, &payload.replacen('J', &format!("J{foreign}"), 1))),
            ("signature", format!("{}{foreign}", site.compact(&header, &payload))),
            ("before the token", format!("{foreign}{}", site.compact(&header, &payload))),
        ] {
            assert_eq!(site.refusal(&token).await, Some(R::TokenMalformed), "{name} {foreign:?}");
            // Without HTTP around it the JWS itself is refused.
            let read = UnverifiedToken::parse(&token).and_then(|token| token.payload());
            let signature = token.rsplit_once('.').is_some_and(|(_, signature)| signature.contains(foreign));
            assert_eq!(read.err(), (!signature).then_some(R::TokenMalformed), "{name} {foreign:?}");
        }
    }
}

#[tokio::test]
async fn r7515_2_2_one_spelling() {
    let site = Site::new().await;
    let header = base64url(with_spare_bits(&site.header()));
    let payload = base64url(with_spare_bits(&site.claims()));
    let good = site.compact(&header, &payload);
    let (message, signature) = good.rsplit_once('.').unwrap();
    for (name, token) in [
        ("header", site.compact(&respelled(&header), &payload)),
        ("payload", site.compact(&header, &respelled(&payload))),
        ("signature", format!("{message}.{}", respelled(signature))),
        ("header, one symbol too many", site.compact(&format!("{}A", base64url("{} ")), &payload)),
        ("payload, one symbol too many", site.compact(&header, &format!("{}A", base64url("{} ")))),
        ("signature, one symbol", format!("{message}.A")),
    ] {
        assert_eq!(site.refusal(&token).await, Some(R::TokenMalformed), "{name}");
    }
    assert_eq!(site.refusal(&good).await, None);
}

#[tokio::test]
async fn r7515_4_1_the_header_is_one_strict_json_object() {
    let site = Site::new().await;
    let claims = site.claims();
    let good = site.header();
    let open = good.strip_suffix('}').unwrap();
    let rows = [
        ("empty", String::new(), R::HeaderMalformed),
        ("null", "null".into(), R::HeaderMalformed),
        ("an array", format!("[{good}]"), R::HeaderMalformed),
        ("a string", r#""alg""#.into(), R::HeaderMalformed),
        ("two objects", format!("{good}{good}"), R::HeaderMalformed),
        ("not closed", open.into(), R::HeaderMalformed),
        ("trailing comma", format!("{open},}}"), R::HeaderMalformed),
        ("single quotes", good.replace('"', "'"), R::HeaderMalformed),
        ("a comment", good.replacen('{', "{/**/", 1), R::HeaderMalformed),
        ("a byte order mark", format!("\u{feff}{good}"), R::HeaderMalformed),
        ("a NUL behind", format!("{good}\0"), R::HeaderMalformed),
        ("a raw control character", site.header_and("\"x\":\"\u{1}\""), R::HeaderMalformed),
        ("a lone surrogate", site.header_and(r#""x":"\ud800""#), R::HeaderMalformed),
        ("a lone surrogate in a name", site.header_and(r#""\udfff":1"#), R::HeaderMalformed),
        ("a number of no kind", site.header_and(r#""x":01"#), R::HeaderMalformed),
        ("NaN", site.header_and(r#""x":NaN"#), R::HeaderMalformed),
        ("alg twice", site.header_and(r#""alg":"ES256""#), R::DuplicateMember),
        ("kid twice", site.header_and(r#""kid":"es256-1""#), R::DuplicateMember),
        ("typ twice", site.header_and(r#""typ":"at+jwt""#), R::DuplicateMember),
        ("a name twice, once escaped", site.header_and(r#""\u0061lg":"ES256""#), R::DuplicateMember),
        ("an unknown name twice", site.header_and(r#""x":1,"x":1"#), R::DuplicateMember),
        ("twice in a nested object", site.header_and(r#""jwk":{"x":1,"x":2}"#), R::DuplicateMember),
        ("twice deep down", site.header_and(r#""a":[[{"b":{"x":1,"x":1}}]]"#), R::DuplicateMember),
    ];
    for (name, header, reason) in rows {
        assert_eq!(site.refusal(&site.jws(&header, &claims)).await, Some(reason), "{name}");
    }
    let not_utf8 = [open.as_bytes(), b",\"x\":\"\xff\"}"].concat();
    let token = site.idp.token().header_json(not_utf8).claims_json(claims.clone()).sign();
    assert_eq!(site.refusal(&token).await, Some(R::HeaderMalformed));
    // White space, escapes and unknown members are no fault.
    for header in [
        format!(" \n\t{good}\r\n"),
        good.replace("alg", r"\u0061lg"),
        site.header_and(r#""unknown":{"deep":[1,2.5e3,null,true]},"x5t":"abc""#),
    ] {
        assert_eq!(site.refusal(&site.jws(&header, &claims)).await, None, "{header}");
    }
}

#[tokio::test]
async fn r7515_4_1_1_1_alg_is_one_of_the_allowed_names_exactly() {
    let site = Site::new().await;
    let header = |alg: &str| format!(r#"{{"alg":{alg},"kid":"es256-1","typ":"at+jwt"}}"#);
    let mut rows = vec![
        (r#"{"kid":"es256-1","typ":"at+jwt"}"#.to_owned(), R::HeaderMalformed),
        (r#"{"ALG":"ES256","kid":"es256-1","typ":"at+jwt"}"#.to_owned(), R::HeaderMalformed),
    ];
    for alg in ["null", "1", "true", "[\"ES256\"]", "{}", r#"{"ES256":1}"#] {
        rows.push((header(alg), R::HeaderMalformed));
    }
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " ES256",
        "ES256 ",
        "es256",
        "Es256",
        "ES256K",
        "ES521",
        "HS256",
        "HS384",
        "HS512",
        "RS1",
        "dir",
        "RSA-OAEP",
        "A128KW",
        "ECDH-ES",
        "eddsa",
        "Ed448",
        "ESB256",
        "ML-DSA-44",
    ] {
        rows.push((header(&format!("\"{alg}\"")), R::AlgorithmNotAllowed));
    }
    for (header, reason) in rows {
        assert_eq!(site.refusal(&site.jws(&header, &site.claims())).await, Some(reason), "{header}");
    }
    for spelling in ["none", "None", "nOnE", "NONE"] {
        let token = site.idp.token().unsigned_as(spelling).sign();
        assert_eq!(site.refusal(&token).await, Some(R::AlgorithmNotAllowed), "{spelling}");
    }
}

#[tokio::test]
async fn r7515_4_1_2_1_a_token_does_not_bring_its_key() {
    let site = Site::new().await;
    let attacker = MockIdp::start().await;
    let url = attacker.jwks_uri();
    let key = attacker.jwks()["keys"][0].clone();
    for (name, value) in
        [("jku", url.clone().into()), ("x5u", url.into()), ("jwk", key), ("x5c", serde_json::json!(["MIIB"]))]
    {
        // Signed by the attacker's key, under the name of a good one, of none, of the attacker's.
        let token = attacker.token().issuer(site.idp.issuer()).header(name, value.clone());
        let forged = token.clone().sign();
        assert_eq!(site.refusal(&forged).await, Some(R::SignatureInvalid), "{name}");
        let unnamed = token.clone().without_header("kid").sign();
        assert_eq!(site.refusal(&unnamed).await, Some(R::SignatureInvalid), "{name}");
        let own = token.header("kid", "attacker").sign();
        assert_eq!(site.refusal(&own).await, Some(R::KeyUnknown), "{name}");
        // Beside a good signature it means nothing.
        let good = site.idp.token().header(name, value).sign();
        assert_eq!(site.refusal(&good).await, None, "{name}");
    }
    assert_eq!(attacker.requests(Endpoint::Jwks), 0);
}

#[tokio::test]
async fn r7515_4_1_4_1_kid_is_an_opaque_string() {
    let site = Site::new().await;
    for kid in ["null", "1", "true", "[]", r#"["es256-1"]"#, "{}"] {
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":{kid}}}"#);
        assert_eq!(site.refusal(&site.jws(&header, &site.claims())).await, Some(R::HeaderMalformed), "{kid}");
    }
    for kid in ["ES256-1", "es256-1 ", " es256-1", "es256-1\0", "es256", "", "*", "es256-%31", "ｅs256-1"] {
        let token = site.idp.token().header("kid", kid).sign();
        assert_eq!(site.refusal(&token).await, Some(R::KeyUnknown), "{kid:?}");
    }
    let (longest, too_long) = ("k".repeat(256), "k".repeat(257));
    assert_eq!(site.refusal(&site.idp.token().header("kid", longest).sign()).await, Some(R::KeyUnknown));
    assert_eq!(
        site.refusal(&site.idp.token().header("kid", too_long).sign()).await,
        Some(R::HeaderMalformed)
    );
}

#[tokio::test]
async fn r7515_4_1_9_1_typ_is_a_media_type() {
    let site = Site::new().await;
    for typ in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"] {
        assert_eq!(site.refusal(&site.idp.token().typ(typ).sign()).await, None, "{typ}");
    }
    for typ in
        ["at+jwt ", " at+jwt", "at+jwt;x=1", "text/at+jwt", "application//at+jwt", "/at+jwt", "at jwt", ""]
    {
        assert_eq!(
            site.refusal(&site.idp.token().typ(typ).sign()).await,
            Some(R::TypeNotAccepted),
            "{typ:?}"
        );
    }
    for typ in ["null", "1", "[\"at+jwt\"]", "{}", "true"] {
        let header = format!(r#"{{"alg":"ES256","kid":"es256-1","typ":{typ}}}"#);
        assert_eq!(site.refusal(&site.jws(&header, &site.claims())).await, Some(R::HeaderMalformed), "{typ}");
    }
}

/// No extension is understood, so every `crit` is one too many: well formed or not.
#[tokio::test]
async fn r7515_4_1_11_every_crit_is_refused() {
    let site = Site::new().await;
    for more in [
        r#""crit":["exp"],"exp":1"#,
        r#""crit":["http://example.com/UNDEFINED"],"http://example.com/UNDEFINED":true"#,
        r#""crit":["b64"],"b64":true"#,
        r#""crit":["absent"]"#,
        r#""crit":["alg"]"#,
        r#""crit":["kid","kid"]"#,
        r#""crit":[]"#,
        r#""crit":[1]"#,
        r#""crit":[""]"#,
        r#""crit":"kid""#,
        r#""crit":null"#,
        r#""crit":false"#,
        r#""crit":{}"#,
    ] {
        let token = site.jws(&site.header_and(more), &site.claims());
        assert_eq!(site.refusal(&token).await, Some(R::CriticalHeader), "{more}");
    }
}

#[tokio::test]
async fn r7515_5_2_1_the_signature_is_over_the_text_as_received() {
    let site = Site::new().await;
    // White space, order and escapes that no serializer would give back.
    let header = "\r\n { \"typ\" :\t\"at+jwt\",\"\\u006bid\":\"es256-1\" , \"alg\":\"ES\\u0032\\u00356\" }\n";
    let claims =
        format!(" {} ", site.claims_and(r#""z" : [ 1.0e0 , "\/" ] "#).replace("\"sub\"", "\"s\\u0075b\""));
    let token = site.jws(header, &claims);
    assert_eq!(site.refusal(&token).await, None);
    // The same meaning in other text is another token.
    let (_, signature) = token.rsplit_once('.').unwrap();
    for (header, claims) in [
        (site.header(), claims.clone()),
        (header.trim().to_owned(), claims.clone()),
        (header.to_owned(), claims.trim().to_owned()),
        (header.to_owned(), format!("{claims} ")),
    ] {
        let token = format!("{}.{}.{signature}", base64url(header), base64url(claims));
        assert_eq!(site.refusal(&token).await, Some(R::SignatureInvalid));
    }
    assert_eq!(site.refusal(&site.idp.token().tamper_payload().sign()).await, Some(R::SignatureInvalid));
    assert_eq!(site.refusal(&site.idp.token().tamper_signature().sign()).await, Some(R::SignatureInvalid));
    assert_eq!(site.refusal(&with_signature(&token, b"")).await, Some(R::SignatureInvalid));
}

#[tokio::test]
async fn r7515_5_2_2_exactly_three_parts() {
    let site = Site::new().await;
    let good = site.idp.token().sign();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { panic!() };
    let detached = site.compact(header, "");
    let json = format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#);
    for (name, token, reason) in [
        ("nothing", String::new(), R::TokenMalformed),
        ("dots", "..".into(), R::HeaderMalformed),
        ("header", (*header).into(), R::TokenMalformed),
        ("header and payload", format!("{header}.{payload}"), R::TokenMalformed),
        ("a dot behind", format!("{good}."), R::TokenMalformed),
        ("a dot before", format!(".{good}"), R::TokenMalformed),
        ("four parts", format!("{good}.{signature}"), R::TokenMalformed),
        ("five parts", format!("{good}.a.b"), R::TokenEncrypted),
        ("five parts, some empty", format!("{header}...."), R::TokenEncrypted),
        ("six parts", format!("{good}.a.b.c"), R::TokenMalformed),
        ("no header", format!(".{payload}.{signature}"), R::HeaderMalformed),
        ("detached payload", detached, R::TokenMalformed),
        ("no signature", format!("{header}.{payload}."), R::SignatureInvalid),
        ("flattened JSON", json.clone(), R::TokenMalformed),
        ("general JSON", format!(r#"{{"payload":"{payload}","signatures":[{json}]}}"#), R::TokenMalformed),
        ("JSON in base64url", base64url(&json), R::TokenMalformed),
    ] {
        assert_eq!(site.refusal(&token).await, Some(reason), "{name}");
    }
}

/// A signature over an empty payload is a signature; an access token without claims is none.
#[tokio::test]
async fn r7515_5_2_2_an_empty_payload_verifies_and_is_no_access_token() {
    let site = Site::new().await;
    let empty = site.compact(&base64url(site.header()), "");
    let keys = KeySet::parse(site.idp.jwks().to_string().as_bytes(), AlgorithmSet::ALL).unwrap();
    let token = UnverifiedToken::parse(&empty).unwrap();
    let key = keys.select(token.algorithm(), token.key_id()).unwrap();
    assert_eq!(token.verify_signature(key), Ok(()));
    assert_eq!(token.payload(), Ok(Vec::new()));
    assert_eq!(site.refusal(&empty).await, Some(R::TokenMalformed));
    let other = site.compact(&base64url(site.header()), "e30");
    let swapped = with_signature(&empty, &from_base64url(other.rsplit_once('.').unwrap().1));
    let token = UnverifiedToken::parse(&swapped).unwrap();
    assert_eq!(token.verify_signature(key), Err(R::SignatureInvalid));
}

#[tokio::test]
async fn r7515_8_1_sizes_are_bounded() {
    let site = Site::new().await;
    let filled = |header: usize, payload: usize| {
        let header = site.header_and(&format!(r#""x":"{}""#, "h".repeat(header)));
        let claims = site.claims_and(&format!(r#""x":"{}""#, "c".repeat(payload)));
        site.jws(&header, &claims)
    };
    // The whole token: 16 KiB, to the byte.
    let exact = |len: usize| {
        let base = filled(0, 0).len();
        let near = (len - base) * 3 / 4;
        let sizes = (0..4).flat_map(|header| (near - 8..near + 8).map(move |payload| (header, payload)));
        sizes.map(|(header, payload)| filled(header, payload)).find(|token| token.len() == len).unwrap()
    };
    assert_eq!(site.refusal(&exact(MAX_TOKEN_LEN)).await, None);
    assert_eq!(site.refusal(&exact(MAX_TOKEN_LEN + 1)).await, Some(R::TokenTooLarge));
    assert_eq!(site.get(&format!("Bearer {}", exact(MAX_TOKEN_LEN + 1))).await.status, 401);
    assert_eq!(site.refusal(&"a".repeat(1 << 22)).await, Some(R::TokenTooLarge));
    // The header: 4 KiB, to the byte.
    let header = |len: usize| MAX_HEADER_LEN + len - site.header_and(r#""x":"""#).len();
    assert_eq!(site.refusal(&filled(header(0), 0)).await, None);
    for over in 1..8 {
        assert_eq!(site.refusal(&filled(header(over), 0)).await, Some(R::HeaderTooLarge), "{over}");
    }
    // The depth: 16, the outermost object included.
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        (site.header_and(&format!(r#""x":{open}{close}"#)), site.claims_and(&format!(r#""x":{open}{close}"#)))
    };
    let (fits, over, far_over) = (deep(15), deep(16), deep(1000));
    assert_eq!(site.refusal(&site.jws(&fits.0, &fits.1)).await, None);
    for token in [
        site.jws(&over.0, &fits.1),
        site.jws(&fits.0, &over.1),
        site.jws(&far_over.0, &fits.1),
        site.jws(&fits.0, &far_over.1),
    ] {
        assert_eq!(site.refusal(&token).await, Some(R::StructureTooLarge));
    }
    // The members of one object: 256.
    let wide = |more: usize| (0..more).map(|n| format!(r#""x{n}":1"#)).collect::<Vec<_>>().join(",");
    assert_eq!(site.refusal(&site.jws(&site.header(), &site.claims_and(&wide(249)))).await, None);
    let over = site.jws(&site.header(), &site.claims_and(&wide(250)));
    assert_eq!(site.refusal(&over).await, Some(R::StructureTooLarge));
}

#[tokio::test]
async fn r7797_6_1_b64_is_refused() {
    let site = Site::new().await;
    for b64 in ["false", "true", "null", "0"] {
        let token = site.jws(&site.header_and(&format!(r#""b64":{b64}"#)), &site.claims());
        assert_eq!(site.refusal(&token).await, Some(R::UnencodedPayload), "{b64}");
        let token = site.jws(&site.header_and(&format!(r#""crit":["b64"],"b64":{b64}"#)), &site.claims());
        assert_eq!(site.refusal(&token).await, Some(R::CriticalHeader), "{b64}");
    }
    // An unencoded payload, as RFC 7797 section 4 would have it.
    let token = site.compact(&base64url(site.header_and(r#""b64":false,"crit":["b64"]"#)), &site.claims());
    assert!(site.refusal(&token).await.is_some());
}

/// RFC 7515 appendix A.3: a signature verifies whatever the payload means.
#[test]
fn r7515_a_3_the_example_verifies_and_is_no_access_token() {
    let jwks = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let keys = KeySet::parse(jwks, AlgorithmSet::ALL).unwrap();
    let token = UnverifiedToken::parse(text).unwrap();
    let key = keys.select(token.algorithm(), token.key_id()).unwrap();
    assert_eq!(token.verify_signature(key), Ok(()));
    assert!(from_base64url(text.split('.').nth(1).unwrap()) == token.payload().unwrap());
}
