//! Where endpoints are: on hosts of their own, as on AWS, and below a path of the front door's host, for clients that do
//! not resolve names below `localhost`.
//!
//! ```text
//! ID.lambda-url.REGION.localhost:PORT/PATH     127.0.0.1:PORT/_lambda-url/ID/PATH
//! ID.execute-api.REGION.localhost:PORT/PATH    127.0.0.1:PORT/_execute-api/ID/PATH
//! ID.cloudfront.localhost:PORT/PATH            127.0.0.1:PORT/_cloudfront/ID/PATH
//! ```

/// The most characters of an id.
const MAX_ID: usize = 64;
/// The names of this machine. Source: RFC 6761; `localhost.localstack.cloud` resolves to 127.0.0.1 by public DNS.
const ROOTS: [&str; 2] = ["localhost.localstack.cloud", "localhost"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    FunctionUrl,
    HttpApi,
    /// Of CloudFront, which is in no region.
    Distribution,
}

impl Kind {
    const ALL: [Self; 3] = [Self::FunctionUrl, Self::HttpApi, Self::Distribution];

    /// The label in host names.
    pub const fn label(self) -> &'static str {
        match self {
            Self::FunctionUrl => "lambda-url",
            Self::HttpApi => "execute-api",
            Self::Distribution => "cloudfront",
        }
    }

    const fn has_region(self) -> bool {
        !matches!(self, Self::Distribution)
    }
}

/// An endpoint, and the path of a request to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub kind: Kind,
    /// Lower-case letters and digits.
    pub id: String,
    /// `None` in the path form, which names no region. Empty for a kind without regions.
    pub region: Option<String>,
    /// As in the request, percent-encoded, and below the endpoint. Begins with a slash.
    pub path: String,
}

impl Address {
    /// The endpoint that a request is for; `None` if it is for an AWS API. `host` may have a port.
    pub fn of(host: &str, path: &str) -> Option<Self> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        if ["127.0.0.1", "[::1]"].contains(&name.as_str()) || ROOTS.contains(&name.as_str()) {
            return Self::of_path(path);
        }
        let below = ROOTS
            .iter()
            .find_map(|root| name.strip_suffix(root)?.strip_suffix('.'))?;
        let labels: Vec<&str> = below.split('.').collect();
        let (id, label, region) = match labels.as_slice() {
            [id, label, region] => (id, label, Some(region)),
            [id, label] => (id, label, None),
            _ => return None,
        };
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds.find(|kind| kind.label() == *label && kind.has_region() == region.is_some())?;
        is_id(id).then(|| Self {
            kind,
            id: (*id).to_owned(),
            region: Some(region.copied().unwrap_or_default().to_owned()),
            path: rooted(path),
        })
    }

    fn of_path(path: &str) -> Option<Self> {
        let (label, rest) = path.strip_prefix("/_")?.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.label() == label)?;
        let (id, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        // Ids of distributions have upper-case letters, and hosts do not.
        let id = match kind {
            Kind::Distribution => id.to_ascii_lowercase(),
            _ => id.to_owned(),
        };
        is_id(&id).then(|| Self {
            kind,
            id,
            region: None,
            path: path.to_owned(),
        })
    }

    pub fn in_path(&self) -> bool {
        self.region.is_none()
    }
}

/// The URL of an endpoint in the path form, without a slash at its end. It works with every client. `origin` is that of the
/// front door, such as `http://127.0.0.1:4566`.
pub(crate) fn url(origin: &str, kind: Kind, id: &str) -> String {
    format!("{}/_{}/{id}", origin.trim_end_matches('/'), kind.label())
}

/// The host name of an endpoint, which events name as `domainName`.
pub(crate) fn domain(kind: Kind, id: &str, region: &str) -> String {
    match kind.has_region() {
        true => format!("{id}.{}.{region}.localhost", kind.label()),
        false => format!("{id}.{}.localhost", kind.label()),
    }
}

/// HTTP/1.1 has `*` in place of a path for OPTIONS.
fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        "/".to_owned()
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str, path: &str) -> Option<(String, Option<String>, String)> {
        Address::of(host, path).map(|address| (address.id, address.region, address.path))
    }

    #[test]
    fn endpoints_by_host_and_by_path() {
        let by_host =
            |region: &str, path: &str| Some(("abc1".to_owned(), Some(region.to_owned()), path.to_owned()));
        let by_path = |path: &str| Some(("abc1".to_owned(), None, path.to_owned()));
        for (host, path, expected) in [
            (
                "abc1.lambda-url.us-east-1.localhost:4566",
                "/a",
                by_host("us-east-1", "/a"),
            ),
            (
                "ABC1.Lambda-URL.eu-west-1.localhost",
                "/",
                by_host("eu-west-1", "/"),
            ),
            (
                "abc1.lambda-url.x.localhost.localstack.cloud:1",
                "*",
                by_host("x", "/"),
            ),
            ("127.0.0.1:4566", "/_lambda-url/abc1/a%20b", by_path("/a%20b")),
            ("localhost", "/_lambda-url/abc1", by_path("/")),
            ("[::1]:4566", "/_lambda-url/abc1/", by_path("/")),
            (
                "abc1.execute-api.us-east-1.localhost",
                "/dev/a",
                by_host("us-east-1", "/dev/a"),
            ),
            ("127.0.0.1:4566", "/_execute-api/abc1/dev/a", by_path("/dev/a")),
            ("ABC1.cloudfront.localhost:4566", "/a", by_host("", "/a")),
            ("127.0.0.1:4566", "/_cloudfront/ABC1/a", by_path("/a")),
        ] {
            assert_eq!(found(host, path), expected, "{host} {path}");
        }
    }

    #[test]
    fn hostile_hosts_and_paths_are_no_endpoints() {
        for (host, path) in [
            ("127.0.0.1:4566", "/"),
            ("127.0.0.1:4566", "/_lambda-url"),
            ("127.0.0.1:4566", "/_lambda-url/"),
            ("127.0.0.1:4566", "/_lambda-url/../x"),
            ("127.0.0.1:4566", "/_lambda-url/a%2Fb/x"),
            ("127.0.0.1:4566", "/_other/abc1/"),
            ("127.0.0.1:4566", "_lambda-url/abc1/"),
            // A key of a bucket.
            ("bucket.localhost:4566", "/_lambda-url/abc1/"),
            ("bucket.s3.us-east-1.localhost:4566", "/"),
            ("lambda-url.us-east-1.localhost", "/"),
            ("a.b.lambda-url.us-east-1.localhost", "/"),
            ("abc1.lambda-url.localhost", "/"),
            ("abc1.cloudfront.us-east-1.localhost", "/"),
            ("a_b.lambda-url.us-east-1.localhost", "/"),
            ("abc1.lambda-url.us-east-1.evil.example", "/"),
            ("abc1.lambda-url.us-east-1.localhost.evil.example", "/"),
            ("", ""),
            (":", "/_lambda-url/abc1/"),
        ] {
            assert_eq!(found(host, path), None, "{host} {path}");
        }
        let long = "a".repeat(MAX_ID + 1);
        assert_eq!(found("127.0.0.1", &format!("/_lambda-url/{long}/")), None);
    }
}
