//! A token's claims in the types that handlers ask for, parsed once for each.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;

use crate::reason::Malformed;

/// How many types are kept for one token; of any other, the claims are parsed on
/// each call.
const MAX_TYPES: usize = 4;

/// What became of the claims as a `T`.
type Parsed<T> = Result<Arc<T>, ClaimError>;

/// A list that only grows: reading takes no lock, and nothing is held while a
/// type's own code runs.
#[derive(Default)]
pub(super) struct Typed(OnceLock<Box<Node>>);

struct Node {
    parsed: Box<dyn Any + Send + Sync>,
    next: Typed,
}

impl Typed {
    /// The claims of `payload`, which must be the same on each call.
    pub(super) fn get<T: DeserializeOwned + Send + Sync + 'static>(&self, payload: &str) -> Parsed<T> {
        let mut end = self;
        let mut kept = 0;
        while let Some(node) = end.0.get() {
            if let Some(parsed) = node.parsed.downcast_ref::<Parsed<T>>() {
                return parsed.clone();
            }
            end = &node.next;
            kept += 1;
        }
        let parsed: Parsed<T> = serde_json::from_str(payload).map(Arc::new).map_err(ClaimError::unreadable);
        if kept < MAX_TYPES {
            // Another request may have been faster: then this one parsed for itself.
            let node = Node { parsed: Box::new(parsed.clone()), next: Self::default() };
            let _ = end.0.set(Box::new(node));
        }
        parsed
    }
}

/// A claim is there and is not of the expected type: malformed, which is never
/// absent. Of [`DelegationContext::claims`](crate::DelegationContext::claims): the
/// claims as a whole are not.
///
/// `Display` and `Debug` do not quote the claim. The source, if there is one, says
/// what was expected and may quote it: it is not for the client.
#[derive(Clone, thiserror::Error)]
#[error("the claim is not of the expected type")]
pub struct ClaimError(#[source] Option<Arc<serde_json::Error>>);

impl fmt::Debug for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimError").finish_non_exhaustive()
    }
}

impl ClaimError {
    pub(super) fn unreadable(error: serde_json::Error) -> Self {
        Self(Some(Arc::new(error)))
    }
}

impl From<Malformed> for ClaimError {
    fn from(_: Malformed) -> Self {
        Self(None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Plan {
        plan: String,
    }

    #[derive(Debug, Deserialize)]
    struct Tagged<const N: usize> {
        #[serde(rename = "plan")]
        _plan: String,
    }

    const PAYLOAD: &str = r#"{"plan":"gold","seats":7}"#;

    #[test]
    fn a_type_is_parsed_once() {
        let typed = Typed::default();
        let first = typed.get::<Plan>(PAYLOAD).unwrap();
        assert_eq!(*first, Plan { plan: "gold".into() });
        // The payload is not looked at again.
        assert!(Arc::ptr_eq(&first, &typed.get::<Plan>("").unwrap()));
        let other = typed.get::<HashMap<String, Value>>(PAYLOAD).unwrap();
        assert_eq!(other["seats"], 7);
        assert!(Arc::ptr_eq(&first, &typed.get::<Plan>("").unwrap()));
    }

    #[test]
    fn what_does_not_fit_is_remembered_for_its_type_alone() {
        let typed = Typed::default();
        for _ in 0..2 {
            assert!(typed.get::<Vec<String>>(PAYLOAD).is_err());
        }
        assert!(typed.get::<Vec<String>>("[]").is_err(), "parsed again");
        assert!(typed.get::<Plan>(PAYLOAD).is_ok());
    }

    #[test]
    fn no_more_types_are_kept_than_the_bound() {
        let typed = Typed::default();
        let kept: [Arc<dyn Any + Send + Sync>; MAX_TYPES] = [
            typed.get::<Tagged<0>>(PAYLOAD).unwrap(),
            typed.get::<Tagged<1>>(PAYLOAD).unwrap(),
            typed.get::<Tagged<2>>(PAYLOAD).unwrap(),
            typed.get::<Tagged<3>>(PAYLOAD).unwrap(),
        ];
        let one_more = typed.get::<Plan>(PAYLOAD).unwrap();
        assert!(!Arc::ptr_eq(&one_more, &typed.get::<Plan>(PAYLOAD).unwrap()));
        assert!(typed.get::<Plan>("").is_err());
        assert!(typed.get::<Tagged<3>>("").is_ok());
        // Each by the list and by this test, the one beyond the bound by its caller alone.
        assert!(kept.iter().all(|kept| Arc::strong_count(kept) == 2));
        assert_eq!(Arc::strong_count(&one_more), 1);
    }

    #[test]
    fn requests_at_once_get_the_same_claims() {
        let typed = Typed::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(typed.get::<Plan>(PAYLOAD).unwrap().plan, "gold"));
            }
        });
        let mut nodes = 0;
        let mut end = &typed;
        while let Some(node) = end.0.get() {
            (nodes, end) = (nodes + 1, &node.next);
        }
        assert_eq!(nodes, 1);
    }
}
