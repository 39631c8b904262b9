//! [`Answer`]: status, header fields and body, as far as they are of use.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::BodyExt as _;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    error::{FetchError, FetchErrorKind},
    transport::TransportBody,
};
use crate::clock::Timestamp;

/// The largest body, in octets.
pub(super) const MAX_BODY_LEN: usize = 512 * 1024;

/// The answer to a request that was sent: of any status but a redirect, and of any
/// media type.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Without a content coding; 512 KiB at most.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Whether the body is meant as JSON.
    pub(crate) fn is_json(&self) -> bool {
        media_type(&self.headers).is_some_and(is_json)
    }

    /// How long the server asks to wait before the next attempt (RFC 9110 section
    /// 10.2.3). The caller bounds it. `None` where it does not say, or not readably.
    pub(crate) fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let value = text(&self.headers, &header::RETRY_AFTER)?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        // `IMF-fixdate` (RFC 9110 section 5.6.7) is a date of RFC 2822 in this zone.
        let date = OffsetDateTime::parse(value, &Rfc2822).ok().filter(|_| value.ends_with(" GMT"))?;
        Some(Timestamp::from_unix_seconds(date.unix_timestamp()).saturating_since(now))
    }
}

/// `application/json` or a type that is built on it (RFC 6839 section 3.1).
pub(super) fn is_json(media_type: &str) -> bool {
    let Some((kind, subtype)) = media_type.split_once('/') else { return false };
    let suffix = subtype.rsplit_once('+').map_or(subtype, |(_, suffix)| suffix);
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    text(headers, &header::CONTENT_TYPE)?.split(';').next().map(str::trim)
}

/// Whether the body is in another coding than the one asked for (RFC 9110
/// section 8.4).
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    !codings.all(|coding| {
        matches!(coding.trim_ascii(), b"") || coding.trim_ascii().eq_ignore_ascii_case(b"identity")
    })
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads the body, up to the cap.
pub(super) async fn read_body(mut body: TransportBody) -> Result<Bytes, FetchError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::new(FetchErrorKind::Unreachable, error))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if read.len() + chunk.len() > MAX_BODY_LEN {
            return Err(FetchErrorKind::TooLarge.into());
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_unix_seconds(784_111_777);
        for (value, expected) in [
            (None, None),
            (Some("120"), Some(120)),
            (Some(" 0 "), Some(0)),
            (Some("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10)),
            (Some("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0)),
            (Some("-1"), None),
            (Some("1.5"), None),
            (Some("soon"), None),
            (Some("Sunday, 06-Nov-94 08:49:37 GMT"), None),
            (Some("Sun, 06 Nov 1994 08:49:47 CET"), None),
            (Some("99999999999999999999999"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            }
            let answer = Answer { status: StatusCode::SERVICE_UNAVAILABLE, headers, body: Bytes::new() };
            assert_eq!(answer.retry_after(now), expected.map(Duration::from_secs), "{value:?}");
        }
    }
}
