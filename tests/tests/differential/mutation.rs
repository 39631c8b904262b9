//! Tokens that start good and are then changed by chance, from a fixed seed.

use integration_tests::AUDIENCE;
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::json;
use tower_delegation::clock::{Clock as _, SystemClock};
use tower_delegation_testing::{Algorithm, MockIdp, TokenBuilder};

/// Deterministic: the same mutations in every run; keys and times differ.
pub(crate) struct Dice(TestRng);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, b"differential test of our reading"))
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A token, and what was done to it.
pub(crate) fn mutated(idp: &MockIdp, dice: &mut Dice) -> (Vec<String>, String) {
    let mut done = Vec::new();
    // An RSA signature takes far longer than the others.
    let (algorithm, kid) = match dice.below(20) {
        0 => (Algorithm::Rs256, "rs256-1"),
        1..10 => (Algorithm::Es256, "es256-1"),
        _ => (Algorithm::EdDsa, "eddsa-1"),
    };
    let mut header =
        Members::of(&[("alg", &quoted(algorithm.as_str())), ("typ", r#""at+jwt""#), ("kid", &quoted(kid))]);
    let now = SystemClock::new().now().unix_seconds();
    let mut claims = Members::of(&[
        ("iss", &quoted(idp.issuer())),
        ("sub", r#""alice""#),
        ("aud", &quoted(AUDIENCE)),
        ("client_id", r#""shop-web""#),
        ("jti", r#""1""#),
        ("iat", &now.to_string()),
        ("exp", &(now + 300).to_string()),
    ]);
    let claim_values = claim_values(idp.issuer(), now);
    if dice.once_in(4) {
        let (name, values) = *dice.pick(HEADER_VALUES);
        done.push(format!("header: {}", header.mutate(dice, name, values)));
    }
    for _ in 0..dice.below(3) {
        let (name, values) = dice.pick(&claim_values).clone();
        done.push(format!("claims: {}", claims.mutate(dice, name, &values)));
    }
    let (mut header, mut claims) = (header.json(dice), claims.json(dice));
    if dice.once_in(20) {
        done.push(format!("header: {}", mutate_bytes(&mut header, dice)));
    }
    if dice.once_in(10) {
        done.push(format!("claims: {}", mutate_bytes(&mut claims, dice)));
    }
    let mut token = idp.token().algorithm(algorithm).header_json(header).claims_json(claims);
    if dice.once_in(15) {
        let (forgery, forge) = *dice.pick(FORGERIES);
        done.push(forgery.to_owned());
        token = forge(token);
    }
    let mut text = token.sign();
    if dice.once_in(6) {
        let (respelling, respell) = *dice.pick(RESPELLINGS);
        done.push(respelling.to_owned());
        text = respell(&text, dice);
    }
    (done, text)
}

/// The members of a JSON object: names, and values as JSON text.
struct Members(Vec<(String, String)>);

impl Members {
    fn of(members: &[(&str, &str)]) -> Self {
        Self(members.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Sets, adds or removes a member; `values` are divided by bars.
    fn mutate(&mut self, dice: &mut Dice, name: &str, values: &str) -> String {
        let values: Vec<&str> = values.split('|').map(str::trim).collect();
        let value = *dice.pick(&values);
        match dice.below(12) {
            0 => {
                let removed = self.0.remove(dice.below(self.0.len()));
                format!("without {}", removed.0)
            }
            1 => {
                let at = dice.below(self.0.len() + 1);
                self.0.insert(at, (name.to_owned(), value.to_owned()));
                format!("{name} {value} at {at}, perhaps twice")
            }
            _ => {
                self.0.retain(|(other, _)| other != name);
                self.0.push((name.to_owned(), value.to_owned()));
                format!("{name} {value}")
            }
        }
    }

    /// The object's text, now and then with space and escapes that mean nothing.
    fn json(&self, dice: &mut Dice) -> Vec<u8> {
        let space = if dice.once_in(10) { *dice.pick(&[" ", "\n\t", "\r\n"]) } else { "" };
        let members = self.0.iter().map(|(name, value)| {
            let name = if dice.once_in(100) { escaped(name) } else { name.clone() };
            format!("{space}\"{name}\"{space}:{space}{value}{space}")
        });
        let members: Vec<String> = members.collect();
        format!("{space}{{{}}}{space}", members.join(",")).into_bytes()
    }
}

/// Values as JSON text, divided by bars. Parameters whose value decides nothing
/// here (`jku` and the like, which name or bring a key) are given in the right
/// type only: we never read them.
const HEADER_VALUES: &[(&str, &str)] = &[
    (
        "alg",
        r#""ES256" | "RS256" | "EdDSA" | "Ed25519" | "HS256" | "none" | "NONE" | "es256" | "PS256" | "RS384"
        | "ES384" | "ES512" | "" | null | 1 | [] | ["ES256"] | "\u0045S256" | "ES256 ""#,
    ),
    (
        "typ",
        r#""JWT" | "AT+JWT" | "application/at+jwt" | "at+jwt " | "logout+jwt" | "" | "at\u002bjwt" | null | 1
        | ["at+jwt"]"#,
    ),
    (
        "kid",
        r#""es256-1" | "eddsa-1" | "rs256-1" | "es256-2" | "ES256-1" | "" | null | 1 | ["es256-1"]
        | "es256\u002d1" | "../../es256-1" | "es256-1\u0000""#,
    ),
    ("crit", r#"[] | ["exp"] | ["b64"] | ["x"] | null | "x" | {}"#),
    ("b64", "true | false | null"),
    ("cty", r#""JWT" | "application/json" | "jwt""#),
    ("zip", r#""DEF""#),
    ("jku", r#""https://evil.example/jwks""#),
    ("x5u", r#""https://evil.example/cert""#),
    ("jwk", r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#),
    ("iss", r#""https://evil.example" | "a""#),
    ("aud", r#""https://evil.example" | "https://orders.example.com" | []"#),
    ("x", r#"1e400 | "\ud800" | {"a":1,"a":2} | [[[[1]]]] | 1 | -0 | 1E2"#),
];

const NOT_TEXT: &str = r#"null | 1 | true | [] | {} | "" | "\ud800" | "a\u0000" | [""]"#;

const OTHER_TEXT: &str = r#""bob" | "b\u006fb" | "é" | "\ud83d\ude00""#;

const NOT_TIMES: &str = r#"0 | -1 | -0 | 1e400 | 1e30 | 9223372036854775807 | 18446744073709551615
    | 18446744073709551616 | 99999999999999 | null | true | [] | {} | """#;

/// Claims that do not hang on the issuer or the time.
const CLAIM_VALUES: &[(&str, &str)] = &[
    ("scope", r#""orders:read" | "a b" | "" | "a  b" | ["a"] | null"#),
    ("act", r#"{"sub":"bot"} | {"sub":"bot","act":{"sub":"b"}} | {} | null | "bot""#),
    ("cnf", r#"{} | null | {"jkt":"AA"} | "jkt""#),
    ("nonce", r#""n""#),
    ("events", "{}"),
    (
        "x",
        r#"1e400 | -1e400 | [1e400] | "\ud800" | ["\ud800"] | {"a":1,"a":2}
        | [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]] | [[1]] | -0 | 0.1 | 1E2 | [] | {} | true
        | 123456789012345678901234567890 | "\/\b\f" | {"\u0061":1,"a":2}"#,
    ),
];

/// Claims and their values. Times keep their distance from the edges of the
/// leeway, so that a slow machine changes no verdict.
fn claim_values(issuer: &str, now: i64) -> Vec<(&'static str, String)> {
    let (own_issuer, audience) = (quoted(issuer), quoted(AUDIENCE));
    let issuers = [
        quoted(&format!("{issuer}/")),
        quoted(&issuer.to_uppercase()),
        own_issuer.replacen('t', "\\u0074", 1),
        format!("[{own_issuer}]"),
        format!("[{own_issuer},\"https://evil.example\"]"),
        quoted("https://evil.example"),
        NOT_TEXT.to_owned(),
    ];
    let audiences = [
        format!("[{audience}]"),
        format!("[{audience},{audience}]"),
        format!("[\"a\",{audience}]"),
        format!("[{audience},1]"),
        format!("[{audience},null]"),
        format!("[[{audience}]]"),
        format!("{{{audience}:1}}"),
        audience.replacen('/', "\\/", 1),
        audience.to_uppercase(),
        quoted(&format!("{AUDIENCE}/")),
        quoted(&format!(" {AUDIENCE}")),
        quoted("https://evil.example"),
        NOT_TEXT.to_owned(),
    ];
    let times = |offsets: &[i64]| {
        let spellings = offsets.iter().map(|offset| {
            let time = now + offset;
            format!("{time} | {time} | {time}.5 | {time}e0 | {}e1 | \"{time}\"", time / 10)
        });
        let spellings: Vec<String> = spellings.chain([NOT_TIMES.to_owned()]).collect();
        spellings.join("|")
    };
    let mut values = vec![
        ("iss", issuers.join("|")),
        ("aud", audiences.join("|")),
        ("exp", times(&[-86400, -3600, -60, -15, 60, 3600, 86400])),
        ("nbf", times(&[-3600, -10, 5, 60, 3600])),
        ("iat", times(&[-3600, -10, 5, 60, 3600])),
    ];
    values.extend(["sub", "client_id", "jti"].map(|name| (name, format!("{OTHER_TEXT}|{NOT_TEXT}"))));
    values.extend(CLAIM_VALUES.iter().map(|(name, values)| (*name, (*values).to_owned())));
    values
}

/// Changes JSON text without regard to what it says.
fn mutate_bytes(json: &mut Vec<u8>, dice: &mut Dice) -> String {
    let at = dice.below(json.len());
    match dice.below(8) {
        0 => {
            json[at] = u8::try_from(dice.below(256)).unwrap();
            format!("byte {at} is {:#x}", json[at])
        }
        1 => {
            json.remove(at);
            format!("byte {at} is gone")
        }
        2 => {
            let byte = *dice.pick(b"\"\\{}[],:0-. \n\0\xff");
            json.insert(at, byte);
            format!("{byte:#x} before byte {at}")
        }
        3 => {
            json.truncate(at);
            format!("cut at {at}")
        }
        4 => {
            let tail = *dice.pick(&["{}", ",", "x", "\0", " ", "\n", "}", "//"]);
            json.extend(tail.as_bytes());
            format!("{tail:?} at the end")
        }
        5 => {
            let head = *dice.pick(&["\u{feff}", "[", " ", "\u{a0}", "0"]);
            json.splice(0..0, head.bytes());
            format!("{head:?} at the start")
        }
        6 => {
            let end = json.len() - 1;
            json.insert(end, b',');
            "a comma before the end".to_owned()
        }
        _ => {
            *json =
                dice.pick(&["", "null", "[]", "{}", "\"\"", "1", "true", "{", "{}{}"]).as_bytes().to_vec();
            "another document".to_owned()
        }
    }
}

type Forgery = (&'static str, fn(TokenBuilder) -> TokenBuilder);

const FORGERIES: &[Forgery] = &[
    ("another key", TokenBuilder::sign_with_other_key),
    ("tampered claims", TokenBuilder::tamper_payload),
    ("tampered signature", TokenBuilder::tamper_signature),
    ("unsigned", TokenBuilder::unsigned),
    ("HMAC with the public key", TokenBuilder::hmac_with_public_key),
    ("a signature of zeros", |token| token.signature([0; 64])),
    ("a signature of ones", |token| token.signature([0xff; 64])),
    ("a short signature", |token| token.signature([1; 63])),
    ("a long signature", |token| token.signature([1; 65])),
    ("a DER signature", |token| token.signature([0x30, 6, 2, 1, 1, 2, 1, 1])),
];

type Respelling = (&'static str, fn(&str, &mut Dice) -> String);

/// Changes to a finished token's text.
const RESPELLINGS: &[Respelling] = &[
    ("padded", |token, _| format!("{token}=")),
    ("padded twice", |token, _| format!("{token}==")),
    ("padded parts", |token, _| token.replace('.', "=.")),
    ("the other alphabet", |token, _| token.replace('-', "+").replace('_', "/")),
    ("a line break at the end", |token, _| format!("{token}\n")),
    ("a space at the start", |token, _| format!(" {token}")),
    ("a dot at the end", |token, _| format!("{token}.")),
    ("a dot at the start", |token, _| format!(".{token}")),
    ("dots doubled", |token, _| token.replace('.', "..")),
    ("twice", |token, _| format!("{token}.{token}")),
    ("five parts", |token, _| format!("{token}.AAAA.AAAA")),
    ("without the signature", |token, _| token.rsplit_once('.').unwrap().0.to_owned()),
    ("with an empty signature", |token, _| format!("{}.", token.rsplit_once('.').unwrap().0)),
    ("parts swapped", |token, _| {
        let parts: Vec<&str> = token.split('.').collect();
        format!("{}.{}.{}", parts[1], parts[0], parts[2])
    }),
    ("upper case", |token, _| token.to_uppercase()),
    ("the last character another", |token, dice| {
        let last = *dice.pick(BASE64URL);
        format!("{}{}", &token[..token.len() - 1], char::from(last))
    }),
    ("the last character of the claims another", |token, dice| {
        let (signing_input, signature) = token.rsplit_once('.').unwrap();
        let last = *dice.pick(BASE64URL);
        format!("{}{}.{signature}", &signing_input[..signing_input.len() - 1], char::from(last))
    }),
    ("a character another", |token, dice| {
        let at = dice.below(token.len());
        format!("{}{}{}", &token[..at], char::from(*dice.pick(BASE64URL)), &token[at + 1..])
    }),
    ("a character more", |token, dice| {
        let at = dice.below(token.len());
        format!("{}{}{}", &token[..at], char::from(*dice.pick(b"A_=. \t\0~")), &token[at..])
    }),
    ("a character less", |token, dice| {
        let at = dice.below(token.len());
        format!("{}{}", &token[..at], &token[at + 1..])
    }),
];

const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

/// The first character as an escape: another spelling of the same name.
fn escaped(name: &str) -> String {
    let first = name.as_bytes()[0];
    format!("\\u{first:04x}{}", &name[1..])
}
