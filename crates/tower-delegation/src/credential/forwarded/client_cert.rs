//! `Client-Cert` and `Client-Cert-Chain` (RFC 9440).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::refusal::Refusal;

/// The certificates as DER, the client's own first; `None` without any.
///
/// 9440-2.2-1: `Client-Cert` is one Item in one line. 9440-2.3-1:
/// `Client-Cert-Chain` is a List, may be split into lines, and does not come
/// alone. Parameters are ignored.
pub(super) fn decode<'a>(
    client_cert: impl IntoIterator<Item = &'a HeaderValue>,
    chain: impl IntoIterator<Item = &'a HeaderValue>,
) -> Result<Option<Vec<Vec<u8>>>, Refusal> {
    let (mut lines, mut chain) = (client_cert.into_iter(), chain.into_iter().peekable());
    let (leaf, chain) = match (lines.next(), lines.next(), chain.peek()) {
        (None, _, None) => return Ok(None),
        (None, _, Some(_)) => return Err(Refusal::malformed("Client-Cert-Chain comes without Client-Cert")),
        (Some(_), Some(_), _) => return Err(Refusal::malformed("Client-Cert stands there twice")),
        (Some(leaf), None, _) => (leaf, chain),
    };
    let mut certificates = vec![leaf_of(leaf)?];
    for line in chain {
        let before = certificates.len();
        list_of(line, &mut certificates)?;
        if certificates.len() == before {
            return Err(Refusal::malformed("a line of Client-Cert-Chain is empty"));
        }
    }
    Ok(Some(certificates))
}

fn leaf_of(line: &HeaderValue) -> Result<Vec<u8>, Refusal> {
    let item: Item = Parser::new(line.as_bytes())
        .parse()
        .map_err(|_cause| Refusal::malformed("Client-Cert is not an Item (RFC 9651)"))?;
    byte_sequence(item, line.as_bytes()).map(|(der, _rest)| der)
}

fn list_of(line: &HeaderValue, certificates: &mut Vec<Vec<u8>>) -> Result<(), Refusal> {
    let list: List = Parser::new(line.as_bytes())
        .parse()
        .map_err(|_cause| Refusal::malformed("Client-Cert-Chain is not a List (RFC 9651)"))?;
    let mut rest = line.as_bytes();
    for entry in list {
        let ListEntry::Item(item) = entry else {
            return Err(Refusal::malformed("a member of Client-Cert-Chain is an inner list"));
        };
        let (der, behind) = byte_sequence(item, rest)?;
        certificates.push(der);
        rest = behind;
    }
    Ok(())
}

/// The bytes of a Byte Sequence that begins in `text`, and the text behind it.
///
/// The parser forgives absent padding and loose bits, as RFC 9651 section 4.2.7
/// has it; a generator writes neither (section 4.1.8). Refused: who errs in
/// that may err in more.
fn byte_sequence(item: Item, text: &[u8]) -> Result<(Vec<u8>, &[u8]), Refusal> {
    let BareItem::ByteSequence(der) = item.bare_item else {
        return Err(Refusal::malformed("a certificate is not a Byte Sequence (RFC 9651)"));
    };
    if der.is_empty() {
        return Err(Refusal::malformed("a certificate is an empty Byte Sequence"));
    }
    let canonical = format!(":{}:", STANDARD.encode(&der));
    let behind = text
        .windows(canonical.len())
        .position(|window| window == canonical.as_bytes())
        .and_then(|start| text.get(start.saturating_add(canonical.len())..))
        .ok_or_else(|| Refusal::malformed("the base64 of a certificate is not canonical"))?;
    Ok((der, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_lines(lines: &[&str], chain: &[&str]) -> Option<Option<Vec<Vec<u8>>>> {
        let values = |lines: &[&str]| -> Vec<_> {
            lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect()
        };
        decode(&values(lines), &values(chain)).ok()
    }

    /// `aGVsbG8=` is `hello`, `d29ybGQ=` is `world`.
    #[test]
    fn good_fields() {
        let (hello, world) = (b"hello".to_vec(), b"world".to_vec());
        for (name, lines, chain, expected) in [
            ("none", &[][..], &[][..], None),
            ("a certificate", &[":aGVsbG8=:"], &[], Some(vec![hello.clone()])),
            ("parameters", &[":aGVsbG8=:;a=1;b=:d29ybGQ=:;c=\"x\""], &[], Some(vec![hello.clone()])),
            ("spaces around", &["  :aGVsbG8=:  "], &[], Some(vec![hello.clone()])),
            ("a chain", &[":aGVsbG8=:"], &[":d29ybGQ=:"], Some(vec![hello.clone(), world.clone()])),
            (
                "a chain in one line",
                &[":aGVsbG8=:"],
                &[":d29ybGQ=: ,\t:aGVsbG8=:;p"],
                Some(vec![hello.clone(), world.clone(), hello.clone()]),
            ),
            (
                "a chain in two lines",
                &[":aGVsbG8=:"],
                &[":d29ybGQ=:", ":d29ybGQ=:"],
                Some(vec![hello, world.clone(), world]),
            ),
        ] {
            assert_eq!(decode_lines(lines, chain).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn refused_fields() {
        for (name, lines, chain) in [
            ("empty", &[""][..], &[][..]),
            ("an empty sequence", &["::"], &[]),
            ("two lines", &[":aGVsbG8=:", ":aGVsbG8=:"], &[]),
            ("a list", &[":aGVsbG8=:, :aGVsbG8=:"], &[]),
            ("a comma", &[":aGVsbG8=:,"], &[]),
            ("no padding", &[":aGVsbG8:"], &[]),
            ("loose bits", &[":aGVsbG9=:"], &[]),
            ("base64url", &[":-_-_:"], &[]),
            ("no colons", &["aGVsbG8="], &[]),
            ("one colon", &[":aGVsbG8="], &[]),
            ("a space in it", &[":aGVs bG8=:"], &[]),
            ("a string", &["\"aGVsbG8=\""], &[]),
            ("a number", &["1"], &[]),
            ("an inner list", &["(:aGVsbG8=:)"], &[]),
            ("nothing", &["(null)"], &[]),
            ("a placeholder", &[":{http.request.tls.client.certificate_der_base64}:"], &[]),
            ("another placeholder", &["%[ssl_c_der,base64]"], &[]),
            (
                "escaped PEM",
                &["-----BEGIN%20CERTIFICATE-----%0AaGVsbG8%3D%0A-----END%20CERTIFICATE-----"],
                &[],
            ),
            ("PEM with spaces", &["-----BEGIN CERTIFICATE----- aGVsbG8= -----END CERTIFICATE-----"], &[]),
            ("something behind", &[":aGVsbG8=:x"], &[]),
            ("a chain alone", &[], &[":d29ybGQ=:"]),
            ("an empty chain", &[":aGVsbG8=:"], &[""]),
            ("an empty line of a chain", &[":aGVsbG8=:"], &[":d29ybGQ=:", ""]),
            ("an empty member", &[":aGVsbG8=:"], &[":d29ybGQ=:, ::"]),
            ("an inner list in a chain", &[":aGVsbG8=:"], &["(:d29ybGQ=: :d29ybGQ=:)"]),
            ("a token in a chain", &[":aGVsbG8=:"], &[":d29ybGQ=:, none"]),
            ("no padding in a chain", &[":aGVsbG8=:"], &[":d29ybGQ=:, :d29ybGQ:"]),
            ("a comma behind a chain", &[":aGVsbG8=:"], &[":d29ybGQ=:,"]),
        ] {
            assert_eq!(decode_lines(lines, chain), None, "{name}");
        }
    }
}
