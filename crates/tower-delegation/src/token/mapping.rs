//! Reads what a [`ClaimMapping`] names out of a token's claims.

use std::{borrow::Cow, collections::HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;

use super::{
    actor::{Actor, ActorNames, read_chain, read_list},
    claims::{RawClaims, says_nothing},
    revocable::Identifier,
};
use crate::{
    issuer::{
        AbsentSubject, ActorForm, ActorText, ClaimMapping, ClaimPath, DifferingClients, NameForm, Presence,
        ScopeForm, TenantRule,
    },
    json::{Nested, each_entry, each_member, find, read_object, string, strings},
    names::{ClientId, IssuerUrl, SessionId, SubjectId, TenantId, TokenId},
    privileges::{GroupSet, PermissionSet, RoleSet},
    reason::{DenialReason, Malformed},
    revocation::RevocationKind,
    scope::ScopeSet,
};

const MALFORMED: DenialReason = DenialReason::ClaimMalformed;

/// The claims of one token, through the eyes of its issuer's mapping.
pub(super) struct Mapped<'m, 'c, 'a> {
    pub(super) mapping: &'m ClaimMapping,
    pub(super) claims: &'c RawClaims<'a>,
}

impl<'a> Mapped<'_, '_, 'a> {
    /// Subject and client, each of which may stand in for the other.
    pub(super) fn parties(&self) -> Result<(SubjectId, Option<ClientId>), DenialReason> {
        // Read or not: `sub` is a string (RFC 7519 section 4.1.2).
        text(self.claims.subject)?;
        let subject = self.first_text(&self.mapping.subject)?;
        let client = match (&subject, &self.mapping.absent_subject) {
            (None, AbsentSubject::Refused) => return Err(DenialReason::ClaimMissing),
            (Some(_), _) | (None, AbsentSubject::Client { .. }) => self.client()?,
        };
        let subject = match (subject, &self.mapping.absent_subject, &client) {
            (Some(subject), ..) => SubjectId::from(&*subject),
            // RFC 9068 section 2.2: without a resource owner, the subject is the client.
            (None, AbsentSubject::Client { unless }, Some(client)) => {
                for path in unless {
                    if self.at(path)?.is_some() {
                        return Err(DenialReason::ClaimMissing);
                    }
                }
                SubjectId::from(client.as_str())
            }
            (None, ..) => return Err(DenialReason::ClaimMissing),
        };
        Ok((subject, client))
    }

    fn client(&self) -> Result<Option<ClientId>, DenialReason> {
        let mut client: Option<Cow<'_, str>> = None;
        for path in &self.mapping.client {
            let Some(named) = self.text_at(path)? else { continue };
            if client.as_ref().is_some_and(|client| *client != named)
                && self.mapping.differing_clients == DifferingClients::Refused
            {
                return Err(DenialReason::ClaimsContradictory);
            }
            client.get_or_insert(named);
        }
        match (client, self.mapping.client_presence) {
            (Some(client), _) => Ok(Some(ClientId::from(&*client))),
            (None, Presence::Optional) => Ok(None),
            (None, Presence::Required) => Err(DenialReason::ClaimMissing),
        }
    }

    pub(super) fn scopes(&self) -> Result<ScopeSet, DenialReason> {
        let mut scopes: Option<ScopeSet> = None;
        for (path, form) in &self.mapping.scopes {
            let Some(value) = self.at(path)? else { continue };
            let read = read_scopes(value, *form).ok_or(MALFORMED)?;
            if scopes.as_ref().is_some_and(|scopes| !same_scopes(scopes, &read)) {
                return Err(DenialReason::ClaimsContradictory);
            }
            scopes.get_or_insert(read);
        }
        if let Some(scopes) = &scopes {
            for path in &self.mapping.rival_scopes {
                let Some(value) = self.at(path)? else { continue };
                let read = read_scopes(value, ScopeForm::Either).ok_or(MALFORMED)?;
                if !same_scopes(scopes, &read) {
                    return Err(DenialReason::ClaimsContradictory);
                }
            }
        }
        Ok(scopes.unwrap_or_default())
    }

    pub(super) fn roles(&self) -> Result<RoleSet, Malformed> {
        Ok(RoleSet::from_names(self.names(&self.mapping.roles)?.unwrap_or_default()))
    }

    pub(super) fn permissions(&self) -> Result<PermissionSet, Malformed> {
        Ok(PermissionSet::from_names(self.names(&self.mapping.permissions)?.unwrap_or_default()))
    }

    /// `None` if the token does not tell, or not all of them: no list is not an
    /// empty list.
    pub(super) fn groups(&self) -> Result<Option<GroupSet>, Malformed> {
        let groups = self.names(&self.mapping.groups)?;
        for path in &self.mapping.groups_elsewhere {
            // `null` is there: nothing says that the list is complete.
            if self.at(path).or(Err(Malformed))?.is_some() {
                return Ok(None);
            }
        }
        Ok(groups.map(GroupSet::from_names))
    }

    fn names(&self, paths: &[(ClaimPath, NameForm)]) -> Result<Option<Vec<Box<str>>>, Malformed> {
        let mut names: Option<Vec<Box<str>>> = None;
        let mut known = HashSet::new();
        for (path, form) in paths {
            let Some(value) = self.optional(path).or(Err(Malformed))? else { continue };
            let names = names.get_or_insert_default();
            let read = read_names(value, *form).ok_or(Malformed)?;
            names.extend(read.into_iter().filter(|name| known.insert(name.clone())).map(Box::from));
        }
        Ok(names)
    }

    /// A tenant that must agree with the issuer refuses the token; any other is
    /// a fact like the rest.
    pub(super) fn tenant(
        &self,
        issuer: &IssuerUrl,
    ) -> Result<Result<Option<TenantId>, Malformed>, DenialReason> {
        let Some(path) = &self.mapping.tenant else { return Ok(Ok(None)) };
        match self.mapping.tenant_rule {
            TenantRule::Optional => {
                let tenant =
                    self.optional(path).or(Err(Malformed)).and_then(|claim| match claim.map(string) {
                        None => Ok(None),
                        Some(Some(tenant)) if !tenant.is_empty() => Ok(Some(TenantId::from(&*tenant))),
                        Some(_) => Err(Malformed),
                    });
                Ok(tenant)
            }
            TenantRule::InIssuer => {
                let tenant = self.text_at(path)?.ok_or(DenialReason::ClaimMissing)?;
                // Behind scheme, nothing and host.
                if !issuer.as_str().split('/').skip(3).any(|segment| *segment == *tenant) {
                    return Err(DenialReason::ClaimsContradictory);
                }
                Ok(Ok(Some(TenantId::from(&*tenant))))
            }
        }
    }

    /// The token's identifier, or the digest of what is signed.
    pub(super) fn token_id(&self, signing_input: &str) -> Result<TokenId, DenialReason> {
        match (self.first_text(&self.mapping.token_id)?, self.mapping.token_id_presence) {
            (Some(id), _) => Ok(TokenId::from(&*id)),
            (None, Presence::Required) => Err(DenialReason::ClaimMissing),
            (None, Presence::Optional) => {
                let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, signing_input.as_bytes()));
                Ok(TokenId::from(format!("sha-256:{digest}")))
            }
        }
    }

    pub(super) fn session(&self) -> Result<Option<SessionId>, DenialReason> {
        Ok(self.first_text(&self.mapping.session)?.map(|session| SessionId::from(&*session)))
    }

    /// `speaks_for`: the other issuers whose actors this one may name.
    pub(super) fn actors(
        &self,
        issuer: &IssuerUrl,
        speaks_for: &[IssuerUrl],
        max_actors: usize,
    ) -> Result<Box<[Actor]>, DenialReason> {
        const MALFORMED: DenialReason = DenialReason::ActorMalformed;
        let text = self.claims.actor.and_then(string);
        let (act, unquoted): (_, Box<RawValue>);
        act = match (self.claims.actor, text) {
            (Some(_), Some(text)) if self.mapping.absent_actors.iter().any(|value| **value == *text) => None,
            (Some(_), Some(text)) if self.mapping.actor_text == ActorText::Allowed => {
                unquoted = serde_json::from_str(&text).or(Err(MALFORMED))?;
                Some(&*unquoted)
            }
            (act, _) => act,
        };
        let names = ActorNames { token_issuer: issuer, speaks_for, ids: &self.mapping.actor_ids };
        match (&self.mapping.actor, act) {
            (ActorForm::Refused, Some(_)) => Err(MALFORMED),
            (ActorForm::Refused | ActorForm::Nested, None) => Ok(Box::default()),
            (ActorForm::Nested, Some(act)) => read_chain(act, &names, max_actors),
            (ActorForm::Beside(path), act) => match (act, self.at(path)?) {
                (None, None) => Ok(Box::default()),
                // A provider that always writes the list.
                (None, Some(earlier)) if strings(earlier).is_some_and(|list| list.is_empty()) => {
                    Ok(Box::default())
                }
                // Somebody acted before nobody.
                (None, Some(_)) => Err(MALFORMED),
                (Some(act), None) => read_chain(act, &names, max_actors),
                (Some(act), Some(earlier)) => read_list(act, earlier, &names, max_actors),
            },
        }
    }

    /// Everything that names the token, its subject, session or client: the
    /// standard claims, and all that the mapping may read, chosen or not.
    pub(super) fn identifiers(&self) -> Vec<Identifier<'a>> {
        use RevocationKind as Kind;
        let Mapped { mapping, claims } = self;
        let sources = [
            (Kind::Token, "jti", &mapping.token_id),
            (Kind::Subject, "sub", &mapping.subject),
            (Kind::Session, "sid", &mapping.session),
            (Kind::Client, "client_id", &mapping.client),
        ];
        // Where the mapping reads no client, there is none to revoke.
        let sources = sources.into_iter().filter(|(_, _, paths)| !paths.is_empty());
        let identifiers = sources.flat_map(|(kind, standard, paths)| {
            let mapped = paths.iter().filter_map(|path| self.at(path).ok().flatten());
            let values = claims.get(standard).into_iter().chain(mapped);
            values.filter_map(move |value| Some((kind, string(value).filter(|text| !text.is_empty())?)))
        });
        identifiers.collect()
    }

    fn first_text(&self, paths: &[ClaimPath]) -> Result<Option<Cow<'a, str>>, DenialReason> {
        for path in paths {
            if let Some(text) = self.text_at(path)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// A claim that is a string, and not an empty one, where it is there.
    fn text_at(&self, path: &ClaimPath) -> Result<Option<Cow<'a, str>>, DenialReason> {
        match text(self.at(path)?)? {
            Some(text) if text.is_empty() => Err(MALFORMED),
            text => Ok(text),
        }
    }

    /// A claim of which `null` is a malformed value.
    fn at(&self, path: &ClaimPath) -> Result<Option<&'a RawValue>, DenialReason> {
        let mut segments = path.segments();
        let mut value = segments.next().and_then(|name| self.claims.get(name));
        for name in segments {
            let Some(outer) = value else { return Ok(None) };
            value = member(outer, name)?;
        }
        Ok(value)
    }

    /// A claim that is absent where it, or an object around it, is `null`.
    pub(super) fn optional(&self, path: &ClaimPath) -> Result<Option<&'a RawValue>, DenialReason> {
        let some = |value: Option<&'a RawValue>| value.filter(|value| value.get() != "null");
        let mut segments = path.segments();
        let mut value = some(segments.next().and_then(|name| self.claims.get(name)));
        for name in segments {
            let Some(outer) = value else { return Ok(None) };
            value = some(member(outer, name)?);
        }
        Ok(value)
    }
}

/// A member of a claim that is an object.
fn member<'a>(object: &'a RawValue, name: &str) -> Result<Option<&'a RawValue>, DenialReason> {
    let mut found = None;
    read_object(object.get(), MALFORMED, |member, value| {
        if member == name {
            found = Some(value);
        }
        // Checked when the token was read.
        Ok(Nested::Unchecked)
    })?;
    Ok(found)
}

/// A claim that is a string where it is there.
fn text(claim: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, DenialReason> {
    claim.map(|value| string(value).ok_or(MALFORMED)).transpose()
}

/// The names that a claim lists; never a text that is split.
fn read_names(value: &RawValue, form: NameForm) -> Option<Vec<Cow<'_, str>>> {
    let one = || string(value).filter(|name| !name.is_empty()).map(|name| vec![name]);
    match form {
        NameForm::Array => strings(value),
        NameForm::String => one(),
        NameForm::Either => one().or_else(|| strings(value)),
        NameForm::Values => {
            let mut names = Some(Vec::new());
            let is_array = each_entry(value, |entry| {
                let name = string(entry).or_else(|| find(entry.get(), "value").and_then(string));
                match (&mut names, name.filter(|name| !name.is_empty())) {
                    (Some(names), Some(name)) => names.push(name),
                    _ => names = None,
                }
            });
            names.filter(|_| is_array)
        }
        NameForm::Members => {
            let mut names = Vec::new();
            let is_object = each_member(value.get(), |name, value| {
                // `"admin": false` and `"admin": {}` grant nothing.
                if !says_nothing(value) {
                    names.push(Cow::Owned(name.to_owned()));
                }
            });
            is_object.then_some(names)
        }
    }
}

fn read_scopes(value: &RawValue, form: ScopeForm) -> Option<ScopeSet> {
    match (string(value), form) {
        (Some(text), ScopeForm::String | ScopeForm::Either) => ScopeSet::parse(&text),
        (None, ScopeForm::Array | ScopeForm::Either) => {
            let entries = strings(value)?;
            // One entry is one scope: a space would make it two.
            if entries.iter().any(|entry| entry.is_empty() || entry.contains(' ')) {
                return None;
            }
            ScopeSet::parse(&entries.join(" "))
        }
        (Some(_), ScopeForm::Array) | (None, ScopeForm::String) => None,
    }
}

fn same_scopes(one: &ScopeSet, other: &ScopeSet) -> bool {
    one.iter().all(|scope| other.contains(scope)) && other.iter().all(|scope| one.contains(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_scopes() {
        use ScopeForm::{Array, Either, String};
        for (json, form, expected) in [
            (r#""a b""#, String, Some("a b")),
            (r#""a b""#, Either, Some("a b")),
            (r#""a b""#, Array, None),
            (r#"["a","b"]"#, Array, Some("a b")),
            (r#"["a","b"]"#, Either, Some("a b")),
            (r#"["a","b"]"#, String, None),
            ("[]", Array, Some("")),
            (r#"["a b"]"#, Array, None),
            (r#"["a b"]"#, Either, None),
            (r#"[""]"#, Array, None),
            (r#"["a",1]"#, Array, None),
            (r#"["a\""]"#, Array, None),
            (r#""a  b""#, Either, None),
            ("null", Either, None),
            ("{}", Either, None),
        ] {
            let read = read_scopes(serde_json::from_str(json).unwrap(), form);
            assert_eq!(read.as_ref().map(ScopeSet::as_str), expected, "{json} {form:?}");
        }
    }

    #[test]
    fn names_as_values() {
        let read = |json| {
            let names = read_names(serde_json::from_str(json).unwrap(), NameForm::Values);
            names.map(|names| names.join("|"))
        };
        for (json, expected) in [
            (r#"["a","b c"]"#, Some("a|b c")),
            (r#"[{"value":"a"},{"display":"B","value":"b"}]"#, Some("a|b")),
            (r#"["a",{"value":"b","type":"direct","primary":true}]"#, Some("a|b")),
            ("[]", Some("")),
            (r#""a""#, None),
            (r#"{"value":"a"}"#, None),
            (r#"{"a":{}}"#, None),
            (r#"["a",1]"#, None),
            (r#"["a",null]"#, None),
            (r#"["a",["b"]]"#, None),
            (r#"[{"value":1}]"#, None),
            (r#"[{"value":null}]"#, None),
            (r#"[{"value":["a"]}]"#, None),
            (r#"[{"value":""}]"#, None),
            (r#"[""]"#, None),
            (r#"[{"display":"a"}]"#, None),
            (r#"[{"Value":"a"}]"#, None),
            (r#"[{"value":"a"},{}]"#, None),
            ("true", None),
        ] {
            assert_eq!(read(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn an_identifier_is_made_of_what_is_signed() {
        let claims = RawClaims::parse("{}").unwrap();
        let strict = ClaimMapping::rfc9068();
        let mapped = Mapped { mapping: &strict, claims: &claims };
        assert_eq!(mapped.token_id("a.b"), Err(DenialReason::ClaimMissing));
        let mapping = strict.allow_absent_token_id();
        let mapped = Mapped { mapping: &mapping, claims: &claims };
        // FIPS 180-2 appendix B.1.
        let expected = "sha-256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert_eq!(mapped.token_id("abc").unwrap(), expected);
    }
}
