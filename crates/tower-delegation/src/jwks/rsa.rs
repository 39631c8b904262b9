//! Which RSA public keys are sound enough to trust a signature to.

/// The smallest modulus: 2048 bits (RFC 7518 section 3.3).
const MIN_MODULUS_BITS: usize = 2048;

/// The largest modulus. Verification time grows with the square of the size:
/// a larger key would let a key set buy CPU time with every token.
const MAX_MODULUS_BITS: usize = 8192;

/// The smallest public exponent. `e = 1` makes every padded message its own
/// signature, and small odd exponents turn padding slips into forgeries.
const MIN_EXPONENT: u64 = 65_537;

/// The largest public exponent, as for the size of the modulus.
const MAX_EXPONENT: u64 = 1 << 32;

/// The generator that `RSALib` built its primes from (CVE-2017-15361).
const ROCA_GENERATOR: u32 = 65_537;

/// The odd primes up to 353. For moduli of 992 bits and more `RSALib` used a
/// primorial with all of these as factors; a longer list would miss keys.
const ROCA_PRIMES: [u32; 70] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197, 199, 211, 223,
    227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307, 311, 313, 317, 331, 337, 347,
    349, 353,
];

/// What is wrong with an RSA public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    /// A component is empty, starts with a zero octet (RFC 7518 section
    /// 6.3.1.1), or the modulus is even.
    Malformed,
    /// The modulus is not of 2048 to 8192 bits.
    Size,
    /// The exponent is even, below 65537 or above 2^32.
    Exponent,
    /// The modulus bears the fingerprint of CVE-2017-15361 (ROCA): it can be factored.
    Roca,
}

/// Checks a modulus and an exponent, both big-endian as in a JWK.
pub(super) fn check(modulus: &[u8], exponent: &[u8]) -> Result<(), Weakness> {
    let (Some(&first), Some(&last)) = (modulus.first(), modulus.last()) else {
        return Err(Weakness::Malformed);
    };
    if first == 0 || last & 1 == 0 || matches!(exponent.first(), None | Some(0)) {
        return Err(Weakness::Malformed);
    }
    let bits = modulus.len() * 8 - first.leading_zeros() as usize;
    if !(MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&bits) {
        return Err(Weakness::Size);
    }
    // No leading zero, so more than eight octets are beyond the limit anyway.
    let value = if exponent.len() > 8 {
        u64::MAX
    } else {
        exponent.iter().fold(0, |n, octet| n << 8 | u64::from(*octet))
    };
    if value & 1 == 0 || !(MIN_EXPONENT..=MAX_EXPONENT).contains(&value) {
        return Err(Weakness::Exponent);
    }
    if has_roca_fingerprint(modulus) {
        return Err(Weakness::Roca);
    }
    Ok(())
}

/// The fingerprint test of Nemec et al., "The Return of Coppersmith's Attack"
/// (2017), section 2: both primes of a weak key are powers of 65537 modulo a
/// primorial, hence so is their product, modulo each prime of the primorial.
/// A sound modulus passes for all 70 primes with probability 2^-83.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    ROCA_PRIMES.iter().all(|prime| is_power_of_generator(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], divisor: u32) -> u32 {
    number.iter().fold(0, |rest, octet| (rest << 8 | u32::from(*octet)) % divisor)
}

fn is_power_of_generator(residue: u32, prime: u32) -> bool {
    let generator = ROCA_GENERATOR % prime;
    let mut power = 1;
    loop {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
        if power == 1 {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: &[u8] = &[1, 0, 1];

    /// An odd number of `bits` bits that is no multiple of a weak structure.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut n = vec![0x5b; bits.div_ceil(8)];
        n[0] = match bits % 8 {
            0 => 0x80,
            rest => 1 << (rest - 1),
        };
        n
    }

    #[test]
    fn sizes_and_exponents() {
        let good = modulus(2048);
        type Row<'a> = (&'a str, &'a [u8], &'a [u8], Result<(), Weakness>);
        let rows: &[Row<'_>] = &[
            ("2048 bits", &good, E, Ok(())),
            ("8192 bits", &modulus(8192), E, Ok(())),
            ("e of 32 bits", &good, &[0xff, 0xff, 0xff, 0xff], Ok(())),
            ("1024 bits", &modulus(1024), E, Err(Weakness::Size)),
            ("2047 bits", &modulus(2047), E, Err(Weakness::Size)),
            ("8193 bits", &modulus(8193), E, Err(Weakness::Size)),
            ("empty modulus", &[], E, Err(Weakness::Malformed)),
            ("leading zero", &[&[0], good.as_slice()].concat(), E, Err(Weakness::Malformed)),
            ("even modulus", &[&good[..255], &[2]].concat(), E, Err(Weakness::Malformed)),
            ("no exponent", &good, &[], Err(Weakness::Malformed)),
            ("zero-led exponent", &good, &[0, 1, 0, 1], Err(Weakness::Malformed)),
            ("e = 1", &good, &[1], Err(Weakness::Exponent)),
            ("e = 3", &good, &[3], Err(Weakness::Exponent)),
            ("e = 65536", &good, &[1, 0, 0], Err(Weakness::Exponent)),
            ("e = 2^32 + 1", &good, &[1, 0, 0, 0, 1], Err(Weakness::Exponent)),
            ("e of nine octets", &good, &[1, 0, 0, 0, 0, 0, 0, 0, 1], Err(Weakness::Exponent)),
        ];
        for (name, n, e, expected) in rows {
            assert_eq!(check(n, e), *expected, "{name}");
        }
    }

    #[test]
    fn membership_in_the_subgroup() {
        // Modulo 11 the powers of 65537 are 1 and 10; modulo 3 they are 1 and 2.
        let members: Vec<u32> = (0..11).filter(|residue| is_power_of_generator(*residue, 11)).collect();
        assert_eq!(members, [1, 10]);
        assert!(!is_power_of_generator(0, 3));
        assert!(is_power_of_generator(2, 3));
    }

    #[test]
    fn a_power_of_the_generator_bears_the_fingerprint() {
        // 65537^129 = (2^16 + 1)^129 has 2065 bits; it is in every subgroup by construction.
        let mut power = vec![1_u8];
        for _ in 0..129 {
            let mut sum = [power.as_slice(), &[0, 0]].concat();
            let mut carry = 0;
            let offset = sum.len() - power.len();
            for index in (0..sum.len()).rev() {
                let addend = index.checked_sub(offset).map_or(0, |at| u16::from(power[at]));
                let total = u16::from(sum[index]) + addend + carry;
                sum[index] = u8::try_from(total & 0xff).unwrap();
                carry = total >> 8;
            }
            assert_eq!(carry, 0);
            power = sum;
        }
        assert_eq!(check(&power, E), Err(Weakness::Roca));
        let last = power.len() - 1;
        power[last] ^= 2;
        assert_eq!(check(&power, E), Ok(()), "one bit away");
    }
}
