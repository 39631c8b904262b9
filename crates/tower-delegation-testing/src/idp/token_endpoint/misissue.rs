//! Twelve ways of handing out too much.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Map, Value, json};

use super::{ID_TOKEN, issuance::Issuance};
use crate::{
    keys::unique,
    token::{TokenBuilder, USER_CLAIM},
};

/// A way in which the answer to an exchange is not what was asked for.
///
/// A client that uses such a token has more power than was agreed, or has lost
/// track of who acts for whom. Each fault but
/// [`OtherType`](Self::OtherType) and [`RefreshTokenAdded`](Self::RefreshTokenAdded)
/// is in the token alone: the other members of the answer are those of the honest one, so
/// that only a client that reads the token finds out. For an answer that
/// says it openly, see
/// [`set_token_answer`](super::super::MockIssuer::set_token_answer).
///
/// The tokens are well-formed and properly signed. A grant for another
/// authorization server is spoiled in the same ways.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use tower_delegation_testing::{ExchangeFault, MockClient, MockIdp};
///
/// let idp = MockIdp::start().await;
/// let orders = MockClient::new("orders").secret("s3cret");
/// idp.register(orders.exchanges_for("https://stock.example.com", ["stock:read"]));
/// for fault in ExchangeFault::ALL {
///     idp.misissue_next(fault);
///     // Let the service exchange a token now: it must not call its downstream.
///     // idp.last_token_request() shows what the service asked for.
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// `scope` has [`EXTRA_SCOPE`](Self::EXTRA_SCOPE) in addition.
    WiderScope,
    /// `aud` is [`OTHER_AUDIENCE`](Self::OTHER_AUDIENCE) alone.
    OtherAudience,
    /// `aud` has [`OTHER_AUDIENCE`](Self::OTHER_AUDIENCE) in addition.
    SecondAudience,
    /// `sub` is [`OTHER_PARTY`](Self::OTHER_PARTY).
    OtherSubject,
    /// `act` is missing: impersonation instead of delegation.
    ActorDropped,
    /// `act.sub` is [`OTHER_PARTY`](Self::OTHER_PARTY); the earlier actors stay.
    ActorReplaced,
    /// `act` names the current actor only: those who acted earlier are
    /// forgotten. Not seen where no one acted earlier.
    ChainCut,
    /// `exp` is [`EXTRA_LIFE`](Self::EXTRA_LIFE) later than agreed.
    LongerLife,
    /// `issued_token_type` is that of an ID token, and so is the token's `typ`.
    OtherType,
    /// `cnf` is missing: anyone who has the token can use it. Not seen where the
    /// token was not to be bound.
    Unbound,
    /// `iss` is [`OTHER_ISSUER`](Self::OTHER_ISSUER).
    OtherIssuer,
    /// The answer has a `refresh_token` in addition.
    RefreshTokenAdded,
}

impl ExchangeFault {
    /// All twelve, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::WiderScope,
        Self::OtherAudience,
        Self::SecondAudience,
        Self::OtherSubject,
        Self::ActorDropped,
        Self::ActorReplaced,
        Self::ChainCut,
        Self::LongerLife,
        Self::OtherType,
        Self::Unbound,
        Self::OtherIssuer,
        Self::RefreshTokenAdded,
    ];

    /// The scope that no one asked for.
    pub const EXTRA_SCOPE: &str = "admin";
    /// The audience that no one asked for.
    pub const OTHER_AUDIENCE: &str = "https://other.example.com";
    /// The subject or actor that has no part in it.
    pub const OTHER_PARTY: &str = "mallory";
    /// The issuer that did not sign.
    pub const OTHER_ISSUER: &str = "https://other-issuer.example.com";
    /// What is added to the life that was agreed.
    pub const EXTRA_LIFE: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn spoil_token(self, token: TokenBuilder, honest: &Issuance) -> TokenBuilder {
        match self {
            Self::WiderScope => {
                let scopes = honest.scopes.iter().map(String::as_str);
                token.scopes(scopes.chain([Self::EXTRA_SCOPE]))
            }
            Self::OtherAudience => token.audience(Self::OTHER_AUDIENCE),
            Self::SecondAudience => {
                let audiences = honest.audiences.iter().map(String::as_str);
                token.audiences(audiences.chain([Self::OTHER_AUDIENCE]))
            }
            // A user stays a user: only the name is another's.
            Self::OtherSubject if honest.kept.contains_key(USER_CLAIM) => token.user(Self::OTHER_PARTY),
            Self::OtherSubject => token.subject(Self::OTHER_PARTY),
            Self::ActorDropped => token.without("act"),
            Self::ActorReplaced => {
                let mut act = json!({ "sub": Self::OTHER_PARTY });
                if let (Value::Object(members), Some(earlier)) = (&mut act, earlier(honest)) {
                    members.insert("act".to_owned(), earlier.clone());
                }
                token.claim("act", act)
            }
            Self::ChainCut => match &honest.act {
                Some(Value::Object(act)) => {
                    let mut act = act.clone();
                    act.remove("act");
                    token.claim("act", act)
                }
                _ => token,
            },
            Self::LongerLife => token.expires_in(honest.lifetime.saturating_add(Self::EXTRA_LIFE)),
            Self::OtherType => token.typ("JWT"),
            Self::Unbound => token.without("cnf"),
            Self::OtherIssuer => token.issuer(Self::OTHER_ISSUER),
            Self::RefreshTokenAdded => token,
        }
    }

    pub(super) fn spoil_answer(self, answer: &mut Map<String, Value>) {
        match self {
            Self::OtherType if answer.contains_key("issued_token_type") => {
                answer.insert("issued_token_type".to_owned(), ID_TOKEN.into());
            }
            Self::RefreshTokenAdded => {
                answer.insert("refresh_token".to_owned(), unique().into());
            }
            _ => {}
        }
    }
}

fn earlier(honest: &Issuance) -> Option<&Value> {
    honest.act.as_ref()?.get("act")
}

/// Which answers are spoiled.
#[derive(Debug, Default)]
pub(crate) struct Misissues {
    next: VecDeque<ExchangeFault>,
    all: Option<ExchangeFault>,
}

impl Misissues {
    pub(crate) fn push_next(&mut self, fault: ExchangeFault) {
        self.next.push_back(fault);
    }

    pub(crate) fn set_all(&mut self, fault: ExchangeFault) {
        self.all = Some(fault);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the fault of the answer that is made now.
    pub(crate) fn take(&mut self) -> Option<ExchangeFault> {
        self.next.pop_front().or(self.all)
    }
}
