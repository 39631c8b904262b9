//! Which challenge says what (RFC 9449 sections 7.1 and 7.2).

use integration_tests::{Answer, AuditLog, Served};
use reqwest::Method;
use tower_delegation::DenialReason as R;

use super::{Call, Client, router};

/// `error` of the challenges of Bearer and DPoP.
fn errors(answer: &Answer) -> [Option<String>; 2] {
    let [bearer, dpop] = answer.challenges.as_slice() else { panic!("{:?}", answer.challenges) };
    assert!(bearer.starts_with(r#"Bearer realm="api""#), "{bearer}");
    assert!(dpop.starts_with(r#"DPoP realm="api""#), "{dpop}");
    assert!(dpop.contains(r#"algs="RS256 RS384 "#) && !bearer.contains("algs="), "{bearer} {dpop}");
    [bearer, dpop].map(|challenge| {
        let (_, rest) = challenge.split_once(r#"error=""#)?;
        Some(rest.split_once('"')?.0.to_owned())
    })
}

#[tokio::test]
async fn r9449_7_2_2_the_error_stands_where_the_token_came() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let service = client.serve().await;
    let bound = client.token().sign();
    let bearer = format!("Bearer {}", client.world.token().sign());
    let invalid = Some("invalid_token");
    let request = Some("invalid_request");
    for (name, authorization, status, expected, reason) in [
        ("7.1-4: nothing", vec![], 401, [None, None], R::CredentialsMissing),
        ("7.1-4: another scheme", vec!["Basic eA==".to_owned()], 401, [None, None], R::CredentialsMissing),
        (
            "7.2-1: bound, by Bearer",
            vec![format!("Bearer {bound}")],
            401,
            [invalid, None],
            R::DpopTokenAsBearer,
        ),
        ("7.2-2: by Bearer", vec!["Bearer garbage".into()], 401, [invalid, None], R::TokenMalformed),
        ("7.2-2: by DPoP", vec!["DPoP garbage".into()], 401, [None, invalid], R::TokenMalformed),
        ("7.2-2: malformed by DPoP", vec!["DPoP a b".into()], 400, [None, request], R::CredentialsMalformed),
        (
            "7.2-2: two fields",
            vec![bearer.clone(), format!("DPoP {bound}")],
            400,
            [request, request],
            R::CredentialsMultiple,
        ),
        (
            "7.2-2: two of one scheme",
            vec![bearer.clone(), bearer],
            400,
            [request, request],
            R::CredentialsMultiple,
        ),
    ] {
        let call = Call { authorization, ..client.call() };
        let answer = call.send(&service).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(errors(&answer).each_ref().map(Option::as_deref), expected, "{name}");
        assert_eq!(audit.one().field("reason"), reason.code(), "{name}");
    }
}

#[tokio::test]
async fn r9449_7_2_1_a_bound_token_is_no_bearer_token() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let token = client.token().sign();
    let with_dpop = client.serve().await;
    let without = Served::start(router().layer(client.world.layer().build().unwrap())).await;
    // First by DPoP, so that the token is in the cache.
    let mut call = client.call_with(&token, client.proof(&token));
    assert_eq!(call.send(&with_dpop).await.status, 200);
    let _ = audit.take();
    for (name, service, challenges, reason) in [
        ("DPoP is configured", &with_dpop, 2, R::DpopTokenAsBearer),
        ("it is not", &without, 1, R::ConfirmationUnsupported),
    ] {
        for proofs in [vec![], client.call_with(&token, client.proof(&token)).proofs] {
            call = Call { authorization: vec![format!("Bearer {token}")], proofs, ..call };
            let answer = call.send(service).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"), "{name}");
            assert_eq!(answer.challenges.len(), challenges, "{name}");
            assert_eq!(audit.one().field("reason"), reason.code(), "{name}");
        }
    }
    // 7.1: where it is not configured, the scheme is refused as one that is not known, with the
    // one challenge there is (RFC 6750 section 3.1: without an error).
    let answer = client.call().send(&without).await;
    assert_eq!(audit.one().field("reason"), "scheme_unsupported");
    assert_eq!((answer.status, answer.challenge()), (401, r#"Bearer realm="api""#));
}

#[tokio::test]
async fn r9449_7_2_3_a_route_can_refuse_plain_bearer_tokens() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let service = client.serve().await;
    let plain = client.world.token().sign();
    assert_eq!(service.get("/orders", &plain).await.body, "alice none");
    let _ = audit.take();
    let answer = service.get("/bound", &plain).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"));
    assert_eq!(errors(&answer).each_ref().map(Option::as_deref), [Some("invalid_token"), None]);
    assert_eq!(audit.one().field("reason"), "sender_constraint_missing");

    let token = client.token().sign();
    let proof = client.key.proof("GET", "https://api.example.com/bound").for_token(&token);
    let call = Call { path: "/bound".to_owned(), ..client.call_with(&token, proof) };
    assert_eq!(call.send(&service).await.status, 200);
}

#[tokio::test]
async fn r9449_7_1_3_a_lack_of_scope_is_told_by_the_scheme_that_was_used() {
    let client = Client::new().await;
    let service = client.serve().await;
    let refund = |authorization: String, proofs| Call {
        method: Method::POST,
        path: "/refunds".to_owned(),
        authorization: vec![authorization],
        proofs,
    };
    let plain = client.world.token().sign();
    let bound = client.token().sign();
    let proof = client.key.proof("POST", "https://api.example.com/refunds").for_token(&bound).sign();
    for (name, call, used) in [
        ("Bearer", refund(format!("Bearer {plain}"), vec![]), 0),
        ("DPoP", refund(format!("DPoP {bound}"), vec![proof]), 1),
    ] {
        let answer = call.send(&service).await;
        assert_eq!(answer.status, 403, "{name}");
        for (index, error) in errors(&answer).iter().enumerate() {
            let expected = (index == used).then_some("insufficient_scope");
            assert_eq!(error.as_deref(), expected, "{name}");
            let names_scope = answer.challenges[index].contains(r#"scope="orders:refund""#);
            assert_eq!(names_scope, index == used, "{name}");
        }
    }
}
