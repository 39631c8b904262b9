//! One entry of a key set, read strictly (RFC 7517 section 4).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{
    AlgorithmSet, SignatureAlgorithm, SkipReason, SkippedKey, Thumbprint, VerifyingKey,
    hint::CertificateNames, rsa,
};
use crate::json;

/// The longest `kid`, in octets, of a key and of a token.
pub(crate) const MAX_KEY_ID_LEN: usize = 256;

/// The most members of one JWK. Real keys have about ten.
const MAX_MEMBERS: usize = 64;

/// The members that must stay secret, by type of key (RFC 7518 sections 6.2.2,
/// 6.3.2 and 6.4.1, RFC 8037 section 2). A member of that name in another type
/// of key is an unknown one.
const SECRET_MEMBERS: [(&str, &[&str]); 4] =
    [("RSA", &["d", "p", "q", "dp", "dq", "qi", "oth"]), ("EC", &["d"]), ("OKP", &["d"]), ("oct", &["k"])];

static RSA_ALGORITHMS: [(SignatureAlgorithm, &RsaParameters); 6] = [
    (SignatureAlgorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (SignatureAlgorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (SignatureAlgorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (SignatureAlgorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
    (SignatureAlgorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
    (SignatureAlgorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
];

/// A curve: its name, the length of a coordinate in octets, its algorithms.
struct Curve {
    name: &'static str,
    coordinate: usize,
    verification: &'static dyn VerificationAlgorithm,
    algorithms: &'static [SignatureAlgorithm],
}

static EC_CURVES: [Curve; 3] = [
    Curve {
        name: "P-256",
        coordinate: 32,
        verification: &ECDSA_P256_SHA256_FIXED,
        algorithms: &[SignatureAlgorithm::Es256],
    },
    Curve {
        name: "P-384",
        coordinate: 48,
        verification: &ECDSA_P384_SHA384_FIXED,
        algorithms: &[SignatureAlgorithm::Es384],
    },
    Curve {
        name: "P-521",
        coordinate: 66,
        verification: &ECDSA_P521_SHA512_FIXED,
        algorithms: &[SignatureAlgorithm::Es512],
    },
];

static EDWARDS_CURVES: [Curve; 1] = [Curve {
    name: "Ed25519",
    coordinate: 32,
    verification: &ED25519,
    algorithms: &[SignatureAlgorithm::EdDsa, SignatureAlgorithm::Ed25519],
}];

/// What the keys of a set are for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// Tokens of one issuer, or of any.
    Signatures { issuer: Option<&'a str> },
    /// JWT-SVIDs of one trust domain (JWT-SVID section 6).
    JwtSvids,
}

/// One entry of a key set that is used.
pub(super) struct Entry {
    /// One for each algorithm that the key may serve, at least one.
    pub(super) keys: Vec<VerifyingKey>,
    pub(super) certificates: CertificateNames,
}

/// Reads one entry: a verifying key for each algorithm of `allowed` that it can serve.
pub(super) fn parse(entry: &str, allowed: AlgorithmSet, purpose: Purpose<'_>) -> Result<Entry, SkippedKey> {
    let unreadable = |reason| SkippedKey { kid: None, reason, exposes_secret: false };
    if !entry.starts_with('{') {
        return Err(unreadable(SkipReason::NotAnObject));
    }
    // What is wrong with the JSON of one key helps no one but its publisher.
    let members = Members::read(entry).map_err(unreadable)?;
    let kid = members.string("kid");
    let skip = |reason| SkippedKey {
        kid: kid.clone().ok().flatten().filter(|kid| kid.len() <= MAX_KEY_ID_LEN),
        reason,
        exposes_secret: members.expose_secret(),
    };
    if members.has_duplicates {
        return Err(skip(SkipReason::DuplicateMember));
    }
    let kid = kid.as_ref().map_err(|reason| skip(*reason))?.as_deref();
    let keys = members
        .check_owner(purpose)
        .and_then(|()| members.verifying_keys(kid, allowed, purpose))
        .map_err(skip)?;
    // A malformed name of a certificate is none: the key is good without it.
    let certificate = |name| members.string(name).ok().flatten().filter(|name| name.len() <= MAX_KEY_ID_LEN);
    Ok(Entry { keys, certificates: CertificateNames::new(certificate("x5t"), certificate("x5t#S256")) })
}

/// A key that is not from a set.
const ANYBODY: Purpose<'_> = Purpose::Signatures { issuer: None };

/// Reads a single public key that is not from a set: as strictly, and for
/// exactly one algorithm; with its thumbprint.
pub(crate) fn public_key(
    jwk: &str,
    algorithm: SignatureAlgorithm,
) -> Result<(VerifyingKey, Thumbprint), SkipReason> {
    let members = Members::single(jwk)?;
    let allowed = [algorithm].into_iter().collect();
    let key = members.verifying_keys(None, allowed, ANYBODY)?.pop().ok_or(SkipReason::AlgorithmUnfit)?;
    Ok((key, members.thumbprint()?))
}

/// The SHA-256 thumbprint of a public key (RFC 7638): what `cnf.jkt` of a token
/// holds that is bound to that key (RFC 9449 section 6.1).
///
/// Only for keys that can verify a signature here, read as strictly as those of
/// a key set: one key has one spelling, hence one thumbprint (RFC 7638 section 7).
///
/// # Errors
/// Why the key would not be used.
///
/// # Example
/// The key and the thumbprint of RFC 8037 appendix A.3:
/// ```
/// use tower_delegation::jwks::thumbprint;
///
/// let jwk = r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// assert_eq!(thumbprint(jwk)?.to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
/// # Ok::<(), tower_delegation::jwks::SkipReason>(())
/// ```
pub fn thumbprint(jwk: &str) -> Result<Thumbprint, SkipReason> {
    let members = Members::single(jwk)?;
    members.verifying_keys(None, AlgorithmSet::ALL, ANYBODY)?;
    members.thumbprint()
}

/// The members of one JWK, each still as JSON text.
struct Members<'a> {
    members: json::Members<'a>,
    has_duplicates: bool,
}

impl<'a> Members<'a> {
    fn read(jwk: &'a str) -> Result<Self, SkipReason> {
        let members = json::members(jwk, MAX_MEMBERS).or(Err(SkipReason::Malformed))?;
        let has_duplicates = json::repeats_a_name(&members);
        Ok(Self { members, has_duplicates })
    }

    /// The members of a JWK that is not from a set.
    fn single(jwk: &'a str) -> Result<Self, SkipReason> {
        if !jwk.trim_ascii_start().starts_with('{') {
            return Err(SkipReason::NotAnObject);
        }
        let members = Self::read(jwk)?;
        if members.has_duplicates {
            return Err(SkipReason::DuplicateMember);
        }
        // A stranger's key: secrets of any type of key are a mistake of that stranger.
        let is_secret = |name: &str| SECRET_MEMBERS.iter().any(|(_, secrets)| secrets.contains(&name));
        if members.members.iter().any(|(name, _)| is_secret(name)) {
            return Err(SkipReason::PrivateMaterial);
        }
        Ok(members)
    }
}

impl Members<'_> {
    /// The thumbprint of a key that has been read: its values are canonical, so
    /// none of them needs an escape (RFC 7638 section 3).
    fn thumbprint(&self) -> Result<Thumbprint, SkipReason> {
        let member = |name| self.required(name);
        let kty = member("kty")?;
        let canonical = match kty.as_str() {
            "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, member("e")?, member("n")?),
            "EC" => {
                let (crv, x, y) = (member("crv")?, member("x")?, member("y")?);
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            "OKP" => format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, member("crv")?, member("x")?),
            _ => return Err(SkipReason::KeyTypeUnknown),
        };
        Ok(Thumbprint::of_canonical(&canonical))
    }

    /// A member's JSON. One that is `null` is absent: some publishers write out
    /// the members that a key does not have.
    fn raw(&self, name: &str) -> Option<&str> {
        let found = self.members.iter().find(|(member, _)| member == name);
        found.map(|(_, value)| value.get()).filter(|json| *json != "null")
    }

    /// The members that must stay secret, as far as they are there.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let kty = self.string("kty").ok().flatten();
        let names = SECRET_MEMBERS.iter().find(|(known, _)| kty.as_deref() == Some(known));
        names.into_iter().flat_map(|(_, names)| *names).filter_map(|name| self.raw(name))
    }

    /// Whether a secret is really published: an empty member gives nothing away.
    fn expose_secret(&self) -> bool {
        self.secrets().any(|json| !matches!(json, "\"\"" | "[]" | "{}"))
    }

    /// A member that is a string if it is there at all.
    fn string(&self, name: &str) -> Result<Option<String>, SkipReason> {
        self.raw(name).map(parse_member).transpose()
    }

    fn required(&self, name: &str) -> Result<String, SkipReason> {
        self.string(name)?.ok_or(SkipReason::Malformed)
    }

    fn octets(&self, name: &str) -> Result<Vec<u8>, SkipReason> {
        // Without padding and with zero trailing bits only: one key, one spelling.
        let text = self.required(name)?;
        URL_SAFE_NO_PAD.decode(text).or(Err(SkipReason::EncodingInvalid))
    }

    fn verifying_keys(
        &self,
        kid: Option<&str>,
        allowed: AlgorithmSet,
        purpose: Purpose<'_>,
    ) -> Result<Vec<VerifyingKey>, SkipReason> {
        if kid.is_some_and(|kid| kid.len() > MAX_KEY_ID_LEN) {
            return Err(SkipReason::KeyIdTooLong);
        }
        let kty = self.required("kty")?;
        if kty == "oct" {
            return Err(SkipReason::Symmetric);
        }
        if self.secrets().next().is_some() {
            return Err(SkipReason::PrivateMaterial);
        }
        self.check_purpose(purpose)?;
        if matches!(purpose, Purpose::JwtSvids) && kid.is_none() {
            return Err(SkipReason::KeyIdMissing);
        }
        match kty.as_str() {
            "RSA" => self.rsa_keys(kid, allowed),
            "EC" => {
                let curve = self.curve(&EC_CURVES)?;
                let (x, y) = (self.octets("x")?, self.octets("y")?);
                if x.len() != curve.coordinate || y.len() != curve.coordinate {
                    return Err(SkipReason::EncodingInvalid);
                }
                // The uncompressed point of SEC 1 section 2.3.3.
                self.curve_keys(curve, &[&[0x04], x.as_slice(), y.as_slice()].concat(), kid, allowed)
            }
            "OKP" => {
                let curve = self.curve(&EDWARDS_CURVES)?;
                let x = self.octets("x")?;
                if x.len() != curve.coordinate {
                    return Err(SkipReason::EncodingInvalid);
                }
                self.curve_keys(curve, &x, kid, allowed)
            }
            _ => Err(SkipReason::KeyTypeUnknown),
        }
    }

    /// The member `issuer`, which Microsoft Entra ID adds where one set serves
    /// many tenants: the issuer's identifier, or a template for it.
    fn check_owner(&self, purpose: Purpose<'_>) -> Result<(), SkipReason> {
        match (purpose, self.string("issuer")?) {
            (Purpose::Signatures { issuer: Some(issuer) }, Some(owner)) if !is_owner(&owner, issuer) => {
                Err(SkipReason::IssuerMismatch)
            }
            _ => Ok(()),
        }
    }

    /// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3). A bundle holds keys
    /// for other things too, so there `use` is never left out.
    fn check_purpose(&self, purpose: Purpose<'_>) -> Result<(), SkipReason> {
        let usage = self.string("use")?;
        let fits = match purpose {
            Purpose::Signatures { .. } => usage.as_deref().is_none_or(|usage| usage == "sig"),
            Purpose::JwtSvids => usage.as_deref() == Some("jwt-svid"),
        };
        if !fits {
            return Err(SkipReason::UseNotSignature);
        }
        let Some(operations) = self.raw("key_ops") else {
            return Ok(());
        };
        let operations: Vec<String> = parse_member(operations)?;
        let distinct = operations
            .iter()
            .enumerate()
            .all(|(at, one)| !operations.iter().skip(at + 1).any(|two| one == two));
        let agrees = usage.is_none()
            || operations.iter().all(|operation| matches!(operation.as_str(), "sign" | "verify"));
        if distinct && agrees && operations.iter().any(|operation| operation == "verify") {
            Ok(())
        } else {
            Err(SkipReason::OperationsNotVerify)
        }
    }

    fn curve(&self, curves: &'static [Curve]) -> Result<&'static Curve, SkipReason> {
        let name = self.required("crv")?;
        curves.iter().find(|curve| curve.name == name).ok_or(SkipReason::CurveUnknown)
    }

    /// Which of the algorithms of a key's type it may serve: the one that `alg`
    /// names, or without `alg` each one that is allowed.
    fn admitted(
        &self,
        fitting: impl Iterator<Item = SignatureAlgorithm>,
        allowed: AlgorithmSet,
    ) -> Result<AlgorithmSet, SkipReason> {
        let mut fitting: AlgorithmSet = fitting.collect();
        if let Some(name) = self.string("alg")? {
            let pinned =
                SignatureAlgorithm::from_name(&name).filter(|algorithm| fitting.contains(*algorithm));
            fitting = [pinned.ok_or(SkipReason::AlgorithmUnfit)?].into_iter().collect();
        }
        let admitted: AlgorithmSet =
            fitting.iter().filter(|algorithm| allowed.contains(*algorithm)).collect();
        if admitted.is_empty() { Err(SkipReason::AlgorithmNotAllowed) } else { Ok(admitted) }
    }

    fn rsa_keys(&self, kid: Option<&str>, allowed: AlgorithmSet) -> Result<Vec<VerifyingKey>, SkipReason> {
        let admitted = self.admitted(RSA_ALGORITHMS.iter().map(|(algorithm, _)| *algorithm), allowed)?;
        let components = RsaPublicKeyComponents { n: self.octets("n")?, e: self.octets("e")? };
        rsa::check(&components.n, &components.e)?;
        RSA_ALGORITHMS
            .iter()
            .filter(|(algorithm, _)| admitted.contains(*algorithm))
            .map(|(algorithm, parameters)| {
                let key = components.to_parsed_public_key(parameters).or(Err(SkipReason::KeyInvalid))?;
                Ok(VerifyingKey::new(*algorithm, kid, key))
            })
            .collect()
    }

    fn curve_keys(
        &self,
        curve: &Curve,
        point: &[u8],
        kid: Option<&str>,
        allowed: AlgorithmSet,
    ) -> Result<Vec<VerifyingKey>, SkipReason> {
        let admitted = self.admitted(curve.algorithms.iter().copied(), allowed)?;
        // aws-lc checks that the point is on the curve (RFC 8725 section 3.4).
        let key = ParsedPublicKey::new(curve.verification, point).or(Err(SkipReason::KeyInvalid))?;
        Ok(admitted.iter().map(|algorithm| VerifyingKey::new(algorithm, kid, key.clone())).collect())
    }
}

/// `{tenantid}` stands for one segment of the issuer's path.
fn is_owner(owner: &str, issuer: &str) -> bool {
    let Some((before, after)) = owner.split_once("{tenantid}") else { return owner == issuer };
    let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    tenant.is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/'))
}

fn parse_member<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, SkipReason> {
    serde_json::from_str(json).or(Err(SkipReason::Malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_serves_the_issuer_that_it_names() {
        const ISSUER: &str = "https://login.example/t1/v2.0";
        for (owner, expected) in [
            ("https://login.example/t1/v2.0", true),
            ("https://login.example/{tenantid}/v2.0", true),
            ("https://login.example/t2/v2.0", false),
            ("https://login.example/t1/v2.0/", false),
            ("https://login.example/{tenantid}/", false),
            ("https://other.example/{tenantid}/v2.0", false),
            ("https://login.example/t1/v2.0{tenantid}", false),
            ("https://{tenantid}", false),
            ("", false),
        ] {
            assert_eq!(is_owner(owner, ISSUER), expected, "{owner}");
        }
    }

    #[test]
    fn keys_of_other_issuers_are_skipped() {
        // The key of RFC 8037 appendix A.2.
        let key = |member: &str| {
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"{member}}}"#
            )
        };
        let issuer = Some("https://idp.example.com");
        for (name, member, issuer, reason) in [
            ("no owner", "", issuer, None),
            ("the owner", r#","issuer":"https://idp.example.com""#, issuer, None),
            ("another", r#","issuer":"https://idp.example.org""#, issuer, Some(SkipReason::IssuerMismatch)),
            ("no string", r#","issuer":1"#, issuer, Some(SkipReason::Malformed)),
            ("nobody asks", r#","issuer":"https://idp.example.org""#, None, None),
        ] {
            let read = parse(&key(member), AlgorithmSet::ALL, Purpose::Signatures { issuer });
            assert_eq!(read.err().map(|skipped| skipped.reason), reason, "{name}");
        }
    }
}
