//! What a request brings along from layers further outside.

use std::sync::Once;

use http::Request;

use crate::{
    authenticator::{Authenticator, Head},
    context::{Anonymous, DelegationContext, RequestRecord},
};

/// What an outer layer left in a request.
pub(super) enum Arrival {
    /// Nothing that counts here: the request is to be authenticated.
    Unjudged,
    /// What this very authenticator found, about this very request.
    Judged(Judged),
}

/// Who sent a request, as an outer layer of the same authenticator found.
pub(super) enum Judged {
    Known(DelegationContext),
    Anonymous(Anonymous),
}

impl Judged {
    pub(super) fn record(&self) -> &RequestRecord {
        match self {
            Self::Known(delegation) => delegation.record(),
            Self::Anonymous(anonymous) => anonymous.record(),
        }
    }
}

/// Takes whatever outer layers left out of the request's extensions, and says
/// whether it counts here. It does only if
///
/// 1. a layer of the same authenticator left it, whose response is still awaited;
/// 2. the parts of the head that authentication goes by are what they were; and
/// 3. nothing has ended since: the token, the certificate, a registration; and nothing
///    was revoked.
///
/// Otherwise the request is authenticated as it is now: a context that was carried
/// over from another request opens nothing.
pub(super) fn arrive<B>(authenticator: &Authenticator, request: &mut Request<B>) -> Arrival {
    let extensions = request.extensions_mut();
    let judged = match (extensions.remove::<DelegationContext>(), extensions.remove::<Anonymous>()) {
        (None, None) => return Arrival::Unjudged,
        (Some(delegation), None) => Judged::Known(delegation),
        (None, Some(anonymous)) => Judged::Anonymous(anonymous),
        // No layer leaves both.
        (Some(_), Some(_)) => return Arrival::Unjudged,
    };
    if !has_passed(authenticator, &judged, request) {
        return Arrival::Unjudged;
    }
    Arrival::Judged(judged)
}

/// Is it the request that a layer of this authenticator let pass, and waits for?
fn has_passed<B>(authenticator: &Authenticator, judged: &Judged, request: &Request<B>) -> bool {
    let record = judged.record();
    let is_same = match &*record.passage() {
        Some(passage) if authenticator.is_of(passage) => Head::of(request).was_judged(passage),
        Some(passage) => {
            if !passage.allows_inner() {
                warn_of_another();
            }
            return false;
        }
        None if record.has_ended() => false,
        // The context was made for code that called an authenticator.
        None => {
            warn_of_another();
            return false;
        }
    };
    let is_over = match judged {
        Judged::Known(delegation) => authenticator.has_ended(delegation),
        Judged::Anonymous(_) => false,
    };
    let has_passed = is_same && !is_over && !record.has_ended();
    if !has_passed {
        tracing::debug!("the request is not the one that an outer layer has judged: it is judged again");
    }
    has_passed
}

/// Says once in the life of the process that a layer replaces what another found.
fn warn_of_another() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "a DelegationLayer inside of another one, with another authenticator: what the outer one found \
             is replaced. If that is meant, build the outer one with `.allow_inner_authenticator()`"
        );
    });
}
