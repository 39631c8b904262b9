//! [`ApplicationInventory`]: which application could ever use which route.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{RouteInventory, RouteRule, RuledRoute};
use crate::{
    application::{Application, ApplicationStatus, Applications, Ceiling},
    clock::Timestamp,
    names::SubjectKind,
    reason::DenialReason,
    scope::Scope,
};

/// Could an application ever use a route?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// It could, with the right token: nothing in the registry and in the rule
    /// speaks against it. What a token must show beyond that is judged on each request.
    Could,
    /// It could not, whatever its token says. The first reason found.
    Never(DenialReason),
    /// The rule is in a route table: ask the table's inventory.
    Table,
}

/// Every route by every registered application: who could use it, and why not.
///
/// Made of the rules and the registry alone, before any request. An application
/// is judged as the presenter of its tokens: as their client, or as the current
/// actor of tokens that others were issued.
///
/// As text it is one block for each application, with its ceiling, and with `serde`
/// a list.
#[derive(Clone, Debug)]
pub struct ApplicationInventory {
    routes: Vec<RuledRoute>,
    applications: Vec<ApplicationReach>,
}

/// One application and what it could use.
#[derive(Clone, Debug)]
pub struct ApplicationReach {
    application: Arc<Application>,
    /// In the order of the routes.
    reaches: Vec<Reach>,
}

impl RouteInventory {
    /// Holds every route against every application that is registered at `now`.
    #[must_use]
    pub fn by_application(&self, applications: &Applications, now: Timestamp) -> ApplicationInventory {
        let of = |application: Arc<Application>| {
            let standing = hindrance_of_all(&application, now);
            let reach = |route: &RuledRoute| route.rule().reach(&application, standing);
            let reaches = self.routes().iter().map(reach).collect();
            ApplicationReach { application, reaches }
        };
        ApplicationInventory {
            routes: self.routes().to_vec(),
            applications: applications.iter().map(of).collect(),
        }
    }
}

impl ApplicationInventory {
    /// One entry for each application, in the order of the registry.
    #[must_use]
    pub fn applications(&self) -> &[ApplicationReach] {
        &self.applications
    }

    /// Every route with what the application could do there.
    pub fn routes_of<'i>(
        &'i self,
        application: &'i ApplicationReach,
    ) -> impl Iterator<Item = (&'i RuledRoute, Reach)> {
        self.routes.iter().zip(application.reaches.iter().copied())
    }
}

impl ApplicationReach {
    /// The application: kind, owner, vendor, deadline of review and all the rest.
    #[must_use]
    pub fn application(&self) -> &Application {
        &self.application
    }
}

/// What keeps an application from everything but public routes.
fn hindrance_of_all(application: &Application, now: Timestamp) -> Option<DenialReason> {
    let is_client = application.clients().len() > 0;
    let of = |client, actor| Some(if is_client { client } else { actor });
    if application.status() == ApplicationStatus::Suspended {
        return of(DenialReason::ClientSuspended, DenialReason::ActorSuspended);
    }
    if application.expires().is_some_and(|deadline| deadline.has_passed(now)) {
        return of(DenialReason::ClientExpired, DenialReason::ActorExpired);
    }
    let acts = application.acts_for(SubjectKind::User) || application.acts_for(SubjectKind::Service);
    (!acts).then_some(DenialReason::ActingNotAllowed)
}

impl RouteRule {
    fn reach(&self, application: &Application, standing: Option<DenialReason>) -> Reach {
        let hindrance = match self {
            Self::Public(_) => None,
            Self::Table => return Reach::Table,
            Self::Requirements(requirements) => {
                standing.or_else(|| requirements.iter().find_map(|requirement| requirement.bars(application)))
            }
        };
        hindrance.map_or(Reach::Could, Reach::Never)
    }
}

/// What bounds the grants of its tokens in addition to scopes, by the entry's keys.
fn ceilings(application: &Application) -> [(&'static str, &Ceiling); 4] {
    [
        ("roles", application.roles()),
        ("permissions", application.permissions()),
        ("groups", application.groups()),
        ("authorization_detail_types", application.authorization_detail_types()),
    ]
}

impl fmt::Display for ApplicationInventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reach in &self.applications {
            let application = reach.application();
            write!(f, "{} ({}", application.name().escape_debug(), application.kind().as_str())?;
            let last_seen = application.last_seen_text();
            for (name, value) in [
                ("owner", application.owner()),
                ("vendor", application.vendor()),
                ("review by", application.review_by().map(|deadline| deadline.as_str())),
                ("last seen", last_seen.as_deref()),
            ] {
                if let Some(value) = value {
                    write!(f, ", {name} {}", value.escape_debug())?;
                }
            }
            f.write_str(")\n")?;
            let scopes = application.scopes().map(Scope::as_str).collect::<Vec<_>>();
            write!(f, "  ceiling  scopes {scopes:?}")?;
            for (kind, ceiling) in ceilings(application) {
                write!(f, ", {kind} {ceiling}")?;
            }
            f.write_str("\n")?;
            for (route, reach) in self.routes_of(reach) {
                match reach {
                    Reach::Could => writeln!(f, "  could  {route}")?,
                    Reach::Never(reason) => writeln!(f, "  never  {route}: {reason}")?,
                    Reach::Table => writeln!(f, "  table  {route}")?,
                }
            }
        }
        Ok(())
    }
}

/// A list of objects: `name`, `kind`, `status`, where they are known `owner`,
/// `vendor`, `expires`, `review_by` and `last_seen`, the ceiling (`scopes`, `roles`,
/// `permissions`, `groups`, `authorization_detail_types`: a list, or `all`), and
/// `routes`, each with `method`, `path`, `reach` (`could`, `never`, `table`) and where it is never, `reason`.
impl Serialize for ApplicationInventory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.applications.iter().map(|reach| Entry { inventory: self, reach }))
    }
}

struct Entry<'i> {
    inventory: &'i ApplicationInventory,
    reach: &'i ApplicationReach,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Route<'i> {
            method: &'i str,
            path: &'i str,
            reach: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'static str>,
        }
        let application = self.reach.application();
        let routes = self.inventory.routes_of(self.reach).map(|(route, reach)| Route {
            method: route.method_name(),
            path: route.path(),
            reach: match reach {
                Reach::Could => "could",
                Reach::Never(_) => "never",
                Reach::Table => "table",
            },
            reason: match reach {
                Reach::Never(reason) => Some(reason.code()),
                Reach::Could | Reach::Table => None,
            },
        });
        let mut object = serializer.serialize_struct("Application", 14)?;
        object.serialize_field("name", application.name())?;
        object.serialize_field("kind", application.kind().as_str())?;
        object.serialize_field("status", application.status().as_str())?;
        let last_seen = application.last_seen_text();
        for (name, value) in [
            ("owner", application.owner()),
            ("vendor", application.vendor()),
            ("expires", application.expires().map(|deadline| deadline.as_str())),
            ("review_by", application.review_by().map(|deadline| deadline.as_str())),
            ("last_seen", last_seen.as_deref()),
        ] {
            match value {
                Some(value) => object.serialize_field(name, value)?,
                None => object.skip_field(name)?,
            }
        }
        object.serialize_field("scopes", &application.scopes().map(Scope::as_str).collect::<Vec<_>>())?;
        for (kind, ceiling) in ceilings(application) {
            object.serialize_field(kind, ceiling)?;
        }
        object.serialize_field("routes", &routes.collect::<Vec<_>>())?;
        object.end()
    }
}
