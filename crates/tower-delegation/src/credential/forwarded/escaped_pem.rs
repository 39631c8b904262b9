//! Percent-encoded PEM: nginx's `$ssl_client_escaped_cert`, and `Cert` and
//! `Chain` of Envoy's field.

use std::borrow::Cow;

use pem::{EncodeConfig, LineEnding, Pem};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// The certificates in `text` as DER, at least one.
///
/// A `+` stands for itself, not for a space. The PEM must be written as RFC 7468
/// section 3 has generators write it, with nothing before, between or behind the
/// certificates: whatever this reads, all other readers read the same.
pub(super) fn decode(text: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    let is_expected = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%+/=".contains(&byte);
    if !text.bytes().all(is_expected) {
        return Err(Refusal::malformed("the PEM is not percent-encoded"));
    }
    let text: Cow<'_, [u8]> = percent_decode_str(text).into();
    let certificates = pem::parse_many(&text).map_err(|_cause| Refusal::malformed("there is no PEM"))?;
    let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let again: String = certificates.iter().map(|one| pem::encode_config(one, unix)).collect();
    // nginx ends with a line end, others do not.
    let is_same =
        |text: &[u8]| text.strip_suffix(b"\n").unwrap_or(text) == again.trim_end_matches('\n').as_bytes();
    if certificates.is_empty() || !is_same(&text) {
        return Err(Refusal::malformed("there is something else than certificates as PEM"));
    }
    if certificates.iter().any(|one| one.tag() != "CERTIFICATE" || one.headers().iter().next().is_some()) {
        return Err(Refusal::malformed("the PEM holds something else than a certificate"));
    }
    if certificates.iter().any(|one| one.contents().is_empty()) {
        return Err(Refusal::malformed("there is nothing in the PEM"));
    }
    Ok(certificates.into_iter().map(Pem::into_contents).collect())
}

/// The same where there must be exactly one.
pub(super) fn decode_one(text: &str) -> Result<Vec<u8>, Refusal> {
    let mut certificates = decode(text)?;
    match (certificates.pop(), certificates.is_empty()) {
        (Some(der), true) => Ok(der),
        _ => Err(Refusal::malformed("there are several certificates where one is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    /// Bytes whose base64 has every character of the alphabet, of several lines.
    fn der() -> Vec<u8> {
        (0..=255).chain([0xfb, 0xef, 0xbe]).collect()
    }

    fn pem() -> String {
        pem::encode_config(
            &Pem::new("CERTIFICATE", der()),
            EncodeConfig::new().set_line_ending(LineEnding::LF),
        )
    }

    fn escaped(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    #[test]
    fn what_nginx_and_envoy_send() {
        let envoy = pem().replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B").replace('/', "%2F");
        for (name, text) in [
            ("everything encoded", escaped(&pem())),
            ("lower case", escaped(&pem()).replace("%2B", "%2b")),
            ("no last line end", escaped(pem().trim_end())),
            ("a plus as itself", escaped(&pem()).replace("%2B", "+")),
            ("Envoy's way", envoy.replace('=', "%3D")),
        ] {
            assert_eq!(decode_one(&text).unwrap(), der(), "{name}");
        }
        assert_eq!(decode(&escaped(&(pem() + &pem()))).unwrap(), [der(), der()]);
    }

    #[test]
    fn refused() {
        let pem = pem();
        let good = escaped(&pem);
        let plus_as_space = escaped(&pem).replace("%20", "+");
        for (name, text) in [
            ("empty", String::new()),
            ("nothing", "(null)".to_owned()),
            ("nothing, encoded", escaped("(null)")),
            ("a placeholder", "$ssl_client_escaped_cert".to_owned()),
            ("another placeholder", "{http.request.tls.client.certificate_pem}".to_owned()),
            ("not encoded", pem.clone()),
            ("folded", pem.replace('\n', "\n\t")),
            ("folded, encoded", escaped(&pem.replace('\n', "\n\t"))),
            ("spaces for line ends", pem.replace('\n', " ")),
            ("spaces for line ends, encoded", escaped(&pem.replace('\n', " "))),
            ("no line ends", escaped(&pem.replace('\n', ""))),
            ("other line ends", escaped(&pem.replace('\n', "\r\n"))),
            ("a blank line", escaped(&pem.replacen('\n', "\n\n", 1))),
            ("encoded twice", escaped(&good)),
            ("a cut escape", good.strip_suffix("0A").unwrap().to_owned()),
            ("no escape", good.replacen("%0A", "%0G", 1)),
            ("plus as a space", plus_as_space),
            ("something before", escaped(&format!("x\n{pem}"))),
            ("something behind", escaped(&format!("{pem}x"))),
            ("a line end too many", escaped(&format!("{pem}\n"))),
            ("two", escaped(&(pem.clone() + &pem))),
            ("another thing", escaped(&pem.replace("CERTIFICATE", "PRIVATE KEY"))),
            ("two ends", escaped(&pem.replacen("CERTIFICATE", "PUBLIC KEY", 1))),
            ("a header", escaped(&pem.replacen('\n', "\nProc-Type: 4\n\n", 1))),
            ("cut short", escaped(pem.get(..100).unwrap())),
            ("no certificate in it", escaped("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")),
            ("no UTF-8", good.replacen("%0A", "%FF", 1)),
        ] {
            assert!(decode_one(&text).is_err(), "{name}");
        }
    }
}
