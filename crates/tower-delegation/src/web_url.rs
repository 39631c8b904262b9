//! Which URLs may be spoken to: `https`, and plain `http` on this very machine.

use url::{Host, Url};

/// Checks that what is sent to the URL is protected on its way: `https`, or `http`
/// that does not leave this machine. The error says what is wrong with it.
pub(crate) fn check_protected(url: &Url) -> Result<(), &'static str> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err("it is plain http to another machine: use https"),
        _ => Err("its scheme is not https"),
    }
}

/// Whether the host is `localhost`, in 127.0.0.0/8 or `::1`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_loopback_http_are_protected() {
        for (url, expected) in [
            ("https://idp.example.com/a", true),
            ("http://127.0.0.1:8080/a", true),
            ("http://127.8.9.1/a", true),
            ("http://[::1]:8080/a", true),
            ("http://localhost:8080/a", true),
            ("http://LOCALHOST/a", true),
            ("http://idp.example.com/a", false),
            ("http://localhost.example.com/a", false),
            ("http://localhost./a", false),
            ("http://127.0.0.1.example.com/a", false),
            ("http://10.0.0.1/a", false),
            ("http://0.0.0.0/a", false),
            ("http://[::2]/a", false),
            ("http://[::ffff:127.0.0.1]/a", false),
            ("file:///etc/passwd", false),
            ("ftp://localhost/a", false),
            ("data:application/json,{}", false),
        ] {
            assert_eq!(check_protected(&Url::parse(url).unwrap()).is_ok(), expected, "{url}");
        }
    }
}
