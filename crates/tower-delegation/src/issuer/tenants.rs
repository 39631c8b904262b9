//! One provider, one issuer for each of its tenants.

use std::collections::HashMap;

use super::{IssuerResolver, KeyOrigin, TrustedIssuer, check_identifier};
use crate::{error::ConfigError, names::IssuerUrl};

const PLACEHOLDER: &str = "{tenant}";

/// The issuers of a provider that has one for each tenant, for an explicit list
/// of tenants.
///
/// 1. A token's `iss` must be, by code point, the issuer of one of the tenants.
///    For any other, nothing is fetched.
/// 2. Each tenant is an issuer of its own: its own keys and fetches. Keys, or a source of
///    keys, that the template is given are those of every tenant.
/// 3. With a mapping such as [`ClaimMapping::entra_v2`](super::ClaimMapping::entra_v2),
///    the claim that names the tenant must agree with the issuer.
/// 4. All of them are in one namespace: a role, a group or a user of one tenant is that of
///    every other. Where the tenants are customers who have nothing to do with each other,
///    and can choose such names, give the template
///    [`own_namespace`](TrustedIssuer::own_namespace) and
///    [`may_grant`](TrustedIssuer::may_grant); rules then name the issuer.
///
/// All issuers of the list are held, however many they are.
///
/// # Example
/// ```
/// # #[cfg(feature = "http-client")] {
/// use tower_delegation::{
///     DelegationLayer, TrustedIssuer,
///     issuer::{ClaimMapping, TenantIssuers},
/// };
///
/// let terms = TrustedIssuer::discover("https://login.microsoftonline.com/{tenant}/v2.0")?
///     .add_audience("11111111-2222-3333-4444-555555555555")
///     .claim_mapping(ClaimMapping::entra_v2());
/// let tenants = TenantIssuers::new(terms, ["aaaabbbb-0000-cccc-1111-dddd2222eeee"])?;
/// let layer = DelegationLayer::builder().add_issuer_resolver(tenants).build()?;
/// # let _ = layer;
/// # }
/// # Ok::<(), tower_delegation::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct TenantIssuers {
    template: TrustedIssuer,
    tenants: HashMap<IssuerUrl, Box<str>>,
}

impl TenantIssuers {
    /// One issuer for each of `tenants`, on the terms of `template`, whose
    /// identifier has `{tenant}` in it, once. A JWK Set URL or metadata URL may have it too.
    ///
    /// # Errors
    /// [`ConfigError::InvalidTenants`] if the template has no place for the
    /// tenant, the list is empty, or a tenant is not made of ASCII letters,
    /// digits, `-`, `_` and dots between them.
    pub fn new<T: AsRef<str>>(
        template: TrustedIssuer,
        tenants: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        let invalid = |value: &str, problem| ConfigError::InvalidTenants { value: value.to_owned(), problem };
        let identifier = template.issuer.as_str();
        if identifier.matches(PLACEHOLDER).count() != 1 {
            return Err(invalid(identifier, "the issuer's identifier must have `{tenant}` in it, once"));
        }
        let mut known = HashMap::new();
        for tenant in tenants {
            let tenant = tenant.as_ref();
            if !is_segment(tenant) {
                return Err(invalid(tenant, "use ASCII letters, digits, `-`, `_` and dots between them"));
            }
            known.insert(template.for_tenant(tenant)?.issuer, tenant.into());
        }
        if known.is_empty() {
            return Err(invalid(identifier, "name at least one tenant"));
        }
        Ok(Self { template, tenants: known })
    }
}

impl IssuerResolver for TenantIssuers {
    fn resolve(&self, issuer: &str) -> Option<TrustedIssuer> {
        let tenant = self.tenants.get(issuer)?;
        // It was made once, when the list was checked.
        self.template.for_tenant(tenant).ok()
    }

    /// The list never changes.
    fn generation(&self) -> Option<u64> {
        Some(0)
    }

    fn max_issuers(&self) -> u64 {
        u64::try_from(self.tenants.len()).unwrap_or(u64::MAX)
    }

    fn common_terms(&self) -> Option<&TrustedIssuer> {
        Some(&self.template)
    }
}

impl TrustedIssuer {
    fn for_tenant(&self, tenant: &str) -> Result<Self, ConfigError> {
        let issuer = self.issuer.as_str().replace(PLACEHOLDER, tenant);
        check_identifier(&issuer)?;
        let keys = match &self.keys {
            #[cfg(feature = "http-client")]
            KeyOrigin::Discovered(_) => KeyOrigin::Discovered(super::discovery::MetadataUrls::of(&issuer)?),
            #[cfg(feature = "http-client")]
            KeyOrigin::Url(url) => KeyOrigin::Url(of_tenant(url, tenant, "a JWK Set URL")?),
            #[cfg(feature = "http-client")]
            KeyOrigin::MetadataUrl(url) => KeyOrigin::MetadataUrl(of_tenant(url, tenant, "a metadata URL")?),
            shared @ (KeyOrigin::Static(_) | KeyOrigin::Source(_)) => shared.clone(),
        };
        Ok(Self { issuer: issuer.into(), keys, ..self.clone() })
    }
}

#[cfg(feature = "http-client")]
fn of_tenant(url: &url::Url, tenant: &str, purpose: &'static str) -> Result<url::Url, ConfigError> {
    // As a URL's path spells it, and as its query does.
    let url = url.as_str().replace("%7Btenant%7D", tenant).replace(PLACEHOLDER, tenant);
    crate::http_client::configured_url(&url, purpose)
}

/// What can neither leave its place in a URL nor be spelled in another way.
fn is_segment(tenant: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    tenant.bytes().all(is_plain) && tenant.split('.').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::ClaimMapping;

    const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn template(issuer: &str) -> TrustedIssuer {
        TrustedIssuer::with_static_keys(issuer, JWKS)
            .unwrap()
            .add_audience("api")
            .claim_mapping(ClaimMapping::entra_v2())
    }

    #[test]
    fn only_the_listed_tenants_are_issuers() {
        let tenants =
            TenantIssuers::new(template("https://idp/{tenant}/v2.0"), ["t1", "contoso.com"]).unwrap();
        for issuer in ["https://idp/t1/v2.0", "https://idp/contoso.com/v2.0"] {
            let resolved = tenants.resolve(issuer).unwrap();
            assert_eq!(resolved.issuer, *issuer);
            assert_eq!(resolved.mapping, ClaimMapping::entra_v2());
        }
        for issuer in [
            "https://idp/t2/v2.0",
            "https://idp/T1/v2.0",
            "https://idp/t1/v2.0/",
            "https://idp/t1/x/v2.0",
            "https://idp/{tenant}/v2.0",
            "https://idp/common/v2.0",
            "https://idp//v2.0",
            "",
        ] {
            assert!(tenants.resolve(issuer).is_none(), "{issuer}");
        }
        assert_eq!(tenants.max_issuers(), 2);
    }

    #[test]
    fn refused_at_once() {
        let refused = |issuer: &str, tenants: &[&str]| {
            let made = TenantIssuers::new(template(issuer), tenants);
            assert!(matches!(made, Err(ConfigError::InvalidTenants { .. })), "{issuer} {tenants:?}");
        };
        refused("https://idp/v2.0", &["t1"]);
        refused("https://idp/{tenant}/{tenant}", &["t1"]);
        refused("https://idp/{tenant}", &[]);
        for tenant in ["", ".", "..", "a/b", "a?b", "a#b", "a%2Fb", "a b", "é", "a@b", "a:b", "a..b", ".a"] {
            refused("https://idp/{tenant}", &["t1", tenant]);
        }
    }

    #[cfg(feature = "http-client")]
    #[test]
    fn keys_come_from_the_tenants_own_place() {
        let terms = TrustedIssuer::with_jwks_url("https://idp/{tenant}", "https://idp/{tenant}/k?t={tenant}");
        let tenants = TenantIssuers::new(terms.unwrap().add_audience("api"), ["t1"]).unwrap();
        let KeyOrigin::Url(url) = tenants.resolve("https://idp/t1").unwrap().keys else { panic!("no URL") };
        assert_eq!(url.as_str(), "https://idp/t1/k?t=t1");
        let terms = TrustedIssuer::discover("https://idp/{tenant}/v2.0").unwrap().add_audience("api");
        let tenants = TenantIssuers::new(terms, ["t1"]).unwrap();
        let keys = tenants.resolve("https://idp/t1/v2.0").unwrap().keys;
        let KeyOrigin::Discovered(urls) = keys else { panic!("not discovered") };
        let own = super::super::discovery::MetadataUrls::of("https://idp/t1/v2.0").unwrap();
        assert_eq!(urls, own);
    }
}
