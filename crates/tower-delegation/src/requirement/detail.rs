//! [`AuthorizationDetail`]: what one object of `authorization_details` must
//! grant (RFC 9396).

/// What one object of the claim `authorization_details` must grant, all of it
/// (RFC 9396 section 2.2). Members of two objects are never added up.
///
/// 1. `type` is exactly this one. A type that no rule demands grants nothing.
/// 2. Each action, location, datatype and privilege named here is in the
///    object's list of that name; the identifier is the object's.
/// 3. A list or an identifier that the object has and that is not named here
///    limits the object to something that no rule has checked: such an object
///    grants nothing.
/// 4. An object with a member of the wrong JSON type grants nothing
///    (RFC 9396 section 2.2). Members beyond these are the handler's to judge.
/// 5. A type that is beyond what the token's issuer [may grant](crate::TrustedIssuer::may_grant),
///    or beyond the [ceiling](crate::application) of the client's application or the
///    presenter's, grants nothing.
/// 6. A claim that is no array of objects with a `type` each is a denial,
///    whatever else it holds.
///
/// ```
/// use tower_delegation::requirement::{AuthorizationDetail, Requirement};
///
/// let payment = AuthorizationDetail::of_type("payment_initiation")
///     .action("initiate")
///     .location("https://bank.example.com/payments");
/// let requirement = Requirement::named("pay").authorization_detail(payment);
/// # assert!(requirement.checked().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a detail does nothing until a requirement demands it"]
pub struct AuthorizationDetail {
    pub(super) kind: Box<str>,
    pub(super) actions: Vec<Box<str>>,
    pub(super) locations: Vec<Box<str>>,
    pub(super) datatypes: Vec<Box<str>>,
    pub(super) privileges: Vec<Box<str>>,
    pub(super) identifier: Option<Identifier>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    Text(Box<str>),
    PathParameter(Box<str>),
}

impl AuthorizationDetail {
    /// An object of this type.
    pub fn of_type(kind: &str) -> Self {
        Self {
            kind: kind.into(),
            actions: Vec::new(),
            locations: Vec::new(),
            datatypes: Vec::new(),
            privileges: Vec::new(),
            identifier: None,
        }
    }

    /// With this action, in addition to those already named.
    pub fn action(mut self, action: &str) -> Self {
        self.actions.push(action.into());
        self
    }

    /// For this location, in addition to those already named: usually this service's
    /// own identifier (RFC 9396 section 9).
    pub fn location(mut self, location: &str) -> Self {
        self.locations.push(location.into());
        self
    }

    /// For this kind of data, in addition to those already named.
    pub fn datatype(mut self, datatype: &str) -> Self {
        self.datatypes.push(datatype.into());
        self
    }

    /// With this privilege, in addition to those already named.
    pub fn privilege(mut self, privilege: &str) -> Self {
        self.privileges.push(privilege.into());
        self
    }

    /// For this very resource.
    pub fn identifier(mut self, identifier: &str) -> Self {
        self.identifier = Some(Identifier::Text(identifier.into()));
        self
    }

    /// For the resource that this parameter of the request's path names.
    pub fn identifier_matches_path(mut self, parameter: &str) -> Self {
        self.identifier = Some(Identifier::PathParameter(parameter.into()));
        self
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The parameter of the path that it looks at.
    pub(crate) fn parameter(&self) -> Option<&str> {
        match &self.identifier {
            Some(Identifier::PathParameter(name)) => Some(name),
            Some(Identifier::Text(_)) | None => None,
        }
    }

    pub(super) fn reads_path(&self) -> bool {
        matches!(self.identifier, Some(Identifier::PathParameter(_)))
    }

    pub(super) fn mistake(&self) -> Option<&'static str> {
        let lists = [&self.actions, &self.locations, &self.datatypes, &self.privileges];
        let identifier = match &self.identifier {
            Some(Identifier::Text(text) | Identifier::PathParameter(text)) => text.is_empty(),
            None => false,
        };
        let has_empty = self.kind.is_empty() || lists.into_iter().flatten().any(|text| text.is_empty());
        (has_empty || identifier)
            .then_some("an authorization detail with an empty type or member is demanded")
    }
}
