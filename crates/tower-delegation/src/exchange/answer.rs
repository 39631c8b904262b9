//! What an authorization server answers to a token request, read strictly.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use serde_json::value::RawValue;

use super::error::Failure;
use crate::{
    clock::Timestamp,
    credential::MAX_TOKEN_LEN,
    http_client::Answer as HttpAnswer,
    json::{Nested, each_entry, read_object, string},
    reason::DenialReason,
    scope::ScopeSet,
    token::AUTHORIZATION_DETAILS,
};

/// The longest pause that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The longest text of claims that is handed on.
const MAX_CLAIMS_LEN: usize = 2048;

/// A successful answer (RFC 6749 section 5.1, RFC 8693 section 2.2.1).
pub(super) struct Answer {
    pub(super) token: Box<str>,
    pub(super) token_type: Box<str>,
    pub(super) issued_token_type: Option<Box<str>>,
    pub(super) scopes: Option<ScopeSet>,
    pub(super) expires_in: Option<Duration>,
    pub(super) has_refresh_token: bool,
    /// Are there any?
    pub(super) has_details: bool,
}

impl Answer {
    /// Reads an answer: one JSON object without two members of one name.
    pub(super) fn read(answer: &HttpAnswer, now: Timestamp) -> Result<Self, Failure> {
        let retry_after = || answer.retry_after(now).map(|pause| pause.min(MAX_RETRY_AFTER));
        match answer.status {
            StatusCode::OK if !answer.is_json() => {
                Err(Failure::garbled("the answer is not of a JSON media type"))
            }
            StatusCode::OK => Self::of_success(&answer.body),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(refusal(&answer.body))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::unavailable(retry_after(), "the server is asked too often"))
            }
            // What is in front of the server says that it is not there, or it does itself.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(Failure::unavailable(retry_after(), "the server is not available"))
            }
            status if status.is_server_error() => Err(Failure::failing()),
            _ => Err(Failure::garbled("the server answered with a status that no standard knows")),
        }
    }

    fn of_success(body: &[u8]) -> Result<Self, Failure> {
        let mut members = Members::default();
        members.read(body)?;
        let text = |value: Option<&RawValue>, problem| match value {
            None => Ok(None),
            Some(value) => match string(value) {
                Some(text) if !text.is_empty() => Ok(Some(Box::from(&*text))),
                Some(_) | None => Err(Failure::garbled(problem)),
            },
        };
        let token: Box<str> = text(members.access_token, "access_token is no text")?
            .ok_or_else(|| Failure::garbled("the answer has no access_token"))?;
        // What `Authorization` can carry (RFC 6750 section 2.1).
        let is_b64token =
            token.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\\'));
        if token.len() > MAX_TOKEN_LEN || !is_b64token {
            return Err(Failure::garbled("access_token is not one that a request can carry"));
        }
        let token_type = text(members.token_type, "token_type is no text")?
            .ok_or_else(|| Failure::garbled("the answer has no token_type"))?;
        let scopes = match members.scope {
            None => None,
            Some(value) => {
                let scopes = string(value).and_then(|scope| ScopeSet::parse(&scope));
                Some(scopes.ok_or_else(|| Failure::garbled("scope is no list of scopes"))?)
            }
        };
        let expires_in = members.expires_in.map(seconds).transpose()?;
        Ok(Self {
            token,
            token_type,
            issued_token_type: text(members.issued_token_type, "issued_token_type is no text")?,
            scopes,
            expires_in,
            has_refresh_token: members.has_refresh_token,
            has_details: members.has_details,
        })
    }
}

/// The members that matter, as JSON.
#[derive(Default)]
struct Members<'a> {
    access_token: Option<&'a RawValue>,
    token_type: Option<&'a RawValue>,
    issued_token_type: Option<&'a RawValue>,
    scope: Option<&'a RawValue>,
    expires_in: Option<&'a RawValue>,
    error: Option<Cow<'a, str>>,
    claims: Option<Cow<'a, str>>,
    has_refresh_token: bool,
    has_details: bool,
}

impl<'a> Members<'a> {
    /// A member that is `null` is absent.
    fn read(&mut self, body: &'a [u8]) -> Result<(), Failure> {
        let body = std::str::from_utf8(body).map_err(|_| Failure::garbled("the answer is no UTF-8"))?;
        let read = read_object(body, DenialReason::ExchangeUnavailable, |name, value| {
            let value = Some(value).filter(|value| value.get() != "null");
            match name {
                "access_token" => self.access_token = value,
                "token_type" => self.token_type = value,
                "issued_token_type" => self.issued_token_type = value,
                "scope" => self.scope = value,
                "expires_in" => self.expires_in = value,
                "error" => self.error = value.and_then(string),
                "claims" => self.claims = value.and_then(string),
                AUTHORIZATION_DETAILS => {
                    let is_empty = |details: &RawValue| {
                        let mut entries = 0;
                        each_entry(details, |_| entries += 1) && entries == 0
                    };
                    self.has_details = value.is_some_and(|details| !is_empty(details));
                }
                "refresh_token" => self.has_refresh_token = value.is_some(),
                _ => {}
            }
            Ok(Nested::Checked)
        });
        read.map_err(|_reason| Failure::garbled("the answer is not one JSON object"))
    }
}

/// `expires_in`: a number of seconds, also where it is written as text, as some servers do.
fn seconds(value: &RawValue) -> Result<Duration, Failure> {
    let text = string(value).unwrap_or(Cow::Borrowed(value.get()));
    let seconds = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => {
            Duration::try_from_secs_f64(seconds.floor()).ok()
        }
        Ok(_) | Err(_) => None,
    };
    seconds.ok_or_else(|| Failure::garbled("expires_in is no number of seconds"))
}

/// An error answer (RFC 6749 section 5.2).
fn refusal(body: &[u8]) -> Failure {
    let mut members = Members::default();
    if members.read(body).is_err() {
        return Failure::garbled("the server refused, and its answer is not one JSON object");
    }
    let is_code = |code: &str| {
        code.len() <= 64 && code.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E))
    };
    match members.error.as_deref() {
        Some(code) if !code.is_empty() && is_code(code) => {
            let is_object = |claims: &&str| {
                claims.len() <= MAX_CLAIMS_LEN
                    && read_object(claims, DenialReason::ExchangeUnavailable, |_, _| Ok(Nested::Checked))
                        .is_ok()
            };
            Failure::refused(code, members.claims.as_deref().filter(is_object))
        }
        Some(_) | None => Failure::garbled("the server refused, and names no error"),
    }
}
