//! Accepts requests of programs on this machine, and none of web pages.
//!
//! The server listens on the loopback interface only. A web page in the user's browser can still reach it: by a host
//! name that resolves to 127.0.0.1 (DNS rebinding), or by posting a form. `Host` shows the first, `Origin` the second.

use http::header::{HOST, ORIGIN};
use http::request::Parts;

/// Whether the request names this machine and is not from a foreign web page.
pub(super) fn is_local(parts: &Parts) -> bool {
    // HTTP/2 names the host in the URI.
    let host = match parts.headers.get(HOST) {
        Some(value) => value.to_str().ok(),
        None => parts.uri.authority().map(http::uri::Authority::as_str),
    };
    let origin_is_local = match parts.headers.get(ORIGIN) {
        None => true,
        Some(origin) => origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, host)| names_this_machine(host)),
    };
    host.is_some_and(names_this_machine) && origin_is_local
}

/// `host` or `host:port`. Names below `localhost` resolve to the loopback interface (RFC 6761); those below
/// `localhost.localstack.cloud` do so by public DNS, and tools for emulators use them.
fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    if ["127.0.0.1", "[::1]"].contains(&name.as_str()) {
        return true;
    }
    ["localhost", "localhost.localstack.cloud"].iter().any(|known| {
        name.strip_suffix(known)
            .is_some_and(|below| below.is_empty() || below.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:4566",
            "localhost",
            "LocalHost:4566",
            "[::1]:4566",
            "[::1]",
            "kinesis.localhost:4566",
            "localhost.localstack.cloud:4566",
            "000000000000.data-kinesis.localhost.localstack.cloud",
        ] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:4566",
            "notlocalhost",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "[::2]:80",
            "localhost:x",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }

    #[test]
    fn foreign_pages_are_told_by_their_origin() {
        let parts = |origin: Option<&str>| {
            let mut builder = http::Request::builder().header("host", "127.0.0.1:4566");
            if let Some(origin) = origin {
                builder = builder.header("origin", origin);
            }
            builder.body(()).unwrap().into_parts().0
        };
        assert!(is_local(&parts(None)));
        assert!(is_local(&parts(Some("http://localhost:3000"))));
        assert!(!is_local(&parts(Some("https://evil.example"))));
        assert!(!is_local(&parts(Some("null"))));
    }
}
