//! The registry as it is written in TOML.

use super::*;

const GUIDE: &str = include_str!("../../../../../docs/applications.md");

#[test]
fn the_guides_example_is_a_registry() {
    let (_, example) = GUIDE.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let applications = Applications::from_toml(example).unwrap();
    let of = |name: &str| applications.iter().find(|one| one.name() == name).unwrap();
    assert_eq!(applications.iter().len(), 4);

    let web = of("shop-web");
    let clients: Vec<_> = web.clients().map(|(issuer, id)| (issuer.as_str(), id.as_str())).collect();
    assert_eq!(clients, [(IDP, "shop-web"), ("https://login.partner.example", "shop")]);
    assert_eq!((web.kind().as_str(), web.status().as_str()), ("application", "active"));
    assert_eq!(web.review_by().map(Deadline::as_str), Some("2027-03-31"));
    assert_eq!(web.workloads().next().unwrap().as_str(), "spiffe://prod.example/shop/*");
    assert!(web.acts_for(SubjectKind::User) && !web.acts_for(SubjectKind::Service));
    assert_eq!(web.excess(), Excess::Cut);
    assert!(web.roles().is_all() && web.groups().is_all() && web.permissions().is_all());

    let copilot = of("copilot");
    assert_eq!(copilot.clients().len(), 0);
    assert_eq!(copilot.actors().next().unwrap().1.as_str(), "copilot");
    assert!(copilot.requires_sender_constraint() && !copilot.allows_any_workload());
    assert_eq!(copilot.excess(), Excess::Refuse);
    assert_eq!(copilot.roles().to_string(), r#"["employee"]"#);
    for nothing in [copilot.permissions(), copilot.groups(), copilot.authorization_detail_types()] {
        assert_eq!(nothing.to_string(), "[]");
    }
    assert_eq!(copilot.max_token_lifetime(), Some(Duration::from_secs(600)));
    assert_eq!(copilot.expires().unwrap().end(), Timestamp::from_unix_seconds(1_814_400_000));

    let export = of("nightly-export");
    assert!(!export.acts_for(SubjectKind::User) && export.acts_for(SubjectKind::Service));
    assert_eq!(export.workload_dns_names().collect::<Vec<_>>(), ["export.prod.example"]);
    assert_eq!(export.workload_thumbprints().len(), 1);

    let app = of("shop-app");
    assert!(app.allows_any_workload());
    assert_eq!((app.status(), app.clients().len()), (ApplicationStatus::Suspended, 2));
}

#[test]
fn each_key_of_the_guide_and_no_other() {
    let (_, table) = GUIDE.split_once("| key |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut keys: Vec<_> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|key| key.trim().trim_matches('`').to_owned())
        .collect();
    let error = Applications::from_toml("[[application]]\nname = 'a'\nkind = 'agent'\nno = 1").unwrap_err();
    let ConfigError::InvalidApplication { problem, .. } = error else { panic!("{error}") };
    let mut known: Vec<_> = problem.split('`').skip(3).step_by(2).map(ToOwned::to_owned).collect();
    keys.sort();
    known.sort();
    assert_eq!(keys, known);
}

#[test]
fn mistakes_name_the_entry_and_the_key() {
    const SOUND: &str =
        "[[application]]\nname = \"web\"\nkind = \"application\"\nissuer = \"i\"\nclient_ids = [\"w\"]\n";
    assert!(Applications::from_toml(SOUND).is_ok());
    for (more, key) in [
        ("scope = [\"read\"]", "scope"),
        ("Scopes = [\"read\"]", "Scopes"),
        ("scopes = \"read\"", "scopes"),
        ("scopes = [\"a b\"]", "scopes"),
        ("scopes = [1]", "scopes"),
        ("workloads = [\"spiffe://td/**/x\"]", "workloads"),
        ("workloads = [\"td\"]", "workloads"),
        ("workload_dns_names = [\"a..b\"]", "workload_dns_names"),
        ("workload_thumbprints = [\"zz\"]", "workload_thumbprints"),
        ("any_workload = \"yes\"", "any_workload"),
        ("any_workload = true\nworkloads = [\"spiffe://td/x\"]", "any_workload"),
        ("status = \"paused\"", "status"),
        ("excess = \"ignore\"", "excess"),
        ("acts_for = [\"everybody\"]", "acts_for"),
        ("acts_for = \"users\"", "acts_for"),
        ("expires = \"2027-01-01\"", "expires"),
        ("expires = 2027-01-01T00:00:00", "expires"),
        ("expires = 10:00:00", "expires"),
        ("review_by = 1", "review_by"),
        ("max_token_lifetime_seconds = 0", "max_token_lifetime_seconds"),
        ("max_token_lifetime_seconds = -1", "max_token_lifetime_seconds"),
        ("max_token_lifetime_seconds = \"15m\"", "max_token_lifetime_seconds"),
        ("sender_constrained = 1", "sender_constrained"),
        ("actor_ids = [{ issuer = \"i\" }]", "actor_ids"),
        ("actor_ids = [{ issuer = \"i\", id = \"a\", sub = \"a\" }]", "actor_ids"),
        ("actor_ids = [\"\"]", "actor_ids"),
        ("actor_ids = [\"a\", \"a\"]", "actor_ids"),
        ("tenants = [\"\"]", "tenants"),
        ("environments = \"live\"", "environments"),
        ("owner = \"\"", "owner"),
        ("[application.limits]\nscopes = []", "limits"),
    ] {
        let error = Applications::from_toml(&format!("{SOUND}{more}\n")).unwrap_err();
        let ConfigError::InvalidApplication { application, key: told, .. } = &error else {
            panic!("{more}: {error:?}")
        };
        assert_eq!((application.as_str(), told.as_str()), ("web", key), "{more}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

fn entry(name: &str, rest: &str) -> String {
    format!("[[application]]\nname = \"{name}\"\nkind = \"agent\"\n{rest}\n")
}

#[test]
fn entries_that_contradict_each_other() {
    let shared = "issuer = \"i\"\n";
    for (name, first, second, key) in [
        ("the same name", ("a", "client_ids = [\"x\"]"), ("a", "client_ids = [\"y\"]"), "name"),
        ("the same client", ("a", "client_ids = [\"x\"]"), ("b", "client_ids = [\"x\"]"), "client_ids"),
        ("the same actor", ("a", "actor_ids = [\"x\"]"), ("b", "actor_ids = [\"x\"]"), "actor_ids"),
        (
            "the same client, its issuer written out",
            ("a", "client_ids = [\"x\"]"),
            ("b", "client_ids = [{ issuer = \"i\", id = \"x\" }]"),
            "client_ids",
        ),
    ] {
        let text = entry(first.0, &format!("{shared}{}", first.1))
            + &entry(second.0, &format!("{shared}{}", second.1));
        let error = Applications::from_toml(&text).unwrap_err();
        let ConfigError::InvalidApplication { application, key: told, .. } = &error else {
            panic!("{name}: {error:?}")
        };
        assert_eq!((application.as_str(), told.as_str()), (second.0, key), "{name}: {error}");
    }
    // An actor and a client may have the same identifier.
    let text = entry("a", "issuer = \"i\"\nclient_ids = [\"x\"]")
        + &entry("b", "issuer = \"i\"\nactor_ids = [\"x\"]");
    assert!(Applications::from_toml(&text).is_ok());
}

#[test]
fn what_is_no_registry_at_all() {
    for (text, told) in [
        ("", "no application is registered: every token would be refused"),
        ("[[application]]", "application \"number 1\" is not usable: name: missing field `name`"),
        ("[[application]]\nname = \"a\"", "application \"a\" is not usable: kind: missing field `kind`"),
    ] {
        assert_eq!(Applications::from_toml(text).unwrap_err().to_string(), told, "{text:?}");
    }
    for (text, line, problem) in [
        ("\n\nnot toml", 3, "key with no value, expected `=`"),
        (
            "[[applications]]\nname = \"a\"",
            1,
            "unknown field `applications`, expected `unknown_earlier_actors` or `application`",
        ),
        (
            "\nenvironment = \"x\"",
            2,
            "unknown field `environment`, expected `unknown_earlier_actors` or `application`",
        ),
        ("[application]\nname = \"a\"", 1, "invalid type: map, expected a sequence"),
        ("application = 1", 1, "invalid type: integer `1`, expected a sequence"),
    ] {
        let told = format!("the registry of applications is not readable in line {line}: {problem}");
        assert_eq!(Applications::from_toml(text).unwrap_err().to_string(), told, "{text:?}");
    }
    let error = Applications::from_toml_file("/nowhere/applications.toml").unwrap_err();
    assert!(matches!(error, ConfigError::ApplicationsUnreadable { .. }), "{error}");
}

#[test]
fn every_mistake_of_every_entry_is_reported_at_once() {
    let text = r#"
        [[application]]
        name = "web"
        kind = "application"
        colour = "green"
        client_ids = ["w"]
        scopes = ["a b", "good", "c d"]
        any_workload = "yes"

        [[application]]
        name = "copilot"
        kind = "robot"

        [[application]]
        name = "desk"
        kind = "application"
        issuer = "i"
        client_ids = ["d", ""]
        scopes = ["a b", "good", "c d"]
        expires = 2027-03-31
        max_token_lifetime_seconds = 0
        any_workload = true
        workloads = ["web"]

        [[application]]
        name = "desk"
        kind = "service"
        issuer = "i"
        actor_ids = ["d"]
    "#;
    let error = Applications::from_toml(text).unwrap_err();
    let told: Vec<_> = error
        .mistakes()
        .map(|mistake| match mistake {
            ConfigError::InvalidApplication { application, key, .. } => (application.as_str(), key.as_str()),
            other => panic!("{other}"),
        })
        .collect();
    // Of entries that cannot be read, nothing more is known.
    let unreadable = [("web", "any_workload"), ("web", "colour"), ("copilot", "kind")];
    assert_eq!(told, unreadable, "{error}");
    let (_, readable) = text.split_at(text.match_indices("[[application]]").nth(2).unwrap().0);
    let error = Applications::from_toml(readable).unwrap_err();
    let told: Vec<_> = error.mistakes().map(ToString::to_string).collect();
    for (mistake, (key, quoted)) in told.iter().zip([
        ("client_ids", "\"\" names nothing"),
        ("max_token_lifetime_seconds", "0 seconds"),
        ("scopes", "\"a b\""),
        ("scopes", "\"c d\""),
        ("workloads", "\"web\""),
    ]) {
        assert!(mistake.starts_with(&format!("application \"desk\" is not usable: {key}: ")), "{mistake}");
        assert!(mistake.contains(quoted), "{mistake}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn names_and_identifiers_of_two_entries_are_all_reported() {
    let text = entry("a", "issuer = \"i\"\nclient_ids = [\"x\"]\nactor_ids = [\"y\"]").repeat(2);
    let error = Applications::from_toml(&text).unwrap_err();
    let keys = error.mistakes().map(|mistake| match mistake {
        ConfigError::InvalidApplication { key, .. } => key.as_str(),
        other => panic!("{other}"),
    });
    assert_eq!(keys.collect::<Vec<_>>(), ["name", "client_ids", "actor_ids"], "{error}");
}
