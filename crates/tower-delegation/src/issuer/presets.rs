//! The mappings of known providers.

use super::{ClaimCondition as Condition, ClaimMapping, ClaimPath, KindCheck, ScopeForm};
use crate::names::{
    ClientId,
    SubjectKind::{Service, Unknown, User},
};

/// What the name of a Keycloak service account starts with; its client's name follows.
const SERVICE_ACCOUNT: &str = "service-account-";

fn service_account() -> Condition {
    Condition::names_client("preferred_username", SERVICE_ACCOUNT, "")
}

/// # Presets
///
/// Each one is as strict as the provider's tokens allow; the table of what it
/// relaxes, and what it checks in return, is in [`issuer::providers`](crate::issuer::providers).
impl ClaimMapping {
    /// What each preset starts from: roles, permissions and groups only from
    /// claims that the provider is known to write them to.
    fn profile() -> Self {
        Self::rfc9068().without_roles().without_permissions().without_groups()
    }

    /// Keycloak, with the audience that a mapper or client scope adds.
    ///
    /// Roles are those of the realm; a client's own are added by
    /// `.add_roles(["resource_access", "my-api", "roles"])`. For realms that
    /// issue no `aud`, see
    /// [`insecure_clients_instead_of_audience`](Self::insecure_clients_instead_of_audience).
    pub fn keycloak() -> Self {
        Self::profile()
            // Refresh, ID and logout tokens come from the same keys.
            .accept_generic_type(KindCheck::claim_is_one_of("typ", ["Bearer", "DPoP"]))
            .client("azp")
            .add_client("client_id")
            .add_client("clientId")
            .scopes("scope", ScopeForm::String)
            .add_roles(["realm_access", "roles"])
            .add_session("session_state")
            .subject_kinds([
                // A person can choose such a name. The client is named a second time only
                // in the tokens of service accounts.
                (service_account().and(Condition::present("client_id")), Service),
                (service_account().and(Condition::present("clientId")), Service),
                // A service account whose token was exchanged by another client,
                // or a person who chose the name.
                (Condition::starts_with("preferred_username", SERVICE_ACCOUNT), Unknown),
                (Condition::present("preferred_username"), User),
            ])
    }

    /// Microsoft Entra ID, access tokens of version 1.0: issuers
    /// `https://sts.windows.net/{tenant}/`.
    ///
    /// The subject is `oid`: the `sub` of one user differs from application to
    /// application. Which version is issued is a setting of the API.
    pub fn entra_v1() -> Self {
        Self::entra("appid").add_client("azp")
    }

    /// Microsoft Entra ID, access tokens of version 2.0: issuers
    /// `https://login.microsoftonline.com/{tenant}/v2.0`. See [`entra_v1`](Self::entra_v1).
    pub fn entra_v2() -> Self {
        Self::entra("azp").add_client("appid")
    }

    fn entra(client: &str) -> Self {
        Self::profile()
            // An API and its own web application may share one identifier, and then
            // `aud` too; ID tokens name no client.
            .accept_generic_type(KindCheck::not_an_id_token().and(KindCheck::claim_present(client)))
            .subject("oid")
            .client(client)
            .scopes("scp", ScopeForm::String)
            .add_roles("roles")
            .add_groups("groups")
            .groups_elsewhere(["_claim_names", "groups"])
            .groups_elsewhere("hasgroups")
            .tenant("tid")
            .require_tenant_in_issuer()
            .token_id("uti")
            .allow_absent_token_id()
            .subject_kinds([
                // An agent's user account is no person, whatever the rest says.
                (Condition::has_word("xms_sub_fct", "13"), Unknown),
                (Condition::equals("idtyp", "app"), Service),
                (Condition::equals("idtyp", "user"), User),
                // A device, or what is to come: `scp` does not overrule it.
                (Condition::present("idtyp"), Unknown),
                (Condition::has_word("xms_sub_fct", "11"), Unknown),
                (Condition::present("scp"), User),
                (Condition::same("sub", "oid"), Service),
            ])
    }

    /// Auth0, in both of its token profiles. Issuers end with a slash.
    pub fn auth0() -> Self {
        Self::profile()
            .accept_generic_type(KindCheck::not_an_id_token())
            .add_client("azp")
            .scopes("scope", ScopeForm::String)
            .add_permissions("permissions")
            .tenant("org_id")
            .allow_absent_token_id()
            .subject_kinds([
                (Condition::equals("gty", "client-credentials"), Service),
                (Condition::names_client("sub", "", "@clients"), Service),
                // Another client's, or a person's choice.
                (Condition::ends_with("sub", "@clients"), Unknown),
                (Condition::has_word("sub_profile", "ai_agent"), Service),
                (Condition::has_word("sub_profile", "service"), Service),
                (Condition::has_word("sub_profile", "user"), User),
                // `connection|user`
                (Condition::contains("sub", "|"), User),
            ])
    }

    /// Okta, custom authorization servers (`https://{domain}/oauth2/{id}`).
    /// Tokens of the org server (`https://{domain}`) are not for resource servers.
    ///
    /// The subject is `uid`, which never changes, or else `sub`. A chain of
    /// agents is read from `act` and `delegated_through`.
    pub fn okta() -> Self {
        Self::profile()
            .accept_generic_type(KindCheck::not_an_id_token())
            .subject("uid")
            .add_subject("sub")
            .client("cid")
            .add_client("client_id")
            .allow_absent_client()
            .scopes("scp", ScopeForm::Array)
            .add_scopes("scope", ScopeForm::String)
            .add_groups("groups")
            .allow_absent_token_id()
            .earlier_actors("delegated_through")
            .subject_kinds([
                (Condition::has_word("sub_profile", "ai_agent"), Service),
                (Condition::has_word("sub_profile", "service"), Service),
                (Condition::has_word("sub_profile", "user"), User),
                (Condition::subject_is_client(), Service),
                (Condition::present("uid"), User),
            ])
    }

    /// Amazon Cognito user pools, whose tokens name no audience: only those that
    /// were issued to one of `clients` are accepted. See
    /// [`insecure_clients_instead_of_audience`](Self::insecure_clients_instead_of_audience).
    pub fn cognito<C: Into<ClientId>>(clients: impl IntoIterator<Item = C>) -> Self {
        Self::profile()
            // ID tokens come from the same pool's keys.
            .accept_generic_type(KindCheck::claim_equals("token_use", "access"))
            .insecure_clients_instead_of_audience(clients)
            .scopes("scope", ScopeForm::String)
            .add_groups("cognito:groups")
            .subject_kinds([
                (Condition::subject_is_client(), Service),
                (Condition::present("username"), User),
            ])
    }

    /// PingOne.
    ///
    /// `act` is whatever the environment maps: an object, a string with the
    /// object in it, or the word `noActor`, which stands for none. A token
    /// without `sub` is the client's own.
    pub fn ping_one() -> Self {
        Self::profile()
            .accept_generic_type(KindCheck::not_an_id_token())
            .scopes("scope", ScopeForm::String)
            .tenant("env")
            .allow_absent_subject(["p1.userId", "sid", "auth_time"])
            .allow_absent_actor_value("noActor")
            .allow_actor_in_string()
            .subject_kinds([
                (Condition::subject_is_client(), Service),
                (Condition::present("p1.userId"), User),
            ])
    }

    /// PingFederate: a template, since every claim is the administrator's
    /// choice. `subject` and `client` are the claims that the access token
    /// manager is set up with; change the rest by the other methods.
    pub fn ping_federate(subject: impl Into<ClaimPath>, client: impl Into<ClaimPath>) -> Self {
        Self::profile()
            .accept_generic_type(KindCheck::not_an_id_token())
            .subject(subject)
            .client(client)
            .scopes("scope", ScopeForm::Either)
            .allow_absent_token_id()
            .subject_kinds([(Condition::subject_is_client(), Service)])
    }

    /// Curity Identity Server.
    ///
    /// The client is in the token only if the claim `client_id` is set up. A
    /// subject that is the client is a service, any other is of unknown kind:
    /// [`add_user_claim`](Self::add_user_claim) names what proves a user. The
    /// audience has to be set up too: by default it is the client's own identifier.
    pub fn curity() -> Self {
        Self::profile()
            .accept_generic_type(KindCheck::claim_equals("purpose", "access_token"))
            .allow_absent_client()
            .scopes("scope", ScopeForm::String)
    }

    /// Projected service account tokens of a Kubernetes cluster: workloads, not
    /// OAuth clients. There is no client and no scope; the tenant is the namespace.
    pub fn kubernetes_service_account() -> Self {
        let namespace = ["kubernetes.io", "namespace"];
        Self::profile()
            .accept_generic_type(KindCheck::not_an_id_token().and(KindCheck::claim_present("kubernetes.io")))
            .without_client()
            .without_scopes()
            .without_actor()
            .tenant(namespace)
            .allow_absent_token_id()
            .subject_kinds([(
                Condition::starts_with("sub", "system:serviceaccount:").and(Condition::present([
                    "kubernetes.io",
                    "serviceaccount",
                    "name",
                ])),
                Service,
            )])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_sound_and_brings_a_check_of_its_own() {
        for (name, preset) in [
            ("keycloak", ClaimMapping::keycloak()),
            ("entra_v1", ClaimMapping::entra_v1()),
            ("entra_v2", ClaimMapping::entra_v2()),
            ("auth0", ClaimMapping::auth0()),
            ("okta", ClaimMapping::okta()),
            ("cognito", ClaimMapping::cognito(["shop"])),
            ("ping_one", ClaimMapping::ping_one()),
            ("ping_federate", ClaimMapping::ping_federate("uid", "client_id")),
            ("curity", ClaimMapping::curity()),
            ("kubernetes", ClaimMapping::kubernetes_service_account()),
        ] {
            assert_eq!(preset.mistake(), None, "{name}");
            assert!(preset.generic_type.is_some(), "{name}");
        }
    }
}
