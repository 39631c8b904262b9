//! One entry of a key set, read strictly (RFC 7517 section 4).

use std::{borrow::Cow, fmt};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    AlgorithmSet, SignatureAlgorithm, Thumbprint, VerifyingKey,
    rsa::{self, Weakness},
};

/// The longest `kid`, in octets, of a key and of a token.
pub(crate) const MAX_KEY_ID_LEN: usize = 256;

/// The most members of one JWK. Real keys have about ten.
const MAX_MEMBERS: usize = 64;

/// Members that hold private or symmetric key material (RFC 7518 sections
/// 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2).
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

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

/// Why an entry of a key set is not used. The rest of the set stays usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// The entry is no JSON object.
    NotAnObject,
    /// A member name occurs twice.
    DuplicateMember,
    /// A member that must be there is not, or one has the wrong JSON type.
    Malformed,
    /// The `kid` is longer than 256 octets.
    KeyIdTooLong,
    /// `kty` is none of `RSA`, `EC` and `OKP`.
    KeyTypeUnknown,
    /// `crv` is not a curve that we verify signatures on.
    CurveUnknown,
    /// `use` is not the one that is looked for: `sig`, or `jwt-svid` in the bundle
    /// of a SPIFFE trust domain.
    UseNotSignature,
    /// The entry has no `kid`, which a key for JWT-SVIDs must have.
    KeyIdMissing,
    /// `key_ops` lacks `verify`, repeats an operation, or contradicts `use`.
    OperationsNotVerify,
    /// The key belongs to another issuer of the same provider: its member
    /// `issuer` says so.
    IssuerMismatch,
    /// `alg` names no algorithm that we know, or not one for this type of key.
    AlgorithmUnfit,
    /// The issuer's configuration allows none of the key's algorithms.
    AlgorithmNotAllowed,
    /// The entry is a symmetric key, which a published set must never hold.
    Symmetric,
    /// The entry holds private members: the key is compromised (RFC 7517 section 9.2).
    PrivateMaterial,
    /// A value is not canonical base64url, or of the wrong length.
    EncodingInvalid,
    /// The values are no public key: a point that is not on the curve, for one.
    KeyInvalid,
    /// The RSA modulus is not of 2048 to 8192 bits (RFC 7518 section 3.3).
    RsaSize,
    /// The RSA exponent is even, below 65537 or above 2^32.
    RsaExponent,
    /// The RSA modulus can be factored (CVE-2017-15361, "ROCA").
    RsaModulusWeak,
}

impl SkipReason {
    /// A stable code in `snake_case`, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::DuplicateMember => "duplicate_member",
            Self::Malformed => "malformed",
            Self::KeyIdTooLong => "key_id_too_long",
            Self::KeyTypeUnknown => "key_type_unknown",
            Self::CurveUnknown => "curve_unknown",
            Self::UseNotSignature => "use_not_signature",
            Self::KeyIdMissing => "key_id_missing",
            Self::OperationsNotVerify => "operations_not_verify",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::AlgorithmUnfit => "algorithm_unfit",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::Symmetric => "symmetric",
            Self::PrivateMaterial => "private_material",
            Self::EncodingInvalid => "encoding_invalid",
            Self::KeyInvalid => "key_invalid",
            Self::RsaSize => "rsa_size",
            Self::RsaExponent => "rsa_exponent",
            Self::RsaModulusWeak => "rsa_modulus_weak",
        }
    }

    /// Whether the set publishes something that its issuer must keep secret:
    /// tell the issuer's operator.
    #[must_use]
    pub const fn is_exposed_secret(self) -> bool {
        matches!(self, Self::Symmetric | Self::PrivateMaterial)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Weakness> for SkipReason {
    fn from(weakness: Weakness) -> Self {
        match weakness {
            Weakness::Malformed => Self::EncodingInvalid,
            Weakness::Size => Self::RsaSize,
            Weakness::Exponent => Self::RsaExponent,
            Weakness::Roca => Self::RsaModulusWeak,
        }
    }
}

/// An entry of a key set that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedKey {
    /// The entry's `kid`, if it has a well-formed one.
    pub kid: Option<String>,
    /// Why it is not used.
    pub reason: SkipReason,
}

/// What the keys of a set are for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// JWS of anybody, or of one issuer.
    Signatures { issuer: Option<&'a str> },
    /// JWT-SVIDs of one trust domain (JWT-SVID section 6).
    JwtSvids,
}

/// Reads one entry: a verifying key for each algorithm of `allowed` that it can serve, at least one.
pub(super) fn parse(
    entry: &str,
    allowed: AlgorithmSet,
    purpose: Purpose<'_>,
) -> Result<Vec<VerifyingKey>, SkippedKey> {
    if !entry.starts_with('{') {
        return Err(SkippedKey { kid: None, reason: SkipReason::NotAnObject });
    }
    let members: Members<'_> = match serde_json::from_str(entry) {
        Ok(members) => members,
        // What is wrong with the JSON of one key is of no use to anybody but its publisher.
        Err(_) => return Err(SkippedKey { kid: None, reason: SkipReason::Malformed }),
    };
    let kid = members.string("kid");
    let skip = |reason| SkippedKey {
        kid: kid.clone().ok().flatten().filter(|kid| kid.len() <= MAX_KEY_ID_LEN),
        reason,
    };
    if members.has_duplicates {
        return Err(skip(SkipReason::DuplicateMember));
    }
    match &kid {
        Ok(kid) => members
            .check_owner(purpose)
            .and_then(|()| members.verifying_keys(kid.as_deref(), allowed, purpose))
            .map_err(skip),
        Err(reason) => Err(skip(*reason)),
    }
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
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    has_duplicates: bool,
}

impl<'a> Members<'a> {
    /// The members of a JWK that is not from a set.
    fn single(jwk: &'a str) -> Result<Self, SkipReason> {
        if !jwk.trim_ascii_start().starts_with('{') {
            return Err(SkipReason::NotAnObject);
        }
        let members: Self = serde_json::from_str(jwk).or(Err(SkipReason::Malformed))?;
        if members.has_duplicates { Err(SkipReason::DuplicateMember) } else { Ok(members) }
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

    fn raw(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| value.get())
    }

    /// A member that is a string if it is there at all; `null` is no string.
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
        if SECRET_MEMBERS.iter().any(|secret| self.raw(secret).is_some()) {
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

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {MAX_MEMBERS} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut read = Members { members: Vec::new(), has_duplicates: false };
                while let Some(Name(name)) = map.next_key()? {
                    if read.members.len() == MAX_MEMBERS {
                        return Err(serde::de::Error::invalid_length(MAX_MEMBERS + 1, &self));
                    }
                    read.has_duplicates |= read.members.iter().any(|(member, _)| *member == name);
                    read.members.push((name, map.next_value()?));
                }
                Ok(read)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A member name, borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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
