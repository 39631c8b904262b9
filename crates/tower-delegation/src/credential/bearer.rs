//! The bearer token in the head of a request.

use http::{HeaderMap, Uri, header::AUTHORIZATION};

use crate::reason::DenialReason;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// The one credential that a request presents. Not longer than
/// [`MAX_TOKEN_LEN`]; what it consists of is looked at when it is
/// [read](Self::token).
#[derive(Clone, Copy)]
pub(crate) struct Credential<'a>(&'a [u8]);

impl<'a> Credential<'a> {
    /// A token that came by other means than a request's head.
    pub(crate) fn new(token: &'a str) -> Result<Self, DenialReason> {
        if token.len() > MAX_TOKEN_LEN {
            Err(DenialReason::TokenTooLarge)
        } else {
            Ok(Self(token.as_bytes()))
        }
    }

    /// The credential exactly as it was sent.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The token, if the credential is one `b64token`.
    pub(crate) fn token(self) -> Result<&'a str, DenialReason> {
        if !is_b64token(self.0) {
            return Err(DenialReason::CredentialsMalformed);
        }
        str::from_utf8(self.0).or(Err(DenialReason::CredentialsMalformed))
    }
}

/// The one credential in the head of a request, or `None` if it carries none.
pub(crate) fn bearer<'a>(headers: &'a HeaderMap, uri: &Uri) -> Result<Option<Credential<'a>>, DenialReason> {
    if uri.query().is_some_and(query_has_token) {
        return Err(DenialReason::TokenInQuery);
    }
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(DenialReason::CredentialsMultiple);
    }
    from_field(field.as_bytes())
}

fn from_field(field: &[u8]) -> Result<Option<Credential<'_>>, DenialReason> {
    let scheme_len = field.iter().position(|b| !is_tchar(*b)).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(scheme_len);
    if scheme.eq_ignore_ascii_case(b"DPoP") {
        return Err(DenialReason::SchemeUnsupported);
    }
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Ok(None);
    }
    let token = skip_spaces(rest);
    if token.len() > MAX_TOKEN_LEN {
        return Err(DenialReason::TokenTooLarge);
    }
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() == rest.len() {
        return Err(DenialReason::CredentialsMalformed);
    }
    Ok(Some(Credential(token)))
}

/// Without leading `SP`; a tab is no separator (RFC 6750 section 2.1: `1*SP`).
fn skip_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Percent-decodes names, so that `access%5Ftoken` is seen too.
fn query_has_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

/// The bytes that a `b64token` consists of, its padding aside. A table: every
/// token that is not known yet goes through it byte by byte.
const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    let mut rest = allowed.as_slice();
    while let [byte, tail @ ..] = rest {
        #[expect(clippy::indexing_slicing, reason = "a byte is always below 256; checked at compile time")]
        {
            table[*byte as usize] = true;
        }
        rest = tail;
    }
    table
};

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &[u8]) -> bool {
    let body_len = token.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let (body, _padding) = token.split_at(body_len);
    !body.is_empty() && body.iter().all(|b| TOKEN_BYTES.get(usize::from(*b)) == Some(&true))
}

/// `tchar`, RFC 9110 section 5.6.2.
fn is_tchar(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(fields: &[&str], uri: &str) -> Result<Option<String>, DenialReason> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        let credential = bearer(&headers, &uri.parse().unwrap())?;
        credential.map(|credential| credential.token().map(str::to_owned)).transpose()
    }

    #[test]
    fn accepted() {
        for (name, field) in [
            ("plain", "Bearer mF_9.B5f-4.1JqM"),
            ("lower case", "bearer mF_9.B5f-4.1JqM"),
            ("upper case", "BEARER mF_9.B5f-4.1JqM"),
            ("two spaces", "Bearer  mF_9.B5f-4.1JqM"),
        ] {
            assert_eq!(read(&[field], "/").unwrap().as_deref(), Some("mF_9.B5f-4.1JqM"), "{name}");
        }
        assert_eq!(read(&["Bearer a=="], "/").unwrap().as_deref(), Some("a=="));
        assert_eq!(read(&["Bearer a"], "/?q=access_token").unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn no_credentials() {
        for (name, fields) in [
            ("no field", &[][..]),
            ("another scheme", &["Basic dXNlcjpwYXNz"]),
            ("scheme without a separator", &["Bearerabc"]),
            ("nothing behind the scheme", &["Bearer"]),
            ("only spaces behind the scheme", &["Bearer "]),
            ("empty", &[""]),
        ] {
            assert_eq!(read(fields, "/"), Ok(None), "{name}");
        }
    }

    #[test]
    fn refused() {
        use DenialReason as R;
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_LEN + 1));
        for (name, fields, uri, reason) in [
            ("two fields", &["Bearer a", "Bearer b"][..], "/", R::CredentialsMultiple),
            ("two fields, one of another scheme", &["Bearer a", "Basic b"], "/", R::CredentialsMultiple),
            ("two tokens", &["Bearer a b"], "/", R::CredentialsMalformed),
            ("a list", &["Bearer a, Bearer b"], "/", R::CredentialsMalformed),
            ("tab", &["Bearer\ta"], "/", R::CredentialsMalformed),
            ("space and tab", &["Bearer \ta"], "/", R::CredentialsMalformed),
            ("bad character", &["Bearer abc!"], "/", R::CredentialsMalformed),
            ("padding inside", &["Bearer a=b"], "/", R::CredentialsMalformed),
            ("only padding", &["Bearer =="], "/", R::CredentialsMalformed),
            ("not ASCII", &["Bearer a\u{e9}"], "/", R::CredentialsMalformed),
            ("trailing space", &["Bearer a "], "/", R::CredentialsMalformed),
            ("too long", &[long.as_str()], "/", R::TokenTooLarge),
            ("DPoP", &["DPoP a"], "/", R::SchemeUnsupported),
            ("query", &[], "/?access_token=a", R::TokenInQuery),
            ("query beside the field", &["Bearer a"], "/?x=1&access_token=a", R::TokenInQuery),
            ("query, percent-encoded name", &[], "/?access%5Ftoken=a", R::TokenInQuery),
        ] {
            assert_eq!(read(fields, uri), Err(reason), "{name}");
        }
    }
}
