//! The guide's configurations are those that the tests run.

const GUIDE: &str = include_str!("../../../docs/proxies.md");

/// Whether `line` is `template` with something in the place of each `@NAME@`.
fn is_filled(template: &str, line: &str) -> bool {
    let mut parts = template.split('@').step_by(2);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    for part in parts {
        let Some(at) =
            rest.get(1..).and_then(|rest| if part.is_empty() { Some(rest.len()) } else { rest.find(part) })
        else {
            return false;
        };
        rest = rest.get(1 + at + part.len()..).unwrap();
    }
    rest.is_empty()
}

#[test]
fn has_the_configurations_of_the_tests() {
    let nginx = [include_str!("behind/nginx.conf"), include_str!("behind/nginx-tls.conf")].concat();
    let mut compared = 0;
    for (language, tested) in [
        ("nginx", nginx.as_str()),
        ("haproxy", include_str!("behind/haproxy.cfg")),
        ("yaml", include_str!("behind/envoy.yaml")),
    ] {
        for block in GUIDE.split(&format!("```{language}\n")).skip(1) {
            let block = block.split("```").next().unwrap();
            for line in block.lines().map(str::trim).filter(|line| !line.is_empty()) {
                assert!(
                    tested.lines().any(|template| is_filled(template.trim(), line)),
                    "no test runs this line of {language}: {line}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "{compared} lines");
}

/// With a path behind the address nginx decodes `%2F`: another route than the client called.
#[test]
fn hands_on_the_path_as_the_client_sent_it() {
    let mut compared = 0;
    for line in GUIDE.lines().filter_map(|line| line.trim().strip_prefix("proxy_pass ")) {
        let (_, address) = line.trim_end_matches(';').split_once("://").unwrap();
        let has_path = match address.strip_prefix("unix:") {
            Some(socket) => socket.contains(':'),
            None => address.contains('/'),
        };
        assert!(!has_path, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn a_filled_line_is_told_from_another() {
    for (template, line, is) in [
        ("listen @PORT@ ssl;", "listen 443 ssl;", true),
        ("listen @PORT@ ssl;", "listen ssl;", false),
        ("listen @PORT@ ssl;", "listen 443 ssl; x", false),
        ("mode: @MODE@", "mode: SANITIZE_SET", true),
        ("mode: @MODE@", "mode: ", false),
        ("verify optional;", "verify optional;", true),
        ("verify optional;", "verify none;", false),
    ] {
        assert_eq!(is_filled(template, line), is, "{template} {line}");
    }
}
