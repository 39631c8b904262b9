//! `x-forwarded-client-cert`, as Envoy and its kin write it.

use std::borrow::Cow;

/// The text of one `x-forwarded-client-cert` field, taken apart. Nothing in it
/// is true because it is here: see [`elements`](Self::elements).
///
/// 1. Elements stand apart by `,`, the pairs of an element by `;`, key and value
///    by the first `=`; not so inside of `"…"`. Keys in any case.
/// 2. A value in quotes begins and ends with them; `\"` inside is a quote, and no
///    other escape is undone.
/// 3. `Hash`, `Cert`, `Chain` and `Subject` at most once, `By`, `URI` and `DNS`
///    any number of times; unknown keys are passed over. An empty value is absent:
///    Envoy does write `URI=`.
/// 4. A quote that is not closed, or that is closed before the end of its value;
///    a pair without key or without `=`; an element without any known key; a
///    field without elements; a closing quote behind an escaped backslash, which
///    others take for an escaped quote: the whole field is refused.
///
/// ```
/// use tower_delegation::credential::Xfcc;
///
/// let field = Xfcc::parse(r#"Hash=00;URI=spiffe://td/forged,By=spiffe://td/us;Hash=01;Subject="O=A, Inc.""#)?;
/// let [left, nearest] = field.elements() else { panic!() };
/// assert_eq!(left.uris().collect::<Vec<_>>(), ["spiffe://td/forged"]);
/// assert_eq!((nearest.hash(), nearest.subject()), (Some("01"), Some("O=A, Inc.")));
/// # Ok::<_, tower_delegation::credential::XfccError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Xfcc<'a>(Vec<XfccElement<'a>>);

/// What one proxy says of its client.
#[derive(Clone, Debug, Default)]
pub struct XfccElement<'a> {
    by: Vec<Cow<'a, str>>,
    hash: Option<Cow<'a, str>>,
    cert: Option<Cow<'a, str>>,
    chain: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    uris: Vec<Cow<'a, str>>,
    dns_names: Vec<Cow<'a, str>>,
    /// `URI` and `DNS` pairs, empty ones too.
    name_pairs: usize,
    /// Whether the last pair is a `URI` or `DNS` pair without quotes.
    ends_with_plain_name: bool,
    /// How far the keys have come in Envoy's order.
    rank: Rank,
    is_in_order: bool,
}

/// The places of the keys in an element. Envoy writes its own values first and
/// the names of the client's certificate last, as they are: a key behind one of
/// a higher rank may be text of that certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// `By`, `Hash`, `Cert` and `Chain`: written by the proxy.
    #[default]
    Proxys,
    Subject,
    Uri,
    Dns,
}

/// Why a text is no `x-forwarded-client-cert` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct XfccError(&'static str);

impl XfccError {
    pub(super) fn problem(self) -> &'static str {
        self.0
    }
}

impl<'a> Xfcc<'a> {
    /// Takes the text of one field apart.
    ///
    /// # Errors
    /// The text breaks a rule; it is then good for nothing, also in part.
    pub fn parse(text: &'a str) -> Result<Self, XfccError> {
        pieces(text, b',')?.into_iter().map(XfccElement::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The elements in their order. Each proxy appends one, so the last was
    /// written by the nearest proxy, about its own client. Those on the left may
    /// have been written by any client.
    #[must_use]
    pub fn elements(&self) -> &[XfccElement<'a>] {
        &self.0
    }

    pub(super) fn into_elements(self) -> Vec<XfccElement<'a>> {
        self.0
    }
}

impl<'a> XfccElement<'a> {
    fn parse(text: &'a str) -> Result<Self, XfccError> {
        let mut element = Self { is_in_order: true, ..Self::default() };
        let mut has_known_key = false;
        for pair in pieces(text.trim_matches([' ', '\t']), b';')? {
            let (key, value) = pair.split_once('=').ok_or(XfccError("a pair has no equals sign"))?;
            let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if key.is_empty() || !key.bytes().all(is_key) {
                return Err(XfccError("a key is no word"));
            }
            let is_plain = !value.starts_with('"');
            let value = unquoted(value)?;
            element.ends_with_plain_name =
                is_plain && ["uri", "dns"].iter().any(|name| key.eq_ignore_ascii_case(name));
            has_known_key |= element.set(key, value)?;
        }
        if has_known_key { Ok(element) } else { Err(XfccError("an element has no known key")) }
    }

    /// Whether the key is a known one.
    fn set(&mut self, key: &str, value: Cow<'a, str>) -> Result<bool, XfccError> {
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        let rank = if is("uri") {
            Rank::Uri
        } else if is("dns") {
            Rank::Dns
        } else if is("subject") {
            Rank::Subject
        } else if ["by", "hash", "cert", "chain"].iter().any(|name| is(name)) {
            Rank::Proxys
        } else {
            return Ok(false);
        };
        self.name_pairs = self.name_pairs.saturating_add(usize::from(rank >= Rank::Uri));
        self.is_in_order &= self.rank <= rank;
        self.rank = self.rank.max(rank);
        let (one, several) = if is("hash") {
            (Some(&mut self.hash), None)
        } else if is("cert") {
            (Some(&mut self.cert), None)
        } else if is("chain") {
            (Some(&mut self.chain), None)
        } else if is("subject") {
            (Some(&mut self.subject), None)
        } else if is("by") {
            (None, Some(&mut self.by))
        } else if is("uri") {
            (None, Some(&mut self.uris))
        } else {
            (None, Some(&mut self.dns_names))
        };
        match (one, several) {
            (Some(Some(_)), _) => return Err(XfccError("a key that stands alone comes twice")),
            // Kept while it is empty too, so that it counts as the one that may be there.
            (Some(one), _) => *one = Some(value),
            (None, Some(several)) if !value.is_empty() => several.push(value),
            (None, _) => {}
        }
        Ok(true)
    }

    /// The URIs of the proxy's own certificate: who wrote this.
    #[must_use]
    pub fn by(&self) -> impl ExactSizeIterator<Item = &str> {
        self.by.iter().map(AsRef::as_ref)
    }

    /// The SHA-256 digest of the client certificate's DER, as it is written: in
    /// hex, or else not what it should be.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        present(self.hash.as_ref())
    }

    /// The client certificate, percent-encoded PEM.
    #[must_use]
    pub fn cert(&self) -> Option<&str> {
        present(self.cert.as_ref())
    }

    /// The client certificate and those above it, percent-encoded PEM.
    #[must_use]
    pub fn chain(&self) -> Option<&str> {
        present(self.chain.as_ref())
    }

    /// The subject of the client certificate, for people to read. Distinguished
    /// names have too many spellings to decide anything by.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        present(self.subject.as_ref())
    }

    /// The URIs of the client certificate.
    #[must_use]
    pub fn uris(&self) -> impl ExactSizeIterator<Item = &str> {
        self.uris.iter().map(AsRef::as_ref)
    }

    /// Whether the keys stand in Envoy's order: `By`, `Hash`, `Cert` and `Chain`
    /// in any order, then `Subject`, `URI`, `DNS`. Otherwise a name of the
    /// client's certificate may have supplied what follows it.
    pub(super) fn is_in_order(&self) -> bool {
        self.is_in_order
    }

    /// The URI, if it is the only name, as Envoy writes it. Envoy writes names as they
    /// are: a URI of `spiffe://…;DNS=…`, of `;URI=spiffe://…` or in quotes makes the
    /// text of other names than the certificate has. So the one pair with a name
    /// must be the last one, without quotes, and no empty one may come before it.
    pub(super) fn only_uri(&self) -> Option<&str> {
        self.uris().next().filter(|_| self.has_one_name())
    }

    /// The DNS name, by the same rule.
    pub(super) fn only_dns_name(&self) -> Option<&str> {
        self.dns_names().next().filter(|_| self.has_one_name())
    }

    fn has_one_name(&self) -> bool {
        self.name_pairs == 1 && self.ends_with_plain_name
    }

    /// The DNS names of the client certificate.
    #[must_use]
    pub fn dns_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.dns_names.iter().map(AsRef::as_ref)
    }
}

fn present<'a>(value: Option<&'a Cow<'_, str>>) -> Option<&'a str> {
    value.map(AsRef::as_ref).filter(|value| !value.is_empty())
}

/// What stands between the separators that are not in quotes.
fn pieces(text: &str, separator: u8) -> Result<Vec<&str>, XfccError> {
    let mut pieces = Vec::new();
    let (mut start, mut is_quoted, mut backslashes) = (0, false, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if is_quoted && !backslashes.is_multiple_of(2) => {}
            b'"' if is_quoted && backslashes > 0 => {
                return Err(XfccError("a closing quote stands behind an escaped backslash"));
            }
            b'"' => is_quoted = !is_quoted,
            _ if byte == separator && !is_quoted => {
                pieces.extend(text.get(start..at));
                start = at.saturating_add(1);
            }
            _ => {}
        }
        backslashes = if byte == b'\\' && is_quoted { backslashes.saturating_add(1) } else { 0 };
    }
    if is_quoted {
        return Err(XfccError("a quote is not closed"));
    }
    pieces.extend(text.get(start..));
    Ok(pieces)
}

fn unquoted(value: &str) -> Result<Cow<'_, str>, XfccError> {
    let Some(quoted) = value.strip_prefix('"') else {
        let has_quote = value.contains('"');
        return if has_quote { Err(XfccError("a quote stands within a value")) } else { Ok(value.into()) };
    };
    // Where the quotes close is known from taking the pairs apart; here only
    // that the first to close is the last character.
    let inner = quoted.strip_suffix('"').ok_or(XfccError("something stands behind a closing quote"))?;
    if inner.split("\\\"").any(|part| part.contains('"')) {
        return Err(XfccError("something stands behind a closing quote"));
    }
    Ok(if inner.contains('\\') { inner.replace("\\\"", "\"").into() } else { inner.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_element() {
        let text = r#"By=a;by=b;Hash=00;Cert="x%20y";Chain="c=d";Subject="CN=\"q\"\, O=1;2";URI=u;URI=v;DNS=n;New=1"#;
        let field = Xfcc::parse(text).unwrap();
        let [element] = field.elements() else { panic!("{field:?}") };
        assert_eq!(element.by().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(element.hash(), Some("00"));
        assert_eq!((element.cert(), element.chain()), (Some("x%20y"), Some("c=d")));
        assert_eq!(element.subject(), Some(r#"CN="q"\, O=1;2"#));
        assert_eq!(element.uris().collect::<Vec<_>>(), ["u", "v"]);
        assert_eq!(element.dns_names().collect::<Vec<_>>(), ["n"]);
    }

    /// What a name of the client's certificate can begin.
    #[test]
    fn pairs_behind_names_are_told_from_the_proxys_own() {
        for (text, is_in_order, uri, dns) in [
            ("By=a;Hash=1;Subject=\"s\";URI=u", true, Some("u"), None),
            ("Hash=1;By=a;Chain=c;Cert=d;URI=u", true, Some("u"), None),
            ("Hash=1;New=1;URI=u", true, Some("u"), None),
            ("Hash=1;DNS=n", true, None, Some("n")),
            ("Hash=1;URI=u;DNS=n", true, None, None),
            ("Hash=1;URI=u;DNS=", true, None, None),
            ("Hash=1;URI=u;New=1", true, None, None),
            ("Hash=1;URI=\"u\"", true, None, None),
            ("Hash=1;DNS=\"n\"", true, None, None),
            ("Hash=1;DNS=n;New=1", true, None, None),
            ("Hash=1;URI=;DNS=n", true, None, None),
            ("Hash=1;DNS=n;DNS=m", true, None, None),
            ("Hash=1;DNS=;DNS=m", true, None, None),
            ("Hash=1;URI=u;URI=v", true, None, None),
            ("Hash=1;URI=;URI=v", true, None, None),
            ("Hash=1;DNS=n;URI=u", false, None, None),
            ("Hash=1;URI=u;By=a", false, None, None),
            ("URI=u;Hash=1", false, None, None),
            ("Hash=1;DNS=n;Cert=c", false, None, None),
            ("Hash=1;DNS=n;Subject=s", false, None, None),
            ("Hash=1;Subject=s;Chain=c", false, None, None),
        ] {
            let field = Xfcc::parse(text).unwrap();
            let [element] = field.elements() else { panic!("{field:?}") };
            let read = (element.is_in_order(), element.only_uri(), element.only_dns_name());
            assert_eq!(read, (is_in_order, uri, dns), "{text}");
        }
    }

    #[test]
    fn empty_values_are_absent() {
        let field = Xfcc::parse(r#"By=;Hash=;Cert="";Chain=;Subject="";URI=;DNS="#).unwrap();
        let element = field.elements().first().unwrap();
        assert_eq!(
            (element.hash(), element.cert(), element.chain(), element.subject()),
            (None, None, None, None)
        );
        assert_eq!((element.by().len(), element.uris().len(), element.dns_names().len()), (0, 0, 0));
    }

    #[test]
    fn separators_in_quotes_separate_nothing() {
        for (text, elements) in [
            ("Hash=1", 1),
            ("Hash=1,Hash=2", 2),
            ("Hash=1 ,\tHash=2", 2),
            (r#"Subject="a,b",Hash=2"#, 2),
            (r#"Subject="a\",b",Hash=2"#, 2),
            (r#"Subject="a\\\",b",Hash=2"#, 2),
            (r#"Subject="CN=x\,Hash=0",Hash=2"#, 2),
            ("URI=https://h/?a=b,Hash=2", 2),
            (r"URI=a\,Hash=2", 2),
        ] {
            assert_eq!(Xfcc::parse(text).unwrap().elements().len(), elements, "{text}");
        }
    }

    #[test]
    fn refused_fields() {
        for text in [
            "",
            " ",
            ",",
            ";",
            "=",
            "Hash",
            "Hash=1,",
            ",Hash=1",
            "Hash=1,,Hash=2",
            "Hash=1;",
            ";Hash=1",
            "Hash=1;;URI=u",
            "=1",
            "Hash=1;Hash",
            "Hash=1;Hash=1",
            "hash=1;HASH=1",
            "Hash=;Hash=1",
            "Cert=a;Cert=a",
            "Chain=a;Chain=a",
            "Subject=a;Subject=a",
            "New=1",
            "New=1,Hash=1",
            "Ha sh=1",
            "Hash=1; URI=u",
            "Hash =1",
            "\"Hash\"=1",
            r#"Subject="a"#,
            r#"Subject=a""#,
            r#"Subject="a"b"#,
            r#"Subject="a"b""#,
            r#"Subject="a""b""#,
            r#"Subject=b"a""#,
            r#"Subject="a\"#,
            r#"Subject="a\""#,
            r#"Subject=""#,
            r#"Subject="a\\";URI=u"#,
            r#"Subject="a\\\\",Hash=1"#,
            r#"URI=a"b"c"#,
            r#"URI=a"b;Hash=1"#,
            r#"By=http://a;Subject="L=\"b"/O=c";URI=d"#,
            "junk xfcc header",
        ] {
            assert!(Xfcc::parse(text).is_err(), "{text:?}");
        }
    }
}
