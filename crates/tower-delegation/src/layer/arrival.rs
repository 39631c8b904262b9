//! What a request brings along from layers further outside.

use std::sync::Once;

use http::Request;

use crate::{
    arrival::Arrival,
    authenticator::{Authenticator, Deferred},
    clock::Moment,
    context::{Anonymous, DelegationContext, RequestRecord},
};

/// Who sent a request, as an outer layer of the same authenticator found.
pub(super) enum Judged {
    Known(DelegationContext),
    Anonymous(Anonymous),
    /// Nothing yet: for a public route that was put off.
    Deferred(Deferred),
}

impl Judged {
    pub(super) fn record(&self) -> &RequestRecord {
        match self {
            Self::Known(delegation) => delegation.record(),
            Self::Anonymous(anonymous) => anonymous.record(),
            Self::Deferred(deferred) => deferred.record(),
        }
    }
}

/// Takes whatever outer layers left out of the request's extensions, and returns it
/// where it counts here. It does only if
///
/// 1. a layer of the same authenticator left it, whose response is still awaited;
/// 2. the parts of the head that authentication goes by are what they were; and
/// 3. nothing has ended since: the token, its key, the certificate, a registration; and
///    nothing was revoked.
///
/// Otherwise the request is authenticated as it is now: a context that was carried
/// over from another request opens nothing.
pub(super) fn take_judged<B>(
    authenticator: &Authenticator,
    request: &mut Request<B>,
    now: Moment,
) -> Option<Judged> {
    let extensions = request.extensions_mut();
    if let Some(deferred) = extensions.remove::<Deferred>() {
        extensions.remove::<DelegationContext>();
        extensions.remove::<Anonymous>();
        let record = deferred.record();
        let is_here = deferred.is_of(authenticator)
            && record.is_admitted()
            && !record.has_ended()
            && deferred.is_for(Arrival::of(request, now))
            && deferred.caller().is_none_or(|caller| !authenticator.has_ended(caller, now));
        return is_here.then_some(Judged::Deferred(deferred));
    }
    let judged = match (extensions.remove::<DelegationContext>(), extensions.remove::<Anonymous>()) {
        (None, None) => return None,
        (Some(delegation), None) => Judged::Known(delegation),
        (None, Some(anonymous)) => Judged::Anonymous(anonymous),
        // No layer leaves both.
        (Some(_), Some(_)) => return None,
    };
    has_passed(authenticator, &judged, Arrival::of(request, now)).then_some(judged)
}

/// Is it the request that a layer of this authenticator let pass, and waits for?
fn has_passed(authenticator: &Authenticator, judged: &Judged, arrival: Arrival<'_>) -> bool {
    let record = judged.record();
    let passage = match record.passage() {
        Some(passage) if authenticator.is_of(passage) => passage,
        _ => {
            if !record.allows_inner() && !record.has_ended() {
                warn_of_another();
            }
            return false;
        }
    };
    let is_over = || match judged {
        Judged::Known(delegation) => authenticator.has_ended(delegation, arrival.now),
        Judged::Anonymous(_) | Judged::Deferred(_) => false,
    };
    // What no layer admitted was made for code that called the authenticator.
    let is_on_its_way = record.is_admitted() && !record.has_ended();
    let has_passed = is_on_its_way && authenticator.has_judged(passage, arrival) && !is_over();
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
