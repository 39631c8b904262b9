//! The token in the head of a request, and the scheme that it comes by.

use http::{HeaderMap, Uri, header::AUTHORIZATION};

use super::{
    proof::DPOP,
    scheme::{ProtectionSpace, Scheme},
};
use crate::reason::DenialReason;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// The one credential that a request presents. Not longer than
/// [`MAX_TOKEN_LEN`]; what it consists of is looked at when it is
/// [read](Self::token).
#[derive(Clone, Copy)]
pub(crate) struct Credential<'a> {
    scheme: Scheme,
    token: &'a [u8],
}

/// The same, kept while the request waits.
pub(crate) struct OwnedCredential {
    scheme: Scheme,
    token: Box<[u8]>,
}

impl OwnedCredential {
    pub(crate) fn as_credential(&self) -> Credential<'_> {
        Credential { scheme: self.scheme, token: &self.token }
    }
}

/// What is wrong with the credentials of a request, and the scheme that they
/// come by, where there is one such scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CredentialError {
    pub(crate) reason: DenialReason,
    pub(crate) scheme: Option<Scheme>,
}

impl<'a> Credential<'a> {
    /// A token that came by other means than a request's head.
    pub(crate) fn new(token: &'a str) -> Result<Self, DenialReason> {
        if token.len() > MAX_TOKEN_LEN {
            Err(DenialReason::TokenTooLarge)
        } else {
            Ok(Self { scheme: Scheme::Bearer, token: token.as_bytes() })
        }
    }

    /// The scheme that the token comes by.
    pub(crate) fn scheme(self) -> Scheme {
        self.scheme
    }

    /// The same, to be kept.
    pub(crate) fn to_owned(self) -> OwnedCredential {
        OwnedCredential { scheme: self.scheme, token: self.token.into() }
    }

    /// The token exactly as it was sent.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.token
    }

    /// The token, if the credential is one `b64token`.
    pub(crate) fn token(self) -> Result<&'a str, DenialReason> {
        if !is_b64token(self.token) {
            return Err(DenialReason::CredentialsMalformed);
        }
        str::from_utf8(self.token).or(Err(DenialReason::CredentialsMalformed))
    }
}

/// Marks what a request presents as sensitive, also what is not looked at: middleware
/// behind the layer that prints the header fields then prints `Sensitive` for these,
/// and a proxy that hands them on over HTTP/2 leaves no trace of them in the
/// connection's table (RFC 7541 section 7.1.3).
pub(crate) fn mark_sensitive(headers: &mut HeaderMap) {
    // One pass: every value of a name is visited, and a map is never grown.
    for (name, value) in headers.iter_mut() {
        if name == AUTHORIZATION || name == DPOP {
            value.set_sensitive(true);
        }
    }
}

/// The one credential in the head of a request, or `None` if it carries none.
pub(crate) fn credential<'a>(
    headers: &'a HeaderMap,
    uri: &Uri,
    space: &ProtectionSpace,
) -> Result<Option<Credential<'a>>, CredentialError> {
    if uri.query().is_some_and(query_has_token) {
        // A method of the scheme `Bearer` (RFC 6750 section 2.3).
        let scheme = Some(Scheme::Bearer);
        return Err(CredentialError { reason: DenialReason::TokenInQuery, scheme });
    }
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_none() {
        return from_field(field.as_bytes(), space);
    }
    if headers.get_all(AUTHORIZATION).iter().any(|field| names_our_scheme(field.as_bytes())) {
        return Err(CredentialError { reason: DenialReason::CredentialsMultiple, scheme: None });
    }
    Ok(None)
}

fn from_field<'a>(
    field: &'a [u8],
    space: &ProtectionSpace,
) -> Result<Option<Credential<'a>>, CredentialError> {
    let scheme_len = field.iter().position(|b| !is_tchar(*b)).unwrap_or(field.len());
    let (scheme, rest) = field.split_at(scheme_len);
    let Some(scheme) = Scheme::from_name(scheme) else {
        // Credentials of another scheme are like none (RFC 6750 section 3.1).
        return if names_our_scheme(field) {
            Err(CredentialError { reason: DenialReason::CredentialsMalformed, scheme: None })
        } else {
            Ok(None)
        };
    };
    if !space.offers(scheme) {
        // To this service it is one scheme more that it does not know: no challenge
        // names an error (RFC 6750 section 3.1).
        return Err(CredentialError { reason: DenialReason::SchemeUnsupported, scheme: None });
    }
    let refused = |reason| Err(CredentialError { reason, scheme: Some(scheme) });
    let token = skip_spaces(rest);
    if token.len() > MAX_TOKEN_LEN {
        return refused(DenialReason::TokenTooLarge);
    }
    // Also where nothing follows the scheme: the client means to send a token.
    if token.is_empty() || token.len() == rest.len() {
        return refused(DenialReason::CredentialsMalformed);
    }
    Ok(Some(Credential { scheme, token }))
}

/// Does any of the elements of a field begin with a scheme of ours? Where it is not the
/// first, some hop has joined two fields, or has put something in front of one: two
/// readers could then see two different credentials.
fn names_our_scheme(field: &[u8]) -> bool {
    let mut is_quoted = false;
    let mut elements = field.split(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    });
    elements.any(|element| {
        let mut words = element.trim_ascii_start().split(u8::is_ascii_whitespace);
        words.next().and_then(Scheme::from_name).is_some()
    })
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

    type Read = Result<Option<(Scheme, String)>, DenialReason>;

    fn read(fields: &[&str], uri: &str) -> Read {
        read_at(&ProtectionSpace::new("api", Some("ES256".to_owned())), fields, uri)
    }

    fn read_at(space: &ProtectionSpace, fields: &[&str], uri: &str) -> Read {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        let credential = credential(&headers, &uri.parse().unwrap(), space).map_err(|error| error.reason)?;
        let Some(credential) = credential else { return Ok(None) };
        credential.token().map(|token| Some((credential.scheme(), token.to_owned())))
    }

    #[test]
    fn accepted() {
        use Scheme::{Bearer, Dpop};
        for (name, field, scheme) in [
            ("plain", "Bearer mF_9.B5f-4.1JqM", Bearer),
            ("lower case", "bearer mF_9.B5f-4.1JqM", Bearer),
            ("upper case", "BEARER mF_9.B5f-4.1JqM", Bearer),
            ("two spaces", "Bearer  mF_9.B5f-4.1JqM", Bearer),
            ("DPoP", "DPoP mF_9.B5f-4.1JqM", Dpop),
            ("DPoP in lower case", "dpop mF_9.B5f-4.1JqM", Dpop),
        ] {
            assert_eq!(read(&[field], "/"), Ok(Some((scheme, "mF_9.B5f-4.1JqM".to_owned()))), "{name}");
        }
        assert_eq!(read(&["Bearer a=="], "/"), Ok(Some((Bearer, "a==".to_owned()))));
        assert_eq!(read(&["Bearer a"], "/?q=access_token"), Ok(Some((Bearer, "a".to_owned()))));
    }

    #[test]
    fn no_credentials() {
        for (name, fields) in [
            ("no field", &[][..]),
            ("another scheme", &["Basic dXNlcjpwYXNz"]),
            ("a list of another scheme", &["Digest realm=\"a, Bearer b\", nonce=c"]),
            ("another scheme, and a word", &["Basic Bearer"]),
            ("two fields of other schemes", &["Basic eA==", "Negotiate"]),
            ("scheme without a separator", &["Bearerabc"]),
            ("a parameter like the scheme", &["Digest a=b, bearer=c"]),
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
            ("two fields of both schemes", &["Bearer a", "DPoP b"], "/", R::CredentialsMultiple),
            ("two tokens", &["Bearer a b"], "/", R::CredentialsMalformed),
            ("two tokens of DPoP", &["DPoP a b"], "/", R::CredentialsMalformed),
            ("a list", &["Bearer a, Bearer b"], "/", R::CredentialsMalformed),
            ("a list of both schemes", &["DPoP a, Bearer b"], "/", R::CredentialsMalformed),
            ("nothing behind the scheme", &["Bearer"], "/", R::CredentialsMalformed),
            ("only spaces behind the scheme", &["Bearer   "], "/", R::CredentialsMalformed),
            ("nothing behind DPoP", &["dpop"], "/", R::CredentialsMalformed),
            ("the scheme twice", &["Bearer", "Bearer"], "/", R::CredentialsMultiple),
            ("joined with another scheme", &["Basic eA==, Bearer a"], "/", R::CredentialsMalformed),
            ("joined, in another case", &["Basic eA==,bEARER  a"], "/", R::CredentialsMalformed),
            ("joined with DPoP", &["Digest a=\"b\", DPoP c"], "/", R::CredentialsMalformed),
            ("joined with an empty field", &[", Bearer a"], "/", R::CredentialsMalformed),
            ("a space before the scheme", &[" Bearer a"], "/", R::CredentialsMalformed),
            ("tab", &["Bearer\ta"], "/", R::CredentialsMalformed),
            ("space and tab", &["Bearer \ta"], "/", R::CredentialsMalformed),
            ("bad character", &["Bearer abc!"], "/", R::CredentialsMalformed),
            ("padding inside", &["Bearer a=b"], "/", R::CredentialsMalformed),
            ("only padding", &["Bearer =="], "/", R::CredentialsMalformed),
            ("not ASCII", &["Bearer a\u{e9}"], "/", R::CredentialsMalformed),
            ("trailing space", &["Bearer a "], "/", R::CredentialsMalformed),
            ("too long", &[long.as_str()], "/", R::TokenTooLarge),
            ("query", &[], "/?access_token=a", R::TokenInQuery),
            ("query beside the field", &["Bearer a"], "/?x=1&access_token=a", R::TokenInQuery),
            ("query, percent-encoded name", &[], "/?access%5Ftoken=a", R::TokenInQuery),
        ] {
            assert_eq!(read(fields, uri), Err(reason), "{name}");
        }
    }

    #[test]
    fn a_scheme_that_is_not_offered_is_refused() {
        let bearer_only = ProtectionSpace::new("api", None);
        for field in ["DPoP a", "dpop a", "DPoP", "DPoP ", "DPoP a b"] {
            assert_eq!(read_at(&bearer_only, &[field], "/"), Err(DenialReason::SchemeUnsupported), "{field}");
        }
        assert!(read_at(&bearer_only, &["Bearer a"], "/").unwrap().is_some());
    }
}
