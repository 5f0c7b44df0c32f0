//! Accepts requests of programs on this machine, and none of web pages.
//!
//! The server listens on the loopback interface only. A web page in the user's browser can still reach it: by a host
//! name that resolves to 127.0.0.1 (DNS rebinding), by a form, a script or an image. `Host` shows the first. Browsers mark
//! the others with `Origin` or `Sec-Fetch-Site`, also those of pages on this machine; programs send neither. Pages may
//! call the endpoints of [`crate::web`], and services that say so if the request is signed.

use http::header::{HOST, ORIGIN};
use http::request::Parts;

use crate::web::Address;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It names another machine.
    Host,
    /// A web page sent it.
    Page,
}

impl Refused {
    pub fn message(self) -> &'static str {
        match self {
            Self::Host => {
                "The local cloud answers programs on this machine only: the Host header must be 127.0.0.1, localhost or a \
                 name below localhost."
            }
            Self::Page => {
                "The local cloud does not answer web pages: a request must have no Origin header, and a Sec-Fetch-Site \
                 header only with the value none or same-origin."
            }
        }
    }
}

/// The endpoint of [`crate::web`] that a request is for; `None` for a request of a program to an API of AWS.
///
/// # Errors
/// When the request names another machine, or a web page sends it to an API of AWS.
pub(super) fn check(parts: &Parts) -> Result<Option<Address>, Refused> {
    let host = host(parts).filter(|host| names_this_machine(host));
    let host = host.ok_or(Refused::Host)?;
    match Address::of(host, parts.uri.path()) {
        None if is_from_page(parts) => Err(Refused::Page),
        address => Ok(address),
    }
}

/// Whether the headers are those of a request that a page sends.
pub(super) fn is_from_page(parts: &Parts) -> bool {
    parts.headers.contains_key(ORIGIN)
        || parts
            .headers
            .get_all("sec-fetch-site")
            .iter()
            .any(|site| !["none", "same-origin"].contains(&site.to_str().unwrap_or_default()))
}

/// Whether a browser sent the request, for a page or for its user.
pub(super) fn is_from_browser(parts: &Parts) -> bool {
    is_from_page(parts) || parts.headers.contains_key("sec-fetch-site")
}

/// The host that the request names. HTTP/2 names it in the URI.
pub(super) fn host(parts: &Parts) -> Option<&str> {
    match parts.headers.get(HOST) {
        Some(value) => value.to_str().ok(),
        None => parts.uri.authority().map(http::uri::Authority::as_str),
    }
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
    fn pages_are_told_by_the_headers_of_browsers() {
        let checked = |headers: &[(&str, &str)]| {
            let mut builder = http::Request::builder().header("host", "127.0.0.1:4566");
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            check(&builder.body(()).unwrap().into_parts().0)
        };
        assert_eq!(checked(&[]), Ok(None));
        // A URL that the user typed or clicked.
        assert_eq!(checked(&[("sec-fetch-site", "none")]), Ok(None));
        assert_eq!(checked(&[("sec-fetch-site", "same-origin")]), Ok(None));
        for page in [
            [("origin", "http://localhost:3000")],
            [("origin", "http://127.0.0.1:4566")],
            [("origin", "https://evil.example")],
            [("origin", "null")],
            // An image or a script.
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
            [("sec-fetch-site", "")],
        ] {
            assert_eq!(checked(&page), Err(Refused::Page), "{page:?}");
        }
    }

    #[test]
    fn endpoints_serve_pages_on_this_machine_only() {
        let checked = |host: &str, path: &str| {
            let request = http::Request::get(path)
                .header("host", host)
                .header("origin", "https://page.example")
                .body(())
                .unwrap();
            check(&request.into_parts().0).map(|address| address.map(|address| address.id))
        };
        let found = Ok(Some("abc1".to_owned()));
        assert_eq!(checked("abc1.lambda-url.us-east-1.localhost:4566", "/"), found);
        assert_eq!(checked("127.0.0.1:4566", "/_lambda-url/abc1/"), found);
        for (host, path, refused) in [
            ("abc1.lambda-url.us-east-1.evil.example", "/", Refused::Host),
            ("evil.example", "/_lambda-url/abc1/", Refused::Host),
            ("127.0.0.1:4566", "/", Refused::Page),
            ("127.0.0.1:4566", "/_streamctl/stop", Refused::Page),
            ("127.0.0.1:4566", "//_lambda-url/abc1/", Refused::Page),
        ] {
            assert_eq!(checked(host, path), Err(refused), "{host} {path}");
        }
    }
}
