//! Nonces of this service (RFC 9449 sections 8 and 9).

use std::{fmt, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;

use crate::{
    clock::Timestamp,
    error::{ConfigError, Mistakes},
    reason::DenialReason,
};

/// How long one nonce is given out where nothing else is set.
const DEFAULT_ROTATION: Duration = Duration::from_secs(120);

/// The shortest key, in bytes: as long as what it protects (RFC 2104 section 3).
const MIN_KEY_LEN: usize = 32;

/// Keeps a nonce of ours from being anything else that someone signs with the same key.
const CONTEXT: &[u8] = b"tower-delegation DPoP nonce of a resource server";

const PERIOD_LEN: usize = 8;
const TAG_LEN: usize = 16;
const NONCE_LEN: usize = PERIOD_LEN + TAG_LEN;

/// Demands that proofs carry a nonce of this service, and says how nonces are made.
///
/// A nonce is the number of a period of time and a tag of it, HMAC-SHA-256 under
/// a secret key: nothing is stored, and no one else can make one. Each is given
/// out for one period, two minutes by default, and accepted to the end of the
/// next one. A client that uses the former one is served, and gets the new one
/// with the response, unless the service lets that response be cached.
///
/// The nonce says when a proof was made, so that the client's clock does not
/// matter: `iat` is not judged (RFC 9449 section 4.3, check 11). Used proofs are
/// remembered for as long as their nonce is accepted, up to twice the rotation: a
/// store of 500,000 then takes 2,000 new proofs a second by default, not 7,000, and
/// one key's share of it 200, not 700.
///
/// Without keys, this process makes its own at random: a nonce of one replica is
/// then none of another's. With keys, replicas that have the same accept each
/// other's nonces.
#[derive(Clone)]
#[must_use]
pub struct DpopNonces {
    keys: Option<Vec<Box<[u8]>>>,
    rotation: Duration,
}

impl DpopNonces {
    /// Nonces of this process only.
    pub fn new() -> Self {
        Self { keys: None, rotation: DEFAULT_ROTATION }
    }

    /// Nonces under secret keys of at least 32 random bytes. The first key makes
    /// nonces, the others are accepted too: to replace a key without refusals, give
    /// the new one second, later first, and then leave the old one out.
    pub fn with_keys<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Self {
        let keys = keys.into_iter().map(|key| key.as_ref().into()).collect();
        Self { keys: Some(keys), rotation: DEFAULT_ROTATION }
    }

    /// How long one nonce is given out; it is accepted for up to twice as long.
    /// Default 120 s, from 10 s to 3600 s.
    pub fn rotate_every(mut self, rotation: Duration) -> Self {
        self.rotation = rotation;
        self
    }

    /// Whether everything can be used.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        if !(10..=3600).contains(&self.rotation.as_secs()) {
            mistakes.add(ConfigError::OutOfRange {
                setting: "rotate_every",
                value: self.rotation.as_secs(),
                expected: "from 10 to 3600 s",
            });
        }
        let is_weak = |keys: &[Box<[u8]>]| keys.is_empty() || keys.iter().any(|key| key.len() < MIN_KEY_LEN);
        if self.keys.as_deref().is_some_and(is_weak) {
            let problem = "nonces need at least one key, and each of at least 32 random bytes".to_owned();
            mistakes.add(ConfigError::InvalidDpop { problem });
        }
        mistakes.into_result()
    }

    pub(super) fn build(self) -> Result<NonceMint, ConfigError> {
        self.check()?;
        let keys = match self.keys {
            Some(keys) => keys,
            None => {
                let mut key = [0; MIN_KEY_LEN];
                let problem = "this machine gives no randomness for the key of nonces";
                rand::fill(&mut key).or(Err(ConfigError::InvalidDpop { problem: problem.to_owned() }))?;
                vec![key.into()]
            }
        };
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect();
        // At most 3600: it fits.
        let rotation = i64::try_from(self.rotation.as_secs()).unwrap_or(i64::MAX);
        Ok(NonceMint { keys, rotation })
    }
}

impl Default for DpopNonces {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DpopNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopNonces").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

/// A nonce of this service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AcceptedNonce {
    /// The one that the client should use next, if it is another.
    pub(super) next: Option<HeaderValue>,
    /// From here on it is refused.
    pub(super) accepted_until: Timestamp,
}

/// Makes nonces and knows them again.
pub(super) struct NonceMint {
    /// The first makes nonces; never empty.
    keys: Box<[hmac::Key]>,
    /// In seconds.
    rotation: i64,
}

impl NonceMint {
    /// The nonce of this period.
    pub(super) fn current(&self, now: Timestamp) -> Option<HeaderValue> {
        let period = self.period(now).to_be_bytes();
        let mut nonce = period.to_vec();
        nonce.extend(tag(self.keys.first()?, period)?);
        // base64url is `NQCHAR` throughout (RFC 9449 section 8.1).
        HeaderValue::try_from(URL_SAFE_NO_PAD.encode(nonce)).ok()
    }

    /// Is this a nonce of this or the former period? If it is the former's, the
    /// client should get the current one.
    pub(super) fn check(&self, nonce: Option<&str>, now: Timestamp) -> Result<AcceptedNonce, DenialReason> {
        let nonce = nonce.ok_or(DenialReason::DpopNonceMissing)?;
        let period = self.read(nonce).ok_or(DenialReason::DpopNonceNotAccepted)?;
        let next = match self.period(now).saturating_sub(period) {
            0 => None,
            1 => self.current(now),
            // Of a replica whose clock is a little ahead.
            -1 => None,
            _ => return Err(DenialReason::DpopNonceNotAccepted),
        };
        let end = period.saturating_add(2).saturating_mul(self.rotation);
        Ok(AcceptedNonce { next, accepted_until: Timestamp::from_unix_seconds(end) })
    }

    /// How long a nonce is accepted at the most: that of a replica whose clock is ahead
    /// has a whole period before it.
    pub(super) fn longest_acceptance(&self) -> Duration {
        Duration::from_secs(self.rotation.unsigned_abs()).saturating_mul(3)
    }

    /// The period of a nonce that was made under one of the keys.
    fn read(&self, nonce: &str) -> Option<i64> {
        let mut bytes = [0; NONCE_LEN];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(NONCE_LEN) {
            return None;
        }
        let (period, found) = bytes.split_first_chunk::<PERIOD_LEN>()?;
        let is_ours =
            |key| tag(key, *period).is_some_and(|expected| verify_slices_are_equal(&expected, found).is_ok());
        self.keys.iter().any(is_ours).then(|| i64::from_be_bytes(*period))
    }

    fn period(&self, now: Timestamp) -> i64 {
        now.unix_seconds().div_euclid(self.rotation)
    }
}

impl fmt::Debug for NonceMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceMint").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

/// The leftmost half of the HMAC (RFC 2104 section 5).
fn tag(key: &hmac::Key, period: [u8; PERIOD_LEN]) -> Option<[u8; TAG_LEN]> {
    let mut context = hmac::Context::with_key(key);
    context.update(CONTEXT);
    context.update(&period);
    context.sign().as_ref().first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use DenialReason::{DpopNonceMissing as Missing, DpopNonceNotAccepted as NotAccepted};

    const ROTATION: i64 = 120;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(ROTATION * 15_000_000 + seconds)
    }

    fn nonce(mint: &NonceMint, seconds: i64) -> String {
        mint.current(at(seconds)).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_nonce_is_accepted_in_its_period_and_the_next() {
        let mint = DpopNonces::new().build().unwrap();
        let first = nonce(&mint, 0);
        assert_eq!(first, nonce(&mint, ROTATION - 1));
        assert_ne!(first, nonce(&mint, ROTATION));
        for (seconds, expected) in [
            (0, Ok(None)),
            (ROTATION - 1, Ok(None)),
            (ROTATION, Ok(mint.current(at(ROTATION)))),
            (2 * ROTATION - 1, Ok(mint.current(at(ROTATION)))),
            (2 * ROTATION, Err(NotAccepted)),
            (-1, Ok(None)),
            (-ROTATION - 1, Err(NotAccepted)),
        ] {
            let checked = mint.check(Some(&first), at(seconds));
            assert_eq!(checked.map(|nonce| nonce.next), expected, "{seconds}");
        }
        for seconds in [-1, 0, ROTATION, 2 * ROTATION - 1] {
            let until = mint.check(Some(&first), at(seconds)).unwrap().accepted_until;
            assert_eq!(until, at(2 * ROTATION), "{seconds}: to the very second in which it is refused");
        }
        assert_eq!(mint.check(None, at(0)), Err(Missing));
    }

    #[test]
    fn nobody_else_makes_nonces() {
        let mint = DpopNonces::new().build().unwrap();
        let ours = nonce(&mint, 0);
        let flipped = |index: usize| {
            let mut bytes = URL_SAFE_NO_PAD.decode(&ours).unwrap();
            bytes[index] ^= 1;
            URL_SAFE_NO_PAD.encode(bytes)
        };
        for (name, forged) in [
            ("another process", nonce(&DpopNonces::new().build().unwrap(), 0)),
            ("another period", flipped(PERIOD_LEN - 1)),
            ("another tag", flipped(NONCE_LEN - 1)),
            ("empty", String::new()),
            ("shorter", ours.get(..31).unwrap().to_owned()),
            ("longer", format!("{ours}A")),
            ("padded", format!("{ours}=")),
            ("standard alphabet", "+/".repeat(16)),
            ("long", "A".repeat(10_000)),
        ] {
            assert_eq!(mint.check(Some(&forged), at(0)), Err(NotAccepted), "{name}");
        }
    }

    #[test]
    fn replicas_with_the_same_keys_agree() {
        let (old, new) = ([1_u8; 32], [2_u8; 32]);
        let mint = |keys: &[[u8; 32]]| DpopNonces::with_keys(keys).build().unwrap();
        let before = nonce(&mint(&[old]), 0);
        let check = |mint: &NonceMint, nonce: &str| mint.check(Some(nonce), at(0)).map(|nonce| nonce.next);
        assert_eq!(check(&mint(&[old]), &before), Ok(None));
        assert_eq!(check(&mint(&[new, old]), &before), Ok(None));
        assert_eq!(check(&mint(&[new]), &before), Err(NotAccepted));
        assert_eq!(check(&mint(&[old, new]), &nonce(&mint(&[new, old]), 0)), Ok(None));
    }

    #[test]
    fn every_character_is_a_nqchar() {
        let mint = DpopNonces::new().build().unwrap();
        for period in 0..100 {
            let nonce = nonce(&mint, period * ROTATION);
            assert!(nonce.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)), "{nonce}");
            assert_eq!(nonce.len(), 32);
        }
    }

    #[test]
    fn keys_and_periods_are_checked() {
        let none: [[u8; 32]; 0] = [];
        assert!(DpopNonces::with_keys(none).build().is_err());
        assert!(DpopNonces::with_keys([[0; 31]]).build().is_err());
        for (seconds, is_good) in [(0, false), (9, false), (10, true), (3600, true), (3601, false)] {
            let nonces = DpopNonces::new().rotate_every(Duration::from_secs(seconds));
            assert_eq!(nonces.build().is_ok(), is_good, "{seconds}");
        }
        let shown = format!("{:?}", DpopNonces::with_keys([[b'k'; 32]]));
        assert_eq!(shown, "DpopNonces { rotation: 120s, .. }");
    }
}
