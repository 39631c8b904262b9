//! Names of header fields in a configuration, and those that none may take.

use http::HeaderName;

use crate::error::ConfigError;

/// Fields with a meaning of their own. No setting that names a header field takes
/// one of them: what is read as an identity is also removed from requests, and what
/// any hop may add to tells nothing of who sent the request.
const RESERVED: [&str; 35] = [
    // Credentials: to read them as something else leaks them, to remove them loses them.
    "authorization",
    "proxy-authorization",
    "dpop",
    "cookie",
    // Whom the request is for, and what its body is: a handler that loses one of
    // these reads another request.
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "expect",
    "range",
    "origin",
    // Between two hops only (RFC 9110 section 7.6.1): the next one drops or rewrites them.
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "proxy-authenticate",
    "max-forwards",
    // Lists that every proxy on the way adds to, beginning with what the client wrote.
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-real-ip",
    // This library's own answers, and preconditions that handlers decide by.
    "dpop-nonce",
    "www-authenticate",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];

/// The header field that a setting names, for `purpose`.
///
/// # Errors
/// The text is no name of a header field, or the field has a meaning of its own, in
/// any spelling: programs that hand fields on as variables make one name of
/// `content-length` and `content_length`.
pub(crate) fn configured_header(name: &str, purpose: &'static str) -> Result<HeaderName, ConfigError> {
    let header: HeaderName =
        name.parse().map_err(|_cause| ConfigError::InvalidHeaderName { name: name.into() })?;
    let problem = "the field has a meaning of its own: name one that carries nothing else";
    if is_reserved(&header) {
        return Err(ConfigError::InvalidHeader { header: name.into(), purpose, problem });
    }
    Ok(header)
}

fn is_reserved(header: &HeaderName) -> bool {
    let name = header.as_str().as_bytes();
    RESERVED.iter().any(|reserved| reserved.bytes().eq(name.iter().map(|byte| folded(*byte))))
}

/// One byte of a name, as programs that hand fields on as variables read it.
/// `HeaderName` is in lower case already.
pub(super) fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_in_every_spelling() {
        for reserved in RESERVED {
            for spelled in [reserved.to_owned(), reserved.to_uppercase(), reserved.replace('-', "_")] {
                let error = configured_header(&spelled, "tests").unwrap_err();
                assert!(matches!(error, ConfigError::InvalidHeader { .. }), "{spelled}: {error}");
            }
            assert_eq!(reserved.bytes().map(folded).collect::<Vec<_>>(), reserved.as_bytes(), "{reserved}");
        }
        for free in ["ssl-client-cert", "x-jwt-svid", "x-tenant", "x-authorization", "hosts", "client-cert"] {
            assert_eq!(configured_header(free, "tests").unwrap(), free);
        }
        for wrong in ["", "two words", "a:b", "h\u{e4}"] {
            let error = configured_header(wrong, "tests").unwrap_err();
            assert!(matches!(error, ConfigError::InvalidHeaderName { .. }), "{wrong:?}: {error}");
        }
    }
}
