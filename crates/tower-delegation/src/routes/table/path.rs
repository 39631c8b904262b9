//! Which raw paths mean one thing only.

use std::str::Bytes;

use http::uri::PathAndQuery;

/// A path that every reader takes for the same: what a table's row is looked up for
/// outside of axum, where no router has said which route the request went to, and what may
/// be called at a downstream.
///
/// Refused, because the service behind may decode or tidy up before it routes
/// (RFC 3986 section 6.2.2): dot segments, empty segments, backslashes, encoded
/// slashes and backslashes, encoded characters that need no encoding, an
/// encoding of an encoding, control characters, anything beyond ASCII.
pub(crate) fn is_unambiguous(path: &str) -> bool {
    if !path.starts_with('/') {
        return false;
    }
    let mut bytes = path.bytes();
    // Of the segment so far: its length, and whether it is dots alone.
    let (mut len, mut is_dots) = (1_usize, false);
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => {
                if len == 0 || (is_dots && len <= 2) {
                    return false;
                }
                (len, is_dots) = (0, true);
                continue;
            }
            b'.' => {}
            b'%' if !is_needed(&mut bytes) => return false,
            b'\\' | 0..=0x20 | 0x7f.. => return false,
            _ => is_dots = false,
        }
        len += 1;
    }
    !(is_dots && matches!(len, 1 | 2))
}

/// Reads what follows a `%`: is it an encoding, and of something that must be encoded?
fn is_needed(bytes: &mut Bytes<'_>) -> bool {
    let Some((high, low)) = hex(bytes.next()).zip(hex(bytes.next())) else { return false };
    match high << 4 | low {
        b'/' | b'\\' | 0..=0x1f | 0x7f => false,
        b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => false,
        b'%' => {
            let mut ahead = bytes.clone();
            hex(ahead.next()).zip(hex(ahead.next())).is_none()
        }
        _ => true,
    }
}

fn hex(byte: Option<u8>) -> Option<u8> {
    let digit = char::from(byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Could a request with this path ever arrive? For a template in a table.
pub(super) fn is_template(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['?', '#']) && {
        // Braces are the template's, not the path's.
        let plain: String = path.chars().filter(|c| !matches!(c, '{' | '}' | '*')).collect();
        PathAndQuery::try_from(plain).is_ok()
    }
}

pub(super) fn not_a_template(path: &str) -> String {
    format!("{path:?} is no path: it begins with `/` and has no query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        for (name, path) in [
            ("nothing", ""),
            ("no path", "*"),
            ("no slash in front", "orders"),
            ("an encoded slash", "/orders%2fadmin"),
            ("in upper case", "/orders%2Fadmin"),
            ("an encoded backslash", "/orders%5cadmin"),
            ("a backslash", "/orders\\admin"),
            ("a dot segment", "/orders/./1"),
            ("two dots", "/orders/../admin"),
            ("two dots at the end", "/orders/.."),
            ("two dots, encoded", "/orders/%2e%2e/admin"),
            ("half encoded", "/orders/.%2E/admin"),
            ("a double slash", "/orders//admin"),
            ("a double slash in front", "//admin"),
            ("a double slash at the end", "/admin//"),
            ("an encoded letter", "/%61dmin"),
            ("an encoded tilde", "/%7Ealice"),
            ("an encoding of an encoding", "/orders%252fadmin"),
            ("of a letter", "/%2561dmin"),
            ("a zero byte", "/orders%00"),
            ("a line break", "/orders%0a"),
            ("half an encoding", "/orders%2"),
            ("no encoding", "/orders%zz"),
            ("an encoding at the end", "/orders%"),
            ("a space", "/orders 1"),
            ("beyond ASCII", "/größe"),
        ] {
            assert!(!is_unambiguous(path), "{name}: {path}");
        }
    }

    #[test]
    fn a_path_that_means_one_thing_passes() {
        for path in [
            "/",
            "/orders",
            "/orders/",
            "/orders/1",
            "/a.b/..c",
            "/a:b@c!$&'()*+,;=",
            "/100%25",
            "/a%20b",
            "/gr%C3%B6%C3%9Fe",
            "/~alice",
        ] {
            assert!(is_unambiguous(path), "{path}");
        }
    }

    #[test]
    fn templates_are_paths() {
        for (path, expected) in [
            ("/", true),
            ("/orders/{id}", true),
            ("/files/{*rest}", true),
            ("orders", false),
            ("", false),
            ("/orders?all", false),
            ("/orders#1", false),
            ("/orders /1", false),
        ] {
            assert_eq!(is_template(path), expected, "{path}");
        }
    }
}
